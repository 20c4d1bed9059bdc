"""Python packages that carry ggml as a shared library, found and opened without importing them."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import attrs


@attrs.frozen
class GgmlPackage:
    """A package with ggml inside.

    Args:
        name: what Python imports.
        patterns: where the library lies in the package's folder, best first.
        remedy: how to get it.
    """

    name: str
    patterns: tuple[str, ...]
    remedy: str

    def files(self) -> Iterator[Path]:
        """Give the libraries that are installed; nothing when the package is not there."""
        for folder in _folders(self.name):
            for pattern in self.patterns:
                yield from sorted(folder.glob(pattern))


XLLAMACPP = GgmlPackage(
    "xllamacpp", ("xllamacpp*.so", "xllamacpp*.dylib", "xllamacpp*.pyd"), "pip install 'dlm[runtime]'"
)
"""llama.cpp compiled into one Python module."""

LLAMA_CPP_PYTHON = GgmlPackage(
    "llama_cpp",
    ("lib/libggml-base*.so", "lib/libggml-base*.dylib", "lib/ggml-base*.dll", "lib/libggml.so", "lib/libllama.so"),
    "pip install llama-cpp-python",
)
"""llama.cpp as libraries beside the module; older versions have all of ggml in one."""


class GgmlLibrary:
    """The functions of ``ggml.h`` that quantise.

    Raises:
        OSError: the file cannot be loaded here.
        AttributeError: a function is not among those it gives away.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        library = ctypes.CDLL(str(path))
        self._quantize_chunk = library.ggml_quantize_chunk
        self._quantize_chunk.restype = ctypes.c_size_t
        self._quantize_chunk.argtypes = [
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_void_p,
        ]
        self._row_size = library.ggml_row_size
        self._row_size.restype = ctypes.c_size_t
        self._row_size.argtypes = [ctypes.c_int, ctypes.c_int64]
        self._init = library.ggml_quantize_init
        self._init.restype = None
        self._init.argtypes = [ctypes.c_int]

    def prepare(self, kind: int) -> None:
        """Set up what quantising to a type needs."""
        self._init(kind)

    def row_size(self, kind: int, columns: int) -> int:
        """Give the bytes of a row as this ggml counts them."""
        return int(self._row_size(kind, columns))

    def quantize(
        self, kind: int, source: int, target: int, *, first: int, rows: int, columns: int, importance: int | None
    ) -> int:
        """Quantise rows ``first … first + rows`` from one address to another; gives the bytes written.

        Other threads run meanwhile. Addresses are those of the first row of all; ``importance`` that of ``columns``
        float32 numbers.
        """
        return int(self._quantize_chunk(kind, source, target, first * columns, rows, columns, importance))


def _folders(name: str) -> list[Path]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: half-imported modules without a spec
        return []
    return [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
