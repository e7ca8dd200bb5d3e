"""Metrics equal the packages that people compare with, are right for Chinese, and say how they were computed."""

import gzip
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from heedful import metrics, statistics
from heedful.errors import InputError

ANSWERS = [
    "The cat sat on the mat, and the dog sat beside it.",
    'Use json.dumps(obj, indent=2) to pretty-print 3.14 & "strings".',
    "yes",
    "",
    "It doesn't matter; well-known facts (e.g. 1,000 of them) stay the same facts.",
    "!!! ...",
    "Line one.\nLine two has more words than line one.",
]
REFERENCES = [
    "A cat was sitting on the mat while the dog sat beside it.",
    "Call json.dumps(obj, indent=4) to print 3.14 and strings prettily.",
    "Yes.",
    "Something was expected here.",
    "It does not matter: well known facts, such as 1,000 of them, remain facts.",
    "!!! ...",
    "Line one. Line two has fewer words.",
]
CHINESE = ["今天天气很好。", "你好", "请用 Python 3.11 写一个函数！", "他说：“走吧。”"]
KINDS = ["rouge1", "rouge2", "rougeL"]


@dataclass(frozen=True)
class Likelihood:
    id: str
    logprob: float
    num_tokens: int
    num_bytes: int


def _assert_equal_to_the_packages(
    hypotheses: list[str], references: list[str], *, effective_order: bool = False
) -> None:
    bleu, chrf = metrics.bleu(hypotheses, references, "en"), metrics.chrf(hypotheses, references)
    assert bleu.value == pytest.approx(
        sacrebleu.corpus_bleu(hypotheses, [references], use_effective_order=effective_order).score, abs=1e-9
    )
    assert chrf.value == pytest.approx(sacrebleu.corpus_chrf(hypotheses, [references]).score, abs=1e-9)
    rouge = metrics.rouge(hypotheses, references)
    scorer = RougeScorer(KINDS, use_stemmer=False)
    for index, (hypothesis, reference) in enumerate(zip(hypotheses, references, strict=True)):
        assert bleu.per_item[index] == pytest.approx(sacrebleu.sentence_bleu(hypothesis, [reference]).score, abs=1e-9)
        assert chrf.per_item[index] == pytest.approx(sacrebleu.sentence_chrf(hypothesis, [reference]).score, abs=1e-9)
        theirs = scorer.score(reference, hypothesis)
        ours = metrics.rouge_overlaps(hypothesis, [reference])
        for kind in KINDS:
            assert ours[kind].precision == pytest.approx(theirs[kind].precision, abs=1e-9)
            assert ours[kind].recall == pytest.approx(theirs[kind].recall, abs=1e-9)
            assert ours[kind].f == rouge[kind].per_item[index] == pytest.approx(theirs[kind].fmeasure, abs=1e-9)


def test_english_equals_sacrebleu_and_rouge_score() -> None:
    _assert_equal_to_the_packages(ANSWERS, REFERENCES)


def test_real_answers_equal_sacrebleu_and_rouge_score(shared_data: Path) -> None:
    with gzip.open(shared_data / "multi30k" / "val.en.gz", "rt", encoding="utf-8") as file:
        captions = [line.strip() for line in file if line.isascii()][:121]
    with gzip.open(shared_data / "ifeval" / "input_response_data_gpt4_20231107_145030.jsonl.gz", "rb") as file:
        answers = [json.loads(line)["response"] for line in itertools.islice(file, 200)]
    # rouge-score's table is quadratic in plain Python: the shorter answers keep the test short.
    answers = [answer for answer in answers if answer.isascii() and len(answer) < 1_000][:21]
    _assert_equal_to_the_packages(captions[:-1], captions[1:])
    _assert_equal_to_the_packages(answers[:-1], answers[1:])
    near = [answer.replace("the", "a").replace(",", "") for answer in answers]
    _assert_equal_to_the_packages(near, answers)


_ENGLISH = st.text(st.sampled_from(list("abc de.,'-1\n")), max_size=30)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(_ENGLISH, _ENGLISH), min_size=1, max_size=4))
def test_any_english_equals_the_packages(pairs: list[tuple[str, str]]) -> None:
    # Without four tokens anywhere sacrebleu's corpus default is 0; its effective order, which is ours, is not.
    _assert_equal_to_the_packages([pair[0] for pair in pairs], [pair[1] for pair in pairs], effective_order=True)


