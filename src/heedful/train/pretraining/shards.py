"""Documents -> shards: folders with tokens in one memory-mapped file each, written once and continued after a kill.

`shard-00000/` holds `tokens.npy` (uint16, or uint32 where a vocabulary needs it), `starts.npy` (where documents begin in
it) and `header.json` with counts and hashes. After each document stands the end token; a shard that begins with a document
begins with one too, so that something predicts its first token. A document may go on in the next shard. Shards end where a
block of text does, so they are the same however often their writing was interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from heedful.errors import InputError
from heedful.project import Steps, Watcher, atomic_folder, read_json, steps, write_json
from heedful.project.artifacts import file_hash
from heedful.project.atomic import remove_partials
from heedful.records import digest
from heedful.train.pretraining.corpus import Block, Corpus, blocks
from heedful.train.pretraining.tokenizer import encode_blocks

SHARD_TOKENS = 1 << 25
"""Tokens after which a shard ends: 64 MiB of 16-bit ids."""
_TOKENS, _STARTS, _HEADER = "tokens.npy", "starts.npy", "header.json"
_VERSION = 1
_TOGETHER = 32  # blocks that the tokenizer works on at once, on all cores


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a shard without reading its tokens."""

    version: int
    identity: str
    """Of texts and tokenizer."""
    num_tokens: int
    num_documents: int
    """That begin here."""
    num_bytes: int
    """Of the text, in UTF-8."""
    continues: bool
    """Whether its first document began in the shard before."""
    num_blocks: int
    """Blocks of text in all shards up to the end of this one: from here the writing goes on."""
    end_id: int
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard, its tokens mapped and not read."""

    name: str
    header: Header
    tokens: np.ndarray  # (N,)
    starts: np.ndarray  # (D,), places of first tokens of documents, rising


def write_shards(
    corpus: Corpus,
    encoder: Tokenizer,
    folder: Path,
    *,
    end_id: int,
    identity: str,
    watcher: Watcher,
    shard_tokens: int = SHARD_TOKENS,
) -> list[Shard]:
    """Write what is missing of the shards of `corpus`, and open all of them. Raises InputError when there is no text.

    `identity` names texts and tokenizer: shards of another identity, and damaged ones, are written again.
    """
    remove_partials(folder)
    done = _whole(folder, identity, watcher)
    num_blocks = done[-1].num_blocks if done else 0
    with steps(watcher, "tokenize", corpus.num_bytes, "bytes") as shown:
        shown.advance(sum(header.num_bytes for header in done))
        stream = islice(blocks(corpus), num_blocks, None)
        writer = _Writer(folder, encoder, end_id, identity, shard_tokens, len(done), num_blocks)
        while group := list(islice(stream, _TOGETHER)):
            writer.add(group, shown)
        writer.flush()
    found = open_shards(folder)
    if not found:
        raise InputError("the texts are empty: there is nothing to learn from; name files with text in them")
    return found


def open_shards(folder: Path) -> list[Shard]:
    """All shards in a folder, in order."""
    return [_open(path) for path in sorted(folder.glob("shard-*"))]


def _open(path: Path) -> Shard:
    return Shard(
        name=path.name,
        header=_read_header(path),
        tokens=np.load(path / _TOKENS, mmap_mode="r"),
        starts=np.load(path / _STARTS),
    )


def _read_header(path: Path) -> Header:
    values = read_json(path / _HEADER)
    checksum = values.pop("checksum")
    if checksum != digest(values):
        raise ValueError("the header does not match its checksum")
    return Header(**values)


def _whole(folder: Path, identity: str, watcher: Watcher) -> list[Header]:
    """Headers of the shards that are there undamaged; from the first that is not, all are removed."""
    headers: list[Header] = []
    for number, path in enumerate(sorted(folder.glob("shard-*"))):
        problem = "one before it is missing" if path.name != _name(number) else ""
        try:
            header = _read_header(path)
            if header.identity != identity or header.version != _VERSION:
                problem = problem or "it is of other texts or of another tokenizer"
            elif any(file_hash(path / name) != header.sha256.get(name) for name in (_TOKENS, _STARTS)):
                problem = problem or "a file does not match its hash"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problem = problem or f"{type(error).__name__}: {error}"
        if problem:
            watcher.say(f"{path.name} is written again: {problem}")
            for later in sorted(folder.glob("shard-*"))[number:]:
                shutil.rmtree(later)
            break
        headers.append(header)
    return headers


def _name(number: int) -> str:
    return f"shard-{number:05d}"


class _Writer:
    """Collects tokens until a shard is full."""

    def __init__(
        self,
        folder: Path,
        encoder: Tokenizer,
        end_id: int,
        identity: str,
        shard_tokens: int,
        num_shards: int,
        num_blocks: int,
    ) -> None:
        self._folder, self._encoder, self._end_id, self._identity = folder, encoder, end_id, identity
        self._shard_tokens, self._num_shards, self._num_blocks = shard_tokens, num_shards, num_blocks
        self._dtype = np.uint16 if encoder.get_vocab_size() <= 1 << 16 else np.uint32
        self._begin()

    def _begin(self) -> None:
        self._parts: list[np.ndarray] = []
        self._starts: list[int] = []
        self._num_tokens = self._num_bytes = 0
        self._continues = False

    def add(self, group: Sequence[Block], shown: Steps) -> None:
        """Add a few blocks, ending shards between them where they are full."""
        for block, ids in zip(group, encode_blocks(self._encoder, group), strict=True):
            if not self._parts:
                self._continues = not block.is_first
            if block.is_first:
                if not self._parts:
                    self._append(np.array([self._end_id]))
                self._starts.append(self._num_tokens)
            self._append(ids)
            if block.is_last:
                self._append(np.array([self._end_id]))
            num_bytes = len(block.text.encode())
            self._num_bytes += num_bytes
            self._num_blocks += 1
            shown.advance(num_bytes)
            if self._num_tokens >= self._shard_tokens:
                self.flush()

    def _append(self, ids: np.ndarray) -> None:
        self._parts.append(ids.astype(self._dtype))
        self._num_tokens += len(ids)

    def flush(self) -> None:
        """Write what was collected, if anything."""
        if not self._parts:
            return
        with atomic_folder(self._folder / _name(self._num_shards)) as folder:
            np.save(folder / _TOKENS, np.concatenate(self._parts), allow_pickle=False)
            np.save(folder / _STARTS, np.array(self._starts, dtype=np.int64), allow_pickle=False)
            header = asdict(
                Header(
                    version=_VERSION,
                    identity=self._identity,
                    num_tokens=self._num_tokens,
                    num_documents=len(self._starts),
                    num_bytes=self._num_bytes,
                    continues=self._continues,
                    num_blocks=self._num_blocks,
                    end_id=self._end_id,
                    sha256={name: file_hash(folder / name) for name in (_TOKENS, _STARTS)},
                )
            )
            write_json(folder / _HEADER, {"checksum": digest(header), **header})
        self._num_shards += 1
        self._begin()


def documents_of(shard: Shard) -> Iterator[tuple[int, int]]:
    """(first, after last) places of each document's tokens in a shard, its end token included."""
    firsts = ([0] if shard.header.continues else []) + [int(start) for start in shard.starts]
    return zip(firsts, [*firsts[1:], shard.header.num_tokens], strict=True)
