"""Compositions of requirements that no answer can keep, each hidden among a few harmless ones.

    for item in contradictory(seed=0, count=500):
        item.specs, item.names     # a refusal has to name both

Every maker below says, in its docstring or in the line above, why its requirements exclude each other. That is less obvious
than it looks: twelve keywords fit into ten words, because "solar-panel" is one word that mentions two; a forbidden
key can be written `"\\u0074itle"` in JSON; and "42" is in every language. Such pairs are not here. Invisible characters,
which a check may drop, and characters whose case folds to several ("ﬁ") are no part of the answers meant.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from heedful.records import RequirementSpec


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Requirements that exclude each other."""

    specs: tuple[RequirementSpec, ...]
    names: tuple[str, str]
    """The kinds of the two that do, as in `specs`."""

    def is_named_in(self, refusal: str) -> bool:
        """Whether a refusal names both, by their kinds, by what people call these, or by the phrases that they ask for."""
        return all(any(call.lower() in refusal.lower() for call in self._calls(name)) for name in self.names)

    def _calls(self, kind: str) -> list[str]:
        values = [value for spec in self.specs if spec.kind == kind for value in spec.parameters.values()]
        phrases = [one for value in values for one in (value if isinstance(value, list) else [value])]
        return [kind, *_CALLED.get(kind, ()), *(f'"{one}"' for one in phrases if isinstance(one, str))]


_CALLED = {
    "words": (" word",),
    "characters": (" character",),
    "sentences": (" sentence",),
    "paragraphs": (" paragraph",),
    "paragraph_start": (" paragraph",),
    "bullets": ("bullet point",),
    "letters": ("the letter",),
    "capitals": ("capital letters",),
    "keywords": ("mention",),
    "forbidden": ("do not use",),
    "choice": ("option", "answer with one of"),
    "json_schema": ("JSON",),
    "regex": ("regular expression", "pattern"),
    "language": ("in English", "in Chinese"),
    "script": (" script",),
    "case": ("lower case", "upper case", "capital letters"),
    "no_commas": ("comma",),
    "starts_with": ("begin", "start"),
    "ends_with": (" end",),
    "quoted": ("quotation marks",),
    "repeats": ("repeat",),
    "responses": ("different answers",),
    "placeholders": ("placeholder",),
    "highlights": ("highlight", "passage"),
    "sections": ("section",),
    "postscript": ("P.S.",),
}
"""How refusals may call the kinds, beside their names."""


Pair = tuple[RequirementSpec, ...]
Maker = Callable[[random.Random], Pair]


def contradictory(seed: int, count: int) -> Iterator[Contradiction]:
    """`count` compositions; the makers take turns, so that a hundred contain each of them."""
    order = random.Random(f"contradictions {seed}").sample(_MAKERS, len(_MAKERS))
    for index in range(count):
        rng = random.Random(f"contradictory {seed} {index}")
        core = order[index % len(order)](rng)
        kinds = {spec.kind for spec in core}
        others = [spec for spec in _harmless(rng) if spec.kind not in kinds]
        specs = [*core, *rng.sample(others, rng.randint(0, 4))]
        rng.shuffle(specs)
        yield Contradiction(tuple(specs), (core[0].kind, core[1].kind))


def _harmless(rng: random.Random) -> list[RequirementSpec]:
    """Bounds so wide, and words so rare, that they exclude nothing that the others ask for."""
    return [
        _spec("words", maximum=rng.randint(400, 900)),
        _spec("characters", maximum=rng.randint(4000, 9000)),
        _spec("sentences", maximum=rng.randint(80, 200)),
        _spec("bullets", maximum=rng.randint(60, 100)),
        _spec("paragraphs", maximum=rng.randint(60, 100)),
        _spec("letters", letter=rng.choice("qxz"), maximum=rng.randint(200, 400)),
        _spec("forbidden", words=[rng.choice(("zyzzyva", "quokka", "氪金", "饕餮"))]),
        _spec("regex", pattern=".*", match="search"),
    ]


def _spec(kind: str, **parameters: Any) -> RequirementSpec:
    return RequirementSpec(kind, parameters)


