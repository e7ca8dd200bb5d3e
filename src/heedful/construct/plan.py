"""Which fact meets which wording, in which order: the same for every process, and no root used much more than others.

Draws go round over blocks, over the kinds of fact in a block, and over the wordings of a kind; a wording takes the
fact whose section, and then whose document, was used least so far. So no kind, document or wording dominates.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from heedful.construct.fact import Fact
from heedful.construct.roots import Roots
from heedful.construct.wordings import Wording
from heedful.project import stream

Item = TypeVar("Item")
Pair = tuple[Fact, Wording]


def suits(wording: Wording, fact: Fact) -> bool:
    """A Chinese text is asked about in Chinese; an English one in either language, as people do who read English texts.

    Only `document_qa` keeps to the language of the text: there a model writes the question.
    """
    if wording.kind != fact.kind:
        return False
    if fact.kind == "document_qa":
        return wording.language == fact.material.language
    return wording.language == "zh" or fact.material.language != "zh"


def plan(facts: Sequence[Fact], wordings: Sequence[Wording], roots: Roots, seed: int) -> Iterator[Pair]:
    """Every allowed pair of fact and wording once, in balanced order; depends on its arguments only."""
    used: Counter[object] = Counter()
    by_block: dict[int, dict[str, list[Fact]]] = {}
    for fact in facts:
        by_block.setdefault(roots.documents[fact.material.document.id], {}).setdefault(fact.kind, []).append(fact)
    blocks = []
    for block in range(roots.num_blocks):
        kinds: dict[str, list[Iterator[Pair]]] = {}
        for wording in wordings:
            if roots.wordings[wording.id] == block:
                suitable = [fact for fact in by_block.get(block, {}).get(wording.kind, ()) if suits(wording, fact)]
                kinds.setdefault(wording.kind, []).append(_least_used_first(suitable, wording, used, seed))
        order = sorted(kinds)
        stream(seed, "kinds of block", block).shuffle(order)
        blocks.append(in_turn([in_turn(kinds[kind]) for kind in order]))
    return in_turn(blocks)


def in_turn(sources: Iterable[Iterator[Item]]) -> Iterator[Item]:
    """One item of each source, then the next of each; sources that are empty drop out."""
    waiting = list(sources)
    while waiting:
        left = []
        for source in waiting:
            for item in source:
                yield item
                left.append(source)
                break
        waiting = left


def _least_used_first(facts: Sequence[Fact], wording: Wording, used: Counter[object], seed: int) -> Iterator[Pair]:
    """Each fact once. `used` counts sections and documents over all wordings, so keys in the heap grow stale:
    a fact whose key has grown since goes back with its new one.
    """

    def key(place: int) -> tuple[int, int, int]:
        document, section = facts[place].material.document.id, facts[place].material.section.title
        return used[document, section], used[document], place_in_order[place]

    order = list(range(len(facts)))
    stream(seed, "facts of", wording.id).shuffle(order)
    place_in_order = {place: position for position, place in enumerate(order)}
    heap = [(*key(place), place) for place in order]
    heapq.heapify(heap)
    while heap:
        *known, place = heapq.heappop(heap)
        if tuple(known) != key(place):
            heapq.heappush(heap, (*key(place), place))
            continue
        document, section = facts[place].material.document.id, facts[place].material.section.title
        used[document, section] += 1
        used[document] += 1
        yield facts[place], wording
