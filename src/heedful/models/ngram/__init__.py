"""documents as token ids -> an n-gram language model: interpolated modified Kneser-Ney (Chen & Goodman 1999).

What a probability is, from the longest n-gram down to chance, is in `smoothing`; `counting` says how n-grams are kept,
`model` how they are looked up, saved and loaded, `arpa` writes the text that KenLM and others read.
"""

from heedful.models.ngram.arpa import write_arpa
from heedful.models.ngram.model import NGramModel, NGramSettings, fit
from heedful.models.ngram.smoothing import Discounts

__all__ = ["Discounts", "NGramModel", "NGramSettings", "fit", "write_arpa"]
