"""Importance matrices as values: over which text the inputs of layers are measured, and what a matrix is kept under.

A K-quant rounds the weights of frequent, large inputs more carefully when it knows which those are. They are measured
by running the base over text of the kind that it will read: the document's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

import attrs

CHUNKS = 256
"""Most pieces of text that are read; more change the figures by less than other text does."""

CHUNK_SIZE = 512
"""Tokens of a piece, as llama.cpp's own tool cuts them."""

MIN_CHUNKS = 2
"""Text of fewer pieces says too little about a model; llama.cpp's own tool refuses it, too."""

MAX_CHARACTERS = CHUNKS * CHUNK_SIZE * 4
"""A token of English is about four characters."""

COLLECTOR = 1
"""Raised when the same text would give another matrix, so that older ones are not used any more."""

_BETWEEN = "\n\n"


def _check_digest(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise ValueError(f"{attribute.name} is 64 hex digits in small letters, not {value!r}"[:200])


def _check_count(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} is {value}, not above 0")


@attrs.frozen(kw_only=True)
class ImportanceKey:
    """Everything that an importance matrix follows from.

    Args:
        base_sha256: of the base's folder.
        corpus_sha256: of the text, as :func:`text_sha256` gives it.
        chunks: most pieces that are read.
        chunk_size: tokens of a piece.
        collector: version of the measuring.

    Raises:
        ValueError: a digest that is none, a count below 1.
    """

    base_sha256: str = attrs.field(validator=_check_digest)
    corpus_sha256: str = attrs.field(validator=_check_digest)
    chunks: int = attrs.field(default=CHUNKS, validator=_check_count)
    chunk_size: int = attrs.field(default=CHUNK_SIZE, validator=_check_count)
    collector: int = attrs.field(default=COLLECTOR, validator=_check_count)

    @property
    def digest(self) -> str:
        """Give 64 hex digits that no other key has."""
        return hashlib.sha256(json.dumps(attrs.asdict(self), sort_keys=True).encode()).hexdigest()


def calibration_text(contents: Iterable[str], *, limit: int = MAX_CHARACTERS) -> str:
    """Lay texts end to end, stripped, with a blank line between them; blank ones are left out.

    Cut at ``limit`` characters. Of ``contents`` no more is taken than fits.
    """
    return "".join(_parts(contents, limit))[:limit]


def text_sha256(text: str) -> str:
    """Give the digest of a calibration text. A lone half of a surrogate pair, which files can bring, is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_surely_too_short(text: str, *, chunk_size: int = CHUNK_SIZE) -> bool:
    """Tell whether text cannot be two pieces, whatever the tokenizer: a token is at least one byte."""
    return len(text.encode("utf-8", "surrogatepass")) < MIN_CHUNKS * chunk_size


def too_little_text(chunks: int, *, chunk_size: int = CHUNK_SIZE) -> str:
    """Say that an export does without an importance matrix, and why."""
    found = {0: "less than one", 1: "only one"}.get(chunks, f"only {chunks}")
    return (
        f"static quantisation: an importance matrix wants at least {MIN_CHUNKS} pieces of {chunk_size} tokens, and the "
        f"document has {found}. The weights are rounded without one, which costs a little accuracy"
    )


def _parts(contents: Iterable[str], limit: int) -> Iterator[str]:
    length = 0
    for content in contents:
        stripped = content.strip()
        if not stripped:
            continue
        part = _BETWEEN + stripped if length else stripped
        yield part
        length += len(part)
        if length >= limit:
            return
