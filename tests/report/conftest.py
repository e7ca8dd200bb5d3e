"""A report's data as a real run leaves it, with Chinese, hostile and very long text in every place that data reaches."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.report import ReportData

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\" onclick='alert(3)' {{ 7*7 }} </style></title><!--"
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3

METRICS: dict[str, dict[str, Any]] = {
    "perplexity": {"label": "Perplexity", "direction": -1, "maximum": None, "unit": "perplexity"},
    "rougeL": {"label": "ROUGE-L", "direction": 1, "maximum": 1, "unit": "score"},
    "bleu": {"label": "BLEU", "direction": 1, "maximum": 100, "unit": "score"},
    "chrf": {"label": "chrF", "direction": 1, "maximum": 100, "unit": "score"},
    "exact_match": {"label": "Exact match", "direction": 1, "maximum": 1, "unit": "share"},
    "requirements": {"label": "Requirements met", "direction": 1, "maximum": 1, "unit": "share"},
    "cut": {"label": "Answers cut off", "direction": -1, "maximum": 1, "unit": "share"},
    "length_ratio": {"label": "Length ratio", "direction": 0, "maximum": None, "unit": "ratio"},
}


def compared(base: float, tuned: float, half: float, *, n: int = 74, direction: int = 1) -> dict[str, Any]:
    """A comparison whose interval reaches `half` to both sides."""
    difference = tuned - base
    shown = abs(difference) > half and direction != 0 and n >= 10
    better = (difference * direction > 0) if shown else None
    word = {True: "better", False: "worse", None: "no difference shown" if n >= 10 else f"too few rows to say (n={n})"}[
        better
    ]
    return {
        "n": n, "base": base, "tuned": tuned, "difference": difference, "low": difference - half, "high": difference + half,
        "p": 0.001 if shown else 0.4, "p_holm": 0.007 if shown else 1.0, "better": better, "verdict": f"{word}: {difference:+.2f}",
    }  # fmt: skip


def comparisons(n: int, shift: float) -> dict[str, Any]:
    """All metrics; `shift` moves how well the tuned model does."""
    return {
        "perplexity": compared(24.31, 9.87 - 6 * shift, 3.1, n=n, direction=-1),
        "rougeL": compared(0.182, 0.391 + shift, 0.06, n=n),
        "bleu": compared(4.1, 15.6 + 40 * shift, 3.9, n=n),
        "chrf": compared(22.7, 35.2 + 40 * shift, 4.4, n=n),
        "exact_match": compared(0.0, 0.041, 0.045, n=n),
        "requirements": compared(0.412, 0.353 + shift, 0.12, n=max(1, n // 4))
        if n > 4
        else compared(0, 0, 0, n=0) | dict.fromkeys(("base", "tuned", "difference", "low", "high", "p", "p_holm")),
        "cut": compared(0.81, 0.31 - shift, 0.11, n=n, direction=-1),
        "length_ratio": compared(2.9, 1.2, 0.5, n=n, direction=0),
    }


def sample(
    chosen: str, base: str, tuned: str, reference: str, *, language: str, prompt: str, gain: float, **more: Any
) -> dict[str, Any]:
    """One row side by side."""
    return {
        "id": "9f8e7d6c5b4a39281706f5e4d3c2b1a0", "chosen": chosen, "method": more.get("method", "templates"), "task": more.get("task", ""),
        "language": language, "prompt": [{"role": "user", "content": prompt}], "reference": reference,
        "base": {"text": base, "finish_reason": "length", "rougeL": 0.3, "requirements": more.get("requirements")},
        "tuned": {"text": tuned, "finish_reason": "stop", "rougeL": 0.3 + gain, "requirements": more.get("requirements") and {"satisfied": True, "kept": 1, "asked": 1, "reasons": []}},
    }  # fmt: skip


def samples() -> list[dict[str, Any]]:
    """English, Chinese, code, empty, hostile, and far too long."""
    return [
        sample(
            "gain",
            "The function json.dumps is a function that is used to convert a JSON object into a string. It is used to convert a JSON object to a string, and it is used in many programs. The function takes",
            "Serialize obj to a JSON formatted str. The parameters are obj, skipkeys, ensure_ascii and indent.",
            "json.dumps(obj, *, skipkeys=False, ensure_ascii=True, indent=None) serializes obj to a JSON formatted str.",
            language="en", prompt="What does `json.dumps` do, and which parameters does it take?", gain=0.42, task="templates/parameters_list",
        ),
        sample(
            "gain", "我是一个人工智能助手，我可以帮助您回答问题。我是一个人工智能助手，我可以帮助您回答问题。",
            "您好！非常抱歉给您带来不便。请提供订单号，我们会在二十四小时内为您办理退款。",
            "您好，很抱歉商品到货时已损坏。请把订单号和照片发给我们，我们会在一个工作日内为您退款或换货。",
            language="zh", prompt="请以客服的身份回复下面的投诉，不超过六十个字。\n\n我收到的杯子是碎的，我要退款！", gain=0.31, method="import",
            requirements={"satisfied": False, "kept": 0, "asked": 1, "reasons": ["72 characters, at most 60 allowed"]},
        ),
        sample("loss", "Paris", "The capital", "Paris", language="en", prompt="Name the capital of France in one word.", gain=-0.3, method="import", task="classification"),
        sample("loss", HOSTILE, HOSTILE, HOSTILE, language='en" onload="x', prompt=HOSTILE, gain=-0.2, method=HOSTILE, task=HOSTILE),
        sample("random", "", LONG_WORD, "def add(a, b):\n    return a + b\n" + "a very long line of code " * 60, language="en", prompt="Write a function.\x00\x1b[31m \u202egnp.exe", gain=0.0),
    ]  # fmt: skip


def results() -> dict[str, Any]:
    """The shape of `evaluate`'s results."""
    about = {
        "held-out templates": "their wording was used by no training row",
        "held-out documents": "built from documents that no training row used",
    }
    slices = {
        name: {"n": n, "about": about.get(name, "rows with this value"), "resampled": {"text": ""}, "metrics": comparisons(n, shift)}
        for name, n, shift in (
            ("held-out templates", 52, 0.02), ("held-out documents", 47, 0.0), ("hand-written tasks", 14, -0.19), ("language: en", 55, 0.03),
            ("language: zh", 19, -0.1), ("method: document_qa", 8, 0.05), (f"method: {HOSTILE}", 4, 0.1),
        )
    }  # fmt: skip
    metrics = {
        name: {**item, "signature": f"{name}|tok:multilingual|version:1", "about": "What it says, in one sentence."}
        for name, item in METRICS.items()
    }
    return {
        "meta": {
            "n": 74, "rows_given": 74, "train_rows": 118, "seed": 7, "confidence": 0.95, "resamples": 2000, "max_tokens": 96, "fewest_rows": 10,
            "engines": {"base": "local:smollm2-135m-instruct-q4_1:5f1c9ab0", "tuned": "local:smollm2-135m-instruct-q4_1:5f1c9ab0+adapter:77ab"},
            "resampled": {"by": "connected rows", "num": 23, "text": "Intervals come from resampling 23 groups of rows that share a document, template or seed."},
            "metrics": metrics, "leakage": {"checked": True, "rows": 0, "by": {"document": 0, "template": 0, "seed": 0}, "ids": [], "text": "No test row shares a document, template or seed with training."},
            "holm": {"text": "After Holm's correction for 7 metrics, 5 of 5 differences still stand."}, "errors": {"base": 0, "tuned": 0},
        },
        "verdict": "On 74 test rows that training never saw, the tuned model is better than the base in perplexity (24.3 → 9.87), ROUGE-L (0.182 → 0.391), BLEU, chrF and answers cut off. No difference is shown in exact match and requirements satisfied. Nothing got worse.",
        "overall": comparisons(74, 0.0), "slices": slices, "samples": samples(),
    }  # fmt: skip


