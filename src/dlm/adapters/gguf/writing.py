"""Writing a model as one GGUF file, some rows at a time."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from dlm.adapters.gguf.architectures.architecture import Architecture
from dlm.adapters.gguf.checking import check_file
from dlm.adapters.gguf.container import Data, TensorInfo, Written, write_gguf
from dlm.adapters.gguf.encoding import encode_plain
from dlm.adapters.gguf.entries import Entry
from dlm.adapters.gguf.planning import PlannedTensor, plan_tensors
from dlm.adapters.gguf.vocabulary import Vocabulary
from dlm.adapters.gguf.weights import Weights
from dlm.domain.errors import ExportError
from dlm.domain.events import Emit, Progress, ignore
from dlm.domain.quantization import GgmlType

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

STAGE = "writing weights"

_PIECE = 1 << 18
"""Numbers that a thread converts at a time: 1 MiB of float32, which stays in a core's own cache."""

_QUANTIZATION_VERSION = 2
"""Of the format's quantised blocks, since 2023."""

_EMBEDDINGS = "token_embd.weight"

_PHI3 = re.compile("phi-?3", re.IGNORECASE)


class Encode(Protocol):
    """Gives the bytes of rows of a tensor, as ``encode_plain`` does. Several threads call it at once, each for a piece
    of some hundred thousand numbers."""

    def __call__(self, tensor: PlannedTensor, kind: GgmlType, values: Floats, *, matrix: int = 0) -> Data: ...


@attrs.frozen(kw_only=True)
class About:
    """What a file says about the model as a whole.

    Args:
        name: for people.
        base: Hub id or folder name of the model it is made from; None when it is nothing but that model.
        license: SPDX identifier.
        file_type: number of the level, as ``Quant.file_type``.
    """

    name: str
    file_type: int
    base: str | None = None
    license: str | None = None


def write_model(
    weights: Weights,
    architecture: Architecture,
    vocabulary: Vocabulary,
    into: Path,
    *,
    about: About,
    types: Mapping[str, GgmlType],
    encode: Encode = encode_plain,
    emit: Emit = ignore,
    threads: int | None = None,
) -> Written:
    """Write ``into``. Memory holds a few pieces of rows, whatever the size of the model and its tensors.

    The same input gives the same bytes.

    Args:
        types: how each tensor of ``plan_tensors`` is stored, by GGUF name.
        threads: that convert numbers; None for one per core, at most 4: the disk sets the pace then.

    Raises:
        ExportError: weights that do not fit the family or the vocabulary, or numbers that cannot be stored so.
        DiskError: no room.
    """
    tensors = plan_tensors(weights, architecture)
    infos = [TensorInfo(tensor.name, tensor.shape, types[tensor.name]) for tensor in tensors]
    by_name = {tensor.name: tensor for tensor in tensors}
    rows = by_name[_EMBEDDINGS].shape[0]
    check_rows(vocabulary, rows)
    entries = [
        *_general_entries(architecture, vocabulary, about),
        *architecture.metadata,
        Entry(f"{architecture.name}.vocab_size", "u32", rows),
        *vocabulary.padded(rows).entries(),
    ]
    total, done = sum(info.size_bytes for info in infos), 0
    with ExitStack() as stack:
        workers = threads or min(4, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(workers)
        stack.callback(pool.shutdown, cancel_futures=True)

        def data_of(info: TensorInfo) -> Iterator[Data]:
            nonlocal done
            tensor = by_name[info.name]
            tasks = _tasks(weights, architecture, tensor, info.kind, encode)
            yield from _in_order(pool, tasks, ahead=2 * workers)
            done += info.size_bytes
            emit(Progress(stage=STAGE, done=done, total=total, unit="bytes"))

        written = write_gguf(into, entries, infos, data_of)
    check_file(into, infos, tokens=rows)
    return written


def _tasks(
    weights: Weights, architecture: Architecture, tensor: PlannedTensor, kind: GgmlType, encode: Encode
) -> Iterator[Callable[[], Data]]:
    """Give the conversions whose results are the tensor's data, one after another."""
    import numpy as np

    if tensor.values:
        yield lambda: encode(tensor, kind, np.array(tensor.values, np.float32))
    for matrix, source in enumerate(tensor.sources):
        for rows in _pieces(weights.shape(source), architecture.rows_together(source)):

            def convert(source: str = source, rows: slice = rows, matrix: int = matrix) -> Data:
                values = architecture.transform(source, weights.read(source, rows))
                return encode(tensor, kind, values, matrix=matrix)

            yield convert


def _pieces(shape: tuple[int, ...], together: int) -> Iterator[slice]:
    """Cut the rows of a tensor so that groups stay whole; a vector is one piece."""
    if len(shape) == 1:
        yield slice(0, shape[0])
        return
    step = max(1, _PIECE // (shape[1] * together)) * together
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def _in_order(pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], Data]], *, ahead: int) -> Iterator[Data]:
    """Run tasks side by side and give their results in order, with no more than ``ahead`` of them waiting."""
    waiting: deque[Future[Data]] = deque()
    for task in tasks:
        waiting.append(pool.submit(task))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _general_entries(architecture: Architecture, vocabulary: Vocabulary, about: About) -> tuple[Entry, ...]:
    entries = [
        Entry("general.architecture", "str", architecture.name),
        Entry("general.type", "str", "model"),
        Entry("general.name", "str", _runtime_name(about.name, strips=vocabulary.strips_after_special)),
        Entry("general.file_type", "u32", about.file_type),
        Entry("general.quantization_version", "u32", _QUANTIZATION_VERSION),
    ]
    if about.license is not None:
        entries.append(Entry("general.license", "str", about.license))
    if about.base is not None:
        entries.append(Entry("general.base_model.count", "u32", 1))
        entries.append(Entry("general.base_model.0.name", "str", about.base))
    return tuple(entries)


def _runtime_name(name: str, *, strips: bool) -> str:
    """Give the name so that llama.cpp treats blanks after special tokens as the tokenizer does.

    It has no key for that: it drops them when the model's name contains ``phi-3`` or ``phi3``.
    """
    has_sign = _PHI3.search(name) is not None
    if strips and not has_sign:
        return f"{name} (phi-3)"
    if has_sign and not strips:
        return _PHI3.sub("phi 3", name)
    return name


def check_rows(vocabulary: Vocabulary, rows: int) -> None:
    """Refuse a tokenizer with more tokens than the model has rows.

    Raises:
        ExportError: ``export.vocabulary``.
    """
    if len(vocabulary.tokens) > rows:
        raise ExportError(
            "export.vocabulary",
            f"the tokenizer has ids up to {len(vocabulary.tokens) - 1}, and the embedding table has {rows} rows",
            subject="preflight[gguf_vocab]",
            hint="Train again with --fresh, so that tokenizer and weights belong together.",
        )