def test_several_references_equal_the_packages() -> None:
    references = [["A cat sat on the mat.", "The cat sat on a mat, and a dog sat too."], ["Call json.dumps on it."]]
    streams = [[references[0][0], references[1][0]], [references[0][1], None]]
    bleu = metrics.bleu(ANSWERS[:2], references, "en")
    assert bleu.value == pytest.approx(sacrebleu.corpus_bleu(ANSWERS[:2], streams).score, abs=1e-9)
    assert "nrefs:var" in bleu.signature
    chrf = metrics.chrf(ANSWERS[:2], references)
    assert chrf.value == pytest.approx(sacrebleu.corpus_chrf(ANSWERS[:2], streams).score, abs=1e-9)
    theirs = RougeScorer(KINDS).score_multi(references[0], ANSWERS[0])
    ours = metrics.rouge_overlaps(ANSWERS[0], references[0])
    assert [ours[kind].f for kind in KINDS] == pytest.approx([theirs[kind].fmeasure for kind in KINDS])


@pytest.mark.parametrize("name", list(metrics.METRICS))
@pytest.mark.parametrize("language", ["zh", "zh-CN", None])
def test_identical_chinese_gets_full_marks(name: str, language: str | None) -> None:
    result = metrics.METRICS[name](CHINESE, CHINESE, language)
    full = 100 if name in ("bleu", "chrf") else 1
    assert result.value == pytest.approx(full)
    assert result.per_item == pytest.approx([full] * len(CHINESE))
    alone = metrics.METRICS[name](["你好"], ["你好"], language)  # two characters: fewer than BLEU's four
    assert alone.value == pytest.approx(full)


def test_chinese_is_compared_by_character() -> None:
    # Six characters, five shared and in order; pairs: 我爱 爱北 北京 京的 的天 against 我爱 爱北 北京 京冬 冬天.
    found = metrics.rouge_overlaps("我爱北京的天", ["我爱北京冬天"])
    assert found["rouge1"].f == found["rougeL"].f == pytest.approx(5 / 6)
    assert found["rouge2"].f == pytest.approx(3 / 5)
    assert metrics.token_f1(["我爱北京的天"], ["我爱北京冬天"]).value == pytest.approx(5 / 6)
    assert metrics.bleu(["我爱北京的天"], ["我爱北京冬天"]).value == pytest.approx(
        sacrebleu.corpus_bleu(["我爱北京的天"], [["我爱北京冬天"]], tokenize="zh").score
    )


def test_an_accented_word_stays_a_word() -> None:
    # rouge-score sees "est" and would count it as a match.
    assert metrics.rouge_overlaps("está", ["est"])["rouge1"].f == 0
    assert metrics.rouge_overlaps("está bien", ["ESTÁ mal"])["rouge1"].f == pytest.approx(0.5)


def test_a_mixed_corpus_uses_each_items_tokenizer() -> None:
    hypotheses, references = [ANSWERS[0], "我爱北京的天"], [REFERENCES[0], "我爱北京冬天"]
    by_name = metrics.bleu(hypotheses, references, ["en", "zh"])
    by_script = metrics.bleu(hypotheses, references)
    assert by_name.value == by_script.value
    assert by_name.per_item == (metrics.bleu(hypotheses[:1], references[:1], "en").value, by_script.per_item[1])
    assert "tok:13a+zh" in by_name.signature
    with pytest.raises(InputError, match="2 items, 1 languages"):
        metrics.bleu(hypotheses, references, ["en"])


