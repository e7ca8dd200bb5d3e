"""Texts -> an ordinary model folder trained from nothing: tokenizer, token shards on disk, rows of them, and the one loop.

`corpus.py` is what texts must offer, `tokenizer.py` learns byte-level BPE from them, `shards.py` writes their tokens to
memory-mapped files, `rows.py` cuts those into training rows, `architectures.py` builds models of a chosen size,
`running.py` joins the parts. What is minimised is in `train/objectives/pretraining.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful._lazy import public_names

if TYPE_CHECKING:
    from heedful.train.pretraining.corpus import Corpus, Texts
    from heedful.train.pretraining.running import PretrainResult, pretrain
    from heedful.train.pretraining.settings import PretrainSettings

__all__ = ["Corpus", "PretrainResult", "PretrainSettings", "Texts", "pretrain"]

__getattr__ = public_names(
    __name__,
    {
        "Corpus": "corpus",
        "Texts": "corpus",
        "PretrainResult": "running",
        "pretrain": "running",
        "PretrainSettings": "settings",
    },
)
