"""`heedful serve` as users start it: how it ends, what is kept when it is killed, and what it says when it cannot start."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from heedful.cli import main
from heedful.feedback.store import Store
from heedful.project.folder import Project as Folder
from live_server import ServerProcess, server_process, stream_events, until
from small_project import Project

# Fifteen answers to each, so that a step of the batch takes its time on any machine.
NUM_CHOICES = 15
LONG = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0, "max_tokens": 5000, "n": NUM_CHOICES}


@pytest.fixture(autouse=True)
def answers_that_take_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernels write all that the tiny model can write in less than the time that a server takes to end.
    monkeypatch.setenv("HEEDFUL_KERNELS", "0")


@pytest.fixture
def project(tiny_project: Project, tmp_path: Path) -> Path:
    """A finished project of one's own."""
    return Path(shutil.copytree(tiny_project.folder, tmp_path / "project"))


def begin_conversation(url: str, text: str = "讲个故事") -> tuple[str, str]:
    """Ids of a new conversation and of what its user said."""
    conversation = httpx.post(f"{url}/ui/conversations", json={}).json()["id"]
    said = httpx.post(f"{url}/ui/conversations/{conversation}/messages", json={"content": text, "parent": None})
    return conversation, said.json()["id"]


def answer_on_page(url: str, message: str, model: str, max_tokens: int) -> httpx.Response:
    body = {"model": model, "temperature": 0, "max_tokens": max_tokens}
    return httpx.post(f"{url}/ui/messages/{message}/answers", json=body, timeout=60)


def ask(url: str, model: str, *, stream: bool) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json={**LONG, "model": model, "stream": stream}, timeout=60)


def end_while_answering(server: ServerProcess, project: Path, model: str, number: signal.Signals) -> tuple[int, str]:
    """Send a signal while a whole answer, a stream and an answer on the page are written; returns exit code and errors."""
    conversation, message = begin_conversation(server.url)
    with ThreadPoolExecutor(3) as pool:
        page = pool.submit(answer_on_page, server.url, message, model, 5000)
        whole, streamed = (pool.submit(ask, server.url, model, stream=stream) for stream in (False, True))
        until(lambda: httpx.get(f"{server.url}/health").json()["in_flight"] == 1 + 2 * NUM_CHOICES)
        time.sleep(0.3)
        code, seconds, errors = server.end(number)
    assert seconds < 5
    assert "Traceback" not in errors
    assert whole.result().status_code == 503
    assert stream_events(streamed.result().text.splitlines())[-1]["error"]["code"] == "shutting_down"
    assert page.result().status_code == 200
    store = Store(Folder.open(project).feedback_url)
    kept = [stored for stored in store.messages(conversation) if stored.role == "assistant"]
    store.close()
    # What the model wrote until then is kept, and says that it was cut off.
    assert [stored.finish_reason for stored in kept] == ["cancelled"]
    assert len(kept[0].content) > 20
    return code, errors


def judge(url: str, text: str, **judgement: Any) -> str:
    """A conversation with a judged answer; returns the conversation's id once the judgement is acknowledged."""
    conversation, message = begin_conversation(url, text)
    assert "event: done" in answer_on_page(url, message, "tiny", 4).text
    stored = httpx.get(f"{url}/ui/conversations/{conversation}").json()["messages"][-1]
    assert httpx.put(f"{url}/ui/messages/{stored['id']}/feedback", json=judgement).status_code == 200
    return conversation


@pytest.mark.slow
def test_acknowledged_feedback_survives_kill_9_and_ctrl_c_ends_cleanly(project: Path) -> None:
    with server_process(project) as server:
        assert [model["kind"] for model in server.told["models"]] == ["tuned", "base"]
        first = judge(server.url, "用一句话介绍茶", rating=-1, reason="wrong", correction="茶是一种饮料。")
        second = judge(server.url, "What is tea?", rating=1)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
    with server_process(project) as again:
        shown = httpx.get(f"{again.url}/ui/conversations").json()
        assert {conversation["id"] for conversation in shown} == {first, second}
        code, _ = end_while_answering(again, project, "tiny", signal.SIGINT)
    assert code == 130
    store = Store(Folder.open(project).feedback_url)
    (bad,), (good,) = store.feedback_of(first).values(), store.feedback_of(second).values()
    store.close()
    assert (bad.rating, bad.reason, bad.correction) == (-1, "wrong", "茶是一种饮料。")
    assert (good.rating, good.correction) == (1, "")


