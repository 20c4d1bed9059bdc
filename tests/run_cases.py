"""Documents, machines and workspaces for the tests of whole runs on fakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.base_models import ResolvedBase
from dlm.domain.document import Document
from dlm.domain.events import Emit
from dlm.domain.report import RunReport
from dlm.domain.sources import SourceScan
from dlm.testing.clocks import FixedClock
from dlm.testing.generators import FakeGenerator
from dlm.testing.hardware import FakeHardware
from dlm.testing.metrics import MemoryMetrics
from dlm.testing.registries import FakeRegistry, tiny_base
from dlm.testing.replays import MemoryReplay
from dlm.testing.stores import MemoryStore
from dlm.testing.token_caches import MemoryTokenCache
from dlm.testing.trainers import FakeTrainer
from dlm.wiring import Workspace

ID = "01KPXZ0000000000000000000A"

BODY = """# The harbour

The harbour master of Velm is called Ada Quint.

::instruction::
### Q
Who is the harbour master of Velm?

### A
Ada Quint keeps the harbour.

### Q !probe
When does the lighthouse close?

### A
It closes at 6:40.
"""

ANSWERS = {
    "Who is the harbour master of Velm?": "Ada Quint keeps the harbour.",
    "When does the lighthouse close?": "It closes at 6:40.",
}

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
"""Enough of a ``config.json`` for planning."""


def a_text(body: str = BODY, *, base: str = "tiny", dlm_id: str = ID, training: str = "") -> str:
    """Give a document as text; ``training`` holds lines of that block, such as ``num_epochs: 2``."""
    block = "training:\n" + "".join(f"  {line}\n" for line in training.splitlines()) if training else ""
    return f"---\ndlm_id: {dlm_id}\ndlm_version: 15\nbase_model: {base}\n{block}---\n{body}"


def a_document(body: str = BODY, *, path: Path | None = None, **parts: str) -> Document:
    """Give a document; with ``path`` it is also written there."""
    text = a_text(body, **parts)
    if path is not None:
        path.write_text(text, encoding="utf-8")
    return Document.parse(text, path=path)


class GivenSources:
    """Finds what the test says; ``scan`` as of :class:`dlm.ports.sources.SourcesPort`."""

    def __init__(self) -> None:
        self.result = SourceScan()

    def scan(self, document: Document, **_: Any) -> SourceScan:
        return self.result


class CountingRegistry(FakeRegistry):
    """Bases with a whole ``config.json``; ``gated`` asks for a licence, ``other`` is one more open base."""

    def __init__(self, folder: Path, **options: Any) -> None:
        gated = tiny_base(
            key="gated",
            hf_id="example/gated",
            requires_acceptance=True,
            license_spdx="Other",
            license_url="https://example.org/licence",
        )
        bases = (gated, tiny_base(key="other", hf_id="example/other", revision="1" * 40))
        super().__init__(folder, bases=bases, folders={key: _base_folder(folder / key) for key in KEYS}, **options)


KEYS = ("tiny", "gated", "other")


def _base_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return folder


@attrs.define(kw_only=True)
class Scene:
    """A workspace whose every part is a fake that the test can look at and replace."""

    folder: Path
    store: Any = attrs.field(factory=MemoryStore)
    registry: Any = attrs.field()
    hardware: Any = attrs.field(factory=FakeHardware)
    trainer: Any = attrs.field(factory=FakeTrainer)
    generator: Any = attrs.field(factory=lambda: FakeGenerator(ANSWERS))
    sources: Any = attrs.field(factory=GivenSources)
    replay: Any = attrs.field(factory=MemoryReplay)
    token_cache: Any = attrs.field(factory=lambda: MemoryTokenCache(FixedClock()))
    metrics: Any = attrs.field(factory=MemoryMetrics)
    clock: FixedClock = attrs.field(factory=FixedClock)
    events: list[Any] = attrs.field(factory=list)

    @registry.default
    def _registry(self) -> Any:
        return CountingRegistry(self.folder / "bases")

    @property
    def workspace(self) -> Workspace:
        return Workspace(
            self.folder / "home",
            store=self.store,
            registry=self.registry,
            hardware=self.hardware,
            trainer=self.trainer,
            generator=self.generator,
            sources=self.sources,
            replay=self.replay,
            token_cache=self.token_cache,
            metrics=self.metrics,
            clock=self.clock,
            environ={},
        )

    def train(self, document: Document, *, on_event: Emit | None = None, **options: Any) -> RunReport:
        """Train, collecting the events; anew each time, unless a mode is given."""
        self.events.clear()
        options.setdefault("mode", "fresh")
        return self.workspace.train(document, on_event=on_event or self.events.append, **options)

    def of(self, kind: type) -> list[Any]:
        """Give the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def manifest(self) -> Any:
        return self.store.manifest(ID)

    @property
    def last_run(self) -> Any:
        return self.manifest.training_runs[-1]

    def log(self, run: Any = None) -> list[dict[str, Any]]:
        """Give the lines of a run's log, the last run's by default."""
        run = run or self.last_run
        name = f"train-{run.run_id:06d}-{run.started_at:%Y%m%dT%H%M%S}"
        return [dict(line) for line in self.store.read_log(ID, name)]

    def weights(self) -> bytes | None:
        """Give the bytes of the current version."""
        current = self.store.current(ID)
        return (current.folder / "adapter_model.safetensors").read_bytes() if current else None


class FailingTrainer(FakeTrainer):
    """Takes a few steps, then raises."""

    def __init__(self, error: BaseException, after_steps: int = 2) -> None:
        self.error = error
        self.after_steps = after_steps

    def train(self, job: Any, *, into: Path, emit: Emit, **rest: Any) -> Any:
        capped = attrs.evolve(job, max_steps=self.after_steps)
        super().train(capped, into=into, emit=emit, **rest)
        raise self.error


class RecordingTrainer(FakeTrainer):
    """Keeps the jobs it was given."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []

    def train(self, job: Any, *, into: Path, emit: Emit, **rest: Any) -> Any:
        self.jobs.append(job)
        return super().train(job, into=into, emit=emit, **rest)


class ScriptedGenerator(FakeGenerator):
    """Raises on loading."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def load(self, base: ResolvedBase, adapter: Path | None, plan: Any, *, system_prompt: str | None = None) -> Any:
        raise self.error
