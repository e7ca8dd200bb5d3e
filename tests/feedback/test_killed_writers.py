"""What the store acknowledged is there after kill -9, and processes may open a fresh store together.

The writers are real processes. Each prints an acknowledgement the moment the store returned, and no sooner.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest

from heedful.feedback import Store

pytestmark = pytest.mark.slow

WRITER = """
import os, signal, sys, time
from heedful.feedback import Store

url, name, manner = sys.argv[1:]
store = Store(url)
conversation = store.new_conversation(title=name).id
number = 0
while True:
    question = store.add_message(conversation, "user", f"问 {number}", parent=None)
    answer = store.add_message(conversation, "assistant", f"答 {number}", parent=question.id)
    store.rate(answer.id, rating=-1, reason=f"{name} {number}", correction=f"改 {name} {number} " + "字" * 500)
    print(f"{name} {number}", flush=True)
    if manner == "suicidal" and number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if manner == "leisurely":
        time.sleep(0.02)
    number += 1
"""

OPENER = """
import sys
import heedful.feedback.store

for line in sys.stdin:
    store = heedful.feedback.store.Store(line.strip())
    store.new_conversation()
    store.close()
    print("opened", flush=True)
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def lines_of(process: subprocess.Popen[str], count: int | None = None) -> list[str]:
    """The next `count` lines, or all that come until the end."""
    assert process.stdout is not None
    lines = process.stdout.readlines() if count is None else [process.stdout.readline() for _ in range(count)]
    return [line.strip() for line in lines if line.strip()]


def killed(writer: subprocess.Popen[str], count: int) -> list[str]:
    """Kill the writer at its `count`-th line; all that it printed, also while the signal was on its way."""
    with writer:
        lines = lines_of(writer, count)
        writer.send_signal(signal.SIGKILL)
        lines += lines_of(writer)
    assert writer.returncode == -signal.SIGKILL
    return lines


def check(url: str, acknowledged: list[str], num_kills: int) -> None:
    """Everything acknowledged is there, whole; at most one write a kill is there without being acknowledged."""
    with closing(Store(url)) as store:
        rows = {row["reason"]: row for row in store.export_rows()}
        for line in acknowledged:
            number = line.split()[1]
            assert rows[line]["correction"] == f"改 {line} " + "字" * 500
            assert rows[line]["prompt"] == [{"role": "user", "content": f"问 {number}"}]
            assert rows[line]["answer"] == f"答 {number}"
        assert len(acknowledged) <= len(rows) <= len(acknowledged) + num_kills
        # And it still takes new ones.
        assert store.conversation(store.new_conversation(title="after").id).title == "after"


def test_acknowledged_feedback_survives_kill(store_url: str) -> None:
    other = python(WRITER, store_url, "other", "leisurely")
    acknowledged = lines_of(other, 1)
    acknowledged += killed(python(WRITER, store_url, "hasty", "hasty"), 60)
    # The dead left no lock behind: the other writer works on, and what it says arrives.
    acknowledged += killed(other, 10)
    assert len(acknowledged) >= 1 + 60 + 10
    check(store_url, acknowledged, num_kills=2)


def test_killed_in_the_instant_of_the_acknowledgement(store_url: str) -> None:
    with python(WRITER, store_url, "w", "suicidal") as writer:
        acknowledged = lines_of(writer)
    assert writer.returncode == -signal.SIGKILL
    assert acknowledged == [f"w {number}" for number in range(8)]
    check(store_url, acknowledged, num_kills=0)


def test_processes_may_open_a_fresh_store_at_once(store_url: str, clear: Callable[[str], None]) -> None:
    openers = [python(OPENER) for _ in range(3)]
    for round in range(6):
        url = store_url if store_url.startswith("postgresql") else f"{store_url}.{round}"
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write(f"{url}\n")
            opener.stdin.flush()
        assert [lines_of(opener, 1) for opener in openers] == [["opened"]] * 3
        with closing(Store(url)) as store:
            assert len(store.conversations()) == 3
        clear(url)
    for opener in openers:
        opener.communicate(timeout=60)
        assert opener.returncode == 0