# No two share a Chinese character, and no folding shortens an English one.
ENGLISH_TERMS = ("solar", "river", "garden", "money", "window", "paper", "number", "yellow", "dragon", "bridge", "camera", "table", "pencil", "rocket", "winter")  # fmt: skip
CHINESE_TERMS = ("太阳", "河流", "花园", "金钱", "窗户", "纸张", "数字", "黄色", "飞龙", "桥梁", "相机", "桌子", "铅笔", "火箭", "冬季")  # fmt: skip


def _term(rng: random.Random) -> str:
    return rng.choice(ENGLISH_TERMS + CHINESE_TERMS)


def _digits(rng: random.Random) -> RequirementSpec:
    """The whole answer is one number: one word, no letters."""
    return _spec("regex", pattern=rng.choice(("[0-9]{4}", "[1-9][0-9]{2,6}", "(19|20)[0-9]{2}")), match="full")


def _object_of(*names: str) -> RequirementSpec:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": list(names)}
    return _spec("json_schema", schema={**schema, "additionalProperties": False})


def _options(rng: random.Random) -> RequirementSpec:
    """One word each, in Chinese two, and nothing else may be answered."""
    return _spec("choice", options=rng.sample(rng.choice((ENGLISH_TERMS, CHINESE_TERMS)), rng.randint(2, 5)))


# -- one kind against itself ----------------------------------------------------------------------------------------


def _range(rng: random.Random) -> Pair:
    kind = rng.choice(("words", "words", "characters", "sentences", "bullets", "paragraphs", "letters", "capitals"))
    letter = {"letter": rng.choice("aeint")} if kind == "letters" else {}
    high = rng.randint(1, 60)
    low = high + rng.randint(1, 40)
    return _spec(kind, minimum=low, **letter), _spec(kind, **letter, **{rng.choice(("maximum", "exactly")): high})


def _two_beginnings(rng: random.Random) -> Pair:
    one, other = rng.sample(("Hello", "Dear reader", "No,", "Yes.", "你好", "首先"), 2)
    return _spec("starts_with", text=one), _spec("starts_with", text=other)


def _two_endings(rng: random.Random) -> Pair:
    one, other = rng.sample(("Good luck!", "The end.", "Yours, Ann", "谢谢。", "再见！"), 2)
    return _spec("ends_with", text=one), _spec("ends_with", text=other)


def _two_choices(rng: random.Random) -> Pair:
    options = rng.sample(ENGLISH_TERMS, 6)
    return _spec("choice", options=options[:3]), _spec("choice", options=options[3:])


def _two_cases(rng: random.Random) -> Pair:
    return _spec("case", case="upper"), _spec("case", case="lower")


def _two_schemas(rng: random.Random) -> Pair:
    return _object_of("title"), _spec("json_schema", schema={"type": "array", "items": {"type": "string"}})


def _schemas_of_other_keys(rng: random.Random) -> Pair:
    return _object_of("title", "year"), _object_of("title")


def _two_languages(rng: random.Random) -> Pair:
    # Only a text too short to tell passes as both.
    return _spec("language", language="en"), _spec("language", language="zh"), _spec("characters", minimum=60)


def _two_scripts(rng: random.Random) -> Pair:
    # An answer without letters would keep both; the pattern goes with either of them.
    letter = _spec("regex", pattern="[A-Za-z\u4e00-\u9fff]", match="search")
    return _spec("script", script="Han"), _spec("script", script="Latin"), letter


def _often_and_seldom(rng: random.Random) -> Pair:
    term, most = _term(rng), rng.randint(1, 3)
    return _spec("keywords", all=[term], times=most + 1), _spec("keywords", all=[term], times=0, maximum=most)


def _both_orders(rng: random.Random) -> Pair:
    """Each occurs once, so only one order can be kept."""
    one, other = rng.sample(ENGLISH_TERMS, 2)
    orders = (_spec("keywords", all=pair, in_order=True) for pair in ([one, other], [other, one]))
    return *orders, _spec("keywords", all=[one, other], maximum=1)


