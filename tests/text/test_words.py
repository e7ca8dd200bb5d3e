"""What counts as a word, a character, a token. Expected counts are written by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize as rouge_score_tokenize

from heedful import text
from heedful.text import _words


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", []),
        ("Don't stop: it's well-known.", ["Don't", "stop", "it's", "well-known"]),
        ("It’s 3.14, not 1,000 or 12:30", ["It’s", "3.14", "not", "1,000", "or", "12:30"]),
        ("a,b and/or c", ["a", "b", "and", "or", "c"]),  # comma and slash join digits only
        ("e.g. json.dumps(obj) -- v2.0.1", ["e.g", "json.dumps", "obj", "v2.0.1"]),
        ("wait...what?", ["wait", "what"]),  # three dots are no inner full stop
        ("__init__ snake_case ___", ["init", "snake_case"]),
        ("students' 'n' x-", ["students", "n", "x"]),
        ("50% of $5 😀 & more", ["50", "of", "5", "more"]),
        ("我爱北京。", list("我爱北京")),
        ("Python编程3.5天", ["Python", "编", "程", "3.5", "天"]),
        ("人々は〇、スーパー", list("人々は〇スーパー")),
        ("한국어 문장", ["한국어", "문장"]),
        ("naïve cafe\u0301 está", ["naïve", "cafe\u0301", "está"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # the zero-width non-joiner is Persian spelling
        ("葛\U000e0100城", ["葛\U000e0100", "城"]),  # an ideographic variant is still one character
    ],
)
def test_words(written: str, expected: list[str]) -> None:
    assert text.words(written) == expected
    assert text.num_words(written) == len(expected)


def test_characters_are_code_points_without_white_space() -> None:
    assert text.num_characters("a b\n\tc，　好。") == 6
    assert text.num_characters("") == 0


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Don't STOP snake_case 3.14", ["don", "t", "stop", "snake", "case", "3", "14"]),
        ("¿Está BIEN?", ["está", "bien"]),
        ("este\u0301", ["esté"]),  # composed and decomposed agree
        ("Ａｐｐｌｅ１２好", ["apple12", "好"]),  # full-width forms
        ("你好，World！", ["你", "好", "world"]),
    ],
)
def test_tokens(written: str, expected: list[str]) -> None:
    assert text.tokenize(written) == expected


@given(st.text(st.characters(max_codepoint=127)))
def test_tokens_of_ascii_are_those_of_rouge_score(written: str) -> None:
    assert text.tokenize(written) == rouge_score_tokenize(written, stemmer=None)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_fast_ascii_patterns_agree_with_the_general_ones(written: str) -> None:
    assert text.words(written) == _words._WORD.findall(written)
    assert text.tokenize(written) == _words._TOKEN.findall(written.lower())


@given(st.text())
def test_tokenizing_tokens_changes_nothing(written: str) -> None:
    tokens = text.tokenize(written)
    assert text.tokenize(" ".join(tokens)) == tokens


_PIECES = st.lists(
    st.sampled_from(["don", "'", "’", "-", ".", "3", ",", ":", "_", "好", "カ", " ", "\u0301", "\u200d"])
)


@given(_PIECES.map("".join), _PIECES.map("".join))
def test_appending_never_makes_words_fewer(before: str, after: str) -> None:
    assert text.num_words(before + after) >= text.num_words(before)


@given(st.text(), st.text())
def test_words_of_two_lines_are_the_words_of_each(left: str, right: str) -> None:
    # A combining mark at the start of the right side has nothing to sit on after a line break.
    assert text.words(f"{left}\n{right}") == text.words(left) + text.words(right)
