"""Plain text -> token ids, and ids -> the text and the bytes that each brings to an answer, as OpenAI's API tells of tokens.

Byte-level tokenizers (GPT-2's, and all that descend from it) and SentencePiece's (Llama 2, T5) keep bytes in their tokens, each
in a way of its own. Of any other tokenizer only texts are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

_HEXADECIMAL = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "\u2581"


@dataclass(frozen=True, slots=True)
class Token:
    """What one token of an answer is."""

    text: str
    r"""Part of a character is written as OpenAI writes it: `bytes:\xe4\xbd`. Control tokens have a name, which no answer shows."""
    data: bytes | None
    """What it adds to the answer's UTF-8: nothing for control tokens. None where the tokenizer does not tell."""


class Vocabulary:
    """The tokens of one tokenizer. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        # A copy of its own: settings of a shared tokenizer may change while another thread uses it.
        self._tokenizer = tokenizer = Tokenizer.from_str(tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        added = tokenizer.get_added_tokens_decoder()
        self._control = {index: token.content for index, token in added.items() if token.special}
        self._plain = {index: token.content for index, token in added.items() if not token.special}
        self._kind = _kind(json.loads(tokenizer.to_str())["decoder"])
        self.drops_first_space = self._kind == "spaces" and self._drops_the_first_space()
        """Whether the text of an answer lacks the space that its first token begins with."""

    def encode(self, text: str) -> list[int]:
        """The start token of the model included; special tokens in the text are read as such."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def token(self, index: int, *, is_first: bool = False) -> Token:
        """The token called `index`; the first one of an answer may lose its space."""
        if index in self._control:
            return Token(self._control[index], b"")
        data = self._data(index)
        if data is None:
            return Token(str(self._tokenizer.decode([index])), None)
        if is_first and self.drops_first_space and data.startswith(b" "):
            data = data[1:]
        return Token(_shown(data), data)

    def _data(self, index: int) -> bytes | None:
        if index in self._plain:
            return self._plain[index].encode("utf-8")
        piece = self._tokenizer.id_to_token(index)
        if piece is None:
            # Models may have more rows than the tokenizer has tokens; they decode to nothing.
            return b""
        if self._kind == "bytes":
            known = [_BYTES.get(character) for character in piece]
            return piece.encode("utf-8") if None in known else bytes(byte for byte in known if byte is not None)
        if self._kind == "spaces":
            byte = _HEXADECIMAL.fullmatch(piece)
            return bytes([int(byte[1], 16)]) if byte else piece.replace(_SPACE, " ").encode("utf-8")
        return None

    def _drops_the_first_space(self) -> bool:
        for piece, index in self._tokenizer.get_vocab().items():
            if piece.startswith(_SPACE) and piece.count(_SPACE) == 1 < len(piece) and index not in self._control:
                return not self._tokenizer.decode([index]).startswith(" ")
        return False


def _shown(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _kind(decoder: Any) -> str:
    """How tokens hold bytes: one character for each ("bytes"), as text with marked spaces ("spaces"), or some other way ("")."""
    types = set(_types(decoder))
    if "ByteLevel" in types:
        return "bytes"
    return "spaces" if types & {"Metaspace", "ByteFallback"} else ""


def _types(decoder: Any) -> Iterator[str]:
    if isinstance(decoder, dict):
        yield str(decoder.get("type"))
        for part in decoder.get("decoders", ()):
            yield from _types(part)


def _byte_characters() -> dict[str, int]:
    """The characters by which byte-level tokenizers write bytes: printable ones as themselves, others from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_characters()
