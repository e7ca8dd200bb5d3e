"""`heedful inspect data`: what is shown is what is there, counted; nothing in a row reaches the terminal or page as a command."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from heedful.cli import main
from heedful.cli.rows_view import wrapped
from heedful.errors import InputError
from heedful.pipeline.rows import RowFilter, file_rows
from heedful.report.rows_page import LANGUAGES, _words, render_rows_page, write_rows_page
from small_project import Project

HOSTILE = "\x1b[31mred\x1b]0;owned\x07 \x9b2J \u202egnp.exe\u2066 \x00\x08\x7f\r <script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
CHINESE = "北京是中国的首都，历史悠久，每年有很多游客来这里参观。" * 30


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Seven rows of a file of ours: train, validation, test, two dropped ones, one in Chinese, one that is hostile."""

    def row(number: int, prompt: str, answer: str, **values: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return {
            "id": f"{number:02d}" * 16, "messages": messages, "method": "import", "source": "a.jsonl", "task": "open",
            "language": "en", "license": "", "parents": [], "requirements": [], "split": "train", "weight": 1.0, "meta": {},
        } | values  # fmt: skip

    duplicate = {"dropped_because": "near_duplicate", "dropped": {"reason": "near_duplicate", "detail": "0.91 of 01"}}
    written = [
        row(1, "Name a tea.", "Green tea.", requirements=[{"kind": "words", "maximum": 3}]),
        row(2, "Name a colour.", "Blue.", split="validation", method="templates", source="python-docs:json"),
        row(3, "介绍北京。", CHINESE, split="test", language="zh", task="templates/summary"),
        row(4, "Name a TEA again.", "Green.", split="", meta=duplicate),
        row(5, "Who are you?", "", split="", method="templates", meta={"dropped_because": "empty_answer"}),
        row(6, HOSTILE, HOSTILE, task=HOSTILE, source=HOSTILE, license=HOSTILE, language="xx"),
        row(7, "Tell me of the sea.", "line\n" * 40 + "end", parents=["01" * 16, "gone"]),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in written), encoding="utf-8")
    return path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["inspect", "data", *arguments]) == 0
    return capsys.readouterr().out


def numbers(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[int]:
    """The rows that a command shows, by the first characters of their ids."""
    return [int(row["id"][:2]) for row in json.loads(shown(capsys, *arguments, "--json"))["rows"]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [1, 2, 3, 4, 5, 6, 7]),
        (["--split", "train"], [1, 6, 7]),
        (["--dropped"], [4, 5]),
        (["--kept"], [1, 2, 3, 6, 7]),
        (["--reason", "near_*"], [4]),
        (["--reason", "NEAR_*"], []),
        (["--method", "templates"], [2, 5]),
        (["--method", "templates", "--kept"], [2]),
        (["--language", "zh"], [3]),
        (["--task", "templates/*"], [3]),
        (["--source", "python-docs:*"], [2]),
        (["--search", "tea"], [1, 4]),
        (["--search", "首都"], [3]),
        (["--id", "0404"], [4]),
        (["--limit", "2", "--offset", "3"], [4, 5]),
        (["--offset", "99"], []),
        (["--dropped", "--split", "train"], []),
    ],
)
def test_filters_and_paging(
    rows: Path, capsys: pytest.CaptureFixture[str], options: list[str], expected: list[int]
) -> None:
    assert numbers(capsys, str(rows), *options) == expected


def test_the_header_counts_what_matches(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, str(rows))
    assert "7 of 7 rows match" in " ".join(text.split())
    assert "split      train 3 · validation 1 · test 1 · dropped 2" in text
    assert "dropped    near_duplicate 1 · empty_answer 1" in text
    assert "rows 1 to 7 of 7" in text
    text = shown(capsys, str(rows), "--method", "import", "--kept", "--limit", "2")
    assert "4 of 7 rows match: --kept --method import" in " ".join(text.split())
    assert "split      train 3 · test 1\n   method     import 4" in text
    assert "rows 1 to 2 of 4; --offset 2 shows the next" in text
    value = json.loads(shown(capsys, str(rows), "--dropped", "--limit", "1", "--json"))
    assert (value["matching"], value["total"], value["shown"]) == (2, 7, 1)
    assert value["counts"]["reason"] == {"near_duplicate": 1, "empty_answer": 1}


