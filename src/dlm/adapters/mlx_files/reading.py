"""The numbers of a PEFT adapter, read without trusting the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dlm.domain.errors import ExportError
from dlm.domain.safetensors_header import TensorEntry, parse_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST_HEADER = 32_000_000
"""Bytes. An adapter on 10 000 layers has a header of 3 MB."""


class AdapterTensors:
    """A safetensors file, opened for each tensor that is read.

    Raises:
        ExportError: missing, cut off, or not such a file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                entries = parse_header(file.read(min(length, _LARGEST_HEADER)))
            self._data = 8 + length
            wanted, found = self._data + (entries[-1].end if entries else 0), path.stat().st_size
        except FileNotFoundError as exc:
            raise _refused("export.no-adapter", f"{path} is not there", "Train the document first.") from exc
        except (OSError, ValueError) as exc:
            raise damaged(path, str(exc)) from exc
        if found != wanted:
            raise damaged(path, f"it has {found} bytes and should have {wanted}")
        self.entries: Mapping[str, TensorEntry] = MappingProxyType({entry.name: entry for entry in entries})

    def numbers(self, name: str) -> NDArray[np.float32]:
        """Give one tensor as float32, in its shape."""
        import numpy as np

        entry = self.entries[name]
        try:
            with self._path.open("rb") as file:
                file.seek(self._data + entry.start)
                data = file.read(entry.end - entry.start)
        except OSError as exc:
            raise damaged(self._path, exc.strerror or str(exc)) from exc
        if entry.dtype == "BF16":  # the upper half of a float32
            return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(entry.shape)
        kinds: dict[str, Any] = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
        return np.frombuffer(data, kinds[entry.dtype]).astype(np.float32).reshape(entry.shape)


def damaged(path: Path, why: str) -> ExportError:
    """The error for a file that is not what it should be."""
    hint = "The adapter is damaged. Train again, or go back to an earlier version."
    return _refused("export.damaged-adapter", f"{path}: {why}", hint)


def _refused(code: str, message: str, hint: str) -> ExportError:
    return ExportError(code, message, subject="preflight[adapter_config]", hint=hint)