def _two_patterns(rng: random.Random) -> Pair:
    return _digits(rng), _spec("regex", pattern="[a-z]+( [a-z]+)*", match="full")


# -- too many for the room ------------------------------------------------------------------------------------------


def _keywords_in_words(rng: random.Random) -> Pair:
    """Every Chinese character is a word, and these share none."""
    number = rng.randint(3, 12)
    return _spec("words", maximum=2 * number - rng.randint(1, 3)), _spec(
        "keywords", all=rng.sample(CHINESE_TERMS, number)
    )


def _keywords_in_spaced_words(rng: random.Random) -> Pair:
    """Nothing can join two keywords into one word where only letters and spaces may be written."""
    number = rng.randint(3, 12)
    letters = _spec("regex", pattern="[A-Za-z ]+", match="full")
    return (
        _spec("words", maximum=number - rng.randint(1, 2)),
        _spec("keywords", all=rng.sample(ENGLISH_TERMS, number)),
        letters,
    )


def _keyword_often_in_words(rng: random.Random) -> Pair:
    times = rng.randint(3, 8)
    return _spec("words", maximum=2 * times - 1), _spec("keywords", all=[rng.choice(CHINESE_TERMS)], times=times)


def _keywords_in_characters(rng: random.Random) -> Pair:
    """Whole words take the room of all their letters."""
    picked = rng.sample(rng.choice((ENGLISH_TERMS, CHINESE_TERMS)), rng.randint(2, 8))
    return _spec("characters", exactly=sum(map(len, picked)) - rng.randint(1, 3)), _spec("keywords", all=picked)


def _no_words(rng: random.Random) -> Pair:
    return _spec("words", exactly=0), _spec("keywords", all=[_term(rng)])


def _sentences_in_words(rng: random.Random) -> Pair:
    """A sentence has a word."""
    words = rng.randint(2, 12)
    return _spec("sentences", minimum=words + rng.randint(1, 5)), _spec("words", maximum=words)


def _words_in_characters(rng: random.Random) -> Pair:
    characters = rng.randint(3, 40)
    return _spec("words", minimum=characters + rng.randint(1, 20)), _spec("characters", maximum=characters)


def _words_without_sentences(rng: random.Random) -> Pair:
    return _spec("sentences", maximum=0), _spec("words", minimum=rng.randint(1, 30))


def _paragraphs_in_characters(rng: random.Random) -> Pair:
    """A paragraph has a character that is not white space."""
    paragraphs = rng.randint(3, 10)
    return _spec("paragraphs", exactly=paragraphs), _spec("characters", maximum=paragraphs - 1)


def _bullets_in_characters(rng: random.Random) -> Pair:
    """A bullet is a marker and something after it."""
    bullets = rng.randint(3, 10)
    return _spec("bullets", minimum=bullets), _spec("characters", maximum=2 * bullets - 1)


def _affixes_in_characters(rng: random.Random) -> Pair:
    """They share no letter, so they cannot lie over one another."""
    begin, end = rng.choice((("Hum", "idle"), ("Good day", "first"), ("首先", "再见。")))
    size = sum(len(text.replace(" ", "")) for text in (begin, end))
    return _spec("starts_with", text=begin), _spec("characters", maximum=size - 1), _spec("ends_with", text=end)


def _form_in_characters(rng: random.Random) -> Pair:
    """None of the forms can be written in fewer characters than their marks have."""
    form, room = rng.choice(
        (
            (_spec("title"), 3),
            (_spec("placeholders", minimum=4), 7),
            (_spec("highlights", minimum=5), 4),
            (_spec("sections", splitter="SECTION", minimum=3), 20),
            (_spec("postscript", marker="P.S."), 2),
            (_spec("responses"), 6),
            (_spec("capitals", minimum=6), 5),
            (_spec("repeats", text="Write a poem about the sea"), 12),
            (_spec("paragraph_start", paragraphs=5, paragraph=1, word="However"), 6),
            (_object_of("title", "author", "summary"), 17),
            (_spec("json_schema", schema={"type": "array", "items": {"type": "string"}, "minItems": 20}), 40),
        )
    )
    return form, _spec("characters", maximum=rng.randint(1, room))


