"""Writing a model at a level: which quantiser is used, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.adapters.gguf.architectures.architecture import EMBEDDINGS, Architecture
from dlm.adapters.gguf.base_cache import file_sha256, temporary_beside
from dlm.adapters.gguf.checking import read_head
from dlm.adapters.gguf.container import Data, TensorInfo, Written
from dlm.adapters.gguf.encoding import PLAIN_TYPES, check_numbers, encode_plain
from dlm.adapters.gguf.importance import read_importance
from dlm.adapters.gguf.planning import PlannedTensor, quant_types
from dlm.adapters.gguf.vocabulary import Vocabulary
from dlm.adapters.gguf.weights import Weights
from dlm.adapters.gguf.writing import About, write_model
from dlm.domain.errors import ExportError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.quantization import QUANTS, GgmlType, QuantName
from dlm.domain.text_files import disk_error
from dlm.ports.quantizer import BlockQuantizer, FileQuantizer

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]


@attrs.frozen(kw_only=True)
class Way:
    """How a level is written: with ``blocks`` in one go, with ``files`` by way of a 16-bit file, else without native
    code."""

    blocks: BlockQuantizer | None = None
    files: FileQuantizer | None = None

    @property
    def name(self) -> str:
        """Give the name of what quantises; empty when nothing does."""
        used = self.blocks or self.files
        return used.name if used else ""


def choose_way(
    types: Iterable[GgmlType],
    quant: QuantName,
    quantizers: Sequence[BlockQuantizer],
    file_quantizers: Sequence[FileQuantizer],
) -> Way:
    """Choose the first quantiser that works here and writes every type of the file.

    Raises:
        ExportError: ``export.no-quantizer``, with what is missing and how to do without.
    """
    needed = frozenset(types) - PLAIN_TYPES
    if not needed:
        return Way()
    reasons = []
    for blocks in quantizers:
        lacking = blocks.missing() or _lacking(blocks, needed)
        if lacking is None:
            return Way(blocks=blocks)
        reasons.append(lacking)
    for files in file_quantizers:
        lacking = files.missing()
        if lacking is None:
            return Way(files=files)
        reasons.append(lacking)
    raise _nothing(quant, reasons)


def _lacking(blocks: BlockQuantizer, needed: frozenset[GgmlType]) -> str | None:
    lacking = needed - blocks.types()
    return f"{blocks.name} does not write {', '.join(sorted(lacking))}" if lacking else None


def _nothing(quant: QuantName, reasons: Sequence[str]) -> ExportError:
    plain = [name for name, level in QUANTS.items() if not level.is_native]
    return ExportError(
        "export.no-quantizer",
        f"--quant {quant} needs a quantiser, and there is none here: {'; '.join(reasons) or 'none is known'}",
        hint=f"Run pip install 'dlm[runtime]', or choose --quant {' or '.join(plain)}, which need none.",
    )


@attrs.frozen(kw_only=True)
class Quantizing:
    """A model and how it is to be written."""

    weights: Weights
    architecture: Architecture
    vocabulary: Vocabulary
    about: About
    tensors: tuple[PlannedTensor, ...]
    types: Mapping[str, GgmlType]
    way: Way
    quant: QuantName
    importance: Path | None = None
    threads: int | None = None
    emit: Emit = ignore

    @property
    def disk_bytes(self) -> int:
        """Bytes that writing takes: the file, and the 16-bit one it is made from where a program does it."""
        types = [self.types]
        if self.way.files is not None:
            types.append(quant_types(self.tensors, self.architecture, self._wide))
        return sum(
            TensorInfo(tensor.name, tensor.shape, kinds[tensor.name]).size_bytes
            for kinds in types
            for tensor in self.tensors
        )

    @property
    def _wide(self) -> QuantName:
        return "BF16" if self.weights.dtype(EMBEDDINGS) == "BF16" else "F16"

    def write(self, into: Path) -> Written:
        """Write the file, whole or not at all.

        Raises:
            ExportError: numbers that cannot be stored so; an importance matrix of another model; a program that fails.
            DiskError: no room.
        """
        if self.way.files is not None:
            return self._by_program(self.way.files, into)
        blocks = self.way.blocks
        encode = encode_plain if blocks is None else _BlockEncode(blocks, self._importance_by_tensor())
        return self._write(into, self.types, self.about, encode)

    def _write(self, into: Path, types: Mapping[str, GgmlType], about: About, encode: Any) -> Written:
        return write_model(
            self.weights,
            self.architecture,
            self.vocabulary,
            into,
            about=about,
            types=types,
            encode=encode,
            emit=self.emit,
            threads=self.threads,
        )

    def _by_program(self, program: FileQuantizer, into: Path) -> Written:
        """Write a 16-bit file, then let the program make the level of it."""
        between = temporary_beside(into, "16bit")
        about = attrs.evolve(self.about, file_type=QUANTS[self._wide].file_type)
        try:
            self._write(between, quant_types(self.tensors, self.architecture, self._wide), about, encode_plain)
            self.emit(Note(subject="export", message=f"{program.name} quantises to {self.quant}"))
            program.quantize_file(between, into, quant=self.quant, importance=self.importance)
            self._check(into)
            return Written(sha256=file_sha256(into), size_bytes=into.stat().st_size)
        except OSError as exc:
            raise disk_error(exc, into) from exc
        finally:
            between.unlink(missing_ok=True)

    def _check(self, path: Path) -> None:
        """Check that the program wrote what it was given."""
        found = {info.name: info.shape for info, _ in read_head(path).tensors}
        if found != {tensor.name: tensor.shape for tensor in self.tensors}:
            raise ExportError(
                "export.self-check",
                f"{path} does not hold the tensors that it was made from",
                hint="Check the disk, and export again.",
            )

    def _importance_by_tensor(self) -> Mapping[str, Floats]:
        """Read the importance matrix, checked against the tensors.

        Raises:
            ExportError: ``export.bad-importance``.
        """
        if self.importance is None:
            return {}
        found = read_importance(self.importance)
        for tensor in self.tensors:
            weights = found.get(tensor.name)
            if weights is not None and weights.shape != (*tensor.shape[:-2], tensor.shape[-1]):
                raise ExportError(
                    "export.bad-importance",
                    f"{self.importance} has {weights.shape} weights for {tensor.name}, which is {tensor.shape}: "
                    "it was made for another model",
                    hint="Delete it and export again, or export with --no-imatrix.",
                )
        return found


class _BlockEncode:
    """Gives the bytes of rows: of the plain types without, of the others with a quantiser. Implements ``Encode``."""

    def __init__(self, blocks: BlockQuantizer, importance: Mapping[str, Floats]) -> None:
        self._blocks = blocks
        self._importance = importance

    def __call__(self, tensor: PlannedTensor, kind: GgmlType, values: Floats, *, matrix: int = 0) -> Data:
        import numpy as np

        if kind in PLAIN_TYPES:
            return encode_plain(tensor, kind, values, matrix=matrix)
        check_numbers(tensor, kind, values)
        weights = self._importance.get(tensor.name)
        if weights is not None and weights.ndim > 1:
            weights = weights[matrix]
        return self._blocks.quantize(
            np.ascontiguousarray(values).reshape(-1).data,
            columns=values.shape[-1],
            kind=kind,
            importance=None if weights is None else weights.data,
        )
