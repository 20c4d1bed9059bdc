"""Where ggml is found, and what is said when it is not there or is another."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dlm.adapters.ggml.probe as probe
from dlm.adapters.ggml import LLAMA_CPP_PYTHON, XLLAMACPP, GgmlPackage, GgmlQuantizer
from dlm.adapters.ggml.libraries import GgmlLibrary
from dlm.adapters.ggml.quantizer import LARGEST
from dlm.domain.errors import ExportError
from dlm.domain.quantization import BLOCKS, GGML_TYPE_IDS, GgmlType, row_bytes
from dlm.testing.quantizer_contract import weights

KINDS: tuple[GgmlType, ...] = probe.KINDS
QUANTIZER = GgmlQuantizer()


def a_package(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> GgmlPackage:
    """Give an importable package that carries a file as its library."""
    (folder / "made_package").mkdir()
    (folder / "made_package" / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    if content is not None:
        (folder / "made_package" / "libggml.so").write_bytes(content)
    monkeypatch.syspath_prepend(str(folder))
    return GgmlPackage("made_package", ("*.so",), "pip install made")


def test_the_package_is_never_imported_and_the_next_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantizer = GgmlQuantizer([a_package(tmp_path, monkeypatch, b"no library"), XLLAMACPP])
    assert quantizer.missing() is None
    assert quantizer.name == "xllamacpp"


@pytest.mark.parametrize(("content", "said"), [(None, "not installed"), (b"no library", "cannot be used")])
def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str
) -> None:
    quantizer = GgmlQuantizer([a_package(tmp_path, monkeypatch, content)])
    assert said in (quantizer.missing() or "")
    assert quantizer.types() == frozenset()
    with pytest.raises(ExportError) as caught:
        quantizer.quantize(memoryview(weights()), columns=512, kind="Q4_K")
    assert caught.value.code == "export.no-quantizer"
    assert said in caught.value.message


def test_a_package_without_a_folder_is_not_installed() -> None:
    assert list(GgmlPackage("math", ("*",), "").files()) == []
    assert list(GgmlPackage("no_such_package_at_all", ("*",), "").files()) == []
    assert "llama_cpp" in (GgmlQuantizer([LLAMA_CPP_PYTHON]).missing() or "llama_cpp")


@pytest.mark.parametrize("kind", KINDS)
def test_a_library_that_writes_other_blocks_is_not_used(kind: GgmlType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(GgmlLibrary):
        def quantize(self, number: int, source: int, target: int, **rest: object) -> int:  # type: ignore[override]
            written = super().quantize(number, source, target, **rest)  # type: ignore[arg-type]
            if number == GGML_TYPE_IDS[kind]:
                ctypes.c_ubyte.from_address(target).value ^= 1
            return written

    monkeypatch.setattr("dlm.adapters.ggml.quantizer.GgmlLibrary", Other)
    assert f"it writes other {kind} blocks" in (GgmlQuantizer([XLLAMACPP]).missing() or "")


@pytest.mark.parametrize("kind", KINDS)
def test_the_known_numbers_survive_exactly(kind: GgmlType) -> None:
    import gguf

    numbers = np.array(probe.known_numbers(kind))
    blocks = QUANTIZER.quantize(memoryview(numbers.astype(np.float32)), columns=probe.COLUMNS, kind=kind)
    found = gguf.quants.dequantize(np.frombuffer(blocks, np.uint8), gguf.GGMLQuantizationType[kind])
    assert (found == numbers).all()


@example(kind="Q5_1", rows=1, blocks=1, scale=LARGEST, importance=1.0, seed=3)
@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.integers(1, 5),
    blocks=st.integers(1, 3),
    scale=st.sampled_from([0.0, 1e-30, 1e-6, 1.0, 600.0, LARGEST]),
    importance=st.sampled_from([None, 0.0, 1e-30, 1.0, 1e30]),
    seed=st.integers(0, 99),
)
def test_every_finite_tensor_gives_finite_blocks(
    kind: GgmlType, rows: int, blocks: int, scale: float, importance: float | None, seed: int
) -> None:
    import gguf

    columns = blocks * BLOCKS[kind].numbers
    numbers = (np.random.default_rng(seed).uniform(-1, 1, (rows, columns)) * scale).astype(np.float32)
    given = None if importance is None else memoryview(np.full(columns, importance, np.float32))
    found = QUANTIZER.quantize(memoryview(numbers), columns=columns, kind=kind, importance=given)
    assert found.nbytes == rows * row_bytes(kind, columns)
    restored = gguf.quants.dequantize(np.frombuffer(found, np.uint8).reshape(rows, -1), gguf.GGMLQuantizationType[kind])
    assert math.isfinite(float(restored.min()))
    assert math.isfinite(float(restored.max()))
