"""The key: read from an environment variable, sent in one header, and shown nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from heedful.errors import SettingsError

# Servers quote a refused key with its middle starred out, or a mistyped one as it was typed: its beginning tells them.
_TELLTALE = 4
_SHORTEST = 8


class Secret:
    """What `$name` holds now; empty sends no key."""

    __slots__ = ("_key", "_name")

    def __init__(self, name: str) -> None:
        self._name, self._key = name, os.environ.get(name, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise SettingsError(f"the key in ${name} holds characters that no key has; set it again")

    def __repr__(self) -> str:
        return f"Secret(${self._name})"

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def hidden(self, text: str) -> str:
        """`text` without the key, and without words that begin like it."""
        if not self._key:
            return text
        text = text.replace(self._key, "[key]")
        if len(self._key) < _SHORTEST:
            return text
        return re.sub(rf"{re.escape(self._key[:_TELLTALE])}[^\s\"',;]*", "[key]", text)

    def advice(self) -> str:
        """After a refusal."""
        state = "set, but not accepted" if self._key else "not set"
        return f"the key is read from ${self._name}, which is {state}"
