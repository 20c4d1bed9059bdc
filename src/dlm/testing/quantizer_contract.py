"""What every quantiser promises, as tests. Needs pytest, numpy and gguf.

class TestMyQuantizer(BlockQuantizerContract):
    @pytest.fixture
    def quantizer(self):
        return MyQuantizer()
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlm.domain.errors import ExportError
from dlm.domain.quantization import GgmlType, row_bytes
from dlm.ports.quantizer import BlockQuantizer, FileQuantizer

COLUMNS = 512
ERROR: dict[GgmlType, float] = {"Q8_0": 0.01, "Q6_K": 0.03, "Q5_K": 0.05, "Q5_1": 0.05, "Q5_0": 0.06, "Q4_K": 0.09}
"""Root mean square error of normally distributed weights, relative to theirs: about 2^-bits."""


def weights(rows: int = 6, *, seed: int = 1) -> Any:
    """Give rows of 512 normally distributed numbers."""
    import numpy as np

    return np.random.default_rng(seed).normal(size=(rows, COLUMNS)).astype(np.float32)


def restored(blocks: memoryview, kind: GgmlType) -> Any:
    """Give the numbers that blocks stand for."""
    import gguf
    import numpy as np

    rows = np.frombuffer(blocks, np.uint8).reshape(-1, row_bytes(kind, COLUMNS))
    return gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[kind])


class BlockQuantizerContract:
    """Subclass it and give a ``quantizer`` fixture that works on this machine."""

    @pytest.fixture
    def quantizer(self) -> BlockQuantizer:
        """Give the quantiser under test."""
        raise NotImplementedError("override the quantizer fixture")

    def test_it_has_a_name_and_writes_something(self, quantizer: BlockQuantizer) -> None:
        assert quantizer.missing() is None
        assert quantizer.name
        assert "Q8_0" in quantizer.types()

    def test_blocks_stand_for_nearly_the_same_numbers(self, quantizer: BlockQuantizer) -> None:
        numbers = weights(40)
        for kind in quantizer.types():
            blocks = quantizer.quantize(numbers.data, columns=COLUMNS, kind=kind)
            assert blocks.nbytes == 40 * row_bytes(kind, COLUMNS)
            error = ((restored(blocks, kind) - numbers) ** 2).mean() ** 0.5
            assert 0 < error < ERROR[kind], kind

    def test_each_row_is_quantised_by_itself_and_always_the_same(self, quantizer: BlockQuantizer) -> None:
        numbers = weights(700)
        for kind in quantizer.types():
            whole = bytes(quantizer.quantize(numbers.data, columns=COLUMNS, kind=kind))
            parts = (numbers[:1], numbers[1:500], numbers[500:])
            singly = [bytes(quantizer.quantize(part.data, columns=COLUMNS, kind=kind)) for part in parts]
            assert whole == b"".join(singly), kind

    def test_what_is_given_stays_as_it_is(self, quantizer: BlockQuantizer) -> None:
        numbers = weights()
        before = numbers.tobytes()
        numbers.flags.writeable = False
        flat = quantizer.quantize(memoryview(before), columns=COLUMNS, kind="Q8_0")
        assert bytes(quantizer.quantize(numbers.data, columns=COLUMNS, kind="Q8_0")) == bytes(flat)
        assert numbers.tobytes() == before

    def test_important_columns_come_out_better(self, quantizer: BlockQuantizer) -> None:
        import numpy as np

        numbers = weights(64)
        importance = np.where(np.arange(COLUMNS) % 16 == 0, 100.0, 0.01).astype(np.float32)
        for kind in quantizer.types() & {"Q4_K", "Q5_K", "Q6_K"}:
            plain = restored(quantizer.quantize(numbers.data, columns=COLUMNS, kind=kind), kind)
            weighed = quantizer.quantize(numbers.data, columns=COLUMNS, kind=kind, importance=importance.data)
            errors = [(importance * (found - numbers) ** 2).mean() for found in (restored(weighed, kind), plain)]
            assert errors[0] < 0.7 * errors[1], kind

    def test_numbers_that_are_none_are_refused(self, quantizer: BlockQuantizer) -> None:
        for value in (float("nan"), float("inf"), float("-inf"), 1e9):
            numbers = weights()
            numbers[3, 100] = value
            with pytest.raises(ExportError) as caught:
                quantizer.quantize(numbers.data, columns=COLUMNS, kind="Q8_0")
            assert caught.value.code == "export.bad-weights"

    def test_importance_that_is_none_is_refused(self, quantizer: BlockQuantizer) -> None:
        import numpy as np

        for value in (float("nan"), float("inf"), -1.0):
            importance = np.ones(COLUMNS, np.float32)
            importance[7] = value
            with pytest.raises(ExportError) as caught:
                quantizer.quantize(memoryview(weights()), columns=COLUMNS, kind="Q8_0", importance=importance.data)
            assert caught.value.code == "export.bad-importance"

    def test_sizes_that_do_not_fit_are_errors_of_the_caller(self, quantizer: BlockQuantizer) -> None:
        import numpy as np

        numbers = memoryview(weights())
        importance = np.ones(COLUMNS // 2, np.float32).data
        with pytest.raises(ValueError):
            quantizer.quantize(numbers, columns=COLUMNS + 1, kind="Q8_0")
        with pytest.raises(ValueError):
            quantizer.quantize(memoryview(weights(1)[0, :500]), columns=COLUMNS, kind="Q8_0")
        with pytest.raises(ValueError):
            quantizer.quantize(numbers, columns=COLUMNS, kind="Q8_0", importance=importance)
        with pytest.raises(ValueError):
            quantizer.quantize(numbers, columns=COLUMNS, kind="F32")


class FileQuantizerContract:
    """Subclass it and give a ``quantizer`` fixture that works on this machine, and a ``source``: a 16-bit file."""

    @pytest.fixture
    def quantizer(self) -> FileQuantizer:
        """Give the quantiser under test."""
        raise NotImplementedError("override the quantizer fixture")

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """Give a file to quantise, in a folder of its own."""
        raise NotImplementedError("override the source fixture")

    def test_a_file_is_written_and_nothing_else(self, quantizer: FileQuantizer, source: Path, tmp_path: Path) -> None:
        assert quantizer.missing() is None
        assert quantizer.name
        into = tmp_path / "out folder" / 'a "name" with spaces.gguf'
        into.parent.mkdir()
        before = source.read_bytes()
        quantizer.quantize_file(source, into, quant="Q8_0", importance=None)
        assert into.read_bytes()[:4] == b"GGUF"
        assert list(into.parent.iterdir()) == [into]
        assert source.read_bytes() == before

    def test_a_source_that_is_no_model_leaves_nothing_behind(self, quantizer: FileQuantizer, tmp_path: Path) -> None:
        source, into = tmp_path / "bad.gguf", tmp_path / "out" / "model.gguf"
        source.write_bytes(b"no model")
        into.parent.mkdir()
        with pytest.raises(ExportError) as caught:
            quantizer.quantize_file(source, into, quant="Q4_K_M", importance=None)
        assert caught.value.code == "export.quantizer-failed"
        assert list(into.parent.iterdir()) == []
