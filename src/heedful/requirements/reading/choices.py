"""One of a few answers: "Answer with exactly one of the following phrases: ..."."""

from __future__ import annotations

import re
from collections.abc import Iterator

from heedful.requirements.reading.cutting import Passage, Sentence
from heedful.requirements.reading.found import Found, Rule, found
from heedful.requirements.reading.items import read_items

_ONE_OF = re.compile(
    r"\b(?:(?:answer|respond|reply|say|choose|select|pick|use)\s+(?:\w+\s+){0,3}?(?:with|using|from|one|either)\b[^:\n\ue000]{0,90}|your (?:\w+ )?(?:answer|response|reply) (?:must|should) (?:be|contain|include) (?:exactly )?one of\b[^:\n\ue000]{0,60})(?P<colon>:\s*|\s*(?=[(\ue000]))"
)
_DIRECT = re.compile(
    r"\b(?:(?:just|only|simply) (?:say|answer|reply|respond)|(?:answer|respond|reply)(?: with)?(?: only| just| either)?)\s+(?=\ue000)"
)
_ONLY = re.compile(r"\b(?:one of|from the following|choose from|either|options?|exact phrase)\b")
_CONTAINS = re.compile(r"contain|include")
_LINE = re.compile(r"[^\n]{1,100}")
_MARK = re.compile(r"\s*(?:[-*•]|\d+[.)]|\(?[a-z]\))\s+", re.IGNORECASE)


def _choice(passage: Passage, sentence: Sentence) -> Iterator[Found]:
    for pattern in (_ONE_OF, _DIRECT):
        for match in pattern.finditer(passage.masked, sentence.start, min(sentence.end + 1, len(passage.masked))):
            if pattern is _ONE_OF and not _ONLY.search(match.group()):
                continue
            options, end = _options(passage, match.end())
            if len(options) < 2:
                continue
            around = passage.masked[match.start() : end + 80]
            span = (match.start() - sentence.start, end - sentence.start)
            if _CONTAINS.search(match.group()) or _CONTAINS.search(around[end - match.start() :]):
                yield found("keywords", sentence, *span, any=options)
            else:
                yield found("choice", sentence, *span, options=options)
            return


def _options(passage: Passage, at: int) -> tuple[list[str], int]:
    items = read_items(passage, at, bare=False)
    if items is not None and len(items.phrases) > 1:
        return list(items.phrases), items.end
    if "\n" not in passage.text[max(0, at - 1) : at + 1] and passage.text[at - 2 : at].strip() != ":":
        return [], at
    options: list[str] = []
    end = at
    for line in _LINE.finditer(passage.text, at):
        if "\n\n" in passage.text[end : line.start()] and options:
            break
        option = _MARK.sub("", line.group(), count=1).strip().strip("\"'“”")
        # A long line, or one that goes on after its full stop, is talk and no option.
        if (
            not option
            or len(option) > 60
            or re.search(r"[.!?]\s|:$", option)
            or _talk(line.group())
            or len(options) > 20
        ):
            break
        options.append(option)
        end = line.end()
    return options, end


def _talk(line: str) -> bool:
    return re.match(r"\s*(?:just|please|choose|do not|your|make|use|write)\b", line, re.IGNORECASE) is not None


RULES = (Rule(("one of", "choose", "select", "pick", "answer", "respond", "reply", "say"), _choice),)
