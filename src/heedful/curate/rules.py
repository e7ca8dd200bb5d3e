"""Step: drop rows that teach something wrong, each with the name of the first rule that it breaks.

A rule looks at one row and returns what it found, or None when the row is fine. Rules are written for instruction
rows, which are short: thresholds made for web pages (Gopher, arXiv:2112.11446, table A1) are loosened where short rows
would trip them, and code, lists, tables and signatures are left alone. In doubt a row stays.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from heedful import requirements, text
from heedful.curate._frame import REJECT, Frame, drop_where, kept, per_example, rows_of
from heedful.curate.settings import CurateSettings
from heedful.errors import RequirementError, SettingsError
from heedful.project.settings import nearest
from heedful.records import Example, RequirementSpec

Rule = Callable[[Example, CurateSettings], str | None]


# -- the conversation ----------------------------------------------------------------------------------------------


def wrong_roles(example: Example, settings: CurateSettings) -> str | None:
    """An optional system message, then users and assistants in turn, the last word with the assistant."""
    roles = [message.role for message in example.messages]
    if roles[:1] == ["system"]:
        roles = roles[1:]
    allowed = {
        ("user", "assistant"),
        ("assistant", "user"),
        ("assistant", "tool"),
        ("tool", "tool"),
        ("tool", "assistant"),
    }
    if roles[:1] == ["user"] and roles[-1] == "assistant" and all(pair in allowed for pair in pairwise(roles)):
        return None
    return ", ".join(message.role for message in example.messages) or "no messages"


def empty_instruction(example: Example, settings: CurateSettings) -> str | None:
    """A user message says nothing."""
    return "" if any(m.role == "user" and not m.content.strip() for m in example.messages) else None


_SAYS_NOTHING = {"", "<nooutput>", "<no output>", "nooutput", "no output", "[no output]"}


def empty_answer(example: Example, settings: CurateSettings) -> str | None:
    """An answer says nothing; "<nooutput>" is how some data sets write that."""
    return "" if any(answer.strip().lower() in _SAYS_NOTHING for answer in _answers(example)) else None


def answer_equals_input(example: Example, settings: CurateSettings) -> str | None:
    """The answer repeats the question, or the input that follows the instruction (Self-Instruct, arXiv:2212.10560)."""
    question = example.prompt[-1].content if example.prompt else ""
    _, _, given = question.partition("\n\n")
    # Compared as written: putting capitals and commas where they belong is a task of its own.
    return "" if example.answer.strip() in (question.strip(), given.strip()) else None


def too_long(example: Example, settings: CurateSettings) -> str | None:
    """More tokens than `max_tokens`, all messages together."""
    num_tokens = sum(len(text.tokenize(message.content)) for message in example.messages)
    return f"{num_tokens} tokens" if num_tokens > settings.max_tokens else None


# -- the text -------------------------------------------------------------------------------------------------------

# UTF-8 read as Latin-1 or GBK, and the fill patterns of uninitialised memory read as GBK.
_MOJIBAKE = re.compile("\ufffd|â€[™œ\u009d“”˜]|Ã[©¨¤¶¼±³¡]|锟斤拷|烫烫烫|屯屯屯")


def broken_encoding(example: Example, settings: CurateSettings) -> str | None:
    """Characters that only a wrong decoding leaves behind."""
    found = _first_match(_MOJIBAKE, *(message.content for message in example.messages))
    return repr(found) if found is not None else None


_SCAFFOLD = re.compile(
    r"\{\{\s*[\w .-]+\s*\}\}|\[(?:your|insert|company|recipient|sender)\b[^\]\n]{0,40}\]|\[(?:您|你)的[^\]\n]{1,12}\]|【(?:您|你)的[^】\n]{1,12}】"
    r"|^\#{2,}\ (?:instruction|input|response|output)\b|<\|[a-z_]+\|>|\[/?INST\]|<noinput>",
    re.IGNORECASE | re.MULTILINE,
)


def scaffold(example: Example, settings: CurateSettings) -> str | None:
    """Placeholders and prompt parts in an answer: "{{name}}", "[Your Name]", "### Response". What the user wrote is fine."""
    return _leftover(_SCAFFOLD, example, [_without_code(answer) for answer in _answers(example)])


_REFUSAL = re.compile(
    r"(?:\A|[.!?,:\n]\s*)as an? (?:AI|artificial intelligence|(?:large )?language model)(?: (?:language )?(?:model|assistant|system))?,? I\b"
    r"|\bI(?:'m| am) (?:just |only )?an? (?:AI|(?:large )?language model)\b(?!-)"
    r"|\A(?:I'm |I am )?sorry,? (?:but )?I (?:cannot|can't|am unable to|am not able to)"
    r" (?:assist|help|fulfill?|comply|answer|provide|generate|complete|process)\b"
    r"|作为(?:一个|一款|一名)?(?:AI|人工智能|大?语言模型)|我(?:只)?是(?:一个|一款)(?:AI|人工智能|大?语言模型)"
    r"|\A(?:很|非常)?抱歉，我(?:无法|不能)(?:回答|提供|协助|帮助|完成|满足|生成)",
    re.IGNORECASE,
)


def refusal(example: Example, settings: CurateSettings) -> str | None:
    """An answer in which the model that wrote it speaks of itself: "As an AI language model, I cannot ..."."""
    return _leftover(_REFUSAL, example, _answers(example))


MIN_REPEATED_LINES = 6
MAX_DUPLICATE_LINES = 0.5
MIN_REPEATED_TOKENS = 40
MAX_TOP_BIGRAM = 0.4
MAX_DUPLICATE_NGRAMS = 0.5


def repeats(example: Example, settings: CurateSettings) -> str | None:
    """An answer goes round in circles.

    Gopher asks for at most 0.30 duplicate lines, at most 0.20 of a text in its most frequent 2-gram, and at most 0.15 in
    duplicate 5-grams. On Alpaca, even twice that finds songs with refrains, multiplication tables and lists of books
    of one series, so the limits are wider here, and nothing is judged below 6 lines or 40 tokens.
    """
    for answer in _answers(example):
        found = _repeated_lines(answer) or _repeated_ngrams(answer)
        if found:
            return found
    return None


def _repeated_lines(answer: str) -> str | None:
    lines = text.lines(_without_code(answer))
    if len(lines) < MIN_REPEATED_LINES:
        return None
    # Short lines ("}", "else:", "- yes") recur in code and lists.
    lines = [line.strip() for line in lines if len(text.tokenize(line)) >= 4]
    duplicated = 1 - len(set(lines)) / len(lines) if len(lines) >= MIN_REPEATED_LINES else 0.0
    return f"{duplicated:.2f} duplicate lines" if duplicated > MAX_DUPLICATE_LINES else None


def _repeated_ngrams(answer: str) -> str | None:
    tokens = text.tokenize(_without_code(answer))
    if len(tokens) < MIN_REPEATED_TOKENS:
        return None
    # Figures and single letters recur in tables of truth and multiplication.
    words = [token for token in tokens if token.isalpha() and (len(token) > 1 or text.is_unspaced(token))]
    for bigram, count in Counter(text.ngrams(words, 2)).most_common(1):
        if count * 2 / len(tokens) > MAX_TOP_BIGRAM:
            return f"{count} times {' '.join(bigram)!r}"
    duplicated = text.repetition(tokens, 5)
    return f"{duplicated:.2f} duplicate 5-grams" if duplicated > MAX_DUPLICATE_NGRAMS else None


_DANGLING = re.compile(
    r"[,;，、；]$|\b(?:the|an|and|or|of|to|with|from|because|that|which|is|are|was|were)$|[和与或的及]$", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)\]）」』]*(?:\s|$)|[。！？]")
MIN_UNFINISHED_TOKENS = 25


def unfinished(example: Example, settings: CurateSettings) -> str | None:
    """The last answer breaks off: an open code fence, or a long last paragraph that stops in the middle of a sentence.

    Only paragraphs of at least 25 tokens that end at least one sentence before are judged: headings, list items, names
    under letters and short answers end without a full stop, and rightly so.
    """
    answer = example.answer.rstrip()
    if len(re.findall(r"^\s*```", answer, re.MULTILINE)) % 2:
        return "open code fence"
    paragraph = answer.rsplit("\n", 1)[-1]
    if not _DANGLING.search(paragraph[-12:]) or len(text.tokenize(paragraph)) < MIN_UNFINISHED_TOKENS:
        return None
    has_earlier_sentence = _SENTENCE_END.search(paragraph[:-1]) is not None
    is_judged = has_earlier_sentence and _is_prose(paragraph) and not text.bullets(paragraph)
    return paragraph[-20:] if is_judged else None


# -- promises of the row itself --------------------------------------------------------------------------------------


def requirement_not_satisfied(example: Example, settings: CurateSettings) -> str | None:
    """The answer breaks a requirement that the row itself states."""
    for verdict in requirements.check_all(example.requirements, example.answer):
        if not verdict.satisfied:
            return verdict.reason
    return None


_NAMES_A_LANGUAGE = re.compile(
    r"translat|\blanguage\b|翻译|译成|译为|[英中汉法德日俄韩外]语|[英中汉法德日俄韩]文|"
    r"\b(?:english|chinese|mandarin|french|german|spanish|italian|portuguese|russian|japanese|korean|arabic|hindi|greek|hebrew|thai)\b",
    re.IGNORECASE,
)
MIN_LANGUAGE_TOKENS = 12


def language_mismatch(example: Example, settings: CurateSettings) -> str | None:
    """The answer is in another script than the row's language, and nobody asked for that.

    Judged only where it is sure: Chinese or English rows, at least twelve tokens of prose, nine letters in ten of the other
    script, no language named in the prompt, and the answer is no quotation from the prompt.
    """
    foreign = {"en": "Han", "zh": "Latin"}.get(example.language)
    prose = _without_code(example.answer)
    if foreign is None or text.script_of(prose) != foreign:
        return None
    if any(example.answer in message.content for message in example.prompt):
        return None
    letters = [character for character in prose if character.isalpha()]
    share = sum(text.script_of(character) == foreign for character in letters) / len(letters)
    is_sure = share >= 0.9 and len(text.tokenize(prose)) >= MIN_LANGUAGE_TOKENS and _is_prose(prose)
    prompt = [message.content for message in example.prompt]
    # A sentence quoted from a text in the prompt is in the text's language, whatever the question's.
    is_quoted = any(example.answer.strip() in content for content in prompt)
    if not is_sure or is_quoted or any(_NAMES_A_LANGUAGE.search(content) for content in prompt):
        return None
    return f"{share:.0%} of the letters are {foreign}, the row's language is {example.language}"


RULES: dict[str, Rule] = {
    "wrong_roles": wrong_roles,
    "empty_instruction": empty_instruction,
    "empty_answer": empty_answer,
    "answer_equals_input": answer_equals_input,
    "too_long": too_long,
    "broken_encoding": broken_encoding,
    "scaffold": scaffold,
    "refusal": refusal,
    "repeats": repeats,
    "unfinished": unfinished,
    "requirement_not_satisfied": requirement_not_satisfied,
    "language_mismatch": language_mismatch,
}
"""In the order in which they are asked; the name is the reason in the funnel."""


def rules(frame: Frame, settings: CurateSettings) -> Frame:
    """Apply every rule that `settings.skip_rules` does not name."""
    for name in settings.skip_rules:
        if name not in RULES:
            raise SettingsError(f"curate.skip_rules: unknown rule {name!r}; {nearest(name, list(RULES))}")
    _check_specs(frame)
    asked = {name: rule for name, rule in RULES.items() if name not in settings.skip_rules}

    def first_broken(example: Example) -> dict[str, str] | None:
        for name, rule in asked.items():
            detail = rule(example, settings)
            if detail is not None:
                return {"reason": name, "detail": detail}
        return None

    return drop_where(frame, per_example(first_broken, REJECT))


def _check_specs(frame: Frame) -> None:
    """Raise RequirementError, naming the row, before any work: inside Daft it would lose its type."""
    known: set[str] = set()
    for row in rows_of(kept(frame), "id", "requirements"):
        if row["requirements"] in known:
            continue
        known.add(row["requirements"])
        for item in json.loads(row["requirements"]):
            try:
                requirements.parse(RequirementSpec.from_dict(item))
            except RequirementError as error:
                raise RequirementError(f"row {row['id']}: {error}") from None


# -- shared by the rules ----------------------------------------------------------------------------------------------


def _answers(example: Example) -> list[str]:
    return [message.content for message in example.messages if message.role == "assistant"]


_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_CODE_LINE = re.compile(r"[{};=<>|\\]|\w\(|^\s{4,}\S|^\s*#include|^\s*(?:def|class|import|return)\b", re.MULTILINE)


def _without_code(content: str) -> str:
    return _CODE.sub(" ", content)


def _is_prose(content: str) -> bool:
    """No sign of code, formulas or tables."""
    return _CODE_LINE.search(content) is None


def _first_match(pattern: re.Pattern[str], *contents: str) -> str | None:
    for content in contents:
        if match := pattern.search(content):
            return match.group()
    return None


def _leftover(pattern: re.Pattern[str], example: Example, answers: list[str]) -> str | None:
    """The first match in `answers` that the prompt does not contain: who writes about placeholders gets placeholders."""
    found = _first_match(pattern, *answers)
    if found is None or any(found.lower() in message.content.lower() for message in example.prompt):
        return None
    return found
