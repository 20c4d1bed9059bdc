"""A base with an adapter's change inside: W + s·B·A, added in 32 bits while rows are read.

As PEFT merges: with DoRA each row of the sum is then scaled to the length that its magnitude says. What an adapter
stores whole takes the place of the base's tensor; with a table of embeddings or an output head that has more rows, the
vocabulary has grown.

A base whose output head is its table of embeddings (tied) stays so unless the adapter changed one of them alone. Then
the head becomes a tensor of its own, as it was in training: PEFT's own ``merge_and_unload`` would change both.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from dlm.adapters.gguf.adapter_tensors import AdapterTensors, Pair, check_shape, other_base, unfit
from dlm.adapters.gguf.architectures.architecture import EMBEDDINGS, OUTPUT
from dlm.adapters.gguf.weights import Weights
from dlm.domain.errors import ExportError

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

_TABLES = (EMBEDDINGS, OUTPUT)

_ROWS = 1024
"""Rows of the two tables that are compared at a time."""

_KEPT = 8
"""Factors kept for the rows to come: those of the tensors that threads work on side by side."""


class MergedWeights:
    """Implements ``Weights``: names and rows are those of the base, numbers those of the merged model.

    Memory holds the rows asked for, and a few factors A.

    Args:
        tied: the base's output head is its table of embeddings.

    Raises:
        ExportError: ``export.other-base``: the adapter changes what the base does not have, or in another shape;
            ``export.unfit-adapter``; ``export.vocabulary``: the table grew, and the output head did not.
    """

    def __init__(self, base: Weights, adapter: AdapterTensors, *, tied: bool) -> None:
        self._base, self._adapter, self._tied = base, adapter, tied
        self._present = frozenset(base.names())
        self._wide = lru_cache(_KEPT)(adapter.weights.read)
        for name, source in adapter.wholes.items():
            self._check_whole(name, adapter.weights.shape(source))
        for name, pair in adapter.pairs.items():
            self._check_pair(name, pair)
        if OUTPUT in self.names() and self.shape(OUTPUT)[0] != self.shape(EMBEDDINGS)[0]:
            raise _half_grown(self.shape(EMBEDDINGS)[0], self.shape(OUTPUT)[0])

    @cached_property
    def unties_output(self) -> bool:
        """Whether the output head of a tied base has become a tensor of its own."""
        changed = {*self._adapter.pairs, *self._adapter.wholes}
        if not self._tied or not changed & {*_TABLES}:
            return False
        return not (changed >= {*_TABLES} and self._are_tables_alike())

    def names(self) -> tuple[str, ...]:
        """Give the name of every tensor, sorted."""
        others = {*self._present} - ({OUTPUT} if self._tied else set())
        return tuple(sorted(others | ({OUTPUT} if self.unties_output else set())))

    def shape(self, name: str) -> tuple[int, ...]:
        """Give the sides of a tensor."""
        source, weights = self._below(name)
        return weights.shape(source)

    def dtype(self, name: str) -> str:
        """Give how the base's numbers are stored, or those that take their place."""
        source, weights = self._below(name)
        return weights.dtype(source)

    def read(self, name: str, rows: slice | None = None) -> Floats:
        """Give a tensor, or rows of it, with the change inside."""
        import numpy as np

        source, weights = self._below(name)
        values = weights.read(source, rows)
        pair = self._adapter.pairs.get(name)
        if pair is None:
            return values
        with np.errstate(all="ignore"):  # what is infinite or no number is refused by name when it is written
            return self._changed(values, pair, rows)

    def _changed(self, values: Floats, pair: Pair, rows: slice | None) -> Floats:
        import numpy as np

        read = self._adapter.weights.read
        if pair.is_table:
            columns = self._wide(pair.a)[:, rows or slice(None)]
            merged: Floats = values + _scaled(columns.T, pair) @ self._wide(pair.b).T
            return merged
        merged = values + _scaled(read(pair.b, rows), pair) @ self._wide(pair.a)
        if pair.magnitude is not None:
            lengths: Floats = np.linalg.norm(merged, axis=1, keepdims=True).astype(np.float32, copy=False)
            merged *= read(pair.magnitude, rows)[:, None] / lengths
        return merged

    def _below(self, name: str) -> tuple[str, Weights]:
        """Give the tensor that a change of ``name`` is added to, and where it is."""
        if name in self._adapter.wholes:
            return self._adapter.wholes[name], self._adapter.weights
        if name == OUTPUT and self._tied:
            # The head is what the table was; a table stored whole beside its change is what it was, too.
            is_under = EMBEDDINGS in self._adapter.wholes and EMBEDDINGS in self._adapter.pairs
            return self._below(EMBEDDINGS) if is_under else (EMBEDDINGS, self._base)
        return name, self._base

    def _are_tables_alike(self) -> bool:
        """Whether table and head are the same but for rounding: PEFT stores both when it keeps them tied."""
        import numpy as np

        shape = self.shape(EMBEDDINGS)
        if shape != self.shape(OUTPUT):
            return False
        pieces = (slice(start, min(start + _ROWS, shape[0])) for start in range(0, shape[0], _ROWS))
        return all(np.allclose(self.read(EMBEDDINGS, rows), self.read(OUTPUT, rows), atol=1e-6) for rows in pieces)

    def _check_whole(self, name: str, shape: tuple[int, ...]) -> None:
        known = self._known(name)
        if known is None:
            raise other_base(f"the adapter stores {name[:120]!r} whole, which the base does not have")
        grows = name in _TABLES and len(shape) == len(known) and 0 not in shape
        if shape != known and not (grows and shape[1:] == known[1:]):
            raise other_base(f"the adapter stores {name} in the shape {shape}, and the base has it in {known}")

    def _check_pair(self, name: str, pair: Pair) -> None:
        if self._known(name) is None:
            raise other_base(f"the adapter changes {pair.module[:120]!r}, which the base does not have")
        check_shape(name, pair, self._adapter, self.shape(name))
        if pair.is_table and pair.magnitude is not None:
            raise unfit(
                f"the adapter has a DoRA magnitude of the table of embeddings ({pair.magnitude})",
                hint="Train again with adapter: lora, or without embed_tokens among target_modules.",
            )

    def _known(self, name: str) -> tuple[int, ...] | None:
        """Give the shape of a tensor in the base; None when there is none of the name."""
        source = EMBEDDINGS if name == OUTPUT and self._tied else name
        return self._base.shape(source) if source in self._present else None


def _scaled(factor: Floats, pair: Pair) -> Floats:
    import numpy as np

    scaled: Floats = factor * np.float32(pair.scaling)
    return scaled


def _half_grown(table: int, head: int) -> ExportError:
    return ExportError(
        "export.vocabulary",
        f"the adapter's table of embeddings has {table} rows, and the output head has {head}",
        subject="preflight[embedding_rows]",
        hint="Train again with both embed_tokens and lm_head in modules_to_save.",
    )
