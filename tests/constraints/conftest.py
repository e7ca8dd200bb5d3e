"""Two vocabularies: a small one that is made here, and that of the real model."""

from __future__ import annotations

import pytest

from heedful.constraints import TokenTable
from heedful.models import LoadedModel
from heedful.models.vocabulary import Vocabulary

END = 0
_PIECES = (
    " the a an and so now here of to in is was it he she they solar wind river dragon candle bicycle tree cat cats category"
    " Wind Solar THE AND NASA yes no not one two three . , ! ? : ; - -- ... \n \n\n ** * [ ] << >> \" ' ( ) 1 2 3 12 100 3.14"
    " 太阳 风 的 了 是 在 好 你 我 他 。 ， ！ ？ 、 “ ” Hello hello lo he wor ld ing ed er P.S. SECTION { } : true false null"
)


@pytest.fixture(scope="session")
def table() -> TokenTable:
    """All bytes, and pieces of words with and without a space before them; token 0 ends an answer."""
    pieces = dict.fromkeys(piece.encode() for word in _PIECES.split(" ") for piece in (word, f" {word}") if word)
    whole = [b"", *(bytes([byte]) for byte in range(256)), *(piece for piece in pieces if len(piece) > 1)]
    return TokenTable(whole, [END])


@pytest.fixture(scope="session")
def real_table(smollm2: LoadedModel) -> TokenTable:
    """SmolLM2's 49,152 tokens."""
    backend = smollm2.tokenizer.backend_tokenizer
    vocabulary = Vocabulary(backend)
    data = [vocabulary.token(index).data or b"" for index in range(backend.get_vocab_size())]
    return TokenTable(data, [smollm2.tokenizer.convert_tokens_to_ids("<|im_end|>")])
