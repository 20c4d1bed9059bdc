"""One adapter out of several.

A change is ΔW = s·B·A with A (rank, inputs) and B (outputs, rank). A weighted sum of changes is of that form too, with
the rows of all A below one another and the columns of all B, times weight and s, side by side: nothing is lost, the
ranks add up. To cut it to a lower rank, the largest singular values are kept. They come from a table as small as the
summed rank, since both factors are first turned into an orthonormal part and a triangle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.adapters.peft_files.config import read_revision
from dlm.adapters.peft_files.facts import read_facts
from dlm.adapters.peft_files.reading import CONFIG, WEIGHTS, damaged
from dlm.adapters.peft_files.tensors import TensorFile
from dlm.adapters.peft_files.tokenizer import copy_tokenizer
from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.adapter_mix import check_mixable
from dlm.domain.json_record import dump_object
from dlm.domain.lora_tensors import Factors, factors_by_module
from dlm.domain.safetensors_header import header_bytes
from dlm.domain.text_files import write_atomic, write_chunks_atomic
from dlm.ports.adapter_files import MixMethod, MixPart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class _Source:
    """One opened part; ``scale`` of a module is its weight times its own scaling."""

    part: MixPart
    facts: AdapterFacts
    tensors: TensorFile
    factors: Mapping[str, Factors]

    def scale(self, module: str) -> float:
        return self.part.weight * self.facts.scaling(module)


def write_mix(parts: Sequence[MixPart], method: MixMethod, into: Path) -> None:
    """Fill the empty folder ``into`` with a mix. See ``AdapterFilesPort.mix``."""
    facts = {part.name: read_facts(part.folder) for part in parts}
    check_mixable(facts, allow_4bit=True)
    sources = [_open(part, facts[part.name]) for part in parts if part.weight]
    if not sources:
        raise ValueError("a mix needs a part with a weight above 0")
    modules = sorted({module for source in sources for module in source.factors})
    rank = _rank(sources, modules, method)
    write_chunks_atomic(into / WEIGHTS, _weights(sources, modules, method, rank))
    copy_tokenizer(parts[0].folder, into)
    use_qlora = any(source.facts.trained_4bit for source in sources)
    _write_json(into / "training_run.json", {"use_qlora": use_qlora})
    _write_json(into / CONFIG, _config(parts[0].folder, sources[0].facts.base_name, modules, rank))


def _open(part: MixPart, facts: AdapterFacts) -> _Source:
    tensors = TensorFile(part.folder / WEIGHTS)
    return _Source(part=part, facts=facts, tensors=tensors, factors=factors_by_module(tensors.entries))


def _rank(sources: Sequence[_Source], modules: Sequence[str], method: MixMethod) -> int:
    """Give the rank of the result, the same for each module: not every runtime takes different ones."""
    if method == "svd":
        return max(source.facts.highest_rank for source in sources)
    return max(sum(source.facts.ranks.get(module, 0) for source in sources) for module in modules)


def _weights(sources: Sequence[_Source], modules: Sequence[str], method: MixMethod, rank: int) -> Iterator[bytes]:
    names = {module: next(it.factors[module] for it in sources if module in it.factors) for module in modules}
    layout = []
    for module in modules:
        inputs, outputs = _sides(sources, module, names[module])
        layout += [(names[module].a, "F32", (rank, inputs)), (names[module].b, "F32", (outputs, rank))]
    yield header_bytes(layout)
    for module in modules:
        a, b = _stacked(sources, module)
        if method == "svd":
            a, b = cut_to_rank(a, b, rank)
        yield padded(a, (rank, a.shape[1])).tobytes()
        yield padded(b, (b.shape[0], rank)).tobytes()


def _sides(sources: Sequence[_Source], module: str, names: Factors) -> tuple[int, int]:
    """Give inputs and outputs of a module, on which all parts must agree."""
    found = {}
    for source in sources:
        if module in source.factors:
            own = source.factors[module]
            a, b = source.tensors.entries[own.a].shape, source.tensors.entries[own.b].shape
            found[(a[1], b[0], own.a)] = source
    if len(found) > 1:
        source = next(reversed(found.values()))
        raise damaged(source.tensors.path, f"{module} is of another shape than in the other adapters of the mix")
    ((inputs, outputs, _),) = found
    return inputs, outputs


def _stacked(sources: Sequence[_Source], module: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import numpy as np

    rows, columns = [], []
    for source in sources:
        if module in source.factors:
            names = source.factors[module]
            rows.append(source.tensors.numbers(names.a))
            columns.append(np.float32(source.scale(module)) * source.tensors.numbers(names.b))
    return np.concatenate(rows, axis=0), np.concatenate(columns, axis=1)


def cut_to_rank(
    a: NDArray[np.float32], b: NDArray[np.float32], rank: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give factors of the nearest B·A with at most this rank, the size of each shared evenly by the two.

    Singular vectors are defined up to their sign; the largest entry of each left one is made positive, so that equal
    parts give equal files.
    """
    import numpy as np

    q_b, r_b = np.linalg.qr(b.astype(np.float64))
    q_a, r_a = np.linalg.qr(a.astype(np.float64).T)
    u, sizes, v = np.linalg.svd(r_b @ r_a.T, full_matrices=False)
    left, right = (q_b @ u)[:, :rank], (v @ q_a.T)[:rank]
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])
    root = np.sqrt(sizes[: left.shape[1]]) * np.where(signs == 0, 1.0, signs)
    return (root[:, None] * right).astype(np.float32), (left * root).astype(np.float32)


def padded(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Add zeros below and to the right, which change no product."""
    import numpy as np

    result = np.zeros(shape, dtype=np.float32)
    result[: values.shape[0], : values.shape[1]] = values
    return result


def _config(first: Path, base_name: str, modules: Sequence[str], rank: int) -> dict[str, Any]:
    """Give the settings under which PEFT applies the factors as they are: scaling alpha/r is 1."""
    return {
        "base_model_name_or_path": base_name,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": rank,
        "revision": read_revision(first),
        "target_modules": list(modules),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_atomic(path, dump_object(value, ascii_only=False).encode())
