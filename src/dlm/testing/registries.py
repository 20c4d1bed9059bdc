"""A registry that needs no network and no weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from dlm.domain.base_models import ATTENTION_TARGETS, BaseSpec, ResolvedBase
from dlm.domain.base_rows import BASES, refuse_unusable, unknown_base
from dlm.domain.errors import BaseModelError
from dlm.domain.events import Emit, Progress, ignore


def tiny_base(**changes: Any) -> BaseSpec:
    """Give the description of an invented two-layer base called ``tiny``; ``changes`` replace its fields."""
    fields: dict[str, Any] = {
        "key": "tiny",
        "hf_id": "example/tiny",
        "revision": "0" * 40,
        "architecture": "LlamaForCausalLM",
        "params": 100_000,
        "size_gb_fp16": 0.1,
        "modality": "text",
        "context_length": 512,
        "recommended_seq_len": 256,
        "template": "chatml",
        "gguf_arch": "llama",
        "tokenizer_pre": "default",
        "target_modules": ATTENTION_TARGETS,
        "license_spdx": "MIT",
        "license_url": None,
    }
    return BaseSpec(**{**fields, **changes})


class FakeRegistry:
    """Implements ``RegistryPort`` over given descriptions and the real rows; a fetched folder holds ``config.json``.

    Args:
        folder: where bases are "fetched" to.
        bases: descriptions known beside the real rows.
        offline: keys that cannot be fetched.
        folders: real model folders, by key.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bases: Iterable[BaseSpec] = (),
        offline: Collection[str] = (),
        folders: dict[str, Path] | None = None,
    ) -> None:
        self._folder = folder
        self._bases = {**BASES, "tiny": tiny_base(), **{spec.key: spec for spec in bases}}
        self._offline = frozenset(offline)
        self._folders = dict(folders or {})
        self.fetched: list[str] = []

    def describe(
        self, selector: str, *, pinned_revision: str | None = None, skip_export_probes: bool = False
    ) -> BaseSpec:
        """Give the description of a known key."""
        if selector not in self._bases:
            raise unknown_base(selector)
        return self._bases[selector]

    def fetch(self, spec: BaseSpec, *, bundled: Path | None = None, emit: Emit = ignore) -> ResolvedBase:
        """Give a folder of its own for each base; the digest depends on the description alone."""
        refuse_unusable(spec)
        if spec.key in self._offline and bundled is None:
            raise BaseModelError("base.offline", f"{spec.key} is not on this machine", hint="Connect to the internet.")
        folder = bundled or self._folders.get(spec.key) or self._made(spec)
        self.fetched.append(spec.key)
        emit(Progress(stage="download", done=1, total=1, unit="B"))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256(f"{spec.hf_id}@{spec.revision}".encode()).hexdigest()
        return ResolvedBase(
            spec=spec, folder=folder, origin="pack" if bundled else "folder", config=config, sha256=digest
        )

    def _made(self, spec: BaseSpec) -> Path:
        folder = self._folder / hashlib.sha256(spec.key.encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        config = {"architectures": [spec.architecture], "max_position_embeddings": spec.context_length}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder
