"""IFEval's reference verifiers (package if-verifiable), run in an environment of their own.

    echo '[{"id": "punctuation:no_comma", "kwargs": {}, "text": "a, b"}]' | python ifeval_side.py     # ... "verdicts": [false]}

The verifiers ask NLTK for its punkt model, which no package index carries; nupunkt, the same algorithm with its model inside,
stands in for it. Words are NLTK's own. langdetect draws at random unless its seed is set, and so does the verifier of letters
for what is no ASCII letter: both are seeded, so that the same job has the same verdicts.
"""

from __future__ import annotations

import json
import random
import sys
from importlib.metadata import version
from typing import Any

import langdetect
import nltk
import nltk.data
import nupunkt
from if_verifiable.ifeval import instructions, instructions_registry, instructions_util
from nltk.tokenize import NLTKWordTokenizer

_PACKAGES = ("if-verifiable", "langdetect", "nltk", "nupunkt")


class _Punkt:
    @staticmethod
    def tokenize(text: str) -> list[str]:
        return list(nupunkt.sent_tokenize(text))


def _words(text: str) -> list[str]:
    words = NLTKWordTokenizer()
    return [word for sentence in nupunkt.sent_tokenize(text) for word in words.tokenize(sentence)]


def _prepare() -> None:
    langdetect.DetectorFactory.seed = 0
    instructions_util._get_sentence_tokenizer = _Punkt  # type: ignore[assignment]
    nltk.data.load = lambda *_, **__: _Punkt()
    nltk.word_tokenize = _words


def verdict(instruction_id: str, kwargs: dict[str, Any], text: str) -> bool:
    random.seed(0)
    checker = instructions_registry.INSTRUCTION_DICT[instruction_id](instruction_id)
    # Arguments that are null stand for arguments not given.
    checker.build_description(**{name: value for name, value in kwargs.items() if value is not None})
    return bool(checker.check_following(text))


def main() -> None:
    _prepare()
    assert instructions.instructions_util is instructions_util
    verdicts = [verdict(item["id"], item["kwargs"], item["text"]) for item in json.load(sys.stdin)]
    json.dump({"versions": {name: version(name) for name in _PACKAGES}, "verdicts": verdicts}, sys.stdout)


if __name__ == "__main__":
    main()
