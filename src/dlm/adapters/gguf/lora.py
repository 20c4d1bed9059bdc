"""An adapter as a GGUF file of its own, which runtimes apply to the file of the base.

For each changed tensor of the base the file has two, ``<name>.lora_a`` (rank, inputs) and ``<name>.lora_b`` (outputs,
rank). llama.cpp adds ``alpha / rank · B·A``, with the one ``alpha`` of the file and the rank of each pair. What PEFT
scales otherwise is multiplied into B. Rows that GGUF keeps in another order are rows of B.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.adapters.gguf.adapter_tensors import AdapterTensors, Pair, check_shape, other_base, unfit
from dlm.adapters.gguf.architectures.architecture import OUTPUT, Architecture
from dlm.adapters.gguf.checking import check_file
from dlm.adapters.gguf.container import Data, TensorInfo, Written, write_gguf
from dlm.adapters.gguf.encoding import encode_plain
from dlm.adapters.gguf.entries import Entry
from dlm.adapters.gguf.planning import PlannedTensor
from dlm.adapters.gguf.weights import Weights
from dlm.domain.quantization import GgmlType

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]

_HALF = 65504.0
"""The largest 16-bit float."""

_LOST = 1e-3
"""Part of a factor (by its norm) that rounding to 16 bits may lose. Ordinary numbers lose 3e-4; more is lost when most
are below 6e-5, where 16-bit floats have fewer digits."""


@attrs.frozen(kw_only=True)
class LoraPlan:
    """Pairs to be written, by the GGUF name of the changed tensor.

    Args:
        alpha: of the file.
    """

    pairs: tuple[tuple[str, Pair], ...]
    alpha: float


def plan_lora(adapter: AdapterTensors, architecture: Architecture, base: Weights) -> LoraPlan:
    """Find a place for every tensor of an adapter. Reads headers only.

    Raises:
        ExportError: ``export.unfit-adapter``: a part that such a file cannot hold, with ``--merged`` as the way out;
            ``export.other-base``.
    """
    if adapter.wholes:
        name = min(adapter.wholes.values())
        raise unfit(f"the adapter stores {name} whole, and an adapter in GGUF holds low-rank changes only")
    present = set(base.names())
    pairs = [
        (_gguf_name(hf_name, pair, architecture, present=hf_name in present), pair)
        for hf_name, pair in adapter.pairs.items()
    ]
    for hf_name, pair in adapter.pairs.items():
        check_shape(hf_name, pair, adapter, base.shape(hf_name))
    return LoraPlan(pairs=tuple(pairs), alpha=_alpha(pair for _, pair in pairs))


def write_lora(
    plan: LoraPlan, adapter: AdapterTensors, architecture: Architecture, into: Path, *, name: str, base: str
) -> Written:
    """Write ``into``. Memory holds one pair; the same input gives the same bytes.

    Args:
        name: of the adapter, for people.
        base: name of the base.

    Raises:
        ExportError: ``export.bad-weights``: a number that is infinite or none.
        DiskError: no room.
    """
    factors = {
        tensor.name: (tensor, pair) for gguf_name, pair in plan.pairs for tensor in _planned(gguf_name, pair, adapter)
    }
    infos = [
        TensorInfo(tensor.name, tensor.shape, _kind(_values(tensor, pair, plan, adapter, architecture)))
        for tensor, pair in factors.values()
    ]

    def data_of(info: TensorInfo) -> Iterator[Data]:
        tensor, pair = factors[info.name]
        yield encode_plain(tensor, info.kind, _values(tensor, pair, plan, adapter, architecture))

    written = write_gguf(into, _entries(plan, architecture, name=name, base=base), infos, data_of)
    check_file(into, infos, tokens=None)
    return written


def _gguf_name(hf_name: str, pair: Pair, architecture: Architecture, *, present: bool) -> str:
    if pair.magnitude is not None:
        raise unfit(f"the adapter has a DoRA magnitude ({pair.magnitude}), which adapters in GGUF cannot hold")
    if pair.is_table:
        raise unfit(f"the adapter changes the table of embeddings ({pair.a}), which runtimes do not expect")
    if hf_name == OUTPUT and architecture.shape.tied_embeddings:
        raise unfit(f"the adapter changes the output head ({pair.a}), which is the table of embeddings in this base")
    if architecture.expert(hf_name) is not None:
        raise unfit(
            f"the adapter changes a single expert ({pair.a}), and GGUF keeps all experts of a layer in one tensor"
        )
    name = architecture.tensor_name(hf_name) if present else None
    if name is None:
        raise other_base(f"the adapter changes {pair.module}, which the base does not have")
    return name


def _alpha(pairs: Iterable[Pair]) -> float:
    """Give the alpha that most pairs have; not 0, which llama.cpp takes for "do not scale"."""
    wanted = Counter(pair.alpha for pair in pairs if pair.alpha)
    return wanted.most_common(1)[0][0] if wanted else 1.0


def _planned(gguf_name: str, pair: Pair, adapter: AdapterTensors) -> tuple[PlannedTensor, PlannedTensor]:
    a, b = (
        PlannedTensor(name=f"{gguf_name}.{part}", shape=adapter.weights.shape(source), sources=(source,))
        for part, source in (("lora_a", pair.a), ("lora_b", pair.b))
    )
    return a, b


def _values(
    tensor: PlannedTensor, pair: Pair, plan: LoraPlan, adapter: AdapterTensors, architecture: Architecture
) -> Floats:
    import numpy as np

    (source,) = tensor.sources
    values = adapter.weights.read(source)
    if source == pair.a:
        return values
    factor = pair.alpha / plan.alpha
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused when it is written
        scaled = values if factor == 1 else values * np.float32(factor)
    return np.ascontiguousarray(architecture.reorder_rows(f"{pair.module}.weight", scaled))


def _kind(values: Floats) -> GgmlType:
    """Give F16 where it holds the numbers, else F32."""
    import numpy as np

    if not float(np.abs(values).max()) <= _HALF:
        return "F32"
    lost = values - values.astype(np.float16).astype(np.float32)
    return "F16" if np.linalg.norm(lost) <= _LOST * np.linalg.norm(values) else "F32"


def _entries(plan: LoraPlan, architecture: Architecture, *, name: str, base: str) -> tuple[Entry, ...]:
    return (
        Entry("general.architecture", "str", architecture.name),
        Entry("general.type", "str", "adapter"),
        Entry("general.name", "str", name),
        Entry("general.base_model.count", "u32", 1),
        Entry("general.base_model.0.name", "str", base),
        Entry("adapter.type", "str", "lora"),
        Entry("adapter.lora.alpha", "f32", plan.alpha),
    )
