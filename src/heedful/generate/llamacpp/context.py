"""One GGUF model in llama.cpp with room for one text: token ids in, logits out. Template, tokenizer and sampler are ours.

Only what `llama.h` offers is called, through llama-cpp-python's bindings of the same names; that package's own classes
bring everything else with them, and change more often. Not safe to use from several threads at once.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heedful.errors import EngineError, ModelError

INSTALL = "pip install 'heedful[llamacpp]'"
CHUNK = 128
"""Tokens read in one pass. Passes begin at multiples of it, so that what is kept of an earlier prompt is to the last bit
what reading it again would give: an answer does not depend on what was asked before."""


def library() -> Any:
    """llama-cpp-python; raises ModelError with the command that brings it."""
    # Its log goes to standard error, unless told so before it is loaded.
    logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL + 1)
    try:
        return importlib.import_module("llama_cpp")
    except ImportError as error:
        raise ModelError(
            f"llama.cpp is not installed ({error}); bring it with: {INSTALL}. It is compiled on this machine, "
            "which takes a C++ compiler and some minutes"
        ) from None


class Context:
    """A loaded model, and the keys and values of the text that it has read."""

    def __init__(self, path: Path, *, max_length: int, num_threads: int) -> None:
        """Room for `max_length` tokens, or for what the model was trained to read where that is less."""
        self._lib = library()
        self.version = str(self._lib.__version__)
        self.num_threads = num_threads
        self._lib.llama_backend_init()
        self._model = self._lib.llama_model_load_from_file(os.fsencode(path), self._lib.llama_model_default_params())
        self._context: Any = None
        self._batch: Any = None
        try:
            if not self._model:
                raise ModelError(f"{path}: llama.cpp cannot load this file; it may be damaged: copy or export it again")
            if self._lib.llama_model_has_encoder(self._model):
                raise ModelError(
                    f"{path}: llama.cpp reads it as an encoder and decoder; use the local engine for such models"
                )
            self.max_length = min(max_length, int(self._lib.llama_model_n_ctx_train(self._model)))
            self._context = self._lib.llama_init_from_model(self._model, self._parameters())
            if not self._context:
                raise ModelError(f"{path}: llama.cpp has no memory for {self.max_length} tokens of it; free some")
        except BaseException:
            self.close()
            raise
        self.num_vocabulary = int(self._lib.llama_vocab_n_tokens(self._lib.llama_model_get_vocab(self._model)))
        self._memory = self._lib.llama_get_memory(self._context)
        self._batch = self._lib.llama_batch_init(CHUNK, 0, 1)
        self._chunks: list[tuple[int, ...]] = []
        """Whole chunks of prompt at the text's beginning, each read in one pass."""
        self._length = 0

    @property
    def precision(self) -> str:
        """Of the weights, in llama.cpp's words: "Q4_1"."""
        buffer = ctypes.create_string_buffer(128)
        self._lib.llama_model_desc(self._model, buffer, len(buffer))
        # Behind the architecture and a size that is guessed from the number of layers.
        return buffer.value.decode("utf-8", "replace").split(maxsplit=2)[-1]

    def begin(self, ids: Sequence[int], *, needed_from: int) -> int:
        """Forget all but what the text so far shares with `ids`; returns how many of `ids` need not be read.

        Never more than `needed_from`: from there on logits are wanted.
        """
        kept = 0
        while kept < len(self._chunks) and (kept + 1) * CHUNK <= needed_from:
            if self._chunks[kept] != tuple(ids[kept * CHUNK : (kept + 1) * CHUNK]):
                break
            kept += 1
        # Models with states of another kind (recurrent ones) can only forget everything.
        if not self._lib.llama_memory_seq_rm(self._memory, 0, kept * CHUNK, -1):
            self._lib.llama_memory_clear(self._memory, True)
            kept = 0
        self._chunks, self._length = self._chunks[:kept], kept * CHUNK
        return self._length

    def read(self, ids: Sequence[int], *, num_logits: int = 1) -> torch.Tensor:
        """Append at most `CHUNK` tokens to the text; logits after the last `num_logits` of them, (num_logits, V)."""
        batch, start = self._batch, self._length
        batch.n_tokens = len(ids)
        for place, token in enumerate(ids):
            batch.token[place], batch.pos[place] = token, start + place
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            batch.logits[place] = place >= len(ids) - num_logits
        if (code := self._lib.llama_decode(self._context, batch)) != 0:
            # The text is in an unknown state; the next one begins from nothing.
            self._chunks, self._length = [], 0
            self._lib.llama_memory_clear(self._memory, True)
            raise EngineError(f"llama.cpp failed with code {code}; if memory ran out, free some and try again")
        if len(ids) == CHUNK and start == len(self._chunks) * CHUNK:
            self._chunks.append(tuple(ids))
        self._length += len(ids)
        return (
            torch.stack([self._logits(place) for place in range(len(ids) - num_logits, len(ids))])
            if num_logits
            else _NONE
        )

    def _logits(self, place: int) -> torch.Tensor:
        pointer = self._lib.llama_get_logits_ith(self._context, place)
        # Copied: the next pass writes to the same place.
        return torch.from_numpy(np.ctypeslib.as_array(pointer, shape=(self.num_vocabulary,)).copy())

    def close(self) -> None:
        """Free the memory. Nothing may be called afterwards but this."""
        if self._batch is not None:
            self._lib.llama_batch_free(self._batch)
        if self._context:
            self._lib.llama_free(self._context)
        if self._model:
            self._lib.llama_model_free(self._model)
        self._batch = self._context = self._model = None

    def _parameters(self) -> Any:
        lib, parameters = self._lib, self._lib.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = self.max_length, 1
        parameters.n_batch = parameters.n_ubatch = CHUNK
        parameters.n_threads = parameters.n_threads_batch = self.num_threads
        # As the local engine has it: keys and values in 32 bits, plain attention.
        parameters.type_k = parameters.type_v = lib.GGML_TYPE_F32
        parameters.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.no_perf = True
        return parameters


_NONE = torch.empty(0)