def _paragraph_start_in_paragraphs(rng: random.Random) -> Pair:
    return _spec("paragraph_start", paragraphs=5, paragraph=2, word="However"), _spec("paragraphs", maximum=3)


# -- wanted and forbidden -------------------------------------------------------------------------------------------


def _keyword_forbidden(rng: random.Random) -> Pair:
    """A whole word is found by either match; one inside a longer word only by `substring`."""
    terms = rng.sample(ENGLISH_TERMS + CHINESE_TERMS, rng.randint(1, 4))
    wanted, banned = rng.choice((("word", "word"), ("word", "substring"), ("substring", "substring"), ("exact", "substring")))  # fmt: skip
    return _spec("keywords", all=terms, match=wanted), _spec("forbidden", words=[terms[0], "moss"], match=banned)


def _phrase_forbidden(rng: random.Random) -> Pair:
    phrase, word = rng.choice((("solar panel", "panel"), ("in the garden", "garden"), ("太阳能", "太阳")))
    return _spec("keywords", all=[phrase]), _spec("forbidden", words=[word])


def _any_forbidden(rng: random.Random) -> Pair:
    terms = rng.sample(ENGLISH_TERMS + CHINESE_TERMS, 3)
    return _spec("keywords", any=terms), _spec("forbidden", words=[*terms, "moss"])


def _beginning_forbidden(rng: random.Random) -> Pair:
    text, word = rng.choice((("In summary", "summary"), ("Dear reader", "reader"), ("首先我们", "首先")))
    return _spec(rng.choice(("starts_with", "ends_with")), text=text), _spec("forbidden", words=[word])


def _options_forbidden(rng: random.Random) -> Pair:
    choice = _options(rng)
    return choice, _spec("forbidden", words=list(choice.parameters["options"]))


def _repeated_forbidden(rng: random.Random) -> Pair:
    # Its last word could go on: riverside.
    return _spec("repeats", text="Tell me about the river"), _spec("forbidden", words=[rng.choice(("tell", "about"))])


def _paragraph_word_forbidden(rng: random.Random) -> Pair:
    return _spec("paragraph_start", paragraphs=3, paragraph=2, word="however"), _spec("forbidden", words=["however"])


def _booleans_forbidden(rng: random.Random) -> Pair:
    return _spec("json_schema", schema={"type": "boolean"}), _spec("forbidden", words=["true", "false"])


# -- letters --------------------------------------------------------------------------------------------------------


def _keyword_without_letter(rng: random.Random) -> Pair:
    term, letter = rng.choice((("tree", "e"), ("garden", "d"), ("rocket", "o"), ("money", "m")))
    return _spec("letters", letter=letter, maximum=0), _spec("keywords", all=[term, rng.choice(CHINESE_TERMS)])


def _keyword_of_many_letters(rng: random.Random) -> Pair:
    # The second word is there whole, so its letters come on top.
    return _spec("letters", letter="e", maximum=3), _spec("keywords", all=["tree", "bridge", "number"])


def _beginning_without_letter(rng: random.Random) -> Pair:
    kind, text = rng.choice((("starts_with", "Every"), ("ends_with", "the end.")))
    return _spec("letters", letter="e", maximum=0), _spec(kind, text=text)


def _booleans_without_letter(rng: random.Random) -> Pair:
    return _spec("letters", letter="e", maximum=0), _spec("json_schema", schema={"type": "boolean"})


def _keyword_of_another_script(rng: random.Random) -> Pair:
    script, terms = rng.choice((("Han", ENGLISH_TERMS), ("Latin", CHINESE_TERMS), ("Cyrillic", ENGLISH_TERMS)))
    return _spec("script", script=script), _spec("keywords", all=[rng.choice(terms)])


def _affix_of_another_script(rng: random.Random) -> Pair:
    script, text = rng.choice((("Han", "Hello"), ("Latin", "你好"), ("Greek", "Hello")))
    return _spec("script", script=script), _spec(rng.choice(("starts_with", "ends_with")), text=text)


