"""Reading the header of a safetensors file: names and shapes of the weights, without the weights.

Layout: eight bytes little-endian length, that many bytes of JSON, then the data the JSON points into.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from dlm.domain.errors import BaseModelError

_LARGEST_HEADER = 100_000_000
"""Bytes; the limit the format's own library applies."""


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Give the shape of each weight, after checking that the file is as long as its header says.

    Raises:
        BaseModelError: ``base.damaged``: cut off, or not a safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LARGEST_HEADER:
                raise _damaged(path, "its first bytes are not those of a safetensors file")
            header = json.loads(file.read(length))
        shapes, end = _entries(header)
    except OSError as exc:
        raise _damaged(path, exc.strerror or str(exc)) from exc
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as exc:
        raise _damaged(path, "its header cannot be read") from exc
    if path.stat().st_size != 8 + length + end:
        raise _damaged(path, f"it has {path.stat().st_size} bytes and should have {8 + length + end}")
    return shapes


def count_weights(shapes: dict[str, tuple[int, ...]]) -> int:
    """Give the number of single numbers in all weights."""
    return sum(math.prod(shape) for shape in shapes.values())


def _entries(header: dict[str, Any]) -> tuple[dict[str, tuple[int, ...]], int]:
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    shapes = {name: tuple(int(side) for side in entry["shape"]) for name, entry in entries.items()}
    return shapes, max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)


def _damaged(path: Path, why: str) -> BaseModelError:
    return BaseModelError(
        "base.damaged",
        f"the weight file {path} is damaged: {why}",
        hint="Delete this file and run the command again, so that it is fetched anew.",
    )
