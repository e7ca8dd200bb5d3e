"""What a user can get wrong: each message names the file, the line, the field where there is one, and a remedy."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import InputError
from heedful.sources import read_records

GOOD = {"instruction": "Add.", "input": "1 2", "output": "3"}


def refused(path: Path | str | list[Path | str], *parts: str) -> None:
    """Reading fails with a message of one line that holds every part."""
    with pytest.raises(InputError) as caught:
        read_records(path)
    message = str(caught.value)
    assert "\n" not in message, message
    for part in parts:
        assert part in message, message


def lines(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_a_line_cut_in_half(tmp_path: Path) -> None:
    half = json.dumps(GOOD)[:25]
    path = lines(tmp_path / "a.jsonl", GOOD, "", half, GOOD)
    refused(path, "a.jsonl, line 3: not valid JSON", "column", repr(half)[1:-1], "on_error='skip'")


def test_a_line_cut_in_half_is_skipped_when_asked(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", GOOD, "{", {"instruction": "no output"}, [1], GOOD)
    result = read_records(path, on_error="skip")
    report = result.report[0]
    assert len(result.examples) == 2
    assert report.num_rows == 5
    assert [skipped.place for skipped in report.skipped] == ["line 2", "line 3", "line 4"]
    assert "field 'output' is missing" in report.skipped[1].reason
    assert "skipped line 2: not valid JSON" in result.describe()


def test_ids_do_not_depend_on_which_rows_are_skipped(tmp_path: Path) -> None:
    with_bad = read_records(lines(tmp_path / "a.jsonl", GOOD, "{", GOOD), on_error="skip").examples
    without = read_records(lines(tmp_path / "a.jsonl", GOOD, {**GOOD, "output": "mended"}, GOOD)).examples
    assert [example.id for example in with_bad] == [without[0].id, without[2].id]


def test_the_first_line_cut_in_half(tmp_path: Path) -> None:
    refused(lines(tmp_path / "a.jsonl", '{"instruction": "Ad', GOOD), "a.jsonl, line 1: not valid JSON")


def test_an_array_cut_in_half(tmp_path: Path) -> None:
    text = json.dumps([GOOD, GOOD, GOOD], indent=1)
    (tmp_path / "a.json").write_text(text[: text.rindex("output")])
    # Elements begin on lines 2, 7 and 12.
    refused(tmp_path / "a.json", "a.json, line 12: not valid JSON", "cut off")


def test_an_array_cut_between_rows(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[\n{}\n,".replace("{}", json.dumps(GOOD)))
    refused(tmp_path / "a.json", "a.json, line 3: not valid JSON", "repair")
    (tmp_path / "a.json").write_text("[\n{}\n".replace("{}", json.dumps(GOOD)))
    refused(tmp_path / "a.json", "a.json, line 3: expected ',' or ']' after element 1, got the end of the file")


def test_text_after_an_array(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([GOOD]) + "\n[]")
    refused(tmp_path / "a.json", "a.json, line 2: text after the closing ']'")


@pytest.mark.parametrize("field", ["instruction", "output"])
def test_a_missing_field(tmp_path: Path, field: str) -> None:
    row = {key: value for key, value in GOOD.items() if key != field}
    refused(lines(tmp_path / "a.jsonl", GOOD, row), f"a.jsonl, line 2: field {field!r} is missing", f"add {field!r}")


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({**GOOD, "output": 3}, ["field 'output' is a number (3), expected text"]),
        ({**GOOD, "instruction": ["a"]}, ["field 'instruction' is a list (['a']), expected text"]),
        ({**GOOD, "input": {"a": 1}}, ["field 'input' is an object"]),
        ({**GOOD, "instruction": " ", "input": ""}, ["field 'instruction' is empty"]),
        ({**GOOD, "history": ["a"]}, ["field 'history' holds text ('a'), expected pairs"]),
        ({**GOOD, "language": "elvish tongue"}, ["field 'language'", "ISO 639"]),
        ({**GOOD, "requirements": [{"kind": "wrods", "maximum": 5}]}, ["field 'requirements'", "words"]),
        ({**GOOD, "requirements": [{"maximum": 5}]}, ["field 'requirements'", '"kind"']),
        ({**GOOD, "requirements": "at most 5"}, ["field 'requirements'", "expected a list"]),
        ({**GOOD, "wrong_reason": "too long"}, ["field 'wrong_reason'", "wrong output"]),
        ({**GOOD, "id": [1]}, ["field 'id' is a list"]),
        ('{"instruction": "a\\ud800", "output": "b"}', ["field 'instruction' holds half a character at position 1"]),
        ('{"instruction": "a", "output": "b", "x": NaN}', ["not valid JSON", "NaN"]),
        ("[" * 5000 + "]" * 5000, ["not valid JSON", "nested too deeply"]),
        ('"only text"', ["expected an object"]),
    ],
)
def test_a_wrong_type(tmp_path: Path, row: Any, parts: list[str]) -> None:
    refused(lines(tmp_path / "a.jsonl", GOOD, row), "a.jsonl, line 2: ", *parts)


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"messages": []}, ["ends with role 'missing'"]),
        ({"messages": [{"role": "user", "content": "a"}]}, ["ends with role 'user', expected 'assistant'"]),
        ({"messages": [{"role": "wizard", "content": "a"}]}, ["'messages[0].role' is text ('wizard')", "user"]),
        ({"messages": ["a"]}, ["'messages[0]' is text ('a'), expected an object"]),
        ({"messages": [{"role": "user"}]}, ["'messages[0].content' is null (None), expected text"]),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, ["a part that is not text"]),
        ({"messages": "hello"}, ["expected a list"]),
        ({"conversations": [{"from": "gpt", "value": "a"}]}, ["field 'instruction' is empty"]),
        ({"messages": [], "label": 1}, ["field 'label' is a number (1), expected true or false"]),
        ({"prompt": "a", "chosen": "b", "rejected": 1}, ["field 'rejected' is a number"]),
        ({"chosen": "b", "rejected": "c"}, ["field 'instruction' is missing"]),
        ({"instruction": "a", "output": ["b"]}, ["field 'output' is a list of 1"]),
        ({"instruction": "a", "instances": []}, ["field 'instances' is empty"]),
        ({"instruction": "a", "instances": [{"input": "b"}]}, ["field 'instances[0]'", "an input and an output"]),
    ],
)
def test_broken_conversations(tmp_path: Path, row: Any, parts: list[str]) -> None:
    refused(lines(tmp_path / "a.jsonl", row), "a.jsonl, line 1: ", *parts)


def test_preferences_whose_prompts_differ(tmp_path: Path) -> None:
    user = {"role": "user", "content": "a"}
    answer = {"role": "assistant", "content": "b"}
    row = {"chosen": [user, answer], "rejected": [{**user, "content": "other"}, answer]}
    refused(lines(tmp_path / "a.jsonl", row), "line 1: field 'rejected' does not begin with the same messages")


def test_duplicate_ids(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"id": "x", **GOOD}, {"id": "y", **GOOD}, {"id": "x", **GOOD})
    refused(path, "a.jsonl, line 3: field 'id' names a record that was already read from a.jsonl, line 1", "of its own")
    assert len(read_records(path, on_error="skip").examples) == 2


def test_wrong_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + '{"instruction": "café", "output": "b"}\n'.encode("latin-1"))
    refused(path, "a.jsonl, line 2: byte 0xe9 at offset ", "iconv")


def test_a_file_in_gb18030_is_read_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"指令": "把这句话翻译成英文。", "输出": "这是一个例子，谢谢。"}\n'.encode("gb18030"))
    result = read_records(path)
    assert result.report[0].encoding == "GB18030"
    assert result.examples[0].answer == "这是一个例子，谢谢。"


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    refused(tmp_path / "a.jsonl", "a.jsonl: the file is empty; expected ")


@pytest.mark.parametrize("content", ["[]", "instruction,output\n", '{"data": []}'])
def test_a_file_without_rows(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    refused(tmp_path / "a.json", "a.json: the file holds no rows")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    refused(
        tmp_path / "no" / "such.jsonl",
        "such.jsonl: no such file or folder",
        f"nearest folder that exists is '{tmp_path}'",
    )
    refused(str(tmp_path / "*.jsonl"), "no file matches")
    refused(tmp_path, "holds no files")
    refused([], "no input file was given")


def test_a_folder_without_records(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("# Hello")
    refused(tmp_path, "none of the 1 files found holds records", ".jsonl")


def test_an_unknown_shape(tmp_path: Path) -> None:
    refused(
        lines(tmp_path / "a.jsonl", {"text": "a corpus"}), "line 1: the columns 'text' fit no known shape", "rename"
    )
    # Skipping bad rows does not mean skipping a whole file that was not understood.
    with pytest.raises(InputError, match="no known shape"):
        read_records(tmp_path / "a.jsonl", on_error="skip")


def test_all_rows_bad(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of its 2 rows can be read; line 1: not valid JSON"):
        read_records(lines(tmp_path / "a.jsonl", "{", "{"), on_error="skip")


def test_prose_is_not_records(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Once upon a time, there was a file.\nIt had no rows.\n")
    refused(tmp_path / "a.txt", "a.txt: cannot tell what this is", "'Once upon a time")


def test_csv_with_a_wrong_number_of_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("instruction,output\na,b\nc,d,e\n")
    refused(tmp_path / "a.csv", "a.csv, line 3: 3 cells, expected 2 (instruction, output)", "quotes")


def test_csv_with_an_open_quote(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('instruction,output\na,b\nc,"d\ne,f\n')
    refused(tmp_path / "a.csv", "a.csv, line 3: not valid CSV", "close the quotes")


def test_csv_with_a_repeated_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("instruction,output,output\na,b,c\n")
    refused(tmp_path / "a.csv", "a.csv, line 1: the header repeats a column")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"PAR1 but not really", "damaged Parquet file"),
        (b"%PDF-1.7", "a PDF file"),
        (b"PK\x03\x04....", "a zip or Office file"),
        (b"\x1f\x8b\x08 but no gzip", "damaged gzip file"),
        (gzip.compress(json.dumps(GOOD).encode(), mtime=0)[:-12], "damaged gzip file"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
        (b"BZh91AY&SY", "bzip2"),
    ],
)
def test_files_of_other_kinds(tmp_path: Path, content: bytes, part: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    refused(tmp_path / "a.jsonl", "a.jsonl", part)


def test_a_gzip_bomb_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.sources.files.MAXIMUM_BYTES", 1 << 20)
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(bytes(8 << 20), mtime=0))
    refused(tmp_path / "a.jsonl", "unpacks to more than 1,048,576 bytes")


def test_a_misspelt_way_to_treat_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected 'stop' or 'skip'"):
        read_records(lines(tmp_path / "a.jsonl", GOOD), on_error="ignore")  # type: ignore[arg-type]
