"""The importance matrix, collected by running the base over text."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlm.adapters.torch.bases import LoadedBase, LoadSpec, TorchBases
from dlm.adapters.torch.foreign import translated
from dlm.adapters.torch.input_sums import InputSums, NameOf, Sums
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import ExportError
from dlm.domain.events import Emit, Progress
from dlm.domain.importance import MIN_CHUNKS
from dlm.domain.inference import InferencePlan
from dlm.domain.text_files import disk_error, sync_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SUBJECT = "importance matrix"


class TorchImatrix:
    """Collects importance matrices. Implements ``ImatrixPort``; shares its bases with the trainer.

    Args:
        plan: how models are loaded on this machine, asked when one is needed.
    """

    def __init__(self, bases: TorchBases, plan: Callable[[], InferencePlan]) -> None:
        self._bases = bases
        self._plan = plan

    def collect(
        self, base: ResolvedBase, texts: Iterable[str], into: Path, *, chunks: int, chunk_size: int, emit: Emit
    ) -> int:
        """Write the matrix from at most ``chunks`` pieces of ``chunk_size`` tokens; gives how many the text had."""
        name_of = _names(base)
        with self._bases.lend(base, self._spec(base)) as loaded:
            with translated(_SUBJECT):
                pieces = _pieces(loaded.tokenizer, texts, chunks, chunk_size)
            if len(pieces) < MIN_CHUNKS:
                return len(pieces)
            sums = _run(loaded, pieces, name_of, emit)
        _check(sums)
        _write(into, sums, chunks=len(pieces), chunk_size=chunk_size)
        return len(pieces)

    def _spec(self, base: ResolvedBase) -> LoadSpec:
        plan = self._plan()
        return LoadSpec(
            folder=base.folder,
            precision=plan.precision.value,
            attention=plan.attn_implementation.value,
            device=plan.device,
            trust_remote_code=base.spec.trust_remote_code,
        )


def _names(base: ResolvedBase) -> NameOf:
    """Give the names of weights as GGUF files have them. Only those of layers count: the output layer and the
    embeddings are stored in six or eight bits, where nothing needs to be weighed up."""
    import gguf

    architectures = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
    if base.spec.gguf_arch not in architectures:
        raise ExportError(
            "export.imatrix-failed",
            f"there is no importance matrix for models of the kind {base.spec.gguf_arch}",
            hint="Export with --no-imatrix.",
        )
    config = base.config.get("text_config", base.config)
    table = gguf.get_tensor_name_map(architectures[base.spec.gguf_arch], int(config["num_hidden_layers"]))

    def name_of(module: str) -> str | None:
        found = table.get_name(f"{module}.weight", try_suffixes=(".weight",))
        return found if found is not None and found.startswith("blk.") else None

    return name_of


def _pieces(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], chunks: int, chunk_size: int
) -> list[Sequence[int]]:
    """Cut the token ids of texts laid end to end into whole pieces. A model that was trained to see its start token
    first sees it first in every piece, in place of the token there."""
    start: list[int] = tokenizer("", verbose=False)["input_ids"]
    ids: list[int] = []
    for text in texts:
        ids += tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) >= chunks * chunk_size:
            break
    whole = [ids[at : at + chunk_size] for at in islice(range(0, len(ids), chunk_size), chunks)]
    lead = start[:1] if start[:1] == [tokenizer.bos_token_id] else []
    return [[*lead, *piece[len(lead) :]] for piece in whole if len(piece) == chunk_size]


def _run(loaded: LoadedBase, pieces: Sequence[Sequence[int]], name_of: NameOf, emit: Emit) -> Mapping[str, Sums]:
    import torch

    model: Any = loaded.model
    sums = InputSums(name_of)
    with sums.watching(model), torch.inference_mode():
        for done, piece in enumerate(pieces, 1):
            with translated(_SUBJECT):
                model.base_model(input_ids=torch.tensor([piece], device=model.device), use_cache=False)
            emit(Progress(stage="imatrix", done=done, total=len(pieces), unit="pieces"))
    return sums.by_name


def _check(sums: Mapping[str, Sums]) -> None:
    import numpy as np

    bad = next((name for name, found in sums.items() if not np.isfinite(found.squares).all()), None)
    if bad is not None or not sums:
        what = f"the inputs of {bad} overflowed" if bad else "the model has no layer that it could weigh"
        raise ExportError("export.imatrix-failed", f"no importance matrix: {what}", hint="Export with --no-imatrix.")


def _write(into: Path, sums: Mapping[str, Sums], *, chunks: int, chunk_size: int) -> None:
    """Write llama.cpp's form in one step: sums and counts, from which the reader takes means."""
    import gguf
    import numpy as np

    temporary = into.with_name(f"{into.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        writer = gguf.GGUFWriter(temporary, "imatrix")
        writer.kv_data[0].pop(gguf.Keys.General.ARCHITECTURE)  # the form has none
        writer.add_type("imatrix")
        writer.add_array("imatrix.datasets", ["dlm"])
        writer.add_uint32("imatrix.chunk_count", chunks)
        writer.add_uint32("imatrix.chunk_size", chunk_size)
        for name, found in sorted(sums.items()):
            writer.add_tensor(f"{name}.in_sum2", found.squares.astype(np.float32))
            writer.add_tensor(f"{name}.counts", found.tokens.astype(np.float32).reshape(-1, 1))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(into)
        sync_folder(into.parent)
    except OSError as exc:
        raise disk_error(exc, into) from exc
    finally:
        temporary.unlink(missing_ok=True)
