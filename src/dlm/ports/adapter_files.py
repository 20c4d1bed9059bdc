"""Reading and mixing adapters as they lie on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import attrs

from dlm.domain.adapter_facts import AdapterFacts

MixMethod = Literal["linear", "svd"]


@attrs.frozen(kw_only=True)
class MixPart:
    """One adapter of a mix. ``name`` is for messages."""

    name: str
    folder: Path
    weight: float


class AdapterFilesPort(Protocol):
    """PEFT folders. Nothing but JSON and safetensors is read, and no code.

    Raises ``ExportError`` (``preflight[adapter_config]``) for files that are missing, damaged or hostile.
    """

    def facts(self, folder: Path) -> AdapterFacts: ...

    def mix(self, parts: Sequence[MixPart], method: MixMethod, into: Path) -> None:
        """Fill the empty folder ``into`` with one adapter whose change is Σ weight·ΔW of the parts.

        ``linear`` is exact, by stacking factors: ranks add up. ``svd`` cuts the sum to the largest rank of the parts.
        Tokenizer files come from the first part.
        """
        ...
