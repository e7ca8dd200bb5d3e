"""Every command of the README runs, in both languages; counts are small, everything else is real."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from heedful.records import read_examples

ROOT = Path(__file__).resolve().parents[2]
QUICK = """
[construct]
count = 8
self_instruct = 0
document_qa = 0
[tune]
epochs = 1
[evaluate]
max_rows = 2
max_tokens = 8
"""
NOTES = "# {title}\n\nTea is a drink made from leaves. It is served warm.\n\n## Kinds\n\n- green\n- black\n- white\n"


def commands(page: str) -> list[str]:
    """The lines of the page's shell blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_both_languages_show_the_same_commands() -> None:
    english, chinese = commands("README.md"), commands("README.zh.md")
    assert [line.split('"')[0] for line in english] == [line.split('"')[0] for line in chinese]


def test_make_targets_exist() -> None:
    targets = [line.split()[1] for line in commands("README.md") if line.startswith("make ")]
    assert targets == ["demo", "test"]
    for target in [*targets, "serve", "test-fast", "test-long", "check"]:
        process = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr


@pytest.mark.model
@pytest.mark.slow
def test_the_tour_runs(tmp_path: Path) -> None:
    notes = tmp_path / "home" / "notes"
    notes.mkdir(parents=True)
    for number in range(3):
        (notes / f"note{number}.md").write_text(NOTES.format(title=f"Note {number}"), encoding="utf-8")
    rows = [
        {"instruction": f"Write the number {number} in words.", "output": f"It is number {number}."}
        for number in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    asked = [{"prompt": "Name a kind of tea."}, {"instruction": "说出一种茶。", "id": "tea"}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    cache = os.environ.get("HEEDFUL_CACHE", str(Path.home() / ".cache" / "heedful"))
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "HEEDFUL_CACHE": cache}
    row_id = ""
    for line in commands("README.md"):
        if line.startswith("make "):
            continue
        line = line.replace("ID", row_id).replace("heedful ", f"{shlex.quote(sys.executable)} -m heedful ", 1)
        if "heedful serve" in line:
            serves_until_told_to_end(line, tmp_path, environment)
            continue
        process = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            input="What is tea?\n/correct A drink made from leaves.\n" if "heedful chat" in line else "",
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, f"{line}\n{process.stderr}"
        if "init" in line:
            seeds = tmp_path / "my-assistant" / "seeds.jsonl"
            seeds.write_text(
                "".join(seeds.read_text(encoding="utf-8").splitlines(keepends=True)[::8]), encoding="utf-8"
            )
            (tmp_path / "my-assistant" / "heedful.toml").write_text(QUICK, encoding="utf-8")
        if "inspect data" in line:
            shown = subprocess.run(
                [sys.executable, "-m", "heedful", "inspect", "data", "--project", "my-assistant", "--json"],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
            )  # fmt: skip
            row_id = json.loads(shown.stdout)["rows"][0]["id"]
    answered = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in answered] == ["prompts.jsonl:1", "tea"]
    # What was corrected in the chat came out of the store and back in as data.
    (corrected,) = read_examples(tmp_path / "corrections.parquet")
    assert corrected.answer == "A drink made from leaves."


def serves_until_told_to_end(line: str, folder: Path, environment: dict[str, str]) -> None:
    """The server answers at the address that it prints, and ends with exit code 0 when it is told to."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line} --port 0"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address = re.search(r"http://\S+", process.stdout.readline())
    assert address
    with urllib.request.urlopen(address.group().rstrip("/,") + "/health") as answer:
        assert json.load(answer)["status"] == "ok"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    process.stdout.close()
