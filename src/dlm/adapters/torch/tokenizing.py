"""Rows to token ids, many at a time and each only once: what the cache has is not tokenised again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator

import attrs

from dlm.adapters.torch.chat import ChatTokenizer
from dlm.domain.events import Emit, Progress, ignore
from dlm.domain.rows import Row
from dlm.ports.token_cache import Tokens

FORMAT = "2"
"""Part of each key; raised when the same row gives other ids than before."""

MASKING = "answers"
"""Which tokens of a conversation are learned; part of each key."""

BATCH_ROWS = 1024
BATCH_CHARACTERS = 2**20
"""Most rows and characters of a batch; a longer row goes alone. Enough to keep all cores busy, and the tokenizer's own
notes, about 100 bytes a token, stay below 50 MB."""

TELL_EVERY_S = 0.25
"""Seconds between two reports of progress."""


class Keys:
    """Names rows by everything their ids depend on, and by their place in the document.

    Not by ``sequence_len``: rows are kept whole and cut into windows afterwards.
    """

    def __init__(self, chat: ChatTokenizer) -> None:
        self._start = hashlib.sha256(f"{FORMAT}\0{MASKING}\0{chat.fingerprint}".encode())

    def of(self, row: Row, text: str) -> str:
        """Give the key of a row; ``text`` is what a prose row reads. sha256 in hex."""
        turns = (part for turn in row.turns for part in (turn.role, turn.content))
        digest = self._start.copy()
        for part in (row.kind, row.origin, str(row.sub), text, *turns):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data))
            digest.update(data)
        return digest.hexdigest()


@attrs.define
class _Waiting:
    """A row of a batch; ``handle`` is set once its ids are kept."""

    row: Row
    key: str
    text: str
    handle: int | None


@attrs.frozen
class TokenisedRow:
    """A row and where its ids are."""

    row: Row
    key: str
    handle: int


class Tokeniser:
    """Puts rows into a token store.

    Args:
        told: rows there are in all, for progress.
    """

    def __init__(self, chat: ChatTokenizer, tokens: Tokens, *, total: int | None = None, emit: Emit = ignore) -> None:
        self._chat = chat
        self._tokens = tokens
        self._keys = Keys(chat)
        self._progress = _Meter(total, emit)

    def rows(self, rows: Iterable[Row]) -> Iterator[TokenisedRow]:
        """Give prose and instruction rows in order, others left out. At most a batch is in memory."""
        for batch in self._batches(rows):
            self._fill(batch)
            for item in batch:
                assert item.handle is not None
                yield TokenisedRow(item.row, item.key, item.handle)
            self._progress.add(len(batch))

    def _batches(self, rows: Iterable[Row]) -> Iterator[list[_Waiting]]:
        batch: list[_Waiting] = []
        size = 0
        for row in rows:
            if row.kind not in ("prose", "instruction"):
                continue
            text = row.content.strip() if row.kind == "prose" else ""
            key = self._keys.of(row, text)
            handle = self._tokens.find(key)
            length = len(text) + sum(len(turn.content) for turn in row.turns) if handle is None else 0
            if batch and (size + length > BATCH_CHARACTERS or len(batch) == BATCH_ROWS):
                yield batch
                batch, size = [], 0
            batch.append(_Waiting(row, key, text if handle is None else "", handle))
            size += length
        if batch:
            yield batch

    def _fill(self, batch: list[_Waiting]) -> None:
        """Tokenise the rows of a batch that the store does not have."""
        missing = [item for item in batch if item.handle is None]
        texts = [self._texts(item) for item in missing]
        ids = iter(self._chat.many_ids([text for parts in texts for text in parts]))
        for item, parts in zip(missing, texts, strict=True):
            if len(parts) == 1:
                item.handle = self._tokens.add(item.key, self._chat.closed_prose(next(ids)), 1)
            else:
                prompt, answer = next(ids), self._chat.closed_answer(next(ids))
                item.handle = self._tokens.add(item.key, [*prompt, *answer], len(prompt))

    def _texts(self, item: _Waiting) -> tuple[str, ...]:
        return (item.text,) if item.row.kind == "prose" else self._chat.exchange_texts(item.row.turns)


class _Meter:
    """Tells how many rows are done, now and then; nothing at all when everything is done in a moment."""

    def __init__(self, total: int | None, emit: Emit, now: Callable[[], float] = time.monotonic) -> None:
        self._total, self._emit, self._now = total, emit, now
        self._done = 0
        self._told_at = now()
        self._has_told = False

    def add(self, rows: int) -> None:
        self._done += rows
        is_last = self._has_told and self._done == self._total
        if is_last or self._now() - self._told_at >= TELL_EVERY_S:
            self._told_at, self._has_told = self._now(), True
            self._emit(Progress(stage="tokenize", done=self._done, total=self._total, unit="rows"))
