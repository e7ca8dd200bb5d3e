"""All requirements of a request as one value, from wherever they come; and one number for how well they are kept."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import HeedfulError, InputError, RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import Requirements, check_all, parse, reward, say_all

SPECS = (
    RequirementSpec("words", {"minimum": 2, "maximum": 4}),
    RequirementSpec("keywords", {"all": ["sun"]}, enforce=False),
    RequirementSpec("no_commas"),
)
LISTED = ["words=2:4", {"kind": "keywords", "all": ["sun"], "enforce": False}, parse(SPECS[2])]

TOML = """
[[requirements]]
kind = "words"
minimum = 2
maximum = 4

[[requirements]]
kind = "keywords"
all = ["sun"]
enforce = false

[[requirements]]
kind = "no_commas"
"""
JSON = '[{"kind": "words", "minimum": 2, "maximum": 4}, {"kind": "keywords", "all": ["sun"], "enforce": false}, "no-commas"]'


def test_the_same_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "b.toml").write_text('requirements = ["words=2:4", {kind = "keywords", all = ["sun"], enforce = false}, "no-commas"]', encoding="utf-8")  # fmt: skip
    (tmp_path / "a.json").write_text(f'{{"requirements": {JSON}}}', encoding="utf-8")
    wanted = Requirements(SPECS)
    assert [
        Requirements.from_list(LISTED),
        Requirements.from_list(wanted),
        Requirements.from_toml(tmp_path / "a.toml"),
        Requirements.from_toml(str(tmp_path / "b.toml")),
        Requirements.from_json(JSON),
        Requirements.from_json(tmp_path / "a.json"),
        Requirements.from_json(str(tmp_path / "a.json")),
        Requirements.from_json(wanted.to_json()),
    ] == [wanted] * 8
    # Flags put phrases last, and cannot say that something is only checked.
    assert set(Requirements.from_flags(words="2:4", must=["sun"], no_commas="true")) == {
        SPECS[0],
        RequirementSpec("keywords", {"all": ["sun"]}),
        SPECS[2],
    }
    assert json.loads(wanted.to_json()) == [spec.as_dict() for spec in SPECS]


def test_they_do_what_the_functions_do() -> None:
    wanted = Requirements(SPECS)
    assert (len(wanted), tuple(wanted), hash(wanted)) == (3, SPECS, hash(Requirements(SPECS)))
    assert (
        wanted.say("en") == say_all(SPECS, "en") == 'Use between 2 and 4 words. Mention "sun". Do not use any commas.'
    )
    assert wanted.say("zh", random.Random(3)) == say_all(SPECS, "zh", rng=random.Random(3))
    for text in ("the bright sun", "rain, rain", ""):
        checked = wanted.check(text)
        assert list(checked.verdicts) == check_all(SPECS, text)
        assert checked.satisfied == all(verdict.satisfied for verdict in checked.verdicts)
        assert checked.reward == wanted.reward(text, strict=False) == reward(SPECS, text, strict=False)
        assert wanted.reward(text, strict=True) == reward(SPECS, text, strict=True) == float(checked.satisfied)
    assert wanted.conflicts() == []
    assert wanted.compatible() is wanted


def test_rewards_by_hand() -> None:
    specs = [RequirementSpec("words", {"minimum": 4}), RequirementSpec("keywords", {"all": ["sun", "wind"]})]
    assert reward(specs, "the sun", strict=False) == (2 / 4 + 1 / 2) / 2
    assert reward(specs, "the sun", strict=True) == 0.0
    assert reward(specs, "the sun and wind", strict=True) == reward(specs, "the sun and wind", strict=False) == 1.0
    assert reward([], "anything", strict=True) == reward([], "anything", strict=False) == 1.0


def test_none_at_all() -> None:
    nothing = Requirements()
    assert (nothing.say("en"), nothing.check("x").satisfied, nothing.check("x").reward) == ("", True, 1.0)
    assert Requirements.from_json(nothing.to_json()) == nothing


def test_whether_a_requirement_is_enforced_survives_parsing() -> None:
    # It was lost: `parse(spec).spec` said that everything is enforced.
    for spec in SPECS:
        assert parse(spec).spec == spec
        assert parse(parse(spec).spec).spec.enforce is spec.enforce
    assert parse(SPECS[1]) != parse(RequirementSpec("keywords", {"all": ["sun"]}))


def test_contradictions_are_told_or_refused() -> None:
    wanted = Requirements.from_list(["words=:2", "words=3:"])
    assert wanted.conflicts() == ["at least 3 and at most 2 words"]
    with pytest.raises(RequirementError, match="no answer can satisfy these requirements together: at least 3 and at"):
        wanted.compatible()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("words=30", "requirements is 'words=30', expected a list of them; put it in brackets"),
        ({"kind": "words"}, "expected a list of them; put it in brackets"),
        (SPECS[0], "expected a list of them; put it in brackets"),
        (parse(SPECS[0]), "expected a list of them; put it in brackets"),
        (7, "requirements is 7, expected a list of them"),
        (["no-commas", 7], 'requirement 2 is 7; expected "words=30:50", {"kind": "words", "minimum": 30} or'),
        (["words=many"], "requirement 1: words 'many': expected a number or a range: 40, 30:50, 30: or :50"),
        (["title", {"maximum": 3}], 'requirement 2: a requirement is an object with a "kind"'),
        ([{"kind": "title", "enforce": "no"}], "requirement 1: a requirement's enforce is true or false"),
        (["title", "quoted", {"kind": "words", "maximun": 3}], "requirement 3: requirement 'words': unknown parameter 'maximun'; did you mean 'maximum'?"),
        ([{"kind": "json_schema", "schema": {"const": float("nan")}}], "requirement 1: it holds what JSON does not have"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_place(items: Any, message: str) -> None:
    with pytest.raises(RequirementError) as caught:
        Requirements.from_list(items)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.toml", "[[requirements]]\nkind = words", InputError, "a.toml: not valid TOML:"),
        ("a.toml", '[[requirement]]\nkind = "words"', RequirementError, "a.toml: 'requirement' is not expected; did you mean 'requirements'?"),
        ("a.toml", "", RequirementError, "a.toml: nothing is there; write [[requirements]]"),
        ("a.toml", 'requirements = "words=3"', RequirementError, "a.toml: requirements is 'words=3', expected a list"),
        ("a.toml", 'requirements = ["title", {kind = "words", maximun = 3}]', RequirementError, "a.toml: requirement 2: requirement 'words': unknown parameter 'maximun'; did you mean 'maximum'?"),
        ("a.toml", 'requirements = [{kind = "json_schema", schema = {const = 2020-01-01}}]', RequirementError, "a.toml: requirement 1: it holds what JSON does not have, such as a date"),
        ("a.json", "[", InputError, "a.json: not JSON: Expecting value"),
        ("a.json", '{"requirements": [], "requirements": []}', InputError, 'a.json: not JSON: the key "requirements" occurs more than once'),
        ("a.json", '["words=3", {"kind": "wrods"}]', RequirementError, "a.json: requirement 2: unknown requirement 'wrods'; did you mean 'words'?"),
        ("a.json", "7", RequirementError, "a.json: requirements is 7, expected a list"),
        ("a.json", b"\xff", InputError, "a.json: not UTF-8 at byte 0; save the file as UTF-8"),
        ("a.json", None, InputError, "a.json: cannot be read (No such file or directory)"),
    ],
)  # fmt: skip
def test_errors_name_the_file(
    tmp_path: Path, name: str, content: str | bytes | None, error: type[HeedfulError], message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    read = Requirements.from_toml if name.endswith("toml") else Requirements.from_json
    with pytest.raises(error) as caught:
        read(path)
    assert str(caught.value).startswith(str(tmp_path))
    assert message in str(caught.value)


def test_every_line_of_an_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"kind": "regex", "pattern": "(", "mtach": "full"}]', encoding="utf-8")
    with pytest.raises(RequirementError) as caught:
        Requirements.from_json(tmp_path / "a.json")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{tmp_path / 'a.json'}: requirement 1: requirement 'regex': ") for line in lines)
