"""What a person can do with dlm: each method is one use case on the workspace's parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlm.domain.events import Emit, ignore
from dlm.wiring.parts import Parts, says_yes
from dlm.wiring.plugins import plugins

if TYPE_CHECKING:
    from datetime import timedelta

    from dlm.app.cache import CacheReport
    from dlm.app.doctor import DoctorReport
    from dlm.app.folder import ScaffoldedFolder
    from dlm.app.init import InitResult
    from dlm.app.keys import KeysReport
    from dlm.app.metrics import RunNews
    from dlm.app.metrics_report import MetricsReport
    from dlm.app.migrate import MigrationResult
    from dlm.app.pack import PackReport
    from dlm.app.share import PullReport, PushReport, SignaturePolicy
    from dlm.app.show import ShowReport
    from dlm.app.templates import RefreshResult
    from dlm.app.unpack import UnpackReport
    from dlm.app.verify import VerifyReport
    from dlm.domain.document import Document
    from dlm.domain.events import Event
    from dlm.domain.exam import Exam
    from dlm.domain.export_plan import ExportPlan
    from dlm.domain.export_report import ExportReport
    from dlm.domain.history import History
    from dlm.domain.inference import InferencePlan
    from dlm.domain.lock import LockMode
    from dlm.domain.metrics import RunPhase
    from dlm.domain.minisign import PublicKey
    from dlm.domain.report import RunReport
    from dlm.domain.templates import TemplateMeta
    from dlm.ports.peer_server import RunningPeer
    from dlm.ports.signing import AskPassphrase, TrustedKey
    from dlm.ports.token_cache import CacheSize

_FORCE = "DLM_FORCE_PLAN"
_SKIP_PROBES = "DLM_SKIP_EXPORT_PROBES"
_EPOCH = "SOURCE_DATE_EPOCH"
_NO_CACHE = "DLM_DISABLE_TOKENIZED_CACHE"


class Workspace(Parts):
    """dlm on one home folder. Threads may share one; trainings of different documents do not wait for each other's
    stores, only for the loaded base.

    Args:
        home: store root; ``$DLM_HOME`` or ``~/.dlm`` when None. Nothing is created before something is saved.
        store, registry, hardware, trainer, generator, gallery, sources, replay, token_cache, metrics, clock, exports,
            exporters, adapter_files, chat_format, imatrix, importance_cache, runtime, references, launcher, ollama,
            packs, installs, signer, trust, verifier, shares, peers: replace an adapter by your own.
        environ: where settings are read from; the process environment when None.
    """

    def __repr__(self) -> str:
        return f"Workspace(home={str(self.home)!r})"

    @property
    def _skips_export_probes(self) -> bool:
        return says_yes(self.environ.get(_SKIP_PROBES))

    def init(
        self,
        path: str | Path,
        *,
        base: str | None = None,
        template: str | None = None,
        kind: Literal["text", "multimodal", "audio"] = "text",
        skip_export_probes: bool = False,
        accept_license: bool = False,
        ask: Callable[[str], bool] | None = None,
        force: bool = False,
        on_event: Emit = ignore,
    ) -> InitResult:
        """Write a new document and make its store. See :func:`dlm.app.init.init`."""
        from dlm.app.init import init

        return init(
            Path(path),
            base=base,
            template=template,
            kind=kind,
            skip_export_probes=skip_export_probes or self._skips_export_probes,
            accept_license=accept_license,
            ask=ask,
            force=force,
            store=self.store,
            registry=self.registry,
            gallery=self.gallery,
            clock=self.clock,
            emit=on_event,
        )

    def scaffold_folder(
        self,
        folder: str | Path,
        *,
        base: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        recursive: bool | None = None,
        name: str | None = None,
        policy: Literal["strict", "permissive"] | None = None,
        rescaffold: bool = False,
    ) -> ScaffoldedFolder:
        """Find the document of a folder, or write one. See :func:`dlm.app.folder.document_for_folder`.

        Args:
            base: needed when the folder has no document yet.
            include, exclude: patterns of files, relative to the folder.
            recursive: False learns only the files directly in the folder, when ``include`` is empty.
            name: of the document, ``corpus`` when None.
            policy: ``strict`` when None: no file outside the folder is learned.
            rescaffold: change the document that is there to what is asked for.
        """
        from dlm.app.folder import FolderOptions, document_for_folder

        options = FolderOptions(
            base=base,
            include=tuple(include),
            exclude=tuple(exclude),
            recursive=recursive,
            name=name,
            policy=policy,
            rescaffold=rescaffold,
        )
        return document_for_folder(Path(folder), options, registry=self.registry, clock=self.clock)

    def train(
        self,
        document: Document,
        *,
        mode: Literal["auto", "fresh", "resume"] = "auto",
        phase: Literal["all", "sft", "preference"] = "all",
        seed: int | None = None,
        max_steps: int | None = None,
        accept_license: bool = False,
        lock_mode: LockMode = "default",
        skip_export_probes: bool = False,
        break_lock: bool = False,
        use_cache: bool = True,
        strict_metrics: bool = False,
        trust_sources: bool = False,
        on_event: Emit = ignore,
        stop: Callable[[], bool] = lambda: False,
    ) -> RunReport:
        """Train a document's adapter and commit it. See :func:`dlm.app.train.train`.

        Args:
            mode: ``auto`` trains anew unless nothing changed since the last run; ``fresh`` always; ``resume`` goes on.
            use_cache: keep text that lies outside the document as tokens for the next training.
            strict_metrics: end the run when a figure cannot be written into the metrics database.
            trust_sources: let a document that came in a pack read files outside its own folder, now and later.
            on_event: sees every event of the run; an exception it raises ends the run.
            stop: asked after each step; when it turns true a checkpoint is kept and ``Interrupted`` raised.
        """
        from dlm.app.train import TrainOptions, TrainPorts, train

        options = TrainOptions(
            mode=mode,
            phase=phase,
            seed=seed,
            max_steps=max_steps,
            accept_license=accept_license,
            lock_mode=lock_mode,
            skip_export_probes=skip_export_probes or self._skips_export_probes,
            break_lock=break_lock,
            use_cache=use_cache and self.environ.get(_NO_CACHE) != "1",
            strict_metrics=strict_metrics,
            trust_sources=trust_sources,
            force_plan=self.environ.get(_FORCE) == "1",
        )
        ports = TrainPorts(
            store=self.store,
            registry=self.registry,
            hardware=self.hardware,
            trainer=self.trainer,
            generator=self.generator,
            sources=self.sources,
            replay=self.replay,
            clock=self.clock,
            token_cache=self.token_cache,
            sinks=self.sinks,
        )
        return train(document, options, ports=ports, emit=on_event, stop=stop)

    def train_events(self, document: Document, **options: Any) -> Iterator[Event]:
        """Train in a thread of its own and yield the run's events as they come.

        A run ends with :class:`~dlm.domain.events.RunFinished`, and an error of it is raised after that; there is none
        when nothing was to do. Closing the
        iterator stops the run after the step under way and keeps its checkpoint.

        Args:
            options: as for :meth:`train`.
        """
        from dlm.app.event_stream import events_of

        return events_of(lambda emit, stop: self.train(document, on_event=emit, stop=stop, **options))

    def prompt(
        self,
        document: Document,
        query: str,
        *,
        max_tokens: int = 256,
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        backend: Literal["auto", "pytorch", "mlx"] = "auto",
        stream: bool = True,
        on_plan: Callable[[InferencePlan], None] | None = None,
        on_event: Emit = ignore,
    ) -> Iterator[str]:
        """Ask the current adapter; yields pieces of the answer, or the whole at once when ``stream`` is false."""
        from dlm.app.prompt import prompt

        pieces = prompt(
            document,
            query,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            backend=backend,
            store=self.store,
            registry=self.registry,
            hardware=self.hardware,
            generators={"pytorch": self.generator},
            clock=self.clock,
            on_plan=on_plan,
            emit=on_event,
        )
        return pieces if stream else iter(["".join(pieces)])

    def exam(self, document: Document, *, on_event: Emit = ignore) -> Exam:
        """Examine the current adapter. See :func:`dlm.app.exam.exam`."""
        from dlm.app.exam import exam

        return exam(
            document,
            store=self.store,
            registry=self.registry,
            hardware=self.hardware,
            generator=self.generator,
            sources=self.sources,
            replay=self.replay,
            clock=self.clock,
            emit=on_event,
        )

    def export(
        self,
        document: Document,
        *,
        target: str = "ollama",
        quant: str | None = None,
        merged: bool = False,
        dequantize: bool = False,
        name: str | None = None,
        template: bool = True,
        register: bool = True,
        smoke: bool = True,
        imatrix: bool = True,
        draft: str | bool = True,
        adapter: str | None = None,
        adapter_mix: str | None = None,
        mix_method: Literal["linear", "svd"] | None = None,
        evaluation: bool = False,
        on_plan: Callable[[ExportPlan], None] | None = None,
        on_event: Emit = ignore,
    ) -> ExportReport:
        """Write the trained model for another program, run it and compare it. See :func:`dlm.app.export.export`.

        Args:
            target: ``ollama``, ``llama-server``, ``vllm``, ``mlx-serve`` or ``hf-adapter``.
            quant: ``Q4_K_M``, ``Q5_K_M``, ``Q6_K``, ``Q8_0``, ``BF16`` or ``F16``; the document's choice when None.
            merged: one model with the adapter inside.
            dequantize: with ``merged``, put an adapter trained on a 4-bit base into the 16-bit one.
            name: of the model, where it is registered or served.
            template: False leaves the conversation template to Ollama's guess.
            register: False does not hand the model to Ollama.
            smoke: False neither compares nor asks the exported model.
            imatrix: False rounds all columns alike.
            draft: name in Ollama of a small model that may write ahead; False for none, True for the known one.
            adapter: one of several adapters.
            adapter_mix, mix_method: several as one, ``"knowledge:1.0,tone:0.5"``.
            evaluation: also write ``sway.yaml``, the document's questions for an evaluation tool.
            on_plan: told what was decided, before anything is written.
        """
        from dlm.app.export import export
        from dlm.domain.export_options import ExportOptions

        options = ExportOptions(
            target=target,
            quant=quant,
            merged=merged,
            dequantize=dequantize,
            name=name,
            writes_template=template,
            registers=register,
            checks=smoke,
            uses_imatrix=imatrix,
            draft=draft if isinstance(draft, str) else None,
            uses_draft=draft is not False,
            adapter=adapter,
            adapter_mix=adapter_mix,
            mix_method=mix_method,
            writes_evaluation=evaluation,
        )
        return export(document, options, ports=self._export_ports(), on_plan=on_plan, emit=on_event)

    def pack(
        self,
        document: Document,
        *,
        out: str | Path | None = None,
        include_exports: bool = False,
        include_base: bool = False,
        include_logs: bool = False,
        all_versions: bool = False,
        licensee_url: str | None = None,
        sign: bool = False,
        ask: AskPassphrase = lambda _: None,
        on_event: Emit = ignore,
    ) -> PackReport:
        """Write a trained document into one file. See :func:`dlm.app.pack.pack`.

        Args:
            ask: asks for the passphrase of the own key, when it has one.
        """
        from dlm.app.pack import PackOptions, pack

        options = PackOptions(
            out=Path(out) if out is not None else None,
            include_exports=include_exports,
            include_base=include_base,
            include_logs=include_logs,
            all_versions=all_versions,
            licensee_url=licensee_url,
            sign=sign,
            source_date_epoch=self.environ.get(_EPOCH),
        )
        return pack(document, options, ports=self._sharing_ports(ask), emit=on_event)

    def unpack(
        self, pack: str | Path, *, out: str | Path | None = None, force: bool = False, on_event: Emit = ignore
    ) -> UnpackReport:
        """Install a pack. See :func:`dlm.app.unpack.unpack`."""
        from dlm.app.unpack import unpack

        folder = Path(out) if out is not None else None
        return unpack(Path(pack), out=folder, force=force, ports=self._sharing_ports(), emit=on_event)

    def verify(self, pack: str | Path, *, trust_on_first_use: bool = False, on_event: Emit = ignore) -> VerifyReport:
        """Check who signed a pack. See :func:`dlm.app.verify.verify`."""
        from dlm.app.verify import verify

        return verify(Path(pack), trust_on_first_use=trust_on_first_use, ports=self._sharing_ports(), emit=on_event)

    def push(
        self,
        source: Document | str | Path,
        to: str,
        *,
        sign: bool = False,
        include_exports: bool = False,
        include_base: bool = False,
        include_logs: bool = False,
        licensee_url: str | None = None,
        insecure: bool = False,
        ask: AskPassphrase = lambda _: None,
        on_event: Emit = ignore,
    ) -> PushReport:
        """Send a document or pack somewhere. See :func:`dlm.app.share.push`."""
        from dlm.app.pack import PackOptions
        from dlm.app.share import push

        options = PackOptions(
            include_exports=include_exports,
            include_base=include_base,
            include_logs=include_logs,
            licensee_url=licensee_url,
            sign=sign,
            source_date_epoch=self.environ.get(_EPOCH),
        )
        return push(_source(source), to, options, insecure=insecure, ports=self._sharing_ports(ask), emit=on_event)

    def pull(
        self,
        source: str,
        *,
        out: str | Path | None = None,
        force: bool = False,
        policy: SignaturePolicy = "permissive",
        insecure: bool = False,
        on_event: Emit = ignore,
    ) -> PullReport:
        """Fetch a pack, check it and install it. See :func:`dlm.app.share.pull`."""
        from dlm.app.share import pull

        return pull(
            source,
            out=Path(out) if out is not None else None,
            force=force,
            policy=policy,
            insecure=insecure,
            ports=self._sharing_ports(),
            emit=on_event,
        )

    def serve(
        self,
        document: Document,
        *,
        port: int = 7337,
        public: bool = False,
        acknowledged: bool = False,
        max_concurrency: int = 4,
        rate_limit: int = 30,
        ttl_minutes: float = 15.0,
        encrypted: bool = False,
        sign: bool = False,
        ask: AskPassphrase = lambda _: None,
        on_event: Emit = ignore,
    ) -> AbstractContextManager[RunningPeer]:
        """Serve a document's pack for the length of a ``with`` block. See :func:`dlm.app.serve.serve`."""
        from dlm.app.serve import ServeOptions, serve

        options = ServeOptions(
            port=port,
            public=public,
            acknowledged=acknowledged,
            max_concurrency=max_concurrency,
            rate_limit=rate_limit,
            ttl_minutes=ttl_minutes,
            encrypted=encrypted,
            sign=sign,
        )
        return serve(document, options, ports=self._sharing_ports(ask), emit=on_event)

    def keys(self) -> KeysReport:
        """Tell which signing keys there are: the own one, and those trusted."""
        from dlm.app.keys import list_keys

        return list_keys(ports=self._sharing_ports())

    def generate_key(self, *, passphrase: str | None, comment: str = "", force: bool = False) -> PublicKey:
        """Make this home's own key; ``passphrase`` None leaves the secret open."""
        from dlm.app.keys import generate_key

        return generate_key(passphrase=passphrase, comment=comment, force=force, ports=self._sharing_ports())

    def trust_key(self, path: str | Path, *, label: str = "") -> TrustedKey:
        """Trust the key in a ``.pub`` file."""
        from dlm.app.keys import trust_key

        return trust_key(Path(path), label=label, ports=self._sharing_ports())

    def revoke_key(self, name: str) -> TrustedKey:
        """Take a key's trust back, by its id or fingerprint."""
        from dlm.app.keys import revoke_key

        return revoke_key(name, ports=self._sharing_ports())

    def forget(self, document: Document) -> int:
        """Let go of sections that left the document. See :func:`dlm.app.forget.forget`."""
        from dlm.app.forget import forget

        return forget(document, store=self.store, sources=self.sources, replay=self.replay)

    def show(self, path: str | Path) -> ShowReport:
        """Tell what is known about a document."""
        from dlm.app.show import show

        return show(
            Path(path),
            store=self.store,
            sources=self.sources,
            replay=lambda: self.replay,
            token_cache=self.token_cache,
            metrics=self.run_metrics,
        )

    def metrics(
        self,
        path: str | Path,
        *,
        run_id: int | None = None,
        phase: RunPhase | None = None,
        since: timedelta | None = None,
        limit: int | None = 20,
    ) -> MetricsReport:
        """Tell about a document's runs, or everything about one of them. See :func:`dlm.app.metrics.metrics`."""
        from dlm.app.metrics import metrics

        return metrics(
            Path(path), run_id=run_id, phase=phase, since=since, limit=limit, port=self.run_metrics, clock=self.clock
        )

    def history(
        self,
        document: Document | str | Path,
        *,
        run_id: int | None = None,
        phase: RunPhase | None = None,
        since: timedelta | None = None,
        limit: int | None = None,
    ) -> History:
        """Give everything measured in a document's runs, for tables and pages. See :func:`dlm.app.metrics.history`."""
        from dlm.app.metrics import history

        return history(
            document, run_id=run_id, phase=phase, since=since, limit=limit, port=self.run_metrics, clock=self.clock
        )

    def watch_metrics(
        self, path: str | Path, *, poll_seconds: float = 1.0, wait: Callable[[float], None] = time.sleep
    ) -> Iterator[RunNews | None]:
        """Follow a document's newest run, and those that come after it, for ever. See :func:`dlm.app.metrics.watch`."""
        from dlm.app.metrics import watch

        return watch(Path(path), poll_seconds=poll_seconds, port=self.run_metrics, wait=wait)

    def doctor(self) -> DoctorReport:
        """Look at the machine and say what dlm would do on it."""
        from dlm.app.doctor import doctor
        from dlm.domain.versions import installed_versions

        return doctor(
            hardware=self.hardware,
            versions=installed_versions(),
            environ=self.environ,
            plugins=plugins(),
        )

    def cache_show(self, path: str | Path) -> CacheReport:
        """Tell what a document's token cache holds and how much it helped."""
        from dlm.app.cache import show_cache

        return show_cache(Path(path), store=self.store, token_cache=self.token_cache, metrics=self.run_metrics)

    def cache_prune(self, path: str | Path, *, older_than: timedelta | None = None) -> int:
        """Drop rows not used for so long, by default as the document says; gives how many went."""
        from dlm.app.cache import prune_cache

        return prune_cache(Path(path), older_than, token_cache=self.token_cache)

    def cache_clear(self, path: str | Path, *, confirm: Callable[[CacheSize], bool] = lambda _: True) -> int | None:
        """Drop all rows; gives how many went, None when ``confirm`` said no."""
        from dlm.app.cache import clear_cache

        return clear_cache(Path(path), confirm, token_cache=self.token_cache)

    def migrate(self, path: str | Path, *, dry_run: bool = False, backup: bool = True) -> MigrationResult:
        """Bring a document's frontmatter to the current version."""
        from dlm.app.migrate import migrate

        return migrate(Path(path), dry_run=dry_run, backup=backup)

    def templates(self, *, on_event: Emit = ignore) -> tuple[TemplateMeta, ...]:
        """List the gallery."""
        from dlm.app.templates import list_templates

        return list_templates(gallery=self.gallery, emit=on_event)

    def refresh_templates(self, *, accept_unsigned: bool = False, on_event: Emit = ignore) -> RefreshResult:
        """Fetch the signed gallery."""
        from dlm.app.templates import refresh_templates

        return refresh_templates(gallery=self.gallery, accept_unsigned=accept_unsigned, emit=on_event)


def _source(source: Document | str | Path) -> Path:
    """Give the file of what is to be sent.

    Raises:
        UsageError: a document that was never saved.
    """
    if isinstance(source, str | Path):
        return Path(source)
    if source.path is None:
        from dlm.domain.errors import UsageError

        raise UsageError("share.no-file", "this document has no file yet", subject="push", hint="Save it first.")
    return source.path
