"""Where sentences, lines and bullet items begin and end."""

import gzip
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful import text


@pytest.mark.parametrize(
    "expected",
    [
        ["Dr. Smith lives in the U.S.", "He likes it, e.g. the food.", "Pi is 3.14.", "Use v2.0.1.", "OK?"],
        ["Wait... what?", "Wait...", "What?"],
        ['"Really?" she asked.', 'He said "no."', "Then left."],
        ["J. A. Smith met George W. Bush at 5 p.m.", "They ate, drank, etc.", "So did I.", "Foo Inc. is in Rome."],
        ["No. 5 is alive.", "No.", "See Fig. 3 in Sec. 2.", "Born on Jan. 3, vs. the others."],
        ["**Bold.**", "Next (see above.) and more.", "(A full one.)", "Yes."],
        ["Node.js is fine.", "json.dumps(x) works.", "Is a!=b?c=1 code?"],
        ["Steps: 1. Do this.", "2. Do that."],
        ["Hello!", "how are you?", "fine."],  # careless lower case
        ["यह पहला है।", "दूसरा।"],
        ["هل هذا صحيح؟", "نعم."],
    ],
)
def test_sentences_are_cut_where_a_reader_would(expected: list[str]) -> None:
    joined = " ".join(expected)
    assert text.sentences(joined) == expected
    assert text.num_sentences(joined) == len(expected)


@pytest.mark.parametrize(
    "expected",
    [
        ["今天天气很好。", "我们去公园吧！", "好吗？", "他说：“你好！”，然后走了；我也走了。"],
        ["苹果。", "（红色的。）", "香蕉３.5元。", "用Python 3.11写。"],
        ["我……我不知道。", "真的？！", "好。"],
        ["你好吗?", "我很好!", "真的.", "再见"],  # ASCII marks in Chinese
    ],
)
def test_chinese_sentences_need_no_space(expected: list[str]) -> None:
    joined = "".join(expected)
    assert text.sentences(joined) == expected
    assert text.num_sentences(joined) == len(expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Title\nA line that is\nwrapped here.\nNew one", ["Title", "A line that is wrapped here.", "New one"]),
        ("First,\nSecond and third.", ["First, Second and third."]),
        ("Fruit:\n- apple\n- pear\n1. plum\n一、桃", ["Fruit:", "- apple", "- pear", "1. plum", "一、桃"]),
        ("# Heading\nlower case text.", ["# Heading", "lower case text."]),
        ("one\n\ntwo", ["one", "two"]),
        ("Great! 😀 Next.", ["Great!", "😀 Next."]),
        ("Great! 😀", ["Great! 😀"]),
        ("---\n...\n", []),
        ("春眠不觉晓\r\n处处闻啼鸟", ["春眠不觉晓", "处处闻啼鸟"]),
    ],
)
def test_lines_and_bullets_are_boundaries(written: str, expected: list[str]) -> None:
    assert text.sentences(written) == expected


@given(st.text(st.sampled_from(list("aB好。.!?… \n'\"*）,1-…\u0301"))), st.text(st.sampled_from(list("aB好。.! \n1-"))))
def test_paragraphs_are_cut_independently(left: str, right: str) -> None:
    assert text.sentences(f"{left}\n\n{right}") == text.sentences(left) + text.sentences(right)


@given(st.one_of(st.text(), st.text(st.sampled_from(list("aB好。.!?… \n'\"*）,1-_/:")))))
def test_no_word_is_lost_or_cut(written: str) -> None:
    cut = [word for sentence in text.sentences(written) for word in text.words(sentence)]
    assert cut == text.words(written)


def test_lines() -> None:
    assert text.lines("a  \n\n  b\r\n\t\nc") == ["a", "  b", "c"]


def test_bullets() -> None:
    written = (
        "Intro\n- a\n* b\n• c\n+ d\n1. e\n2) f\n一、苹果\n（2）梨 \n(3) g\n（三）桃\n1.枣\n2、李\n①x\n  - nested\n"
        "3.14 pi\n---\n* * *\n**bold** no\n-no\n2024. was\n- \n1.5 x\n"
    )
    expected = ["a", "b", "c", "d", "e", "f", "苹果", "梨", "g", "桃", "枣", "李", "x", "nested"]
    assert text.bullets(written) == expected


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_lines_end_at_line_feeds_only(separator: str) -> None:
    # "\u2028" in a JSON string began a bullet point, because str.splitlines() splits there. `normalize` makes "\n" of what is one.
    written = f'{{"a": "One{separator}- two"}}'
    assert text.lines(written) == [written]
    assert text.bullets(written) == []
    assert text.num_sentences(written) == 1
    assert text.lines("a \r\n\r\nb") == ["a", "b"]


@pytest.mark.parametrize(
    "hostile",
    [
        "a" + " " * 100_000 + "b",
        "- a" + " " * 100_000 + "b",
        "a." * 50_000,
        ". " * 20_000,
        '."' * 50_000,
        "A. " * 10_000,
        "a" + "_" * 100_000 + " ",
        "\U000e0041" * 50_000,
        "\x1b[" * 50_000,
        "。”" * 50_000,
        "a b,\n" * 20_000,
    ],
    ids=lambda hostile: repr(hostile[:4]),
)
def test_time_is_linear_in_hostile_text(hostile: str) -> None:
    started = time.process_time()
    for count in (text.num_words, text.tokenize, text.sentences, text.bullets, text.normalize, text.num_characters):
        count(hostile)
    assert time.process_time() - started < 5  # a quadratic rule takes minutes


def test_real_prose_is_cut_into_reasonable_pieces(shared_data: Path) -> None:
    with gzip.open(shared_data / "corpus_wiki_c4_demo" / "wiki_demo.txt.gz", "rt", encoding="utf-8") as file:
        prose = file.read()[:300_000]
    found = text.sentences(prose)
    assert [w for s in found for w in text.words(s)] == text.words(prose)
    long = [sentence for sentence in found if text.num_words(sentence) >= 5]
    lowered = [sentence for sentence in long if sentence[0].islower()]
    assert len(long) > 1_000
    # A sentence that begins in lower case was mostly cut after an abbreviation.
    assert len(lowered) < 0.03 * len(long)
