"""Reading and mixing adapters on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlm.adapters.peft_files.facts import read_facts
from dlm.adapters.peft_files.mixing import write_mix
from dlm.domain.adapter_facts import AdapterFacts
from dlm.ports.adapter_files import MixMethod, MixPart


class PeftFiles:
    """Folders as PEFT writes them. Implements ``AdapterFilesPort``."""

    def facts(self, folder: Path) -> AdapterFacts:
        """Give what the folder says, after checking configuration and weights against each other."""
        return read_facts(folder)

    def mix(self, parts: Sequence[MixPart], method: MixMethod, into: Path) -> None:
        """Fill ``into`` with one adapter whose change is Σ weight·ΔW. See ``AdapterFilesPort``."""
        write_mix(parts, method, into)
