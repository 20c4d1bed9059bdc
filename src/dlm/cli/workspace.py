"""What the commands need from a workspace, and how they get one.

The protocols are the CLI's side of the contract with :mod:`dlm.wiring`; tests hand in a fake. Nothing here imports
the wiring until a command really needs it, so that help stays instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dlm.cli.render import Output
from dlm.domain.events import Emit

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from dlm.domain.document import Document
    from dlm.domain.export_plan import ExportPlan
    from dlm.domain.inference import InferencePlan
    from dlm.domain.metrics import EvalMetrics, RunMetrics, StepMetrics

Kind = Literal["text", "multimodal", "audio"]
LockMode = Literal["default", "strict", "update", "ignore"]
TrainMode = Literal["auto", "fresh", "resume"]
TrainPhase = Literal["all", "sft", "preference"]
Phase = Literal["sft", "cpt", "dpo", "orpo"]
BackendName = Literal["auto", "pytorch", "mlx"]


class JsonReport(Protocol):
    """A result that can be a JSON document."""

    def to_json(self) -> Any: ...


class TextReport(JsonReport, Protocol):
    """A result that can also be read by a person."""

    def to_text(self) -> str: ...


class InitResult(Protocol):
    """A document was made. ``replaced_id`` is the id of a document that ``--force`` overwrote."""

    @property
    def path(self) -> object: ...
    @property
    def dlm_id(self) -> str: ...
    @property
    def base(self) -> str: ...
    @property
    def template(self) -> str | None: ...
    @property
    def replaced_id(self) -> str | None: ...
    @property
    def notes(self) -> Sequence[str]: ...


class RunReport(JsonReport, Protocol):
    """A training run ended. ``adapter_version`` is None when there was nothing to train; ``message`` says why.

    ``final_train_loss`` in nats per supervised token, None when no step was made.
    """

    @property
    def message(self) -> str: ...
    @property
    def adapter_version(self) -> int | None: ...
    @property
    def steps(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def anchor_seconds(self) -> float: ...
    @property
    def determinism_class(self) -> str: ...
    @property
    def final_train_loss(self) -> float | None: ...
    @property
    def exam(self) -> TextReport | None: ...
    @property
    def log_path(self) -> object: ...
    @property
    def adapter_path(self) -> object: ...


class ExportReport(TextReport, Protocol):
    """An export was made."""

    @property
    def path(self) -> object: ...
    @property
    def seconds(self) -> float: ...


class LeftOut(Protocol):
    """What of a store is not in a pack."""

    @property
    def path(self) -> str: ...
    @property
    def reason(self) -> str: ...


class PackReport(JsonReport, Protocol):
    """A pack was made. ``signature`` is its sidecar, ``signer`` the key's id; None when it is not signed."""

    @property
    def path(self) -> object: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def content_type(self) -> str: ...
    @property
    def left_out(self) -> Sequence[LeftOut]: ...
    @property
    def signature(self) -> object: ...
    @property
    def signer(self) -> str | None: ...


class UnpackReport(JsonReport, Protocol):
    """A pack was installed."""

    @property
    def document(self) -> object: ...
    @property
    def adapter_version(self) -> int: ...
    @property
    def base_model(self) -> str: ...
    @property
    def notes(self) -> Sequence[str]: ...