def test_signatures_say_how() -> None:
    assert metrics.bleu(["a"], ["a"], "en").signature == (
        f"BLEU|nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    )
    assert metrics.chrf(["a"], ["a"]).signature == (
        f"chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{sacrebleu.__version__}"
    )
    assert metrics.rouge_l(["a"], ["a"]).signature == (
        "rougeL|measure:F1|tok:heedful.text|stem:no|refs:max|version:heedful-1"
    )
    for name in ("exact_match", "token_f1"):
        assert metrics.METRICS[name](["a"], ["a"]).signature.startswith(f"{name}|")


@pytest.mark.parametrize(
    ("answer", "reference", "equal"),
    [
        ("Paris.", "paris", True),
        ("  The\n answer ", "the answer", True),
        ('"Paris"', "Paris", True),
        ("“巴黎。”", "巴黎", True),
        ("使用 Python 编程", "使用Python编程", True),
        ("１２", "12", True),
        ("-5", "5", False),  # SQuAD's normalisation would call these equal
        ("3.14", "314", False),
        ("the answer", "answer", False),
        ("New York", "NewYork", False),
        ("", "", True),
        ("", "x", False),
    ],
)
def test_exact_match(answer: str, reference: str, equal: bool) -> None:
    assert metrics.exact_match([answer], [reference]).value == float(equal)
    assert metrics.exact_match([answer], [["no such thing", reference]]).value == float(equal)


def test_token_f1_by_hand() -> None:
    # Shared: the, cat; precision 2/3, recall 2/4.
    result = metrics.token_f1(["the cat sat", ""], ["The cat, the dog!", ""])
    assert result.per_item == pytest.approx((4 / 7, 1.0))
    assert result.value == pytest.approx((4 / 7 + 1) / 2)
    assert metrics.token_f1(["x"], [""]).value == 0
    assert metrics.token_f1(["a b"], [["c", "a b c", "a"]]).value == pytest.approx(0.8)


def test_perplexity_by_hand() -> None:
    scored = [Likelihood("a", -2.0, 4, 7), Likelihood("b", -6.0, 2, 0)]
    result = metrics.perplexity(scored)
    assert result.value == pytest.approx(math.exp(8 / 6))
    assert result.per_item == pytest.approx((math.exp(0.5), math.exp(3)))
    assert not result.higher_is_better
    bits = metrics.bits_per_byte(scored)
    assert bits.value == pytest.approx(8 / math.log(2) / 9)
    assert bits.per_item == pytest.approx((2 / math.log(2) / 8, 6 / math.log(2) / 1))
    for wrong in (Likelihood("c", math.nan, 1, 1), Likelihood("c", 1.0, 1, 1), Likelihood("c", -1.0, 0, 1)):
        with pytest.raises(InputError, match="item 'c'"):
            metrics.perplexity([*scored, wrong])


@pytest.mark.parametrize("name", list(metrics.METRICS))
def test_statistics_add_up_to_the_corpus_value(name: str) -> None:
    base, tuned = metrics.METRICS[name](ANSWERS, REFERENCES), metrics.METRICS[name](REFERENCES, REFERENCES)
    chosen = [0, 0, 4, 6, 6, 6]
    resampled = metrics.METRICS[name]([ANSWERS[i] for i in chosen], [REFERENCES[i] for i in chosen])
    assert float(base.combine(base.statistics[chosen].sum(axis=0))) == pytest.approx(resampled.value)
    both = np.stack([base.statistics.sum(axis=0), tuned.statistics.sum(axis=0)])
    assert base.combine(both) == pytest.approx([base.value, tuned.value])
    result = statistics.paired_bootstrap_statistic(base.statistics, tuned.statistics, base.combine, seed=1)
    assert result.difference == pytest.approx(tuned.value - base.value)
    assert result.low <= result.difference <= result.high


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=3))
def test_bounds_identity_and_symmetry_on_any_text(pairs: list[tuple[str, str]]) -> None:
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for name, metric in metrics.METRICS.items():
        scale = 100 if name in ("bleu", "chrf") else 1
        result = metric(left, right)
        assert all(0 <= value <= scale + 1e-9 for value in (result.value, *result.per_item))
        if name not in ("bleu", "chrf"):  # F values and equality are symmetric, brevity penalties are not
            assert metric(right, left).per_item == pytest.approx(result.per_item)
    assert metrics.exact_match(left, left).value == 1
    assert metrics.token_f1(left, left).value == 1


def test_what_does_not_match_is_refused() -> None:
    for metric in metrics.METRICS.values():
        with pytest.raises(InputError, match="1 hypotheses, 2 references"):
            metric(["a"], ["a", "b"])
        with pytest.raises(InputError, match="no items"):
            metric([], [])
        with pytest.raises(InputError, match="item 1 has no reference"):
            metric(["a", "b"], ["a", []])
    with pytest.raises(InputError, match="no items"):
        metrics.perplexity([])
