"""Importance matrices without a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dlm.domain.base_models import ResolvedBase
from dlm.domain.events import Emit, Progress
from dlm.domain.importance import MIN_CHUNKS


class FlatImatrix:
    """Keeps :class:`dlm.ports.imatrix.ImatrixPort`'s promises with a matrix in which every input counts alike.

    A character is a token. ``texts`` are those it was given last.
    """

    def __init__(self) -> None:
        self.texts: tuple[str, ...] = ()

    def collect(
        self, base: ResolvedBase, texts: Iterable[str], into: Path, *, chunks: int, chunk_size: int, emit: Emit
    ) -> int:
        self.texts = tuple(texts)
        count = min(chunks, len("".join(self.texts)) // chunk_size)
        if count < MIN_CHUNKS:
            return count
        for done in range(1, count + 1):
            emit(Progress(stage="imatrix", done=done, total=count, unit="pieces"))
        _write(into, base, tokens=count * chunk_size)
        return count


def _write(into: Path, base: ResolvedBase, *, tokens: int) -> None:
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(into, "imatrix")
    writer.add_type("imatrix")
    for layer in range(base.config["num_hidden_layers"]):
        columns = base.config["hidden_size"]
        writer.add_tensor(f"blk.{layer}.attn_q.weight.in_sum2", np.full((1, columns), tokens, np.float32))
        writer.add_tensor(f"blk.{layer}.attn_q.weight.counts", np.full((1, 1), tokens, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
