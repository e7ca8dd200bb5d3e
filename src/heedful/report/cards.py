"""What the stages left behind -> model cards and dataset cards: a README.md with the hub's YAML header.

Everything from data is escaped twice over, once for each language: YAML by the hub's own classes, Markdown by
`markdown.plain`, through which every value in the templates goes by itself. A card says what was not checked, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from huggingface_hub import DatasetCardData, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from heedful.evaluate.wording import difference_in_words, value_in_words
from heedful.records import SPLITS, Example
from heedful.report.markdown import plain
from heedful.report.view import thousands, typographic

METHODS: Mapping[str, str] = {
    "import": "rows that were given: written by people, or taken from another data set",
    "templates": "facts read out of documents by rules, put into wordings that people wrote; no model took part",
    "document_qa": "question and answer written by a model about a passage, kept when the passage supports the answer",
    "self_instruct": "task and answer written by a model after demonstrations (Self-Instruct, arXiv:2212.10560)",
    "feedback": "answers as people who used the model corrected them",
}
MODEL_WRITTEN = ("document_qa", "self_instruct")
"""Methods whose answers a model wrote."""

_MOST_SOURCES = 40
_HUB_LICENSES = """
apache-2.0 mit openrail afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc
cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl
gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 ncsa
unlicense zlib pddl gemma
"""
"""Identifiers that the hub knows; every other licence is `other` there, with its own words in the text."""
_LANGUAGE = re.compile("[a-z]{2,3}")
_TRAINED = {
    "none": "All weights were trained",
    "lora": "Low-rank adapters (LoRA, arXiv:2106.09685) of rank {lora_rank} on every linear layer",
    "prefix": "Keys and values of {virtual_tokens} virtual tokens before every prompt (prefix tuning, arXiv:2101.00190)",
    "prompt": "Embeddings of {virtual_tokens} virtual tokens before every prompt (prompt tuning, arXiv:2104.08691)",
}
_TAGS = {"lora": "lora", "prefix": "prefix-tuning", "prompt": "prompt-tuning"}
_ADAPTER_NAMES = {"none": "", "lora": "LoRA adapter", "prefix": "prefix", "prompt": "soft prompt"}
_LOADS = {"merged": "transformers", "adapter": "peft"}


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What the rows of a project are, counted."""

    num_rows: int
    splits: Mapping[str, int]
    """Only those that have rows."""
    methods: Mapping[str, Mapping[str, int]]
    """Rows by method, by split."""
    sources: Sequence[tuple[str, str, int]]
    """(source, licence, rows), the largest first."""
    licenses: Mapping[str, int]
    languages: Mapping[str, int]
    with_requirements: int
    with_several_turns: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model card is made of."""

    name: str
    kind: Literal["merged", "adapter"]
    base_model: str
    base_on_hub: bool
    base_license: str
    """Empty when unknown."""
    base_install: str
    """The command that brings the base, where it is a package."""
    data: DataSummary
    has_template: bool
    """False when the tokenizer has no chat template and the plain headings were trained."""
    tune: Mapping[str, Any]
    """The resolved settings of the stage."""
    ledger: Mapping[str, Any]
    best: str
    """Which step's weights these are, in words."""
    versions: Mapping[str, str]
    results: Mapping[str, Any] | None = None
    """What `evaluate` wrote; None when it did not run."""


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a dataset card is made of."""

    name: str
    format: str
    files: Mapping[str, str]
    """File by split."""
    features: Sequence[Mapping[str, Any]]
    """Columns with their types as the hub writes them."""
    columns_left_out: str
    """What the format has no place for, in words; empty when it holds everything."""
    refused: Mapping[str, int]
    """Rows that the format cannot hold, by reason."""
    refused_file: str
    data: DataSummary
    """Of the rows in the files."""
    statement: Mapping[str, Any]
    funnel: Mapping[str, Any]
    writing_model: str
    versions: Mapping[str, str] = field(default_factory=dict)


def summarise(rows: Iterable[Example]) -> DataSummary:
    """Count what a card says about `rows`."""
    rows = list(rows)
    splits = [name for name in SPLITS if any(row.split == name for row in rows)]
    by_source = Counter((row.source, row.license) for row in rows)
    return DataSummary(
        num_rows=len(rows),
        splits={name: sum(row.split == name for row in rows) for name in splits},
        methods={
            method: {name: sum(row.split == name and row.method == method for row in rows) for name in splits}
            for method in sorted({row.method for row in rows})
        },
        sources=[(*key, count) for key, count in sorted(by_source.items(), key=lambda item: (-item[1], item[0]))],
        licenses=dict(Counter(row.license for row in rows).most_common()),
        languages=dict(Counter(row.language for row in rows).most_common()),
        with_requirements=sum(bool(row.requirements) for row in rows),
        with_several_turns=sum(sum(message.role == "assistant" for message in row.messages) > 1 for row in rows),
    )


def model_card(facts: ModelFacts) -> str:
    """README.md of an exported model or adapter."""
    header = ModelCardData(
        model_name=_title(facts.name),
        # The hub wants a name of its own here; other names stand in the text.
        base_model=facts.base_model if facts.base_on_hub else None,
        license=_hub_license(facts.base_license),
        language=_hub_languages(facts.data) or None,
        library_name=_LOADS[facts.kind],
        pipeline_tag="text-generation",
        tags=["heedful", "instruction-tuning", *([_TAGS[facts.tune["adapter"]]] if facts.kind == "adapter" else [])],
    )
    trained = _TRAINED[facts.tune["adapter"]].format(**facts.tune)
    return _render(
        "model_card.md",
        header.to_yaml(),
        facts,
        lines=_lines(facts.results),
        what_was_trained=trained,
        adapter_name=_ADAPTER_NAMES[facts.tune["adapter"]],
    )


def dataset_card(facts: DatasetFacts) -> str:
    """README.md of an exported data set; the header tells `datasets` which file is which split."""
    header = DatasetCardData(
        pretty_name=_title(facts.name),
        license=sorted({_hub_license(name) for name in facts.data.licenses}),
        language=_hub_languages(facts.data) or None,
        task_categories=["text-generation", "question-answering"],
        size_categories=_size(facts.data.num_rows),
        tags=["heedful", "instruction-tuning", *(["synthetic"] if _num_model_written(facts.data) else [])],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": path} for split, path in facts.files.items()],
            }
        ],
        dataset_info={"features": [dict(column) for column in facts.features]},
    )
    return _render("dataset_card.md", header.to_yaml(), facts, model_written=_num_model_written(facts.data))


# -- the header ------------------------------------------------------------------------------------------------


def _title(name: str) -> str:
    return " ".join(name.split())


def _hub_license(name: str) -> str:
    known = name.strip().lower()
    return known if known in _HUB_LICENSES.split() else "other" if known else "unknown"


def _hub_languages(data: DataSummary) -> list[str]:
    return [name for name in data.languages if _LANGUAGE.fullmatch(name)]


def _size(num_rows: int) -> str:
    steps = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    for place, limit in enumerate(10**power for power in range(3, 10)):
        if num_rows < limit:
            return f"{steps[place - 1]}<n<{steps[place]}" if place else "n<1K"
    return "1B<n<10B"


def _num_model_written(data: DataSummary) -> int:
    return sum(sum(data.methods.get(method, {}).values()) for method in MODEL_WRITTEN)


# -- the text --------------------------------------------------------------------------------------------------


def _lines(results: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """The table of the evaluation: one line for each metric of the whole test set."""
    if results is None:
        return []
    lines = []
    for name, item in results["overall"].items():
        metric = results["meta"]["metrics"][name]
        known = item["difference"] is not None
        difference = (
            difference_in_words(item["difference"], item["low"], item["high"], metric["unit"]) if known else "–"
        )
        lines.append(
            {
                "label": metric["label"] + (" ↓" if metric["direction"] < 0 else ""),
                "rows": thousands(item["n"]),
                "base": value_in_words(item["base"], metric["unit"]),
                "tuned": value_in_words(item["tuned"], metric["unit"]),
                "difference": typographic(difference),
                "verdict": item["verdict"].partition(":")[0],
            }
        )
    return lines


def _render(template: str, header: str, facts: ModelFacts | DatasetFacts, **more: Any) -> str:
    return _environment().get_template(template).render(
        # YAML that the hub's own classes wrote: safe by construction.
        header=Markup(header),
        facts=facts,
        data=facts.data,
        sources=facts.data.sources[:_MOST_SOURCES],
        more_sources=facts.data.sources[_MOST_SOURCES:],
        method_words=METHODS,
        model_written_methods=MODEL_WRITTEN,
        **more,
    )  # fmt: skip


@cache
def _environment() -> Environment:
    # Autoescaping is for HTML; here `finalize` makes every value plain Markdown before it is printed.
    environment = Environment(
        loader=PackageLoader("heedful.report", "templates"),
        undefined=StrictUndefined,
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["thousands"] = thousands
    return environment
