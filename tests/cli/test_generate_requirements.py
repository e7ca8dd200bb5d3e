"""What must be kept, on the command line: every flag, said, enforced, checked, told; what contradicts itself or cannot be, exit 2."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoint import Answer, Endpoint
from heedful.cli import main
from heedful.records import RequirementSpec
from heedful.requirements import check_all

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
BACK_REFERENCE = r"regex=(a|b)\1"
"""Can be checked, and not enforced."""


@pytest.fixture
def asks(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command; returns (exit code, standard output, standard error)."""

    def ask(*arguments: str, model: str = str(tiny_model)) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["generate", "--model", model, *arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return ask


def answer_of(found: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = found
    assert code == 0, err
    return dict(json.loads(out))


FLAGS: list[tuple[list[str], dict[str, Any]]] = [
    (["--words", "3:5"], {"kind": "words", "minimum": 3, "maximum": 5}),
    (["--characters", ":20"], {"kind": "characters", "maximum": 20}),
    (["--sentences", "2"], {"kind": "sentences", "exactly": 2}),
    (["--paragraphs", "2:"], {"kind": "paragraphs", "minimum": 2}),
    (["--bullets", "2"], {"kind": "bullets", "exactly": 2}),
    (["--must", "tea", "--must", "cup"], {"kind": "keywords", "all": ["tea", "cup"]}),
    (["--forbid", "the"], {"kind": "forbidden", "words": ["the"]}),
    (["--starts-with", "Dear"], {"kind": "starts_with", "text": "Dear"}),
    (["--ends-with", "Bye."], {"kind": "ends_with", "text": "Bye."}),
    (["--choice", "yes|no"], {"kind": "choice", "options": ["yes", "no"]}),
    (["--regex", "[0-9]{3}"], {"kind": "regex", "pattern": "[0-9]{3}", "match": "full"}),
    (["--language", "zh"], {"kind": "language", "language": "zh"}),
    (["--require", "case=upper"], {"kind": "case", "case": "upper"}),
    (["--require", "letters=e :0"], {"kind": "letters", "letter": "e", "maximum": 0}),
    (["--require", "no-commas"], {"kind": "no_commas"}),
]


@pytest.mark.parametrize(("flags", "spec"), FLAGS, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_every_flag_is_enforced(asks: Any, flags: list[str], spec: dict[str, Any]) -> None:
    """By a model that has learned nothing."""
    answer = answer_of(asks("Write about tea.", *flags, "--max-tokens", "160", "--json"))
    (verdict,) = check_all([RequirementSpec.from_dict(spec)], answer["text"])
    assert verdict.satisfied, answer["text"]
    assert answer["finish_reason"] == "stop"
    parameters = {name: value for name, value in spec.items() if name != "kind"}
    told = {"kind": spec["kind"], "parameters": parameters, "satisfied": True, "reason": verdict.reason}
    assert answer["requirements"] == [{**told, "treated": "enforced"}]
    report = answer["constraint_report"]
    assert 0 <= report["forced_tokens"] <= report["tokens"] == answer["completion_tokens"]
    assert {"removed_probability", "logprob_per_token", "free_logprob_per_token"} <= set(report)


@pytest.mark.parametrize("flag", ["--schema", "--json-schema"])
def test_a_schema_file(asks: Any, tmp_path: Path, flag: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    answer = answer_of(asks("A number.", flag, str(tmp_path / "s.json"), "--json"))
    assert isinstance(json.loads(answer["text"])["n"], int)


def test_several_answers_keep_them_all(asks: Any) -> None:
    answer = answer_of(asks("Tea?", "--choice", "yes|no", "--n", "24", "--temperature", "5", "--json"))
    assert {one["text"] for one in answer["answers"]} == {"yes", "no"}


def test_votes_are_counted_among_answers_that_keep_them(asks: Any) -> None:
    answer = answer_of(asks("Tea?", "--choice", "yes|no", "--majority", "5", "--temperature", "1", "--json"))
    assert set(answer["majority"]["votes"]) <= {"yes", "no"}
    assert answer["requirements"][0]["treated"] == "enforced"


def test_people_are_told_what_was_done(asks: Any) -> None:
    code, out, err = asks("Write about tea.", "--words", "3:5", "--must", "tea", "--max-tokens", "90")
    assert (code, "tea" in out.lower()) == (0, True)
    assert "enforced: words, keywords (" in err
    assert "tokens are not what the model would have chosen)" in err
    assert "not satisfied" not in err


# -- only checked ----------------------------------------------------------------------------------------------------


def test_check_only_says_and_checks(asks: Any) -> None:
    free = answer_of(asks("Write about tea. Use at least 30 words.", "--max-tokens", "9", "--json"))
    answer = answer_of(asks("Write about tea.", "--words", "30:", "--check-only", "--max-tokens", "9", "--json"))
    assert answer["prompt_tokens"] >= free["prompt_tokens"] - 8, "it is said"
    assert answer["requirements"][0]["treated"] == "checked"
    assert not answer["requirements"][0]["satisfied"]
    assert answer["complaints"][0].startswith("not satisfied: ")
    assert "constraint_report" not in answer
    _, _, err = asks("Write about tea.", "--words", "30:", "--check-only", "--max-tokens", "9")
    assert "checked: words" in err
    assert "enforced" not in err


def test_what_cannot_be_enforced_names_the_kind_and_the_way_out(asks: Any) -> None:
    code, out, err = asks("Write.", "--require", BACK_REFERENCE)
    assert (code, out) == (2, "")
    assert "'regex' can be checked, but not enforced" in err
    assert "add --check-only" in err
    assert 'enforce":' not in err
    assert "request '" not in err, "nobody here made a request"
    answer = answer_of(asks("Write.", "--require", BACK_REFERENCE, "--check-only", "--max-tokens", "9", "--json"))
    assert answer["requirements"][0]["treated"] == "checked"


# -- what cannot be meant --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--words", "5", "--require", "words=9"], "no answer can satisfy these requirements together"),
        (["--must", "tea", "--forbid", "tea"], "no answer can satisfy these requirements together"),
        (["--words", "50:", "--max-tokens", "10"], "10 are allowed; raise --max-tokens"),
        (["--require", "wrods=3"], "--require wrods=3: unknown requirement 'wrods'; did you mean 'words'?"),
        (["--require", "words"], "name=value"),
        (["--require", "words=few"], "--require words=few: "),
        (["--sentences", "many"], "expected a number or a range"),
        (["--language", "xx"], "language"),
        (["--choice", "yes"], "options"),
        (["--regex", "("], "regex"),
        (["--schema", "{folder}/none.json"], "--schema {folder}/none.json: cannot be read"),
        (["--requirements", "{folder}/none.toml"], "--requirements {folder}/none.toml: cannot be read"),
        (["--requirements", "{folder}/a.yaml"], "ends in .toml or .json"),
    ],
)
def test_what_cannot_be_meant_is_said(asks: Any, tmp_path: Path, arguments: list[str], expected: str) -> None:
    code, out, err = asks("Write.", *(argument.format(folder=tmp_path) for argument in arguments))
    assert (code, out) == (2, "")
    assert expected.format(folder=tmp_path) in err


# -- files of requirements -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.toml",
            '[[requirements]]\nkind = "choice"\noptions = ["yes", "no"]\n[[requirements]]\nkind="words"\nexactly=1\n',
        ),
        ("a.json", '[{"kind": "choice", "options": ["yes", "no"]}, {"kind": "words", "exactly": 1}]'),
        ("b.json", '{"requirements": [{"kind": "choice", "options": ["yes", "no"]}, {"kind": "words", "exactly": 1}]}'),
    ],
)
def test_a_file_of_requirements(asks: Any, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    answer = answer_of(asks("Tea?", "--requirements", str(tmp_path / name), "--characters", "3", "--json"))
    assert answer["text"] == "yes"
    assert [one["kind"] for one in answer["requirements"]] == ["characters", "choice", "words"]


def test_a_file_may_say_what_is_only_checked(asks: Any, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[[requirements]]\nkind="sentences"\nminimum=9\nenforce=false\n', encoding="utf-8")
    flags = ["--requirements", str(tmp_path / "a.toml"), "--starts-with", "Dear", "--max-tokens", "9"]
    answer = answer_of(asks("Tea?", *flags, "--json"))
    assert [(one["treated"], one["satisfied"]) for one in answer["requirements"]] == [
        ("enforced", True),
        ("checked", False),
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.toml", "requirements = 3", "expected a list of requirements"),
        ("a.toml", "kind = 'words'", "expected a list of requirements"),
        ("a.toml", "[[", "expected a list of requirements"),
        (
            "a.toml",
            '[[requirements]]\nkind="words"\nminimum=2\n[[requirements]]\nkind="wrods"\n',
            "requirement 2: unknown",
        ),
        ("a.toml", '[[requirements]]\nkind="json_schema"\nschema={const=1979-05-27}\n', "expected a list"),
        ("a.toml", '[[requirements]]\nkind="words"\nmaximum=inf\n', "expected a list"),
        ("a.json", "[{}]", 'requirement 1: a requirement is an object with a "kind"'),
        ("a.json", "[3]", "requirement 1: a requirement is an object"),
        ("a.json", "{", "expected a list of requirements"),
        ("a.json", '[{"kind": "words", "maximum": 1, "maximum": 2}]', "more than once"),
        ("a.json", "[" * 5000 + "]" * 5000, "nested"),
    ],
)
def test_files_that_hold_something_else(asks: Any, tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    code, _, err = asks("Tea?", "--requirements", str(tmp_path / name))
    assert code == 2
    assert f"--requirements {tmp_path / name}" in err
    assert expected in err


# -- what the instruction states ----------------------------------------------------------------------------------------


def test_requirements_are_read_from_the_instruction(asks: Any) -> None:
    instruction = "Describe tea in at most 6 words, without commas."
    plain = answer_of(asks(instruction, "--max-tokens", "4", "--json"))
    code, out, err = asks(instruction, "--auto-require", "--max-tokens", "90", "--json")
    answer = answer_of((code, out, err))
    assert [(one["kind"], one["treated"], one["satisfied"]) for one in answer["requirements"]] == [
        ("words", "enforced", True),
        ("no_commas", "enforced", True),
    ]
    assert answer["prompt_tokens"] == plain["prompt_tokens"], "the instruction says it already"
    assert 'read from the instruction: words (maximum=6), from "at most 6 words", enforced' in err
    assert 'read from the instruction: no_commas, from "without commas", enforced' in err


def test_what_is_given_is_not_read_again_and_counts_more(asks: Any) -> None:
    code, out, err = asks(
        "Describe tea in at most 6 words.", "--words", "8:", "--auto-require", "--max-tokens", "120", "--json"
    )
    answer = answer_of((code, out, err))
    assert [(one["treated"], one["satisfied"]) for one in answer["requirements"]] == [
        ("enforced", True),
        ("checked", False),
    ]
    assert "only checked: it contradicts another requirement" in err
    answer = answer_of(
        asks("Describe tea in at most 6 words.", "--words", ":6", "--auto-require", "--max-tokens", "120", "--json")
    )
    assert len(answer["requirements"]) == 1


def test_reading_finds_nothing_where_nothing_is_stated(asks: Any) -> None:
    code, _, err = asks("Describe tea.", "--auto-require", "--max-tokens", "4")
    assert code == 0
    assert "no requirement was read from the instruction" in err
    assert "checked:" not in err


def test_what_is_read_can_be_only_checked_too(asks: Any) -> None:
    answer = answer_of(
        asks("Describe tea in at least 60 words.", "--auto-require", "--check-only", "--max-tokens", "4", "--json")
    )
    assert [one["treated"] for one in answer["requirements"]] == ["checked"]


# -- files of prompts ----------------------------------------------------------------------------------------------------


def rows(path: Path, *values: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return str(path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_keep_their_own_and_the_common_ones(asks: Any, tmp_path: Path) -> None:
    path = rows(
        tmp_path / "a.jsonl",
        {"prompt": "Tea?", "requirements": [{"kind": "choice", "options": ["yes", "no"]}]},
        {"prompt": "Describe it in one sentence."},
        {"prompt": "Now?", "requirements": [{"kind": "words", "minimum": 90, "enforce": False}]},
    )
    out = tmp_path / "out.jsonl"
    flags = ["--require", "no-commas", "--auto-require", "--max-tokens", "120"]
    code, told, err = asks(path, "--out", str(out), *flags)
    assert code == 0, err
    found = [
        [(one["kind"], one["treated"], one["satisfied"]) for one in row["answers"][0]["requirements"]]
        for row in lines(out)
    ]
    commas = ("no_commas", "enforced", True)
    assert found[0] == [("choice", "enforced", True), commas]
    assert found[1] == [commas, ("sentences", "enforced", True)]
    assert found[2][0] == ("words", "checked", False)
    assert all("constraint_report" in row["answers"][0] for row in lines(out))
    assert "requirements read from 1 of 3 instructions: sentences 1" in err
    assert "3 answers held to the requirements while written" in told
    assert "1 of 3 answers did not keep what was required" in told
    # The same again is found: nothing is done twice, and the lines are the same.
    before = out.read_bytes()
    assert asks(path, "--out", str(out), *flags)[0] == 0
    assert out.read_bytes() == before


def test_check_only_holds_for_rows_too(asks: Any, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", {"prompt": "Tea?", "requirements": [{"kind": "words", "minimum": 90}]})
    out = tmp_path / "out.jsonl"
    code, _, err = asks(path, "--out", str(out), "--max-tokens", "9")
    assert code == 2
    assert "1 of 1 row cannot be answered" in err
    assert "and 9 are allowed; raise --max-tokens" in err
    assert not out.exists(), "told before anything is generated"
    code, _, err = asks(path, "--out", str(out), "--max-tokens", "9", "--check-only")
    assert code == 0
    assert lines(out)[0]["answers"][0]["requirements"][0]["treated"] == "checked"


def test_a_row_that_cannot_be_kept_is_left_out_when_asked(asks: Any, tmp_path: Path) -> None:
    path = rows(
        tmp_path / "a.jsonl",
        {"prompt": "Tea?", "requirements": [{"kind": "words", "minimum": 90}]},
        {"prompt": "Tea?", "requirements": [{"kind": "regex", "pattern": r"(a|b)\1", "match": "full"}]},
        {"prompt": "Tea?"},
    )
    out = tmp_path / "out.jsonl"
    code, told, err = asks(path, "--out", str(out), "--max-tokens", "9", "--skip-bad-rows", "--json")
    assert code == 0, err
    summary = json.loads(told)
    assert (summary["answered"], summary["skipped"]) == (1, 2)


def test_common_ones_that_cannot_be_kept_are_not_the_rows_fault(asks: Any, tmp_path: Path) -> None:
    path = rows(tmp_path / "a.jsonl", {"prompt": "one"}, {"prompt": "two"})
    out = str(tmp_path / "out.jsonl")
    code, _, err = asks(path, "--out", out, "--words", "90:", "--max-tokens", "9", "--skip-bad-rows")
    assert code == 2
    assert "rows cannot be answered" not in err
    assert "raise --max-tokens" in err


# -- endpoints -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with Endpoint() as endpoint:
        yield endpoint


def test_an_endpoint_is_asked_again(asks: Any, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer("far too many words" if asked.number == 0 else "two words")
    code, out, err = asks("Hi", "--words", ":2", "--json", model=f"{endpoint.url}#m")
    answer = answer_of((code, out, err))
    assert answer["text"] == "two words"
    assert answer["requirements"][0]["treated"] == "checked"
    assert answer["constraint_report"] == {"attempts": 2}
    assert answer["completion_tokens"] == 6, "all that was asked and paid"
    assert "2 words" in endpoint.asked[0].prompt


def test_an_endpoint_that_never_keeps_it(asks: Any, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer("far too many words" + " again" * asked.number)
    code, out, err = asks("Hi", "--words", ":2", model=f"{endpoint.url}#m")
    assert (code, out) == (0, "far too many words\n")
    assert "checked: words" in err
    assert "not satisfied: 4 words, at most 2 expected (asked 3 times)" in err
    assert len(endpoint.asked) == 3
    asks("Hi", "--words", ":2", "--check-only", model=f"{endpoint.url}#m")
    assert len(endpoint.asked) == 4, "only checked: asked once"


def test_rows_of_a_file_are_asked_again_and_kept(asks: Any, endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.behave = lambda asked: Answer("far too many words" if asked.times == 0 else "two words")
    path = rows(tmp_path / "a.jsonl", *({"prompt": f"q{number}"} for number in range(12)))
    out = tmp_path / "out.jsonl"
    code, told, err = asks(path, "--out", str(out), "--words", ":2", "--json", model=f"{endpoint.url}#m")
    assert code == 0, err
    summary = json.loads(told)
    assert (summary["asked_again"], summary["breaking_requirements"], summary["held_to_requirements"]) == (12, 0, 0)
    assert [row["answers"][0]["text"] for row in lines(out)] == ["two words"] * 12
    # All attempts are in the request cache beside the file.
    out.unlink()
    assert asks(path, "--out", str(out), "--words", ":2", model=f"{endpoint.url}#m")[0] == 0
    assert len(endpoint.asked) == 24


# -- help --------------------------------------------------------------------------------------------------------------------


def test_help_lists_them_and_stays_quick() -> None:
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-m", "heedful", "generate", "--help"], check=True, capture_output=True, text=True
        )
        seconds.append(time.perf_counter() - begun)
    for flags, _ in FLAGS:
        assert f"{flags[0]} " in process.stdout
    for flag in ("--schema", "--json-schema", "--requirements", "--check-only", "--auto-require"):
        assert flag in process.stdout
    assert "enforced" in process.stdout
    # 0.3 s is promised; other work on the machine may take some of that.
    assert min(seconds) < 0.6
