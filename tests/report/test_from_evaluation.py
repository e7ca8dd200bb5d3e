"""From engines to the page: what `evaluate` writes is what the report reads, and what its tests pretend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from heedful.evaluate import EvaluateSettings, evaluate
from heedful.generate.fake import FakeEngine
from heedful.project import Silent
from heedful.records import Example, RequirementSpec, canonical_json, conversation
from heedful.report import ReportData, write_report


def example(number: int) -> Example:
    """English and Chinese, made and hand-written, with and without requirements."""
    chinese = number % 3 == 0
    question, answer = (
        (f"第{number}题：天空是什么颜色？", "天空是蓝色的。")
        if chinese
        else (f"Question {number}: which colour is the sky?", "The sky is blue.")
    )
    return Example(
        id=f"row-{number:02d}", messages=conversation(question, answer), method="import" if number % 5 == 0 else "templates", source="test",
        language="zh" if chinese else "en", requirements=(RequirementSpec("words", {"maximum": 6}),) if number % 2 else (),
        meta=canonical_json({"groups": {"document": f"doc-{number}", "template": "colours"}}),
    )  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    test, train = [example(number) for number in range(24)], [example(number) for number in range(100, 104)]
    base = FakeEngine(
        "I am a helpful assistant and I can answer all kinds of questions about colours.", identity="fake base"
    )
    tuned = FakeEngine(
        lambda request: "天空是蓝色。" if "天空" in request.messages[-1].content else "The sky is blue.",
        identity="fake tuned",
    )
    engines = {"base": base, "tuned": tuned}
    return evaluate(
        test, train, engines, EvaluateSettings(resamples=200, samples=24), out=tmp_path, seed=3, watcher=Silent()
    )


def test_a_page_from_real_results(results: dict[str, Any], tmp_path: Path) -> None:
    # All rows share one template with training: that is leakage, and the page must say so first.
    assert results["meta"]["leakage"]["by"]["template"] == 24
    assert results["slices"]["held-out templates"]["n"] == 0
    assert results["slices"]["held-out documents"]["n"] == 24
    assert results["overall"]["rougeL"]["better"] is True
    assert results["overall"]["requirements"]["better"] is True
    write_report(tmp_path / "report.html", ReportData(title="The colour of the sky", results=results))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "better than the base in ROUGE-L" in page
    assert "24 of 24 test rows share something with training: template (24)." in page
    assert "天空是蓝色。" in page


def shape(value: Any) -> Any:
    """Keys of mappings, types of leaves; one element stands for a list."""
    if isinstance(value, Mapping):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_the_pretended_results_have_the_real_shape(results: dict[str, Any], report_data: ReportData) -> None:
    pretended = report_data.results
    assert set(pretended) == set(results) - {"version"}
    assert shape(pretended["overall"]["rougeL"]) == shape(results["overall"]["rougeL"])
    assert set(pretended["overall"]) <= set(results["overall"])
    assert set(pretended["meta"]) == set(results["meta"])
    assert set(pretended["meta"]["metrics"]["bleu"]) == set(results["meta"]["metrics"]["bleu"])
    assert set(pretended["meta"]["leakage"]) == set(results["meta"]["leakage"])
    part = next(iter(results["slices"].values()))
    assert set(next(iter(pretended["slices"].values()))) == set(part)
    assert set(pretended["samples"][0]) == set(results["samples"][0])
    assert set(pretended["samples"][0]["base"]) == set(results["samples"][0]["base"])
