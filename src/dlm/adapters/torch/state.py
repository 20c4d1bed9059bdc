"""Training state on disk: safetensors and JSON, never pickle.

training_state.safetensors   AdamW moments by parameter name, random-number states
training_state.json          counters, fingerprint of the job, versions
training_state.sha256        hex digests of both, checked before anything is read
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.domain.errors import ResumeError
from dlm.domain.text_files import write_atomic

if TYPE_CHECKING:
    import torch

STATE_VERSION = 1
_TENSORS, _COUNTERS, _DIGESTS = "training_state.safetensors", "training_state.json", "training_state.sha256"


@attrs.define(kw_only=True)
class Counters:
    """Where a run stands.

    Args:
        step: optimiser steps of this adapter so far.
        origin: the step at which the present job (rows and knobs) began; earlier steps belong to an older document.
        fingerprint: digest of the job; an equal one means the run can be continued exactly.
        epoch_loss, epoch_tokens: summed loss and supervised tokens of the epoch under way.
        best_val, bad_evals: early stopping's memory.
        finished: the job ran to its end (or converged); continuing it has nothing to do.
    """

    step: int = 0
    origin: int = 0
    fingerprint: str = ""
    epoch_loss: float = 0.0
    epoch_tokens: int = 0
    best_val: float | None = None
    bad_evals: int = 0
    finished: bool = False


def save_state(
    folder: Path,
    counters: Counters,
    optimizer: torch.optim.Optimizer,
    parameters: dict[str, torch.nn.Parameter],
    extra: dict[str, Any],
) -> None:
    """Write the three files. ``extra`` goes into the JSON as it is (versions, base revision)."""
    import torch
    from safetensors.torch import save

    tensors = {
        f"optimizer.{kind}.{name}": value.detach().to("cpu").contiguous()
        for name, parameter in parameters.items()
        for kind, value in optimizer.state[parameter].items()
        if isinstance(value, torch.Tensor)
    }
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"rng.cuda.{index}"] = state
    record = {"state_version": STATE_VERSION, "counters": attrs.asdict(counters), **extra}
    blobs = {_TENSORS: save(tensors), _COUNTERS: (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()}
    for name, blob in blobs.items():
        write_atomic(folder / name, blob)
    digests = "".join(f"{hashlib.sha256(blob).hexdigest()}  {name}\n" for name, blob in sorted(blobs.items()))
    write_atomic(folder / _DIGESTS, digests.encode())


def read_record(folder: Path) -> dict[str, Any]:
    """Check the digests and give the JSON part.

    Raises:
        ResumeError: a file is missing, altered, or from a newer dlm.
    """
    _check_digests(folder)
    record: dict[str, Any] = json.loads((folder / _COUNTERS).read_text(encoding="utf-8"))
    if record.get("state_version") != STATE_VERSION:
        raise ResumeError(
            "resume.other-version",
            f"the training state in {folder} has version {record.get('state_version')}, this dlm reads {STATE_VERSION}",
            hint="Train with --fresh.",
        )
    return record


def counters_of(record: dict[str, Any]) -> Counters:
    """Give the counters of a state's JSON part."""
    return Counters(**record["counters"])


def restore_tensors(folder: Path, optimizer: torch.optim.Optimizer, parameters: dict[str, torch.nn.Parameter]) -> None:
    """Put moments and random-number states back; call after :func:`read_record` has checked the files."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(folder / _TENSORS)
    for name, parameter in parameters.items():
        state = {
            kind: tensors[f"optimizer.{kind}.{name}"]
            for kind in ("step", "exp_avg", "exp_avg_sq")
            if f"optimizer.{kind}.{name}" in tensors
        }
        if state:
            optimizer.state[parameter] = {
                kind: value if kind == "step" else value.to(parameter.device) for kind, value in state.items()
            }
    torch.set_rng_state(tensors["rng.cpu"])
    cuda = [tensors[key] for key in sorted(tensors) if key.startswith("rng.cuda.")]
    if cuda and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)


def _check_digests(folder: Path) -> None:
    try:
        lines = (folder / _DIGESTS).read_text(encoding="ascii").splitlines()
        wanted = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        actual = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (_TENSORS, _COUNTERS)}
    except (OSError, ValueError) as exc:
        raise ResumeError(
            "resume.no-state", f"{folder} holds no complete training state ({exc})", hint="Train with --fresh."
        ) from exc
    if wanted != actual:
        raise ResumeError(
            "resume.damaged-state", f"the training state in {folder} was altered or damaged", hint="Train with --fresh."
        )
