"""A workspace that records what the commands ask of it, and a runner that calls ``main`` in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.cli.main import main
from dlm.domain.choice import Choice
from dlm.domain.errors import Fault
from dlm.domain.events import DeltaFound, EvalDone, Note, Progress, RunStarted, StepDone
from dlm.domain.inference import InferencePlan
from dlm.domain.metrics import EvalMetrics, RunMetrics, StepMetrics
from dlm.domain.pack_plan import LeftOut
from dlm.ports.token_cache import CacheSize

STARTED = RunStarted(
    run_id=3,
    seed=42,
    determinism_class="best-effort",
    determinism_notes=("threads differ",),
    versions={"torch": "2.9"},
    plan={"precision": {"value": "bf16", "reason": "the processor has it"}},
    recipe={"lora_r": {"value": 16, "reason": "a small document"}},
)

PLAN = InferencePlan(
    backend=Choice("pytorch", "no mlx here"),
    precision=Choice("fp32", "plain CPU"),
    dequantize_on_load=Choice(False, "not quantised"),
    attn_implementation=Choice("sdpa", "always there"),
    load_in_4bit=False,
    device="cpu",
)


def step(number: int, total: int = 4) -> StepDone:
    return StepDone(step=number, total_steps=total, loss=2.5 / number, lr=2e-4, grad_norm=1.0, tokens_per_s=350.0)


EVENTS = (
    Note(subject="base_model", message="using the installed weights [smollm2]"),
    Note(subject="doctor", message="little memory", severity="warning"),
    Progress(stage="download", done=1 << 20, total=2 << 20, unit="bytes"),
    STARTED,
    DeltaFound(new=("a", "b"), unchanged=("c",), removed=()),
    step(1),
    EvalDone(step=2, val_loss=1.25, perplexity=3.49),
    step(4),
)


@attrs.frozen(kw_only=True)
class Report:
    """Any report with a text and a JSON form."""

    text: str = "a report"
    record: Any = attrs.field(factory=lambda: {"a": 1})

    def to_json(self) -> Any:
        return self.record

    def to_text(self) -> str:
        return self.text


@attrs.frozen(kw_only=True)
class Run:
    status: str = "completed"
    message: str = ""
    determinism_class: str = "best-effort"
    run_id: int = 3
    adapter_version: int | None = 3
    steps: int = 4
    final_train_loss: float | None = 0.625
    seconds: float = 9.0
    anchor_seconds: float = 2.0
    exam: Report | None = Report(text="Exam\nown questions: 3 of 4\n")
    log_path: Path = Path("/home/ada/.dlm/logs/train-000003.jsonl")
    adapter_path: Path = Path("/home/ada/.dlm/adapter/versions/v0003")

    def to_json(self) -> Any:
        return {"run_id": self.run_id, "status": self.status, "final_train_loss": self.final_train_loss}


@attrs.frozen(kw_only=True)
class Exported(Report):
    """A folder for another program."""

    path: Path = Path("/home/ada/.dlm/store/X/exports/Q8_0")
    seconds: float = 75.0


@attrs.frozen(kw_only=True)
class Packed(Report):
    """A pack was made."""

    path: Path = Path("/tmp/notes.dlm.pack")
    size_bytes: int = 3 << 20
    content_type: str = "minimal"
    left_out: tuple[Any, ...] = (LeftOut("logs/", "only with --include-logs"),)
    signer: str | None = None

    @property
    def signature(self) -> Path | None:
        return self.path.with_name("notes.dlm.pack.minisig") if self.signer else None


@attrs.frozen(kw_only=True)
class Installed(Report):
    """A pack was installed."""

    document: Path = Path("/home/ada/notes.dlm")
    adapter_version: int = 3
    base_model: str = "smollm2-135m"
    notes: tuple[str, ...] = ("caches are made anew here",)


@attrs.frozen(kw_only=True)
class Pushed(Report):
    """A pack was sent."""

    to: str
    size_bytes: int = 3 << 20

    @property
    def pull(self) -> str | None:
        return f"dlm pull {self.to}" if self.to.startswith("hf:") else None


@attrs.frozen(kw_only=True)
class Pulled(Report):
    """A pack was fetched."""

    installed: Installed = Installed()
    status: str = "verified"
    reason: str = "signed by 0807060504030201"


class Serving:
    """A server that ends at once."""

    url = "peer://127.0.0.1:7337/01JABC?token=abc"
    address = ("127.0.0.1", 7337)
    expires = datetime(2026, 4, 23, 12, 15, tzinfo=UTC)

    def wait(self, timeout_s: float | None = None) -> bool:
        return True


@attrs.frozen(kw_only=True)
class Key:
    """A public key."""

    name: str = "0807060504030201"
    fingerprint: str = "0123456789ab"


@attrs.frozen(kw_only=True)
class Trusted(Key):
    """A key that counts here."""

    path: Path
    key: Key = Key()


class Planned:
    """Decisions with reasons."""

    def choices(self) -> Iterator[tuple[str, str]]:
        yield "quant", "Q8_0 (--quant)"


@attrs.frozen(kw_only=True)
class Made:
    path: Path
    dlm_id: str = "01JABC"
    base: str = "qwen2.5-1.5b"
    template: str | None = None
    replaced_id: str | None = None
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Scaffolded:
    path: Path
    dlm_id: str = "01JABC"
    created: bool = True


@attrs.frozen(kw_only=True)
class Migrated:
    path: Path
    from_version: int = 3
    to_version: int = 15
    backup_path: Path | None = None
    frontmatter_text: str = "dlm_version: 15\nbase_model: smollm2-135m\n"
    changed: bool = True


@attrs.frozen(kw_only=True)
class Entry:
    name: str
    title: str
    recommended_base: str

    def to_json(self) -> Any:
        return attrs.asdict(self)


@attrs.frozen(kw_only=True)
class Refreshed:
    ok: bool = True
    message: str = "12 templates, serial 7"
    warning: bool = False
    hint: str | None = None


@attrs.frozen(kw_only=True)
class Measured(Report):
    """Runs with their curve and table; ``to_text`` tells how it was asked."""

    def to_text(self, *, blocks: bool = True) -> str:
        return f"{self.text} with {'blocks' if blocks else 'ascii'}"

    def to_csv(self) -> str:
        return "run_id,phase\n3,sft\n"


class Past:
    """All runs of a document."""

    def __len__(self) -> int:
        return 1

    def to_html(self) -> str:
        return "<!doctype html>\n<p>été</p>\n"


NOON = datetime(2026, 4, 23, 12, tzinfo=UTC)
A_RUN = RunMetrics(run_id=3, started_at=NOON, phase="sft", status="running")


@attrs.frozen(kw_only=True)
class News:
    """What happened in a run."""

    run: RunMetrics = A_RUN
    steps: tuple[StepMetrics, ...] = ()
    evals: tuple[EvalMetrics, ...] = ()
    is_switch: bool = False
    is_over: bool = False


@attrs.frozen
class Doc:
    """Stands for a loaded document."""

    path: Path
    warnings: tuple[Fault, ...] = ()


class FakeWorkspace:
    """Records each call as ``(method, arguments)``; ``raises`` is thrown by whatever is called."""

    def __init__(self) -> None:
        self.homes: list[Path | None] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.raises: BaseException | None = None
        self.run: Any = Run()
        self.report: Any = Report()
        self.exported: Any = Exported(text="Use it:\n  ollama run notes")
        self.refreshed: Any = Refreshed()
        self.measured: Any = Measured()
        self.news: list[News | BaseException | None] = [News(is_switch=True), KeyboardInterrupt()]
        self.pulled: Any = Pulled()
        self.changed = True
        self.replaced_id: str | None = None
        self.init_notes: tuple[str, ...] = ()
        self.pieces: list[str | BaseException] = ["4", "2"]
        self.entries = (
            Entry(name="shell", title="Shell [helper]", recommended_base="smollm2-135m"),
            Entry(name="kb", title="Knowledge", recommended_base="qwen2.5-3b"),
        )
        self.answered: bool | None = None
        self.scaffolds = True
        self.dropped = 1234

    def __call__(self, home: Path | None) -> FakeWorkspace:
        self.homes.append(home)
        return self

    def _record(self, method: str, **arguments: Any) -> None:
        self.calls.append((method, arguments))
        if self.raises is not None:
            raise self.raises

    def init(self, path: Path, *, ask: Any, **options: Any) -> Made:
        self._record("init", path=path, asks=ask is not None, **options)
        if ask is not None:
            self.answered = ask("Read the licence: https://example.org/licence")
        return Made(path=path, template=options["template"], replaced_id=self.replaced_id, notes=self.init_notes)

    def train(self, document: Doc, *, on_event: Any, stop: Any, **options: Any) -> Any:
        for event in EVENTS:
            on_event(event)
        self._record("train", path=document.path, stopped=stop(), **options)
        return self.run

    def scaffold_folder(self, folder: Path, **options: Any) -> Scaffolded:
        self._record("scaffold_folder", folder=folder, **options)
        return Scaffolded(path=folder / ".dlm" / "corpus.dlm", created=self.scaffolds)

    def prompt(self, document: Doc, query: str, *, on_plan: Any, on_event: Any, **options: Any) -> Iterator[str]:
        self._record("prompt", path=document.path, query=query, **options)
        if on_plan is not None:
            on_plan(PLAN)
        on_event(EVENTS[0])
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def export(self, document: Doc, *, on_plan: Any, on_event: Any, **options: Any) -> Any:
        self._record("export", path=document.path, **options)
        if on_plan is not None:
            on_plan(Planned())
        on_event(EVENTS[1])
        return self.exported

    def pack(self, document: Doc, *, ask: Any, on_event: Any, **options: Any) -> Any:
        self._record("pack", path=document.path, **options)
        on_event(EVENTS[1])
        return Packed(signer="0807060504030201" if options["sign"] else None)

    def unpack(self, pack: Path, *, on_event: Any, **options: Any) -> Any:
        self._record("unpack", pack=pack, **options)
        on_event(EVENTS[1])
        return Installed()

    def verify(self, pack: Path, *, on_event: Any, **options: Any) -> Any:
        self._record("verify", pack=pack, **options)
        on_event(EVENTS[1])
        return self.report

    def push(self, source: Path, to: str, *, ask: Any, on_event: Any, **options: Any) -> Any:
        self._record("push", path=source, to=to, **options)
        on_event(EVENTS[1])
        return Pushed(to=to)

    def pull(self, source: str, *, on_event: Any, **options: Any) -> Any:
        self._record("pull", source=source, **options)
        on_event(EVENTS[1])
        return self.pulled

    @contextmanager
    def serve(self, document: Doc, *, ask: Any, on_event: Any, **options: Any) -> Iterator[Any]:
        self._record("serve", path=document.path, **options)
        on_event(EVENTS[1])
        yield Serving()

    def keys(self) -> Any:
        self._record("keys")
        return self.report

    def generate_key(self, **options: Any) -> Any:
        self._record("generate_key", **options)
        return Key()

    def trust_key(self, path: Path, *, label: str) -> Any:
        self._record("trust_key", path=path, label=label)
        return Trusted(path=path)

    def revoke_key(self, name: str) -> Any:
        self._record("revoke_key", name=name)
        return Trusted(path=Path("ada.pub"))

    def exam(self, document: Doc, *, on_event: Any) -> Any:
        on_event(EVENTS[0])
        self._record("exam", path=document.path)
        return self.report

    def show(self, path: Path) -> Any:
        self._record("show", path=path)
        return self.report

    def metrics(self, path: Path, **options: Any) -> Any:
        self._record("metrics", path=path, **options)
        return self.measured

    def history(self, document: Path, **options: Any) -> Past:
        self._record("history", path=document, **options)
        return Past()

    def watch_metrics(self, path: Path, *, poll_seconds: float) -> Iterator[News | None]:
        self._record("watch_metrics", path=path, poll_seconds=poll_seconds)
        for item in self.news:
            if isinstance(item, BaseException):
                raise item
            yield item

    def doctor(self) -> Any:
        self._record("doctor")
        return self.report

    def cache_show(self, path: Path) -> Any:
        self._record("cache_show", path=path)
        return self.report

    def cache_prune(self, path: Path, *, older_than: Any) -> int:
        self._record("cache_prune", path=path, older_than=older_than)
        return self.dropped

    def cache_clear(self, path: Path, *, confirm: Any) -> int | None:
        self.answered = confirm(CacheSize(entries=self.dropped, bytes_on_disk=5 << 20))
        self._record("cache_clear", path=path, answered=self.answered)
        return self.dropped if self.answered else None

    def migrate(self, path: Path, *, dry_run: bool, backup: bool) -> Migrated:
        self._record("migrate", path=path, dry_run=dry_run, backup=backup)
        kept = path.with_name(path.name + ".bak") if backup and not dry_run else None
        return Migrated(path=path, backup_path=kept, changed=self.changed)

    def templates(self, *, on_event: Any) -> Any:
        self._record("templates")
        return self.entries

    def refresh_templates(self, *, accept_unsigned: bool, on_event: Any) -> Any:
        self._record("refresh_templates", accept_unsigned=accept_unsigned)
        return self.refreshed


@attrs.frozen
class Outcome:
    """What one call of the program did."""

    code: int
    out: str
    err: str


class Runner:
    """Calls ``main`` with the fake workspace and catches what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.workspace = FakeWorkspace()
        self._capsys = capsys

    def __call__(self, *words: str) -> Outcome:
        code = main(words, workspace=self.workspace)
        caught = self._capsys.readouterr()
        return Outcome(code, caught.out, caught.err)

    @property
    def last(self) -> dict[str, Any]:
        """Arguments of the latest call."""
        return self.workspace.calls[-1][1]