def test_a_row_says_why_it_was_dropped_and_what_was_required(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "because    near_duplicate: 0.91 of 01" in shown(capsys, str(rows), "--id", "0404")
    assert "assistant  (empty)" in shown(capsys, str(rows), "--id", "0505")
    assert "required   Use at most 3 words." in shown(capsys, str(rows), "--id", "0101")


def test_what_matches_nothing_says_what_there_is(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, str(rows), "--method", "template")
    assert "0 of 7 rows match: --method template" in " ".join(text.split())
    assert "no row passes --method; there are: import, templates" in text
    assert "no rows to show" in text
    assert "--offset 99 is behind the last one" in shown(capsys, str(rows), "--offset", "99")


def test_long_texts_are_cut_aloud(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, str(rows), "--id", "0707")
    assert text.count("line\n") == 8
    assert "… 33 more lines; --full shows them" in text
    full = shown(capsys, str(rows), "--id", "0707", "--full")
    assert full.count("line\n") == 40
    assert "more lines" not in full
    assert json.loads(shown(capsys, str(rows), "--id", "0707", "--json"))["rows"][0]["turns"][1]["content"].endswith(
        "end"
    )


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_no_line_is_wider_than_the_terminal(
    rows: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = shown(capsys, str(rows), "--full", "--lineage")
    assert max(cell_len(line) for line in text.splitlines()) <= columns
    # Nothing is lost by breaking lines: all Chinese characters are there, in order.
    chinese = re.search(r"assistant  (北京.*?)\n   lineage", text, re.DOTALL)
    assert chinese is not None
    assert "".join(chinese[1].split()) == CHINESE


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("abc def ghi", 7, ["abc def", "ghi"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("中文字", 5, ["中文", "字"]),  # A wide character takes two cells; half of one is never left at the end.
        ("答案是：中文", 9, ["答案是：", "中文"]),
        ("一二三四，五", 8, ["一二三", "四，五"]),  # No line begins with a comma.
        ("use中文 here", 6, ["use中", "文", "here"]),
        ("e\u0301e\u0301e\u0301", 2, ["e\u0301e\u0301", "e\u0301"]),  # An accent stays with its letter.
        ("👨‍👩‍👧👨‍👩‍👧", 3, ["👨‍👩‍👧", "👨‍👩‍👧"]),  # A family is one character.
        ("a\n\nb", 5, ["a", "", "b"]),
        ("", 5, [""]),
    ],
)
def test_wrapping_by_cells(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width) == lines


def controls(text: str) -> list[str]:
    """Characters that would steer a terminal."""
    return re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_control_characters_never_reach_the_terminal(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, str(rows), "--full", "--lineage")
    assert controls(text) == []
    assert "␛[31mred␛]0;owned␇" in text
    assert "[U+202E]gnp.exe" in text
    assert controls(shown(capsys, str(rows), "--search", "\x1b[31m")) == [], "also what is typed is shown back"


def test_lineage_is_safe_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "mine"
    assert main(["init", str(project)]) == 0
    row = {"instruction": f"Say yes. {HOSTILE}", "output": "yes"}
    (project / "seeds.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (project / "heedful.toml").write_text("[import]\ndocuments = []\n", encoding="utf-8")
    assert main(["import", "--project", str(project)]) == 0
    (found,) = json.loads(shown(capsys, "--project", str(project), "--search", "owned", "--json"))["rows"]
    assert main(["inspect", "lineage", found["id"], "--project", str(project)]) == 0
    text = capsys.readouterr().out
    assert "owned" in text
    assert controls(text) == []


def on_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a process writes that finds itself on a terminal of 80 columns."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(command, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    output = b""
    # Reading from a terminal whose process has ended fails, instead of giving the end.
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    os.close(leader)
    assert process.wait() == 0
    return output.decode("utf-8")


def test_colours_only_on_a_terminal(
    rows: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "heedful", "inspect", "data", str(rows), "--full"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    coloured = on_a_terminal(command, environment)
    sequences = set(re.findall(r"\x1b.{0,6}", coloured))
    assert sequences, "there are colours"
    assert all(re.match(r"\x1b\[[0-9;]*m", sequence) for sequence in sequences), "and nothing else"
    monkeypatch.setenv("COLUMNS", "80")
    piped = shown(capsys, str(rows), "--full")
    assert "\x1b" not in piped
    without = re.sub(r"\x1b\[[0-9;]*m", "", coloured).replace("\r\n", "\n")
    assert without == piped
    assert "\x1b" not in on_a_terminal(command, {**environment, "NO_COLOR": "1"})


# -- projects ---------------------------------------------------------------------------------------------------------


def test_a_project_shows_its_rows_with_their_way_back(
    tiny_project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--project", str(tiny_project.folder)]
    text = shown(capsys, *folder, "--method", "templates", "--split", "train", "--lineage", "--limit", "1")
    assert "tiny: " in text
    assert "tune: trained into tune/" in text
    assert "import: document 'Tea" in text
    (row,) = json.loads(shown(capsys, *folder, "--method", "templates", "--limit", "1", "--lineage", "--json"))["rows"]
    alone = tiny_project.json("inspect", "lineage", row["id"])
    assert row["lineage"] == alone, "two ways agree"


def test_stages_that_are_missing_are_named(
    tiny_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_project.folder, tmp_path / "copy")
    artifacts, folder = tmp_path / "copy" / ".heedful" / "artifacts", ["--project", str(tmp_path / "copy")]
    shutil.rmtree(artifacts / "curate")
    text = shown(capsys, *folder)
    assert "not built for these settings: curate; `heedful curate` builds it" in " ".join(text.split())
    assert "18 of 18 rows match" in text
    assert "split      no split 18" in text
    shutil.rmtree(artifacts / "construct")
    value = json.loads(shown(capsys, *folder, "--json"))
    assert (value["missing_stages"], value["total"]) == (["construct", "curate"], 12)
    page = tmp_path / "page.html"
    shown(capsys, *folder, "--html", str(page), "--language-of-page", "zh")
    assert "按当前设置尚未构建：" in page.read_text(encoding="utf-8")
    shutil.rmtree(artifacts)
    assert main(["inspect", "data", *folder]) == 2
    assert "nothing is built here yet; `heedful run` builds it" in capsys.readouterr().err


def test_preferences_are_rows_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "Hi?", "chosen": "Hello!", "rejected": "No."}\n')
    text = shown(capsys, str(path))
    assert re.search(r"user +Hi\?\n +chosen +Hello!\n +rejected +No\.", text)


def test_the_way_back_in_files(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, str(rows), "--id", "0707", "--lineage")
    assert "file: read from a.jsonl" in text
    assert "gone  ?: not in these files" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--split", "trian"], "did you mean 'train'?"),
        (["--split", "dropped"], "--dropped"),
        (["--html", "page.txt"], "expected a name that ends in .html"),
        (["--html", "page.html", "--language-of-page", "fr"], "expected en or zh"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_mistakes(
    rows: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "data", str(rows), *options]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl"]


def test_files_that_are_not_there_or_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.jsonl").write_text('{"colour": "blue"}\n')
    for name in ("absent.jsonl", "bad.jsonl"):
        assert main(["inspect", "data", str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err


# -- the page ---------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_the_same_view_and_runs_nothing(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, str(rows), "--html", str(tmp_path / "page.html"), "--lineage")
    assert "7 of 7 matching rows (7 in all)" in text
    source = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(source)
    names = {name for name, _ in page.tags}
    assert not names & {"script", "img", "link", "iframe", "form", "object", "embed"}
    allowed = {
        "href",
        "class",
        "id",
        "lang",
        "dir",
        "aria-labelledby",
        "aria-hidden",
        "type",
        "name",
        "checked",
        "content",
    }
    allowed |= {
        "charset",
        "http-equiv",
        "media",
        "role",
        "focusable",
        "viewbox",
        "preserveaspectratio",
        "x",
        "y",
        "width",
        "height",
    }
    assert {name for _, attributes in page.tags for name in attributes} <= allowed, "no style, no handler, no address"
    assert all(
        attributes["href"] and attributes["href"].startswith("#")
        for name, attributes in page.tags
        if "href" in attributes
    )
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "<script>alert(1)</script>" in page.text, "shown as text"
    assert controls(source) == []
    assert sum(name == "article" for name, _ in page.tags) == 7
    assert "near_duplicate" in page.text
    assert page.text.count("The way back") == 7
    # Long texts are folded up whole, not cut.
    assert sum(name == "details" and attributes.get("class") == "long" for name, attributes in page.tags) == 2
    assert CHINESE in page.text


def test_the_page_speaks_the_language_of_its_rows(rows: Path) -> None:
    chinese = file_rows([rows]).view(RowFilter(language="zh"))
    english = file_rows([rows]).view(RowFilter(language="en"))
    assert '<html lang="zh">' in render_rows_page(chinese)
    assert "7 行中有 1 行符合" in render_rows_page(chinese)
    assert '<html lang="en">' in render_rows_page(chinese, language="en")
    assert "1 of 7 rows match" in render_rows_page(chinese, language="en")
    assert '<html lang="en">' in render_rows_page(english)
    english_words, chinese_words = (_words(language) for language in LANGUAGES)
    assert english_words.keys() == chinese_words.keys()
    for key, value in english_words.items():
        assert set(re.findall(r"\{\w+\}", value)) == set(re.findall(r"\{\w+\}", chinese_words[key])), key


def test_a_page_of_nothing_and_of_a_part(rows: Path) -> None:
    empty = render_rows_page(file_rows([rows]).view(RowFilter(search="nowhere")))
    assert "0 of 7 rows match" in empty
    assert "No rows to show." in empty
    part = render_rows_page(file_rows([rows]).view(RowFilter(), offset=2, limit=3))
    assert "Rows 3 to 5 of 7" in part
    assert "--limit and --offset show others" in part


def test_a_page_never_replaces_data(rows: Path) -> None:
    view = file_rows([rows]).view(RowFilter())
    before = rows.read_bytes()
    with pytest.raises(InputError, match=r"ends in \.html"):
        write_rows_page(rows, view)
    assert rows.read_bytes() == before
    (rows.parent / "folder.html").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_rows_page(rows.parent / "folder.html", view)
