"""Looking at a file after it was written: what went wrong on the disk should not come to light in a conversation."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from dlm.adapters.gguf.container import ALIGNMENT, TensorInfo
from dlm.domain.errors import ExportError
from dlm.domain.quantization import GGML_TYPE_IDS, GgmlType

_SAMPLE = 1 << 16
"""Bytes looked at in each tensor."""

_KEY_CODES = MappingProxyType(
    {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
)
"""How :mod:`struct` reads the format's kinds of values; 8 is text, 9 an array."""
_TEXT, _ARRAY = 8, 9

_KINDS: Mapping[int, GgmlType] = MappingProxyType({number: kind for kind, number in GGML_TYPE_IDS.items()})


@attrs.frozen(kw_only=True)
class GgufHead:
    """The head of a file.

    Args:
        values: keys with single values.
        lengths: length of each array.
        tensors: in the order of the file, with where their data starts, in bytes of the file.
    """

    values: Mapping[str, Any]
    lengths: Mapping[str, int]
    tensors: tuple[tuple[TensorInfo, int], ...]


def read_head(path: Path) -> GgufHead:
    """Read the head of a file that this package wrote.

    Raises:
        ExportError: ``export.self-check``: it is not what was written.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).head()
    except OSError as exc:
        raise _damaged(path, exc.strerror or str(exc)) from exc
    except (ValueError, KeyError, struct.error) as exc:
        raise _damaged(path, f"its head cannot be read ({exc})") from exc


def check_file(path: Path, tensors: Sequence[TensorInfo], *, tokens: int | None) -> None:
    """Compare a written file with what should be in it, and look for numbers that are none in a part of each tensor.

    Args:
        tensors: all, in their order.
        tokens: length of the list of tokens; None for a file that has none.

    Raises:
        ExportError: ``export.self-check``.
    """
    head = read_head(path)
    if [info for info, _ in head.tensors] != list(tensors):
        raise _damaged(path, f"it lists {len(head.tensors)} tensors, and not the {len(tensors)} that were written")
    if head.lengths.get("tokenizer.ggml.tokens") != tokens:
        raise _damaged(path, "its list of tokens has another length")
    try:
        with path.open("rb") as file:
            end = 0
            for info, start in head.tensors:
                file.seek(start)
                if not _is_sound(file.read(min(_SAMPLE, info.size_bytes)), info):
                    raise _damaged(path, f"the tensor {info.name} is cut off or holds numbers that are none")
                end = start + info.size_bytes
            if path.stat().st_size < end:
                raise _damaged(path, "it is cut off")
    except OSError as exc:
        raise _damaged(path, exc.strerror or str(exc)) from exc


def _is_sound(data: bytes, info: TensorInfo) -> bool:
    import numpy as np

    if len(data) != min(_SAMPLE, info.size_bytes):
        return False
    if info.kind == "BF16":
        return bool((np.frombuffer(data, "<u2") & 0x7F80 != 0x7F80).all())
    if info.kind in ("F32", "F16"):
        return bool(np.isfinite(np.frombuffer(data, "<f4" if info.kind == "F32" else "<f2")).all())
    if info.kind == "Q8_0":
        whole = len(data) // 34 * 34
        return bool(np.isfinite(np.frombuffer(data[:whole], np.uint8).reshape(-1, 34)[:, :2].copy().view("<f2")).all())
    return True  # blocks of other types were made by a quantiser that checks its numbers


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def head(self) -> GgufHead:
        magic, version, n_tensors, n_keys = self._take("4sIQQ")
        if magic != b"GGUF" or version != 3:
            raise ValueError("it does not begin as a GGUF file")
        values: dict[str, Any] = {}
        lengths: dict[str, int] = {}
        for _ in range(n_keys):
            key, (kind,) = self._text(), self._take("I")
            if kind == _ARRAY:
                lengths[key] = self._skip_array()
            else:
                values[key] = self._text() if kind == _TEXT else self._take(_KEY_CODES[kind])[0]
        infos = [self._tensor() for _ in range(n_tensors)]
        data_at = -(-self._at // ALIGNMENT) * ALIGNMENT
        return GgufHead(values=values, lengths=lengths, tensors=tuple((info, data_at + at) for info, at in infos))

    def _tensor(self) -> tuple[TensorInfo, int]:
        name, (n_sides,) = self._text(), self._take("I")
        sides = self._take(f"{n_sides}Q")
        kind, place = self._take("IQ")
        return TensorInfo(name, tuple(reversed(sides)), _KINDS[kind]), place

    def _skip_array(self) -> int:
        kind, length = self._take("IQ")
        if kind != _TEXT:
            self._at += length * struct.calcsize(_KEY_CODES[kind])
            return int(length)
        data, at, size_at = self._data, self._at, struct.Struct("<Q").unpack_from  # a quarter of a million times
        for _ in range(length):
            at += 8 + size_at(data, at)[0]
        self._at = at
        return int(length)

    def _text(self) -> str:
        return self._text_bytes().decode()

    def _text_bytes(self) -> bytes:
        (length,) = self._take("Q")
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise ValueError("it is cut off")
        return self._data[start : self._at]

    def _take(self, code: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(f"<{code}")
        return found


def _damaged(path: Path, why: str) -> ExportError:
    return ExportError(
        "export.self-check",
        f"{path} is not as it was written: {why}",
        hint="Check the disk, and export again.",
    )
