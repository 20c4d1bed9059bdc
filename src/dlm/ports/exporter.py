"""Writing a trained adapter in the form that a kind of runtime reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import attrs

from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.base_models import ResolvedBase
from dlm.domain.events import Emit
from dlm.domain.export_targets import WeightsFormat
from dlm.domain.quantization import QuantName

FileRole = Literal["base", "adapter", "merged", "tokenizer", "config"]


@attrs.frozen(kw_only=True)
class WeightsJob:
    """What is to be written.

    Args:
        adapter: PEFT folder with tokenizer files; a mix of several was staged there before.
        facts: of that folder.
        module: name of the adapter where the format has named ones (a folder, a module).
        quant: level of the weights; formats that keep the base as it is do not look at it.
        merged: write one model with the adapter's change inside, instead of base and adapter.
        importance: importance matrix, in llama.cpp's GGUF form; None for none.
    """

    base: ResolvedBase
    adapter: Path
    facts: AdapterFacts
    module: str = "adapter"
    quant: QuantName = "F16"
    merged: bool = False
    importance: Path | None = None


@attrs.frozen(kw_only=True)
class WrittenFile:
    """A file of an export: ``path`` relative to the export's folder, in POSIX form; lower-case hex digest."""

    path: str
    role: FileRole
    sha256: str
    size_bytes: int


class ExporterPort(Protocol):
    """Writes weights. ``weights`` names the form.

    ``check`` refuses what cannot be written, before anything is written, and is cheap: configuration files, headers and
    the presence of programs only. It gives the bytes of weights that ``write`` will take from the disk: none for a base
    that is there in this form already. ``write`` fills ``folder``, which is empty and belongs to the caller, who throws
    a half-full one away. Memory stays near the largest tensor, not the model.

    Raises ``ExportError``; ``DiskError`` when there is no room; ``MissingExtra`` when a package is not installed.
    """

    weights: WeightsFormat

    def check(self, job: WeightsJob) -> int: ...

    def write(self, job: WeightsJob, folder: Path, *, emit: Emit) -> tuple[WrittenFile, ...]: ...
