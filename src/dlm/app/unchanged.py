"""Telling that a training would give what is there already."""

from __future__ import annotations

from dlm.app.planned_run import TrainOptions, TrainPorts, effective_seed
from dlm.domain.base_rows import BASES
from dlm.domain.corpus import Corpus
from dlm.domain.manifest import Manifest
from dlm.ports.registry import RegistryPort


def learned_sha256(corpus: Corpus, options: TrainOptions, registry: RegistryPort) -> str:
    """Digest everything that decides what a training gives."""
    return corpus.digest(
        base=_base_identity(corpus.document.base_model, registry),
        seed=effective_seed(corpus.document, options),
        max_steps=options.max_steps,
    )


def _base_identity(name: str, registry: RegistryPort) -> str | None:
    """Give what tells one state of a base from another: its pinned revision; of a local folder, which has none, the
    digest of its files. A base from the Hub stays at the revision that the document was first trained on."""
    if name in BASES:
        return BASES[name].revision
    return registry.fetch(registry.describe(name)).sha256 if name.startswith("path:") else None


def why_unchanged(corpus: Corpus, manifest: Manifest | None, options: TrainOptions, ports: TrainPorts) -> str | None:
    """Say why a training would give what is there already; None when it would not, or when it was asked for."""
    last = manifest.last_committed if manifest else None
    if options.mode != "auto" or options.lock_mode != "default" or last is None:
        return None
    if last.learned_sha256 != learned_sha256(corpus, options, ports.registry):
        return None
    if ports.store.current(corpus.document.dlm_id) is None:
        return None
    return f"nothing has changed since run {last.run_id} made v{last.adapter_version:04d}"
