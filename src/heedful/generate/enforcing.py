"""From a request's requirements to the constraint that an engine keeps its answers to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from heedful.errors import InputError, RequirementError
from heedful.generate.engine import Request
from heedful.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from heedful.constraints import Composition, TokenTable


class Enforcer:
    """Composes constraints for one tokenizer, whose tokens are read when they are first needed."""

    def __init__(self, tokenizer: Any, end_ids: Sequence[int]) -> None:
        """`tokenizer` as transformers loads it; `end_ids` end an answer."""
        self._tokenizer, self._end_ids = tokenizer, tuple(end_ids)
        self._table: TokenTable | None = None

    def constraint(self, request: Request, max_tokens: int) -> Composition | None:
        """None when nothing is to be enforced; raises RequirementError for what cannot be kept within `max_tokens`."""
        specs = [spec for spec in request.requirements if spec.enforce]
        if not specs:
            return None
        # Most requests have none, and the libraries behind it take a while to import.
        from heedful.constraints import compose

        try:
            return compose(specs, self._known(), max_tokens=max_tokens, stops=request.sampling.stop)
        except RequirementError as error:
            raise RequirementError(f"request {request.id!r}: {error}") from None

    def _known(self) -> TokenTable:
        from heedful.constraints import TokenTable

        if self._table is None:
            backend = getattr(self._tokenizer, "backend_tokenizer", None)
            data = []
            if backend is not None:
                vocabulary = Vocabulary(backend)
                data = [vocabulary.token(index).data for index in range(backend.get_vocab_size())]
            if not data or any(value is None for value in data):
                raise InputError(
                    "requirements cannot be enforced with this model: its tokenizer does not tell the bytes of its tokens; "
                    'set "enforce": false on each, or use another model'
                )
            known = [value or b"" for value in data]
            self._table = TokenTable(known, self._end_ids, drops_first_space=vocabulary.drops_first_space)
        return self._table
