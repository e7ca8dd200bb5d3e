"""Language models on the same text by bits per byte: n-grams of characters, bytes and tokens, an LSTM and a Transformer.

    make bench-language_models

Two texts: Tiny Shakespeare, and the Python documentation (the topics that `help()` shows, from the standard library). The first 90 % are
trained on, the next 5 % choose (an order, the best weights), the last 5 % are measured once: bits per byte of UTF-8, the document's end
not scored, by `heedful.metrics.bits`, so that all rows compare. Every row also gives its curve: bits against tokens trained on.

N-gram perplexities are compared with what KenLM reads out of our ARPA file (its own environment, see bench/peers). Ten million tokens are
counted and smoothed on one core: bytes of the standard library's source code, and tokens drawn by Zipf's law from 32,000, where almost no
5-gram repeats, the worst case. The last line is JSON.

HEEDFUL_SHARED_DATA     the folder with the development data; default ../shared/data
HEEDFUL_BENCH_SECONDS   most training time of each neural model on each text, on one core; default 600; 0 leaves them out
HEEDFUL_KENLM_PYTHON    a Python that has kenlm; default: bench/.venvs/kenlm, made here (compiled, a minute)
"""

from __future__ import annotations

import gzip
import json
import math
import os
import platform
import pydoc_data.topics
import resource
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer

from common import machine, say, shared
from heedful.metrics.bits import TextScorer, text_bits_per_byte
from heedful.models.characters import ByteIds, CharacterIds, TextIds
from heedful.models.lstm import LstmConfig, LstmLanguageModel
from heedful.models.ngram import NGramModel, NGramSettings, fit, write_arpa
from heedful.models.text_scorers import CausalScorer, LstmScorer, NGramScorer, TokenizerIds
from heedful.project import Silent, stream_seed
from heedful.train.pretraining import PretrainSettings, Texts, pretrain
from peers.environments import python_of

HERE = Path(__file__).resolve().parent
SECONDS = float(os.environ.get("HEEDFUL_BENCH_SECONDS", "600"))
NUM_COUNTED = 10_000_000
KENLM_ORDER = 6
"""The longest that kenlm's package is compiled for."""
LIMIT = 2.30
"""Bits per byte that the best n-gram may need on Tiny Shakespeare."""


@dataclass(frozen=True)
class Corpus:
    """A text in three parts."""

    name: str
    train: str
    validation: str
    test: str

    @classmethod
    def of(cls, name: str, text: str) -> Corpus:
        first, second = len(text) * 90 // 100, len(text) * 95 // 100
        return cls(name, text[:first], text[first:second], text[second:])


@dataclass(frozen=True)
class Row:
    """One model of the table."""

    name: str
    validation: float
    """Bits per byte."""
    test: float
    num_tokens: int
    """Trained on, repeats counted."""
    seconds: float
    about: str = ""
    curve: list[tuple[int, float]] = field(default_factory=list)
    """Tokens trained on, bits per byte of the validation text."""


def bits(scorer: TextScorer, text: str) -> float:
    return text_bits_per_byte(scorer.score([text])).value


# -- n-grams ---------------------------------------------------------------------------------------------------------------


def ngram(ids: TextIds, text: str, order: int) -> NGramModel:
    return fit([ids.encode(text)], NGramSettings(order=order), num_ids=ids.num_ids, watcher=Silent())