class PushReport(JsonReport, Protocol):
    """A pack was sent; ``pull`` is the command that fetches it."""

    @property
    def to(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def pull(self) -> str | None: ...


class PullReport(JsonReport, Protocol):
    """A pack was fetched and installed; ``status`` is verified, unverified or unsigned."""

    @property
    def installed(self) -> UnpackReport: ...
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str: ...


class RunningPeer(Protocol):
    """A server that others pull from."""

    @property
    def url(self) -> str: ...
    @property
    def address(self) -> tuple[str, int]: ...
    @property
    def expires(self) -> datetime: ...
    def wait(self, timeout_s: float | None = None) -> bool: ...


class PublicKey(Protocol):
    """A key."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


class TrustedKey(Protocol):
    """A key that counts here."""

    @property
    def key(self) -> PublicKey: ...
    @property
    def path(self) -> Path: ...
    @property
    def fingerprint(self) -> str: ...


class ScaffoldedFolder(Protocol):
    """The document of a folder. ``created``: it was written or changed now."""

    @property
    def path(self) -> Path: ...
    @property
    def dlm_id(self) -> str: ...
    @property
    def created(self) -> bool: ...


class MigrationResult(Protocol):
    """A document was, or could be, brought up to date."""

    @property
    def path(self) -> object: ...
    @property
    def from_version(self) -> int: ...
    @property
    def to_version(self) -> int: ...
    @property
    def backup_path(self) -> object: ...
    @property
    def frontmatter_text(self) -> str: ...
    @property
    def changed(self) -> bool: ...


class TemplateEntry(JsonReport, Protocol):
    """One template of the gallery."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def recommended_base(self) -> str: ...


class RefreshResult(Protocol):
    """How a refresh of the gallery went. ``warning``: nothing new could be fetched, what is there is still good."""

    @property
    def ok(self) -> bool: ...
    @property
    def message(self) -> str: ...
    @property
    def warning(self) -> bool: ...
    @property
    def hint(self) -> str | None: ...


class CacheSize(Protocol):
    """How much a cache holds."""

    @property
    def entries(self) -> int: ...
    @property
    def bytes_on_disk(self) -> int: ...


class MetricsReport(JsonReport, Protocol):
    """A document's runs, or one of them in detail. ``blocks``: curves in block characters, else in ASCII."""

    def to_text(self, *, blocks: bool = True) -> str: ...
    def to_csv(self) -> str: ...


class History(Protocol):
    """Everything measured in a document's runs."""

    def __len__(self) -> int: ...
    def to_html(self) -> str: ...


class RunNews(Protocol):
    """What is new about a run since the last look."""

    @property
    def run(self) -> RunMetrics: ...
    @property
    def steps(self) -> Sequence[StepMetrics]: ...
    @property
    def evals(self) -> Sequence[EvalMetrics]: ...
    @property
    def is_switch(self) -> bool: ...
    @property
    def is_over(self) -> bool: ...


class Workspace(Protocol):
    """The library behind the commands; each command is one call."""

    def init(
        self,
        path: Path,
        *,
        base: str | None,
        template: str | None,
        kind: Kind,
        skip_export_probes: bool,
        accept_license: bool,
        ask: Callable[[str], bool] | None,
        force: bool,
    ) -> InitResult: ...

    def train(
        self,
        document: Document,
        *,
        mode: TrainMode,
        phase: TrainPhase,
        seed: int | None,
        max_steps: int | None,
        accept_license: bool,
        lock_mode: LockMode,
        skip_export_probes: bool,
        break_lock: bool,
        use_cache: bool,
        strict_metrics: bool,
        trust_sources: bool,
        on_event: Emit,
        stop: Callable[[], bool],
    ) -> RunReport: ...

    def scaffold_folder(
        self,
        folder: Path,
        *,
        base: str | None,
        include: tuple[str, ...],
        exclude: tuple[str, ...],
        recursive: bool | None,
        name: str | None,
        policy: Literal["strict", "permissive"] | None,
        rescaffold: bool,
    ) -> ScaffoldedFolder: ...

    def prompt(
        self,
        document: Document,
        query: str,
        *,
        max_tokens: int,
        temperature: float | None,
        top_p: float | None,
        backend: BackendName,
        stream: bool,
        on_plan: Callable[[InferencePlan], None] | None,
        on_event: Emit,
    ) -> Iterator[str]: ...

    def export(
        self,
        document: Document,
        *,
        target: str,
        quant: str | None,
        merged: bool,
        dequantize: bool,
        name: str | None,
        template: bool,
        register: bool,
        smoke: bool,
        imatrix: bool,
        draft: str | bool,
        adapter: str | None,
        adapter_mix: str | None,
        mix_method: Literal["linear", "svd"] | None,
        evaluation: bool,
        on_plan: Callable[[ExportPlan], None] | None,
        on_event: Emit,
    ) -> ExportReport: ...

    def pack(
        self,
        document: Document,
        *,
        out: Path | None,
        include_exports: bool,
        include_base: bool,
        include_logs: bool,
        all_versions: bool,
        licensee_url: str | None,
        sign: bool,
        ask: Callable[[str], str | None],
        on_event: Emit,
    ) -> PackReport: ...

    def unpack(self, pack: Path, *, out: Path | None, force: bool, on_event: Emit) -> UnpackReport: ...

    def verify(self, pack: Path, *, trust_on_first_use: bool, on_event: Emit) -> TextReport: ...

    def push(
        self,
        source: Path,
        to: str,
        *,
        sign: bool,
        include_exports: bool,
        include_base: bool,
        include_logs: bool,
        licensee_url: str | None,
        insecure: bool,
        ask: Callable[[str], str | None],
        on_event: Emit,
    ) -> PushReport: ...

    def pull(
        self,
        source: str,
        *,
        out: Path | None,
        force: bool,
        policy: Literal["permissive", "reject_invalid", "require_verified"],
        insecure: bool,
        on_event: Emit,
    ) -> PullReport: ...

    def serve(
        self,
        document: Document,
        *,
        port: int,
        public: bool,
        acknowledged: bool,
        max_concurrency: int,
        rate_limit: int,
        ttl_minutes: float,
        encrypted: bool,
        sign: bool,
        ask: Callable[[str], str | None],
        on_event: Emit,
    ) -> AbstractContextManager[RunningPeer]: ...

    def keys(self) -> TextReport: ...

    def generate_key(self, *, passphrase: str | None, comment: str, force: bool) -> PublicKey: ...

    def trust_key(self, path: Path, *, label: str) -> TrustedKey: ...

    def revoke_key(self, name: str) -> TrustedKey: ...

    def exam(self, document: Document, *, on_event: Emit) -> TextReport: ...

    def show(self, path: Path) -> TextReport: ...

    def metrics(
        self, path: Path, *, run_id: int | None, phase: Phase | None, since: timedelta | None, limit: int | None
    ) -> MetricsReport: ...

    def history(
        self, document: Path, *, run_id: int | None, phase: Phase | None, since: timedelta | None, limit: int | None
    ) -> History: ...

    def watch_metrics(self, path: Path, *, poll_seconds: float) -> Iterator[RunNews | None]: ...

    def doctor(self) -> TextReport: ...

    def cache_show(self, path: Path) -> TextReport: ...

    def cache_prune(self, path: Path, *, older_than: timedelta | None) -> int: ...

    def cache_clear(self, path: Path, *, confirm: Callable[[CacheSize], bool]) -> int | None: ...

    def migrate(self, path: Path, *, dry_run: bool, backup: bool) -> MigrationResult: ...

    def templates(self, *, on_event: Emit) -> Sequence[TemplateEntry]: ...

    def refresh_templates(self, *, accept_unsigned: bool, on_event: Emit) -> RefreshResult: ...


WorkspaceFactory = Callable[[Path | None], Workspace]
"""Gives a workspace for a home; None means the home the environment names."""


def open_workspace(home: Path | None) -> Workspace:
    """Give the real workspace."""
    from dlm.wiring import Workspace as WiredWorkspace

    return WiredWorkspace(home=home)


def load_document(path: Path) -> Document:
    """Read a document."""
    from dlm.domain.document import Document

    return Document.load(path)


class Session:
    """One command's surroundings: where it prints and the workspace it calls, opened at first use."""

    def __init__(self, out: Output, factory: WorkspaceFactory, home: Path | None) -> None:
        self.out = out
        self.home = home
        self._factory = factory

    def open(self) -> Workspace:
        """Give the workspace of the chosen home."""
        return self._factory(self.home)

    def document(self, path: Path) -> Document:
        """Read a document and show its warnings."""
        document = load_document(path)
        for fault in document.warnings:
            self.out.fault(fault, str(path))
        return document