def _keys_of_another_script(rng: random.Random) -> Pair:
    """A key may be written with \\u0074, but u is a letter too."""
    return _spec("script", script="Han"), _object_of("title", "year")


def _language_of_another_script(rng: random.Random) -> Pair:
    """The keyword makes sure of a letter, and Chinese has to have one that is not Latin."""
    return _spec("language", language="zh"), _spec("script", script="Latin"), _spec("keywords", all=["solar"])


def _keyword_of_another_case(rng: random.Random) -> Pair:
    """Only an exact keyword cares about case."""
    case, term = rng.choice((("lower", "NASA"), ("lower", "River"), ("upper", "river"), ("upper", "iPhone")))
    return _spec("case", case=case), _spec("keywords", all=[term], match="exact")


def _affix_of_another_case(rng: random.Random) -> Pair:
    case, text = rng.choice((("lower", "Hello"), ("upper", "Hello"), ("lower", "THE END")))
    return _spec("case", case=case), _spec(rng.choice(("starts_with", "ends_with")), text=text)


def _keys_of_another_case(rng: random.Random) -> Pair:
    """A key may be written with \\u0074, but that u is a small letter."""
    return _spec("case", case="upper"), _object_of("title", "year")


def _pattern_of_another_case(rng: random.Random) -> Pair:
    return _spec("case", case="lower"), _spec("regex", pattern="[A-Z]{3,8}", match="full")


def _capitals_in_lower_case(rng: random.Random) -> Pair:
    return _spec("case", case="lower"), _spec("capitals", minimum=rng.randint(1, 4))


# -- the form of the whole answer -----------------------------------------------------------------------------------


def _digits_and_others(rng: random.Random) -> Pair:
    other = rng.choice(
        (
            _spec("words", minimum=3),
            _spec("sentences", minimum=2),
            _spec("paragraphs", minimum=2),
            _spec("bullets", minimum=1),
            _spec("characters", minimum=12),
            _spec("keywords", all=[_term(rng)]),
            _spec("starts_with", text="Sure"),
            _spec("ends_with", text="谢谢。"),
            _spec("letters", letter="e", minimum=1),
            _spec("capitals", minimum=1),
            _spec("case", case="upper"),
            _spec("title"),
            _spec("placeholders", minimum=1),
            _spec("highlights", minimum=1),
            _spec("sections", splitter="Chapter", minimum=2),
            _spec("postscript", marker="P.S."),
            _spec("quoted"),
            _spec("responses"),
            _spec("repeats", text="Write a poem"),
            _spec("paragraph_start", paragraphs=2, paragraph=1, word="first"),
            _options(rng),
            _object_of("title"),
        )
    )
    return _digits(rng), other


def _grammar_and_others(rng: random.Random) -> Pair:
    other = rng.choice(
        (
            _spec("words", minimum=3),
            _spec("characters", minimum=12),
            _spec("keywords", all=[_term(rng)]),
            _spec("starts_with", text="Maybe"),
            _spec("forbidden", words=["yes", "no"]),
            _object_of("title"),
        )
    )
    return _spec("grammar", grammar='start: "yes" | "no"'), other


def _pattern_with_comma(rng: random.Random) -> Pair:
    return _spec("no_commas"), _spec("regex", pattern="[A-Z][a-z]+, [A-Z]{2}", match="full")


def _affix_with_comma(rng: random.Random) -> Pair:
    return _spec("no_commas"), _spec(rng.choice(("starts_with", "ends_with")), text="Well, then")


def _keyword_with_comma(rng: random.Random) -> Pair:
    return _spec("no_commas"), _spec("keywords", all=["bread, butter and jam"])


def _object_without_commas(rng: random.Random) -> Pair:
    """Between two members stands a comma."""
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": rng.randint(2, 5)}
    return _spec("no_commas"), rng.choice((_object_of("title", "year"), _spec("json_schema", schema=schema)))


