"""Training rows: what a document's sections become before any tokenizer sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import attrs

from dlm.domain.statements import Statement

RowKind = Literal["prose", "instruction", "preference", "image", "audio"]
Role = Literal["system", "user", "assistant"]

VALIDATION_FRACTION = 0.1
"""Share of rows held out for evaluation."""


REPLAY = "replay:"
"""How the section id of a row begins whose section is no longer in the document."""


@attrs.frozen
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@attrs.frozen(kw_only=True)
class Row:
    """One training example.

    Args:
        kind: which sections it comes from; decides which of the text fields are set.
        section_id: id of the section (16 hex), or ``replay:<id>:<last seen>`` for one that left the document.
        sub: index of the row inside its section, from 0.
        line: line of the file where it starts, for messages; 0 when it has none.
        text: prose text, or a media caption; empty when ``read`` is there to give it.
        read: gives the text of a file, which is not held in memory.
        source: path of the file it was read from; None for the document itself.
        size: bytes of that file.
        turns: instruction only: one user turn, then one assistant turn. Never a system turn: the system prompt belongs
            to the job.
        prompt, chosen, rejected: preference only.
        statement: the sentence of prose that an instruction row was made from; None for a pair of the document.
        is_probe: the pair was marked ``### Q !probe``.
        weight: how often the row counts; whole copies plus a drawn fraction.
    """

    kind: RowKind
    section_id: str
    sub: int = 0
    line: int = 0
    text: str = ""
    turns: tuple[Turn, ...] = ()
    prompt: str = ""
    chosen: str = ""
    rejected: str = ""
    statement: Statement | None = None
    is_probe: bool = False
    adapter: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)
    weight: float = 1.0
    source: str | None = None
    size: int = 0
    read: Callable[[], str] | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def content(self) -> str:
        """The text, read from its file when it comes from one."""
        return self.text if self.read is None else self.read()

    @property
    def is_replay(self) -> bool:
        """Whether it comes from a section that is no longer in the document."""
        return self.section_id.startswith(REPLAY)

    @property
    def origin(self) -> str:
        """Id of the section the row comes from, whether it is still in the document or not."""
        return self.section_id.removeprefix(REPLAY).partition(":")[0]

    @property
    def question(self) -> str:
        """The user's words of an instruction row."""
        return self.turns[0].content

    @property
    def answer(self) -> str:
        """The assistant's words of an instruction row."""
        return self.turns[-1].content


_FRAME_TOKENS = 192
"""Room for what a chat template writes around a question and its answer, a default system turn included."""


def longest_row(rows: Iterable[Row], system_prompt: str | None) -> int:
    """Give a number of tokens no row exceeds, without a tokenizer: none makes more tokens than the text has bytes."""
    texts = ((row.size, (row.text, *(turn.content for turn in row.turns), system_prompt or "")) for row in rows)
    return _FRAME_TOKENS + max(size + sum(len(text.encode()) for text in parts) for size, parts in texts)


@attrs.frozen
class Split:
    """Rows to optimise and rows to evaluate; a row is on exactly one side."""

    train: tuple[Row, ...]
    validation: tuple[Row, ...]


def split_draw(seed: int, row: Row) -> int:
    """Give the 64-bit number that decides the side of a row.

    First 8 bytes, big endian, of ``sha256(seed NUL section_id NUL sub)``: adding sections never moves existing rows.
    """
    key = f"{seed}\0{row.section_id}\0{row.sub}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big")


def split_rows(rows: Iterable[Row], seed: int, fraction: float = VALIDATION_FRACTION) -> Split:
    """Divide rows into training and validation by their draw.

    When every row would be held out, the row with the largest draw goes back to training, so there is always one.
    """
    limit = int(fraction * 2**64)
    train: list[Row] = []
    held: list[Row] = []
    for row in rows:
        (held if split_draw(seed, row) < limit else train).append(row)
    if not train and held:
        back = max(held, key=lambda row: split_draw(seed, row))
        held.remove(back)
        train.append(back)
    return Split(tuple(train), tuple(held))


def weighted(rows: Iterable[Row], seed: int) -> Iterator[Row]:
    """Give each row as often as its weight says: whole copies, and one more when the section wins the draw for the
    fraction. One draw for a section, so its rows stay together."""
    for row in rows:
        whole = int(row.weight)
        yield from (row for _ in range(whole + (_weight_draw(seed, row.section_id) < row.weight - whole)))


def _weight_draw(seed: int, section_id: str) -> float:
    """Give a number in [0, 1): ``blake2b-64("<seed>:<section id>") / 2^64``."""
    digest = hashlib.blake2b(f"{seed}:{section_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
