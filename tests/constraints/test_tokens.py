"""The fewest tokens that spell a text, against a search that tries all ways; whatever was spelled before."""

from __future__ import annotations

import random

from heedful.constraints import TokenTable

PIECES = [b"", b"a", b"b", b"ab", b"aba", b"bb", b"abab", b"c", b"bbbbbbbb", b"cab"]


def fewest(text: bytes) -> int | None:
    """How many, level by level."""
    ends, number = {0}, 0
    while ends and len(text) not in ends:
        ends = {end + len(piece) for end in ends for piece in PIECES[1:] if text.startswith(piece, end)}
        number += 1
    return number if ends else None


def test_spellings_are_the_fewest_tokens_in_any_order_of_asking() -> None:
    draw, table = random.Random(0), TokenTable(PIECES, [0])
    for _ in range(500):
        # Many end alike, and "d" cannot be spelled.
        text = bytes(draw.choices(b"abcd", (5, 5, 1, 0.1), k=draw.randint(0, 12))) + draw.choice([b"", b"abbab", b"bb"])
        spelled = table.spell(text)
        assert spelled == TokenTable(PIECES, [0]).spell(text)
        assert (None if spelled is None else len(spelled)) == fewest(text), text
        assert spelled is None or b"".join(PIECES[token] for token in spelled) == text


def test_of_equal_spellings_the_one_with_the_longer_first_token_is_taken() -> None:
    table = TokenTable(PIECES, [0])
    assert table.spell(b"abac") == (PIECES.index(b"aba"), PIECES.index(b"c"))
    assert table.spell(b"cabab") == (PIECES.index(b"cab"), PIECES.index(b"ab"))


def test_turned_tokens_read_in_one_case_and_spell_with_what_models_write() -> None:
    table = TokenTable([b"", b"A", b"a", b"The", b" THE", b" the", b"7", "é".encode()], [0])
    upper = table.turned("upper")
    assert upper is table.turned("upper")
    assert upper.data == [b"", b"A", b"A", b"THE", b" THE", b" THE", b"7", "é".encode()]
    assert upper.spell(b"A THE") == (2, 5), "small letters where there are some"
    assert upper.spell(b"THE7") == (3, 6)
    assert table.turned("lower").spell(b"the") == (3,)
    assert table.spell(b"A THE") == (1, 4), "the table itself stays as it is"


def test_pieces_are_priced_one_by_one() -> None:
    table = TokenTable(PIECES, [0])
    assert table.num_tokens([b"ab", b"abac", b"ab"]) == 4
    assert table.num_tokens([]) == 0
    assert table.num_tokens([b"ab", b"d"]) is None