def ngrams(name: str, ids_of: Callable[[str], TextIds], orders: Sequence[int]) -> Callable[[Corpus], Row]:
    """The row of the order that is best on the validation text; the others are printed."""

    def row(corpus: Corpus) -> Row:
        started = time.perf_counter()
        ids = ids_of(corpus.train)
        found = {}
        for order in orders:
            found[order] = bits(NGramScorer(ngram(ids, corpus.train, order), ids), corpus.validation)
            say(f"  {name}, order {order}: {found[order]:.4f} bits per byte of the validation text")
        best = min(found, key=lambda order: found[order])
        curve = []
        for share in (16, 8, 4, 2, 1):
            part = corpus.train[: len(corpus.train) // share]
            model = ngram(ids, part, best)
            curve.append((len(ids.encode(part)), bits(NGramScorer(model, ids), corpus.validation)))
        test = bits(NGramScorer(model, ids), corpus.test)
        about = f"order {best}, {sum(len(table.keys) for table in model.tables):,} n-grams"
        return Row(name, found[best], test, curve[-1][0], time.perf_counter() - started, about, curve)

    return row


def byte_pairs(text: str, size: int = 1024) -> TokenizerIds:
    """A byte-level tokenizer trained on `text`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return TokenizerIds(tokenizer)


# -- the LSTM --------------------------------------------------------------------------------------------------------------

BATCH, LENGTH, RATE, WARMUP = 32, 64, 4e-3, 0.02
"""WARMUP is a share of the time; then a cosine that ends at nothing."""
EVALUATIONS = 12


def lstm(corpus: Corpus) -> Row:
    """Characters; the text is cut into BATCH rows that are read side by side, LENGTH characters at a time, the state carried on."""
    ids = CharacterIds.of([corpus.train])
    # Behind the characters: the unknown one, and the begin.
    config = LstmConfig(ids.num_ids + 2, embedding_size=64, hidden_size=384, num_layers=1, bos_token_id=ids.num_ids + 1)
    torch.manual_seed(stream_seed(0, "bench", "lstm"))
    model = LstmLanguageModel(config)
    encoded = torch.tensor([ids.num_ids + 1, *ids.encode(corpus.train)])
    rows = encoded[: len(encoded) // BATCH * BATCH].view(BATCH, -1)  # (B, T)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    scorer, clock = LstmScorer(model, ids), Budget(SECONDS)
    best, weights, curve, num_tokens = math.inf, model.state_dict(), [], 0
    state: Any = None
    for inputs, targets, fresh in segments(rows):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, clock.share / WARMUP) * (1 + math.cos(math.pi * clock.share)) / 2
        output = model(inputs, None if fresh else state)
        torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), targets.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state = tuple(part.detach() for part in output.state)
        num_tokens += targets.numel()
        if clock.is_time(len(curve), EVALUATIONS):
            with clock.paused():
                curve.append((num_tokens, bits(scorer, corpus.validation)))
            say(
                f"  LSTM, {clock.spent:.0f} s, {num_tokens:,} characters: {curve[-1][1]:.4f} bits per byte of the validation text"
            )
            if curve[-1][1] < best:
                best, weights = curve[-1][1], {name: value.clone() for name, value in model.state_dict().items()}
        if clock.share >= 1:
            break
    seconds = clock.spent
    model.load_state_dict(weights)
    size = sum(weight.numel() for weight in model.parameters())
    about = (
        f"{size:,} parameters, {num_tokens / len(corpus.train):.1f} epochs, {num_tokens / seconds:,.0f} characters/s"
    )
    return Row("LSTM, characters", best, bits(scorer, corpus.test), num_tokens, seconds, about, curve)


def segments(rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, bool]]:
    """Inputs and targets (B, LENGTH) for ever; True where an epoch begins, each a little further on so that pieces differ."""
    epoch = 0
    while True:
        start = epoch * 37 % LENGTH
        for place in range(start, rows.shape[1] - LENGTH, LENGTH):
            yield rows[:, place : place + LENGTH], rows[:, place + 1 : place + LENGTH + 1], place == start
        epoch += 1


# -- the Transformer -------------------------------------------------------------------------------------------------------


EPOCHS = 8
"""Of the Transformer: without dropout it knows such short texts by heart after a few, well within ten minutes."""


def transformer(corpus: Corpus) -> Row:
    """A Llama of 4 layers by `heedful pretrain`'s own code, with the n-gram's 1,024 tokens; texts are read through a sliding window."""
    settings = PretrainSettings(
        size="4x256",
        vocabulary_size=1024,
        context_length=256,
        batch_size=8,
        learning_rate=1e-3,
        budget=f"{EPOCHS * SECONDS / 600:g} epochs",
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = pretrain(
            Texts([corpus.train]),
            settings,
            out=Path(folder) / "out",
            work=Path(folder) / "work",
            seed=0,
            watcher=Silent(),
            validation=Texts([corpus.validation]),
        )
        seconds = time.perf_counter() - started
        loaded = AutoModelForCausalLM.from_pretrained(result.model_folder, local_files_only=True).eval()
        scorer = CausalScorer(loaded, AutoTokenizer.from_pretrained(result.model_folder, local_files_only=True))
        measured = bits(scorer, corpus.validation), bits(scorer, corpus.test)
    # While it trains rows are validated without what precedes them: the curve is a little higher than the table.
    assert result.bits_per_byte
    assert result.best_validation_loss
    of_loss = result.bits_per_byte / result.best_validation_loss
    curve = [
        (int(entry["tokens"]), entry["validation_loss"] * of_loss)
        for entry in result.history
        if "validation_loss" in entry
    ]
    num_tokens = int(result.history[-1]["tokens"])
    about = (
        f"{result.num_parameters:,} parameters, {num_tokens / result.num_text_tokens:.1f} epochs, best at step {result.best_step} of "
        f"{result.num_steps}, {num_tokens / seconds:,.0f} tokens/s"
    )
    return Row("Transformer, 1,024 tokens", *measured, num_tokens, seconds, about, curve)


class Budget:
    """Training time: what is spent on measuring does not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._started, self._away = seconds, time.perf_counter(), 0.0

    @property
    def spent(self) -> float:
        return time.perf_counter() - self._started - self._away

    @property
    def share(self) -> float:
        return min(1.0, self.spent / self._seconds)

    def is_time(self, num_done: int, num: int) -> bool:
        """True when one of `num` evaluations, evenly spread, is due."""
        return self.share >= (num_done + 1) / num

    def paused(self) -> Pause:
        return Pause(self)

    def add(self, seconds: float) -> None:
        self._away += seconds


class Pause:
    """Time inside is given back."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._budget.add(time.perf_counter() - self._entered)


# -- the table -------------------------------------------------------------------------------------------------------------

COUNTED = [
    ngrams("n-gram, characters", lambda text: CharacterIds.of([text]), range(3, 9)),
    ngrams("n-gram, bytes", lambda _: ByteIds(), range(3, 9)),
    ngrams("n-gram, 1,024 tokens", byte_pairs, range(2, 6)),
]
"""Models that are counted: corpus -> row."""
TRAINED: list[Callable[[Corpus], Row]] = [lstm, transformer]
"""Models that are trained for SECONDS each: corpus -> row. A further architecture is one more function here."""


def corpora() -> list[Corpus]:
    path = shared("corpus_tinyshakespeare/input.txt.gz")
    topics = pydoc_data.topics.topics
    return [
        Corpus.of("Tiny Shakespeare", gzip.decompress(path.read_bytes()).decode("utf-8")),
        Corpus.of("Python documentation", "\n\n".join(topics[name] for name in sorted(topics))),
    ]


def tables(texts: Sequence[Corpus]) -> dict[str, list[Row]]:
    """Every model of every text, as many at a time as there are cores, on one core each."""
    models = [*COUNTED, *(TRAINED if SECONDS else [])]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), partial(torch.set_num_threads, 1)) as pool:
        begun = {
            (corpus.name, place): pool.submit(row, place, corpus) for place in range(len(models)) for corpus in texts
        }
        rows = {key: future.result() for key, future in begun.items()}
    found = {corpus.name: [rows[corpus.name, place] for place in range(len(models))] for corpus in texts}
    for corpus in texts:
        tell(corpus, found[corpus.name])
    return found


def row(place: int, corpus: Corpus) -> Row:
    """Of the `place`th model: functions made by functions cannot be sent to another process."""
    return [*COUNTED, *TRAINED][place](corpus)


def tell(corpus: Corpus, rows: Sequence[Row]) -> None:
    say(
        f"{corpus.name}: {len(corpus.train):,} characters to train on, {len(corpus.validation):,} to choose, {len(corpus.test):,} to measure"
    )
    say(f"  {'':<26}{'validation':>11}{'test':>9}{'tokens':>13}{'seconds':>9}")
    for row in sorted(rows, key=lambda row: row.test):
        say(
            f"  {row.name:<26}{row.validation:>11.4f}{row.test:>9.4f}{row.num_tokens:>13,}{row.seconds:>9.1f}  {row.about}"
        )
    for row in rows:
        say(f"  {row.name}: " + ", ".join(f"{tokens:,} -> {value:.3f}" for tokens, value in row.curve))


# -- KenLM -----------------------------------------------------------------------------------------------------------------


def kenlm_differences(corpus: Corpus) -> dict[str, float]:
    """Relative difference of the test text's perplexity, ours and KenLM's, by kind of token."""
    python = python_of("kenlm")
    kinds: dict[str, TextIds] = {
        "characters": CharacterIds.of([corpus.train]),
        "tokens": byte_pairs(corpus.train),
    }
    found = {}
    for kind, ids in kinds.items():
        model = ngram(ids, corpus.train, KENLM_ORDER)
        # Lines as documents, some of them empty: begins and ends are compared, too.
        documents = [ids.encode(line) for line in [corpus.test, *corpus.test.split("\n")[:200]]]
        ours = np.concatenate([model.logprobs(document) for document in documents])
        with tempfile.TemporaryDirectory() as folder:
            arpa = write_arpa(model, Path(folder) / "model.arpa")
            text = Path(folder) / "text.txt"
            text.write_text("".join(" ".join(map(str, document)) + "\n" for document in documents), encoding="utf-8")
            command = [str(python), str(HERE / "peers" / "kenlm_side.py"), str(arpa), str(text)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        theirs = json.loads(done.stdout.splitlines()[-1])
        assert theirs["num_tokens"] == len(ours), (theirs, len(ours))
        perplexity = math.exp(-ours.mean())
        found[kind] = abs(theirs["perplexity"] / perplexity - 1)
        say(
            f"KenLM, {kind}, order {KENLM_ORDER}: perplexity {theirs['perplexity']:.7f}, ours {perplexity:.7f}, relative difference {found[kind]:.2g}"
        )
    return found


# -- counting --------------------------------------------------------------------------------------------------------------


def counting() -> dict[str, float]:
    """Seconds for ten million tokens of order 5, counted and smoothed, documents given as arrays."""
    zipf = np.random.default_rng(0).zipf(1.2, 2 * NUM_COUNTED)
    drawn = zipf[zipf <= 32_000][:NUM_COUNTED] - 1
    kinds = {"source_bytes": (source_bytes(NUM_COUNTED), 256), "zipf_32k": (drawn, 32_000)}
    found = {}
    for name, (ids, num_ids) in kinds.items():
        assert len(ids) == NUM_COUNTED, f"{name} has only {len(ids):,} tokens"
        started = time.perf_counter()
        model = fit([ids], NGramSettings(order=5), num_ids=num_ids, watcher=Silent())
        found[name] = time.perf_counter() - started
        sizes = ", ".join(f"{len(table.keys):,}" for table in model.tables)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        say(
            f"{len(ids):,} tokens ({name}), order 5: {found[name]:.1f} s, {sizes} n-grams, at most {peak:.1f} GiB in this process so far"
        )
    return found


def source_bytes(num: int) -> Any:
    """The first bytes of the standard library's source code, file by file."""
    parts, size = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" not in path.parts and size < num:
            parts.append(np.frombuffer(path.read_bytes(), np.uint8))
            size += len(parts[-1])
    return np.concatenate(parts)[:num]


def main() -> None:
    texts = corpora()
    differences = kenlm_differences(texts[0])
    seconds = counting()
    rows_of = tables(texts)
    best = min(row.test for row in rows_of[texts[0].name] if row.name.startswith("n-gram"))
    result = {
        "bench": "language_models",
        "ratios": {},
        "bits_per_byte": {
            name: {row.name: round(row.test, 4) for row in sorted(rows, key=lambda row: row.test)}
            for name, rows in rows_of.items()
        },
        "curves": {
            name: {row.name: [(n, round(v, 4)) for n, v in row.curve] for row in rows} for name, rows in rows_of.items()
        },
        "counting_seconds": {name: round(value, 1) for name, value in seconds.items()},
        "kenlm_relative_difference": differences,
        "training_seconds": SECONDS,
        "checks": {
            "ngram_at_most_2_30": best <= LIMIT,
            "perplexity_equals_kenlm": max(differences.values()) <= 1e-4,
            "ten_million_in_two_minutes": max(seconds.values()) <= 120,
        },
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch", "numpy", "tokenizers")}
        | {"python": platform.python_version()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
