"""The GGUF container: a head with typed keys, a list of tensors, then their data.

Layout (version 3, little-endian): ``GGUF``, version, number of tensors, number of keys; the keys; for each tensor its
name, sides (innermost first), type and place in the data; the data, each tensor at a multiple of the alignment. Source:
the format's description in ggml's ``docs/gguf.md``.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from dlm.adapters.gguf.entries import Entry
from dlm.domain.errors import DiskError
from dlm.domain.quantization import GGML_TYPE_IDS, GgmlType, row_bytes
from dlm.domain.text_files import disk_error, write_chunks_atomic

ALIGNMENT = 32
"""Bytes; what readers expect when no key says otherwise."""

_VERSION = 3
_LENGTH = struct.Struct("<Q")
_ARRAY = 9
_KEY_KINDS = MappingProxyType({"u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "str": (8, "")})
"""Number of a kind of value in the format, and how :mod:`struct` packs it."""

Data = bytes | memoryview


@attrs.frozen
class TensorInfo:
    """A tensor of the file; ``shape`` with the numbers of a row last, as numpy gives it."""

    name: str
    shape: tuple[int, ...]
    kind: GgmlType

    @property
    def size_bytes(self) -> int:
        """Bytes of its data, without padding."""
        return math.prod(self.shape[:-1]) * row_bytes(self.kind, self.shape[-1])


@attrs.frozen(kw_only=True)
class Written:
    """A file that was written; ``sha256`` in lower-case hex."""

    sha256: str
    size_bytes: int


def write_gguf(
    into: Path, entries: Iterable[Entry], tensors: Sequence[TensorInfo], data_of: Callable[[TensorInfo], Iterable[Data]]
) -> Written:
    """Write a file in one pass, so that a crash at any point leaves no half of it under the name.

    Its digest is computed on the way, beside the writing.

    Args:
        data_of: gives a tensor's data in pieces; called for each tensor in turn.

    Raises:
        DiskError: there is no room for it, which is found before anything is written.
    """
    head = _head(entries, tensors)
    _check_room(into, len(head) + sum(_padded(tensor.size_bytes) for tensor in tensors))
    with _Digest() as digest:
        write_chunks_atomic(into, digest.passing(_pieces(head, tensors, data_of)))
        return digest.result()


class _Digest:
    """Computes the digest of pieces in a thread of its own, one piece behind what is written."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> _Digest:
        self._pool = ThreadPoolExecutor(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def passing(self, pieces: Iterable[Data]) -> Iterator[Data]:
        """Give the pieces on, unchanged."""
        last: Future[None] | None = None
        for piece in pieces:
            if last is not None:
                last.result()  # no more than one piece waits
            last = self._pool.submit(self._sha256.update, piece)
            self._size += memoryview(piece).nbytes
            yield piece

    def result(self) -> Written:
        """Give what went through, when all of it did."""
        self._pool.shutdown()
        return Written(sha256=self._sha256.hexdigest(), size_bytes=self._size)


def _pieces(
    head: bytes, tensors: Sequence[TensorInfo], data_of: Callable[[TensorInfo], Iterable[Data]]
) -> Iterator[Data]:
    yield head
    for tensor in tensors:
        written = 0
        for piece in data_of(tensor):
            written += memoryview(piece).nbytes
            yield piece
        if written != tensor.size_bytes:
            raise ValueError(f"{tensor.name} has {written} bytes and should have {tensor.size_bytes}")
        yield bytes(_padded(written) - written)


def _head(entries: Iterable[Entry], tensors: Sequence[TensorInfo]) -> bytes:
    keys = [
        _text(entry.key) + _value(entry) for entry in entries if entry.value != ()
    ]  # the format has no empty arrays
    parts = [b"GGUF", struct.pack("<IQQ", _VERSION, len(tensors), len(keys)), *keys]
    place = 0
    for tensor in tensors:
        sides = tensor.shape[::-1]
        parts.append(_text(tensor.name))
        parts.append(struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, GGML_TYPE_IDS[tensor.kind], place))
        place += _padded(tensor.size_bytes)
    head = b"".join(parts)
    return head + bytes(_padded(len(head)) - len(head))


def _value(entry: Entry) -> bytes:
    number, code = _KEY_KINDS[entry.kind]
    if not isinstance(entry.value, tuple):
        return struct.pack("<I", number) + _items(code, (entry.value,))
    return struct.pack("<IIQ", _ARRAY, number, len(entry.value)) + _items(code, entry.value)


def _items(code: str, values: Sequence[Any]) -> bytes:
    return struct.pack(f"<{len(values)}{code}", *values) if code else b"".join([_text(text) for text in values])


def _text(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _check_room(into: Path, needed: int) -> None:
    try:
        free = shutil.disk_usage(into.parent).free
    except OSError as exc:
        raise disk_error(exc, into.parent) from exc
    if free < needed:
        raise DiskError(
            "disk.full",
            f"{into.name} takes {needed / 1e6:,.0f} MB, and {into.parent} has {free / 1e6:,.0f} MB left",
            hint="Free some space, or choose a smaller --quant.",
        )