def _json_and_affixes(rng: random.Random) -> Pair:
    kind, text = rng.choice(
        (
            ("starts_with", "Sure"),
            ("starts_with", "["),
            ("starts_with", "```json"),
            ("starts_with", "好的"),
            ("ends_with", "Thanks!"),
            ("ends_with", "]"),
            ("ends_with", "谢谢。"),
        )
    )
    return _object_of("title", "summary"), _spec(kind, text=text)


def _json_in_quotes(rng: random.Random) -> Pair:
    """What stands between quotation marks is a string to JSON."""
    return _object_of("title"), _spec("quoted")


def _json_of_few_values(rng: random.Random) -> Pair:
    schema = rng.choice(
        (
            {"type": "boolean"},
            {"enum": ["red", "green"]},
            {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"], "additionalProperties": False},
        )
    )  # fmt: skip
    return _spec("json_schema", schema=schema), _spec("keywords", all=[rng.choice(CHINESE_TERMS)])


def _json_of_one_word(rng: random.Random) -> Pair:
    schema = rng.choice(({"type": "boolean"}, {"type": "null"}))
    return _spec("json_schema", schema=schema), _spec("words", minimum=rng.randint(2, 40))


def _quoted_and_affixes(rng: random.Random) -> Pair:
    kind, text = rng.choice(
        (("starts_with", "Hello"), ("ends_with", "world"), ("starts_with", "你好"), ("ends_with", "。"))
    )
    return _spec("quoted"), _spec(kind, text=text)


def _repeated_and_beginning(rng: random.Random) -> Pair:
    return _spec("repeats", text="Write a poem about the sea"), _spec("starts_with", text=rng.choice(("Sure", "好的")))


def _choice_and_others(rng: random.Random) -> Pair:
    """Whatever the case, and with a full stop at the end, an option stays this short."""
    choice = _options(rng)
    other = rng.choice(
        (
            _spec("words", minimum=12),
            _spec("sentences", minimum=4),
            _spec("paragraphs", minimum=4),
            _spec("bullets", minimum=2),
            _spec("keywords", all=["moss"]),
            _spec("keywords", all=["苔藓"]),
            _spec("starts_with", text="Sure"),
            _spec("ends_with", text="!"),
            _spec("regex", pattern="[0-9]+", match="search"),
            _spec("quoted"),
            _spec("title"),
            _spec("placeholders", minimum=1),
            _spec("letters", letter="z", minimum=1),
            _object_of("title"),
        )
    )
    return choice, other


_MAKERS: tuple[Maker, ...] = (
    *(_range, _range, _two_beginnings, _two_endings, _two_choices, _two_cases, _two_schemas, _schemas_of_other_keys),
    *(_two_languages, _two_scripts, _often_and_seldom, _both_orders, _two_patterns),
    *(_keywords_in_words, _keywords_in_spaced_words, _keyword_often_in_words, _keywords_in_characters, _no_words),
    *(_sentences_in_words, _words_in_characters, _words_without_sentences, _paragraphs_in_characters),
    *(
        _bullets_in_characters,
        _affixes_in_characters,
        _form_in_characters,
        _form_in_characters,
        _paragraph_start_in_paragraphs,
    ),
    *(_keyword_forbidden, _phrase_forbidden, _any_forbidden, _beginning_forbidden, _options_forbidden),
    *(_repeated_forbidden, _paragraph_word_forbidden, _booleans_forbidden),
    *(_keyword_without_letter, _keyword_of_many_letters, _beginning_without_letter, _booleans_without_letter),
    *(_keyword_of_another_script, _affix_of_another_script, _keys_of_another_script, _language_of_another_script),
    *(_keyword_of_another_case, _affix_of_another_case, _keys_of_another_case, _pattern_of_another_case),
    *(_capitals_in_lower_case, _digits_and_others, _digits_and_others, _digits_and_others, _grammar_and_others),
    *(_pattern_with_comma, _affix_with_comma, _keyword_with_comma, _object_without_commas, _json_and_affixes),
    *(_json_in_quotes, _json_of_few_values, _json_of_one_word, _quoted_and_affixes, _repeated_and_beginning),
    *(_choice_and_others, _choice_and_others),
)
