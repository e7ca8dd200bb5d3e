"""All tokens of a vocabulary read by an automaton at once: level by level through the tree of their characters.

What begins in the same way is read once, and what the automaton refuses is not read on. Which state follows which is remembered.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.masks.texts import Batch
from heedful.constraints.regular import Regular, State

_UNKNOWN, _DEAD = -2, -1

Numbers = NDArray[np.int64]


class Tree:
    """The texts of a batch of tokens."""

    def __init__(self, batch: Batch) -> None:
        nodes: dict[tuple[int, str], int] = {}
        levels: list[list[tuple[int, str]]] = []
        ends: list[int] = []
        for text in batch.texts:
            node = -1
            for depth, character in enumerate(text):
                key = (node, character)
                known = nodes.get(key)
                if known is None:
                    known = nodes[key] = len(nodes)
                    if depth == len(levels):
                        levels.append([])
                    levels[depth].append(key)
                node = known
            ends.append(node)
        self.characters = sorted({character for level in levels for _, character in level})
        places = {character: place for place, character in enumerate(self.characters)}
        self.num_nodes = len(nodes)
        self.levels = [
            (
                np.array([nodes[key] for key in level], np.int64),
                np.array([parent for parent, _ in level], np.int64),
                np.array([places[character] for _, character in level], np.int64),
            )
            for level in levels
        ]
        """For each depth: nodes, their parents (-1 for none), and their characters by number."""
        self.ends = np.array(ends, np.int64)
        """The node of each token."""


@lru_cache(maxsize=64)
def tree_of(batch: Batch) -> Tree:
    """Made once for each batch."""
    return Tree(batch)


class Walks:
    """Of one automaton."""

    def __init__(self, regular: Regular) -> None:
        self._regular = regular
        self.states: list[State] = []
        """By their number."""
        self._numbers: dict[State, int] = {}
        self._letters: dict[Tree, Numbers] = {}
        self._samples: dict[int, str] = {}
        self._table: Numbers = np.full((16, 8), _UNKNOWN, np.int64)

    def number(self, state: State) -> int:
        """Of a state, now and later."""
        found = self._numbers.get(state)
        if found is None:
            found = self._numbers[state] = len(self.states)
            self.states.append(state)
        return found

    def read(self, state: State, tree: Tree) -> Numbers:
        """(tokens,): the number of the state behind each token, or -1."""
        letters = self._letters_of(tree)
        reached = np.full(tree.num_nodes + 1, _DEAD, np.int64)
        # The last place is the parent of the first characters.
        reached[-1] = self.number(state)
        for nodes, parents, characters in tree.levels:
            before = reached[parents]
            is_alive = before >= 0
            if not is_alive.any():
                break
            alive = np.flatnonzero(is_alive)
            reached[nodes[alive]] = self._after(before[alive], letters[characters[alive]])
        return reached[tree.ends]

    def _after(self, states: Numbers, letters: Numbers) -> Numbers:
        self._grow(int(letters.max()) + 1)
        found = self._table[states, letters]
        if (found == _UNKNOWN).any():
            pairs = np.unique(np.stack([states, letters], axis=1)[found == _UNKNOWN], axis=0)
            for state, letter in pairs.tolist():
                after = self._regular.step(self.states[state], self._samples[letter])
                number = _DEAD if after is None else self.number(after)
                self._grow(0)
                self._table[state, letter] = number
            found = self._table[states, letters]
        return found

    def _grow(self, num_letters: int) -> None:
        rows, width = self._table.shape
        if len(self.states) > rows or num_letters > width:
            grown = np.full((max(2 * len(self.states), rows), max(num_letters, width)), _UNKNOWN, np.int64)
            grown[:rows, :width] = self._table
            self._table = grown

    def _letters_of(self, tree: Tree) -> Numbers:
        if tree not in self._letters:
            letters = [self._regular._alphabet.letter(character) for character in tree.characters]
            for letter, character in zip(letters, tree.characters, strict=True):
                self._samples.setdefault(letter, character)
            self._letters[tree] = np.array(letters, np.int64)
        return self._letters[tree]
