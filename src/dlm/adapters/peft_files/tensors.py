"""The weights of an adapter, read without trusting them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dlm.adapters.peft_files.reading import damaged, missing
from dlm.domain.safetensors_header import TensorEntry, parse_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST_HEADER = 32_000_000
"""Bytes. An adapter on 10 000 layers has a header of 3 MB."""

_CHUNK = 1 << 22
"""Bytes read at once while looking for numbers that are none."""


class TensorFile:
    """A safetensors file whose header was checked against its length.

    Raises:
        ExportError: missing, cut off, or not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise missing(path)
        try:
            entries = self._open()
        except OSError as exc:
            raise damaged(path, exc.strerror or str(exc)) from exc
        except ValueError as exc:
            raise damaged(path, str(exc)) from exc
        self.entries: Mapping[str, TensorEntry] = MappingProxyType({entry.name: entry for entry in entries})

    def _open(self) -> tuple[TensorEntry, ...]:
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LARGEST_HEADER:
                raise ValueError("its first bytes are not those of a safetensors file")
            entries = parse_header(file.read(length))
        self._data = 8 + length
        wanted = self._data + (entries[-1].end if entries else 0)
        found = self.path.stat().st_size
        if found != wanted:
            raise ValueError(f"it has {found} bytes and should have {wanted}")
        return entries

    def numbers(self, name: str) -> NDArray[np.float32]:
        """Give one tensor as float32, in its shape."""
        entry = self.entries[name]
        (values,) = self._pieces(entry, entry.end - entry.start)
        return values.reshape(entry.shape)

    def first_nonfinite(self) -> str | None:
        """Give the name of a tensor with a NaN or an infinite number, read piece by piece; None without one."""
        import numpy as np

        for name, entry in self.entries.items():
            if not all(np.isfinite(piece).all() for piece in self._pieces(entry, _CHUNK)):
                return name
        return None

    def raw(self, name: str) -> Iterator[bytes]:
        """Give the bytes of one tensor as they lie in the file, piece by piece."""
        return self._bytes(self.entries[name], _CHUNK)

    def _pieces(self, entry: TensorEntry, size: int) -> Iterator[NDArray[np.float32]]:
        return (_as_float32(piece, entry.dtype) for piece in self._bytes(entry, size))

    def _bytes(self, entry: TensorEntry, size: int) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                for start in range(entry.start, entry.end, max(1, size)):
                    file.seek(self._data + start)
                    yield file.read(min(size, entry.end - start))
        except OSError as exc:
            raise damaged(self.path, exc.strerror or str(exc)) from exc


def _as_float32(data: bytes, dtype: str) -> NDArray[np.float32]:
    import numpy as np

    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    kinds: dict[str, Any] = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    with np.errstate(over="ignore"):  # a float64 beyond the range becomes infinite, which is found as such
        return np.frombuffer(data, kinds[dtype]).astype(np.float32)