@pytest.mark.slow
def test_sigterm_ends_a_server_beyond_loopback_in_an_untuned_project(untuned: str, tiny_model: Path) -> None:
    with server_process(Path(untuned), "--model", str(tiny_model), "--host", "0.0.0.0") as server:
        # The model's folder stays on this machine: its id is the last part of the name.
        (told,) = server.told["models"]
        assert (told["id"], told["kind"]) == (tiny_model.name, "other")
        assert told["engine"] == "the local engine (float32, transformers)"
        assert httpx.get(f"{server.url}/health", headers={"Host": "any.name"}).status_code == 200
        code, errors = end_while_answering(server, Path(untuned), tiny_model.name, signal.SIGTERM)
    assert code == 0
    assert "warning" in errors
    assert "HEEDFUL_API_KEY" in errors


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that must not start says on standard error."""
    assert main(["serve", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert captured.err.startswith("heedful: ")
    assert len(captured.err.splitlines()) == 1
    return captured.err


@pytest.fixture(scope="module")
def untuned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A new project in which nothing is built."""
    folder = str(tmp_path_factory.mktemp("untuned") / "new")
    assert main(["init", folder]) == 0
    return folder


def test_unknown_project(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "heedful init" in refused(capsys, "--project", str(tmp_path / "nothing"))
    assert "no heedful.toml here" in refused(capsys, "--project", str(tmp_path))


def test_untuned_project(capsys: pytest.CaptureFixture[str], untuned: str) -> None:
    capsys.readouterr()
    said = refused(capsys, "--project", untuned)
    assert "`heedful run` builds it" in said
    assert "--model NAME" in said


def test_missing_model(capsys: pytest.CaptureFixture[str], untuned: str) -> None:
    assert "no model 'smolm2'" in refused(capsys, "--project", untuned, "--model", "smolm2")


def test_two_models_of_one_name(capsys: pytest.CaptureFixture[str], untuned: str, tiny_model: Path) -> None:
    name = str(tiny_model)
    assert "already" in refused(capsys, "--project", untuned, "--model", name, "--model", name)


def test_port_in_use(capsys: pytest.CaptureFixture[str], untuned: str, tiny_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused(capsys, "--project", untuned, "--model", str(tiny_model), "--port", port)
    assert f"port {port} on 127.0.0.1 is in use" in said
    assert "--port N" in said


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "a b", ""])
def test_hosts_that_are_not_ours(capsys: pytest.CaptureFixture[str], untuned: str, tiny_model: Path, host: str) -> None:
    said = refused(capsys, "--project", untuned, "--model", str(tiny_model), "--host", host)
    assert "host" in said or "is no address of this machine" in said


def test_a_password_in_the_stores_url_is_refused_and_not_repeated(
    capsys: pytest.CaptureFixture[str], untuned: str
) -> None:
    for url in ("postgresql://ann:hunter2@db/x", "postgresql://ann@db/x?password=hunter2", "postgresql://:hunter2@db"):
        said = refused(capsys, "--project", untuned, "--set", f"serve.store={url}")
        assert "PGPASSWORD" in said
        assert "hunter2" not in said


def test_a_store_that_cannot_be_opened(capsys: pytest.CaptureFixture[str], untuned: str, tiny_model: Path) -> None:
    said = refused(
        capsys, "--project", untuned, "--model", str(tiny_model), "--port", "0", "--set", "serve.store=mysql://x"
    )
    assert "mysql" in said


def test_a_key_that_no_header_carries(
    capsys: pytest.CaptureFixture[str], untuned: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEEDFUL_API_KEY", "geheimer schlüssel")
    said = refused(capsys, "--project", untuned, "--model", str(tiny_model))
    assert "HEEDFUL_API_KEY" in said
    assert "geheimer" not in said


@pytest.mark.slow
def test_people_are_told_which_engine_answers(untuned: str, tiny_model: Path) -> None:
    far = "http://127.0.0.1:9/v1#far"
    command = ["serve", "--project", untuned, "--model", str(tiny_model), "--model", far, "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "heedful", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGTERM)
    # transformers' code: HEEDFUL_KERNELS=0 is what these tests run with.
    assert lines[1:3] == [
        f"  {tiny_model.name} (other), answered by the local engine (float32, transformers)\n",
        "  far (other), answered by the endpoint http://127.0.0.1:9/v1 (far, up to 32 requests at a time)\n",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_while_models_load(untuned: str, tiny_model: Path, number: signal.Signals, code: int) -> None:
    server = ServerProcess(Path(untuned), "--model", str(tiny_model), wait=False)
    assert server.process.stderr is not None
    assert "load models" in server.process.stderr.readline()
    returned, seconds, errors = server.end(number)
    assert returned == code
    assert seconds < 5
    assert "Traceback" not in errors
