"""text -> words, sentences, tokens, measures: one multilingual way to count and compare, used by every room.

Requirements, constraints, metrics, novelty and duplicate search all count with these functions, so that what is
asked for, enforced and checked is the same thing. Chinese and English are equal: where a script is written without
spaces, each character is a word.
"""

from heedful.text._languages import detect_language, script_of
from heedful.text._normal import normalize
from heedful.text._overlap import (
    edit_distance,
    jaccard,
    lcs_length,
    most_similar,
    ngrams,
    repetition,
    shingles,
    similarity,
)
from heedful.text._sentences import bullets, lines, num_sentences, sentences
from heedful.text._visible import visible
from heedful.text._words import fold, is_unspaced, num_characters, num_words, tokenize, words

__all__ = [
    "bullets",
    "detect_language",
    "edit_distance",
    "fold",
    "is_unspaced",
    "jaccard",
    "lcs_length",
    "lines",
    "most_similar",
    "ngrams",
    "normalize",
    "num_characters",
    "num_sentences",
    "num_words",
    "repetition",
    "script_of",
    "sentences",
    "shingles",
    "similarity",
    "tokenize",
    "visible",
    "words",
]
