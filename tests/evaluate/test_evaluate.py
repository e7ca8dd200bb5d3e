"""Numbers worked out by hand, planted effects, and the files that come out."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from heedful.errors import EngineError, InputError, RequirementError, SettingsError
from heedful.evaluate import EvaluateSettings, describe_results, evaluate
from heedful.generate.engine import Sampling
from heedful.project import Silent, parse_settings
from heedful.records import Example, RequirementSpec, conversation

SETTINGS = EvaluateSettings(resamples=400)


class Recorder(Silent):
    """Counts the units reported for each task."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.done: Counter[str] = Counter()

    def begin(self, task: str, total: int | None, unit: str) -> None:
        self.totals[task] = total

    def advance(self, task: str, amount: int, note: str) -> None:
        self.done[task] += amount


def run(test: Any, train: Any, base: Any, tuned: Any, out: Path, **more: Any) -> dict[str, Any]:
    arguments = {"settings": SETTINGS, "seed": 7, "watcher": Silent()} | more
    settings = arguments.pop("settings")
    return evaluate(test, train, {"base": base, "tuned": tuned}, settings, out=out, **arguments)


def test_every_metric_by_hand(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    short = RequirementSpec("words", {"maximum": 2})
    no_red = RequirementSpec("forbidden", {"words": ["red"]})
    rows = [make_example("a", "one two three four", requirements=(short, no_red)), make_example("b", "red")]
    base = make_engine(rows, {"a": "one two red", "b": "blue"}.get)
    base.answers = {"a": "one two red", "b": "blue"}
    base.likelihoods = {"a": (-6.0, 4), "b": (-4.0, 1)}
    base.finish_reasons = {"a": "length"}
    tuned = make_engine(rows, "")
    tuned.answers = {"a": "one two", "b": "Red."}
    tuned.likelihoods = {"a": (-4.0, 4), "b": (-1.0, 1)}
    overall = run(rows, [], base, tuned, tmp_path)["overall"]

    def both(name: str) -> tuple[float, float]:
        return overall[name]["base"], overall[name]["tuned"]

    # exp(total nats / total tokens): (6 + 4) / (4 + 1) and (4 + 1) / (4 + 1); a mean over rows would give other numbers.
    assert both("perplexity") == pytest.approx((math.exp(2), math.exp(1)))
    # base: a shares "one two" of 3 and of 4 tokens, F = 2 * (2/3) * (2/4) / (2/3 + 2/4) = 4/7; b shares nothing.
    # tuned: a shares 2 of 2 and of 4, F = 2/3; b is the reference but for typography.
    assert both("rougeL") == pytest.approx((4 / 7 / 2, (2 / 3 + 1) / 2))
    assert both("exact_match") == (0.0, 0.5)
    # Only row a has requirements. "one two red" has 3 words and the forbidden one; "one two" keeps both.
    assert overall["requirements"]["n"] == 1
    assert both("requirements") == (0.0, 1.0)
    assert both("requirements_kept") == (0.0, 1.0)
    assert both("cut") == (0.5, 0.0)
    # Words: 3 of 4 and 1 of 1; 2 of 4 and 1 of 1.
    assert both("length_ratio") == (0.875, 0.75)
    # Corpus BLEU of the tuned answers (13a tokens, sacrebleu with effective order):
    # a: one two; b: Red . against red. Lengths 4 and 5; unigrams 2 of 4, bigrams 1 of 2.
    assert overall["bleu"]["tuned"] == pytest.approx(100 * math.exp(1 - 5 / 4) * math.sqrt(2 / 4 * 1 / 2))
    assert all(item["difference"] == pytest.approx(item["tuned"] - item["base"]) for item in overall.values())


def test_a_partly_kept_set_of_requirements_counts_in_the_share_only(
    make_example: Any, make_engine: Any, tmp_path: Path
) -> None:
    specs = (RequirementSpec("words", {"maximum": 2}), RequirementSpec("forbidden", {"words": ["red"]}))
    rows = [make_example("a", requirements=specs), make_example("b")]
    overall = run(rows, [], make_engine(rows, "one two three"), make_engine(rows, "one two"), tmp_path)["overall"]
    assert (overall["requirements"]["base"], overall["requirements"]["tuned"]) == (0.0, 1.0)
    assert (overall["requirements_kept"]["base"], overall["requirements_kept"]["tuned"]) == (0.5, 1.0)


def test_a_planted_effect_is_found_in_the_right_direction(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}") for i in range(30)]
    # The tuned model quotes more of the reference, but finds it less likely: better in one thing, worse in another.
    base = make_engine(rows, "one", nats=lambda row: 1.0 + int(row.id[1:]) / 100)
    tuned = make_engine(rows, "one two three", nats=lambda row: 2.0 + int(row.id[1:]) / 90)
    results = run(rows, [], base, tuned, tmp_path)
    rouge, perplexity = results["overall"]["rougeL"], results["overall"]["perplexity"]
    assert rouge["better"] is True
    assert 0 < rouge["low"] <= rouge["difference"] <= rouge["high"]
    assert rouge["verdict"].startswith("better: +")
    # Lower is better: a rise is a loss.
    assert perplexity["better"] is False
    assert 0 < perplexity["low"] <= perplexity["difference"] <= perplexity["high"]
    assert perplexity["verdict"].startswith("worse: +")
    assert "worse in perplexity" in results["verdict"]
    assert "better than the base in ROUGE-L" in results["verdict"]


def test_identical_systems_differ_in_nothing(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}", requirements=(RequirementSpec("words", {"maximum": 9}),)) for i in range(20)]
    results = run(rows, [], make_engine(rows, "one two"), make_engine(rows, "one two"), tmp_path)
    for item in results["overall"].values():
        assert (item["difference"], item["low"], item["high"], item["better"]) == (0, 0, 0, None)
        assert item["verdict"].startswith("no difference shown: ")
    assert "is not shown to be better than the base in anything" in results["verdict"]
    assert {sample["chosen"] for sample in results["samples"]} == {"random"}


def test_noise_without_effect_is_not_called_a_difference(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}") for i in range(40)]
    # Each row is better for one system; both win twenty times.
    base = make_engine(rows, lambda row: "one two three" if int(row.id[1:]) % 2 else "one")
    tuned = make_engine(rows, lambda row: "one" if int(row.id[1:]) % 2 else "one two three")
    rouge = run(rows, [], base, tuned, tmp_path)["overall"]["rougeL"]
    assert rouge["low"] < 0 < rouge["high"]
    assert rouge["better"] is None


def test_few_rows_get_numbers_but_no_verdict(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}", method="import" if i < 4 else "templates") for i in range(14)]
    results = run(rows, [], make_engine(rows, "wrong"), make_engine(rows, "one two three four"), tmp_path)
    few = results["slices"]["hand-written tasks"]["metrics"]["rougeL"]
    assert (few["n"], few["difference"], few["better"]) == (4, 1.0, None)
    assert few["verdict"].startswith("too few rows to say (n=4)")
    assert results["slices"]["method: templates"]["metrics"]["rougeL"]["better"] is True


def test_no_row_with_requirements_is_said_not_invented(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i}") for i in range(3)]
    results = run(rows, [], make_engine(rows, "x"), make_engine(rows, "y"), tmp_path)
    item = results["overall"]["requirements"]
    assert (item["n"], item["base"], item["better"], item["verdict"]) == (0, None, None, "no rows have it")
    assert "too few to say" in results["verdict"]


def test_one_row_has_no_interval(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example("only")]
    results = run(rows, [], make_engine(rows, "x"), make_engine(rows, "one two"), tmp_path)
    item = results["overall"]["rougeL"]
    assert (item["low"], item["high"], item["p"]) == (None, None, 1.0)
    assert item["verdict"] == "too few rows to say (n=1): +0.667"
    describe_results(results)


def test_chinese_answers_are_measured(make_engine: Any, make_example: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i}", "今天天气很好。", language="zh") for i in range(12)]
    overall = run(rows, [], make_engine(rows, "不知道"), make_engine(rows, "今天天气很好。"), tmp_path)["overall"]
    assert overall["rougeL"]["tuned"] == 1.0
    assert overall["bleu"]["tuned"] == pytest.approx(100)
    assert overall["chrf"]["tuned"] == pytest.approx(100)
    assert overall["exact_match"]["better"] is True
    assert overall["length_ratio"]["tuned"] == 1.0


def test_engines_are_asked_the_same_things(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i}", requirements=(RequirementSpec("words", {"maximum": 2}),)) for i in range(5)]
    base, tuned = make_engine(rows, "x"), make_engine(rows, "y")
    run(rows, [], base, tuned, tmp_path, settings=EvaluateSettings(resamples=100, max_tokens=17))
    assert base.requests == tuned.requests
    for request, row in zip(base.requests, rows, strict=True):
        assert request.messages == row.prompt
        assert request.sampling == Sampling(temperature=0.0, max_tokens=17)
        # Decoding must not keep the requirements for the model: that is what is measured.
        assert request.requirements == ()


def test_files_and_results_agree(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i}") for i in range(6)]
    base = make_engine(rows, "one", finish_reasons={"r3": "length", "r4": "error"})
    results = run(rows, [], base, make_engine(rows, "one two"), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == results
    assert results["meta"]["errors"] == {"base": 1, "tuned": 0}
    assert "1 answers could not be generated" in describe_results(results)
    answers = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    assert [(row["item_id"], row["system"]) for row in answers] == [
        (f"r{i}", s) for s in ("base", "tuned") for i in range(6)
    ]
    assert answers[3]["finish_reason"] == "length"
    assert (answers[6]["text"], answers[6]["tokens"], answers[6]["logprob"]) == ("one two", 2, -8.0)
    scores = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    rouge = [row["value"] for row in scores if row["metric"] == "rougeL" and row["system"] == "tuned"]
    assert sum(rouge) / len(rouge) == pytest.approx(results["overall"]["rougeL"]["tuned"])
    assert {row["signature"] for row in scores if row["metric"] == "bleu"} == {
        results["meta"]["metrics"]["bleu"]["signature"]
    }


def test_the_same_twice_and_another_seed(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}") for i in range(25)]

    def once(name: str, seed: int) -> tuple[bytes, ...]:
        base = make_engine(rows, lambda row: "one two" if int(row.id[1:]) % 3 else "one")
        run(rows, [], base, make_engine(rows, "one two three"), tmp_path / name, seed=seed)
        return tuple(path.read_bytes() for path in sorted((tmp_path / name).iterdir()))

    assert once("first", 1) == once("second", 1)
    assert once("third", 2) != once("first", 1)


def test_max_rows_draws_and_says_so(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}") for i in range(20)]
    base = make_engine(rows, "x")
    results = run(
        rows, [], base, make_engine(rows, "x"), tmp_path, settings=EvaluateSettings(resamples=100, max_rows=5)
    )
    asked = [request.id for request in base.requests]
    assert len(set(asked)) == 5
    assert asked == sorted(asked), "drawn rows keep their order"
    assert (results["meta"]["n"], results["meta"]["rows_given"]) == (5, 20)


def test_progress_is_complete(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows, watcher = [make_example(f"r{i}") for i in range(5)], Recorder()
    run(rows, [], make_engine(rows, "x"), make_engine(rows, "x"), tmp_path, watcher=watcher)
    assert {"evaluate base answers", "evaluate tuned answers", "evaluate base likelihoods"} <= set(watcher.totals)
    assert dict(watcher.done) == watcher.totals


def test_mistakes_are_named(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    good = make_example("good")
    silent = Example(id="silent", messages=conversation("Question?", "  "), method="import", source="test")
    wrong = make_example("wrong", requirements=(RequirementSpec("wurds", {}),))
    engine = make_engine([good, silent, wrong], "x")
    for rows, message in (([], "no test rows"), ([good, silent], "silent"), ([good, good], "more than once")):
        with pytest.raises(InputError, match=message):
            run(rows, [], engine, engine, tmp_path)
    with pytest.raises(RequirementError, match=r"test row wrong: .*wurds"):
        run([wrong], [], engine, engine, tmp_path)
    with pytest.raises(SettingsError, match="max_tokens"):
        parse_settings(EvaluateSettings, {"max_tokns": 3}, where="evaluate")
    assert not list(tmp_path.iterdir()), "nothing half written"


def test_an_engine_that_loses_an_answer_is_caught(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i}") for i in range(4)]
    forgetful = make_engine(rows, "x")
    forgetful.score = lambda items: iter(list(type(forgetful).score(forgetful, items))[:-1])
    with pytest.raises(EngineError, match="3 scores to 4 rows"):
        run(rows, [], make_engine(rows, "x"), forgetful, tmp_path)


def test_the_summary_says_all_of_it(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}", document=f"d{i}", template="t") for i in range(15)]
    train = [make_example("seen", document="other", template="u")]
    results = run(rows, train, make_engine(rows, "one"), make_engine(rows, "one two three"), tmp_path)
    text = describe_results(results)
    assert text.startswith(
        "On 15 test rows that share no document, template, seed or prompt with training, the tuned model is better"
    )
    for expected in ("ROUGE-L", "held-out documents (15 rows", "95% intervals", "Holm", "resampling"):
        assert expected in text


def test_leakage_is_said_before_any_number(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}", seed=f"s{i}") for i in range(12)]
    results = run(rows, rows[:2], make_engine(rows, "one"), make_engine(rows, "one two"), tmp_path)
    assert results["meta"]["leakage"]["rows"] == 2
    assert "share no document" not in results["verdict"]
    assert describe_results(results).splitlines()[1].startswith("Leakage: 2 of 12 test rows")


def test_a_slice_that_got_worse_is_named_in_the_verdict(make_example: Any, make_engine: Any, tmp_path: Path) -> None:
    rows = [make_example(f"r{i:02d}", method="import" if i < 12 else "templates") for i in range(60)]
    # Far better on the 48 made rows hides that all 12 hand-written ones lost.
    base = make_engine(rows, lambda row: "one two" if row.method == "import" else "nothing")
    tuned = make_engine(rows, lambda row: "one" if row.method == "import" else "one two three four")
    results = run(rows, [], base, tuned, tmp_path)
    assert results["overall"]["rougeL"]["better"] is True
    assert results["slices"]["hand-written tasks"]["metrics"]["rougeL"]["better"] is False
    assert "Within “hand-written tasks” it is worse in ROUGE-L" in results["verdict"]
