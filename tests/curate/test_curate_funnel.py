"""The whole of curation: no row is lost, ids stay, the same input gives the same result, and the table is readable."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heedful.curate import CurateSettings, curate, describe_funnel
from heedful.records import Example, conversation, origin_id

SETTINGS = CurateSettings()


def assert_adds_up(examples: list[Example], result: Any) -> None:
    funnel = result.funnel
    received = len(examples)
    for step in funnel["steps"]:
        assert step["received"] == received
        assert step["dropped"] == sum(step["reasons"].values())
        received -= step["dropped"]
    assert funnel["kept"] == received == len(result.kept)
    assert funnel["received"] == len(examples) == funnel["kept"] + funnel["dropped"]
    assert funnel["dropped"] == len(result.dropped)
    assert sum(funnel["splits"].values()) == funnel["kept"]
    for name, num_rows in funnel["splits"].items():
        assert sum(funnel["methods"][name].values()) == num_rows
    came_out = [example.id for example in result.kept] + [example.id for example, _ in result.dropped]
    assert sorted(came_out) == sorted(example.id for example in examples)


SAID = st.sampled_from(
    ["", "Blue.", "blue", "As an AI language model, I see blue.", "caf\ufffd", "蓝色", "a\r\nb ", "x\x00"]
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(SAID, SAID), max_size=12))
def test_funnel_adds_up(make_row: Any, said: list[tuple[str, str]]) -> None:
    examples = [make_row(instruction, output) for instruction, output in said]
    assert_adds_up(examples, curate(examples, SETTINGS, seed=1))


def test_nothing_in_nothing_out() -> None:
    result = curate([], SETTINGS, seed=1)
    assert (result.kept, result.dropped) == ([], [])
    assert result.funnel["splits"] == {"train": 0, "validation": 0, "test": 0}
    assert "received" in describe_funnel(result.funnel)


def test_normalised_row_keeps_its_id_and_changes_its_content_hash(make_row: Any) -> None:
    row = make_row("Name a colour.\r\n", "Bl\u0075\u0308 is one. \n")
    [kept] = curate([row], SETTINGS, seed=1).kept
    assert kept.id == row.id
    assert [message.content for message in kept.messages] == ["Name a colour.", "Bl\u00fc is one."]
    assert kept.content_hash != row.content_hash


def test_rows_equal_after_normalising_are_duplicates_and_the_imported_one_stays(make_row: Any) -> None:
    constructed = make_row("Name a colour.", "Blue is one.", method="templates", parents=("document",))
    imported = make_row("Name a colour.\r\n", "Blue is one. ")
    again = make_row("Name a colour.", "Blue is one.")
    result = curate([constructed, imported, again], SETTINGS, seed=1)
    assert [example.id for example in result.kept] == [imported.id]
    assert [reason for _, reason in result.dropped] == ["exact_duplicate", "exact_duplicate"]
    assert result.funnel["steps"][0]["changed"] == 1


def test_same_id_twice_is_dropped_and_counted(make_row: Any) -> None:
    one = make_row("Name a colour.", "Blue is one.")
    other = make_row("Name an animal that swims.", "The otter.", id=one.id)
    result = curate([one, other], SETTINGS, seed=1)
    assert [reason for _, reason in result.dropped] == ["same_id"]


def test_same_input_same_result_in_input_order(make_row: Any) -> None:
    examples = [make_row(f"What is {n} plus {n + 1}?", f"It is {2 * n + 1}.") for n in range(60)]
    examples += [make_row(f"Translate: {n} birds", "", language="en") for n in range(5)]
    one, other = (curate(examples, SETTINGS, seed=1) for _ in range(2))
    assert one == other
    order = {example.id: position for position, example in enumerate(examples)}
    for ids in ([e.id for e in one.kept], [e.id for e, _ in one.dropped]):
        assert ids == sorted(ids, key=order.__getitem__)


def test_table_reads_like_this() -> None:
    funnel = {
        "steps": [
            {"name": "rules", "received": 120, "dropped": 3, "reasons": {"refusal": 2, "empty_answer": 1}},
            {"name": "split", "received": 117, "dropped": 0, "reasons": {}},
        ],
        "received": 120,
        "kept": 117,
        "dropped": 3,
        "splits": {"train": 80, "validation": 10, "test": 27},
        "methods": {"train": {"import": 80}, "validation": {"import": 10}, "test": {"import": 7, "templates": 20}},
        "groups": {},
    }
    expected = """\
step            received  dropped  left
rules                120        3   117
  refusal                       2
  empty_answer                  1
split                117        0   117

split       rows  share  import  templates
train         80    68%      80          0
validation    10     9%      10          0
test          27    23%       7         20"""
    assert describe_funnel(funnel) == expected


def test_settings_do_not_load_the_data_frame_engine() -> None:
    """`heedful --help` reads all settings; Daft would add half a second to it."""
    code = "import sys; from heedful.curate import CurateSettings; sys.exit('daft' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.long
def test_alpaca_in_full(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """52,002 rows in about a minute on two cores; the counts are those of reading the file by hand."""
    with gzip.open(shared_data / "alpaca" / "alpaca_data.json.gz", "rt", encoding="utf-8") as file:
        raw = json.load(file)
    examples = [
        Example(
            id=origin_id("alpaca", str(number)), messages=conversation(row["instruction"], row["output"], input=row["input"]),
            method="import", source="alpaca", language="en",
        )
        for number, row in enumerate(raw)
    ]  # fmt: skip
    begun = time.monotonic()
    result = curate(examples, SETTINGS, seed=1)
    with capsys.disabled():
        print(f"\ncurated {len(examples)} rows in {time.monotonic() - begun:.0f} s")
    assert_adds_up(examples, result)
    nothing = {"", "<nooutput>", "<no output>", "nooutput", "no output", "[no output]"}
    reasons = result.funnel["steps"][1]["reasons"]
    assert reasons["empty_answer"] == sum(row["output"].strip().lower() in nothing for row in raw)
    assert result.funnel["dropped"] < 0.01 * len(examples)
    for name, share in SETTINGS.shares.items():
        assert result.funnel["splits"][name] / len(result.kept) == pytest.approx(share, abs=0.001)
