"""Where the numbers of a model come from: a folder of safetensors, or a base with an adapter's change inside."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dlm.domain.errors import ExportError
from dlm.domain.safetensors_header import WIDTHS, TensorEntry, parse_header

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

_LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the format's own library."""

_KINDS = MappingProxyType({"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"})


Bad = Callable[[Path, str], ExportError]
"""Gives the refusal of a file, with the reason."""


class Weights(Protocol):
    """The tensors of one model under their Hugging Face names, read when asked for.

    Threads may read at the same time.
    """

    def names(self) -> tuple[str, ...]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def dtype(self, name: str) -> str:
        """Give how the numbers were stored: ``F64``, ``F32``, ``F16`` or ``BF16``."""
        ...

    def read(self, name: str, rows: slice | None = None) -> Floats:
        """Give a tensor, or these rows of it (``start`` and ``stop`` along the first side), in its shape.

        A caller that takes some rows at a time keeps memory small, whatever the size of the tensor.
        """
        ...


class _Place(NamedTuple):
    entry: TensorEntry
    path: Path
    start: int  # of the tensor, in bytes of the file


class SafetensorsWeights:
    """The weights of a model folder, in one file or several. Implements ``Weights``.

    Headers are read at once and checked against the files' lengths; numbers when asked for, and only those. Files are
    not mapped into memory: that is no faster, its pages count as ours, and a file that shrinks would end the process.

    Args:
        file: the one file to read; None for those of a model.
        bad: gives the error for a file that is not as it should be.

    Raises:
        ExportError: ``export.bad-weights``, or what ``bad`` gives: no weights, or a damaged file.
    """

    def __init__(self, folder: Path, *, file: str | None = None, bad: Bad | None = None) -> None:
        self._bad = bad or _bad
        self._places: dict[str, _Place] = {}
        for path in _files(folder) if file is None else [folder / file]:
            self._places.update(_open(path, self._bad))

    def names(self) -> tuple[str, ...]:
        """Give the name of every tensor, sorted: the order of files means nothing."""
        return tuple(sorted(self._places))

    def shape(self, name: str) -> tuple[int, ...]:
        """Give the sides of a tensor, rows first."""
        return self._places[name].entry.shape

    def dtype(self, name: str) -> str:
        """Give how its numbers are stored."""
        return self._places[name].entry.dtype

    def read(self, name: str, rows: slice | None = None) -> Floats:
        """Give a tensor or rows of it as float32.

        Raises:
            ExportError: ``export.bad-weights``: the file cannot be read any more.
        """
        import numpy as np

        entry, path, start = self._places[name]
        first, stop, _ = (rows or slice(None)).indices(entry.shape[0] if entry.shape else 1)
        shape = (max(0, stop - first), *entry.shape[1:])
        row_bytes = math.prod(shape[1:]) * WIDTHS[entry.dtype]
        try:
            stored = np.fromfile(path, _KINDS[entry.dtype], math.prod(shape), offset=start + first * row_bytes)
            stored = stored.reshape(shape)
        except (OSError, ValueError) as exc:
            raise self._bad(path, f"{name} is not there any more") from exc
        if entry.dtype == "BF16":
            return widened(stored)
        with np.errstate(over="ignore"):  # a float64 beyond the range becomes infinite, which is refused when written
            numbers: Floats = stored.astype(np.float32, copy=False)
        return numbers


def widened(halves: np.ndarray[Any, np.dtype[np.uint16]]) -> Floats:
    """Give bfloat16 bit patterns as float32. bfloat16 is the upper half of a float32."""
    import numpy as np

    bits = np.empty(halves.shape, np.uint32)
    np.left_shift(halves, 16, out=bits, dtype=np.uint32, casting="unsafe")
    return bits.view(np.float32)


def _files(folder: Path) -> list[Path]:
    """Give the weight files: the one, or those of the index."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
    except OSError as exc:
        raise _bad(folder, "it holds neither model.safetensors nor a readable model.safetensors.index.json") from exc
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as exc:
        raise _bad(index, "its list of files cannot be read") from exc
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise _bad(index, "it names files outside of its folder, or none")
    return [folder / name for name in sorted(names)]


def _open(path: Path, bad: Bad) -> Mapping[str, _Place]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LARGEST_HEADER:
                raise bad(path, "its first bytes are not those of a safetensors file")
            entries = parse_header(file.read(length))
        size = path.stat().st_size
    except OSError as exc:
        raise bad(path, exc.strerror or str(exc)) from exc
    except ValueError as exc:
        raise bad(path, str(exc)) from exc
    wanted = 8 + length + (entries[-1].end if entries else 0)
    if size != wanted:
        raise bad(path, f"it has {size} bytes and should have {wanted}")
    return {entry.name: _Place(entry, path, 8 + length + entry.start) for entry in entries}


def _bad(path: Path, why: str) -> ExportError:
    return ExportError(
        "export.bad-weights",
        f"the weights in {path} cannot be read: {why}",
        hint="Fetch the base again: remove this folder and run dlm train.",
    )