@pytest.fixture
def report_data() -> ReportData:
    """Everything a run can leave."""
    return ReportData(
        title="Standard library helper 标准库助手",
        results=results(),
        construct={
            "asked": 200, "accepted": 200, "candidates": 391, "text": "Asked for 200 examples; 200 were accepted out of 391 candidates, by 3 methods.",
            "methods": [
                {"name": "templates", "asked": 150, "accepted": 150, "candidates": 162, "rejections": {"too_short": 9, "duplicate": 3}, "text": ""},
                {"name": "document_qa", "asked": 30, "accepted": 30, "candidates": 119, "rejections": {"not_grounded": 61, "repetitive": 20, HOSTILE: 8}, "text": ""},
                {"name": "self_instruct", "asked": 20, "accepted": 20, "candidates": 110, "rejections": {"not_novel": 70, "unparsable": 20}, "text": ""},
            ],
        },
        funnel={
            "steps": [
                {"name": "normalise", "received": 280, "dropped": 0, "reasons": {}},
                {"name": "filter", "received": 280, "dropped": 21, "reasons": {"too_long": 12, "empty_answer": 4, HOSTILE: 5}},
                {"name": "exact duplicates", "received": 259, "dropped": 6, "reasons": {"same_text": 6}},
                {"name": "near duplicates", "received": 253, "dropped": 33, "reasons": {"near_duplicate": 33}},
            ],
            "received": 280, "kept": 220, "dropped": 60, "splits": {"train": 118, "validation": 28, "test": 74},
            "methods": {"train": {"templates": 70, "import": 48}, "validation": {"templates": 20, "import": 8}, "test": {"templates": 50, "import": 24}}, "groups": {},
        },
        ledger={
            split: {"examples": n, "tokens": tokens, "trained": trained, "masked": tokens - trained, "truncated_examples": cut, "truncated_tokens": 40 * cut, "end_of_turn": n}
            for split, n, tokens, trained, cut in (("train", 118, 21480, 8211, 2), ("validation", 28, 5102, 1960, 0))
        },
        history=[
            {"step": step, "epoch": step / 30, "loss": 3.1 * 0.985**step + 0.2 * (step % 3 == 0), "learning_rate": 1e-4, "tokens": 180 * step}
            | ({"validation_loss": 2.9 * 0.982**step + 0.0009 * max(0, step - 45) ** 1.6} if step % 10 == 0 else {})
            for step in range(1, 91)
        ],
        settings={"construct": {"count": 200, "methods": ["templates", "document_qa"]}, "tune": {"learning_rate": 2e-4, "lora": {"rank": 16, "alpha": 32}}, "seed": 7, HOSTILE: {HOSTILE: HOSTILE}},
        versions={"heedful": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.2"},
        seconds={"construct": 121.4, "curate": 3.2, "tune": 192.0, "evaluate": 83.9},
    )  # fmt: skip
