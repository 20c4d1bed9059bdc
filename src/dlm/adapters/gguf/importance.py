"""Reading an importance matrix in llama.cpp's GGUF form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlm.domain.errors import ExportError

if TYPE_CHECKING:
    import gguf
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

MAX_BYTES = 1 << 30
"""The matrix of Mixtral-8x7B takes 40 MB."""

_SQUARES, _COUNTS = ".in_sum2", ".counts"


def read_importance(path: Path) -> Mapping[str, Floats]:
    """Give the weight of every input by the name of the tensor it goes into: float32, finite, above 0.

    Shapes: ``(columns,)``, or ``(experts, columns)`` where a tensor holds several matrices. The weight is the mean
    square of the input over the text. An expert that was never chosen has 1 everywhere: all its inputs count alike. An
    input that was always 0 gets the least weight of its matrix, as with no weight at all its block would be lost.

    Raises:
        ExportError: ``export.bad-importance``: not such a file, or a damaged one.
    """
    import numpy as np

    tensors = _tensors(path)
    names = {name.removesuffix(_SQUARES) for name in tensors if name.endswith(_SQUARES)}
    if not names or set(tensors) != {name + suffix for name in names for suffix in (_SQUARES, _COUNTS)}:
        raise _bad(path, "sums and counts do not belong together")
    found = {}
    for name in sorted(names):
        squares, counts = tensors[name + _SQUARES], tensors[name + _COUNTS].reshape(-1)
        if not len(counts) or not squares.size or squares.size % len(counts):
            raise _bad(path, f"{name} has {squares.size} sums for {len(counts)} counts")
        rows = squares.reshape(len(counts), -1)
        if not all(np.isfinite(part).all() and (part >= 0).all() for part in (rows, counts)):
            raise _bad(path, f"{name} has numbers below zero, or that are none")
        means = np.stack([_mean(row, float(count)) for row, count in zip(rows, counts, strict=True)])
        found[name] = means[0] if len(means) == 1 else means
    return found


def _mean(squares: Floats, count: float) -> Floats:
    import numpy as np

    positive = squares[squares > 0]
    if not count or not len(positive):
        return np.ones_like(squares)
    means: Floats = np.maximum(squares, positive.min()) / np.float32(count)
    return means


def _tensors(path: Path) -> dict[str, Floats]:
    """Read all tensors of the file into memory."""
    import gguf
    import numpy as np

    try:
        if path.stat().st_size > MAX_BYTES:
            raise _bad(path, "it is far too large")
        reader = gguf.GGUFReader(path)
        if _kind(reader) != "imatrix":
            raise _bad(path, "it is another kind of GGUF file")
        if any(tensor.tensor_type != gguf.GGMLQuantizationType.F32 for tensor in reader.tensors):
            raise _bad(path, "its numbers are not in 32 bits")
        return {tensor.name: np.array(tensor.data, np.float32) for tensor in reader.tensors}
    except OSError as exc:
        raise _bad(path, exc.strerror or str(exc)) from exc
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError) as exc:  # of the reader, on damage
        raise _bad(path, str(exc) or type(exc).__name__) from exc


def _kind(reader: gguf.GGUFReader) -> object:
    field = reader.get_field("general.type")
    return None if field is None else field.contents()


def _bad(path: Path, why: str) -> ExportError:
    return ExportError(
        "export.bad-importance",
        f"{path} is no importance matrix that can be used: {why}",
        hint="Delete it and export again, or export with --no-imatrix.",
    )
