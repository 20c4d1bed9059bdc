"""Model repositories of the Hugging Face Hub."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.adapters.share.files import Meter, disk_errors, size_of, tell_warning
from dlm.adapters.share.quiet import quiet_logs
from dlm.adapters.share.wire import Wire
from dlm.domain.base_models import REVISION
from dlm.domain.errors import DlmError, ShareError, StoreError
from dlm.domain.events import Emit, Event
from dlm.domain.hub_failures import HubFailure, hub_failure
from dlm.domain.hub_settings import OFFLINE_REMEDY, OFFLINE_WHY, REQUEST_TIMEOUT_S, HubSettings
from dlm.domain.model_card import CARD
from dlm.domain.share import PACK_NAME, SIGNATURE_SUFFIX, Address, hub_repository, is_commit, redacted
from dlm.domain.text_files import disk_error
from dlm.domain.transfer import LIMITS, TransferLimits
from dlm.ports.share import Fetched, Parcel

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

SIGNATURE_NAME = f"{PACK_NAME}{SIGNATURE_SUFFIX}"

_LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN to a token that may write there."
_MAY_READ = "Open its page and accept its terms if it has some; log in with `hf auth login`, or set HF_TOKEN."


class HubShare:
    """``SharePort`` for ``hf:`` addresses. Uses ``HF_TOKEN``, or the login stored on this machine.

    Pack, signature and card arrive in one commit. They are fetched from one commit as well, over the same bounded
    download as any other web address.
    """

    kind = "hub"

    def __init__(self, environ: Mapping[str, str], *, limits: TransferLimits = LIMITS) -> None:
        self._settings = HubSettings.from_environ(environ)
        self._limits = limits

    def push(self, parcel: Parcel, to: Address, *, emit: Emit) -> str:
        """Commit a pack to a repository, which is created if it is missing, and so is the branch."""
        tell_warning(to, emit)
        if to.revision is not None and is_commit(to.revision):
            raise ShareError(
                "share.revision",
                f"{to.shown} is one commit, which never changes",
                hint="Push to a branch, or without @.",
            )
        size = size_of(parcel.pack)
        watched = _Watched(emit)
        with self._errors(to, watched), quiet_logs(), _no_bars():
            api = self._api()
            repository = hub_repository(to)
            api.create_repo(repository, exist_ok=True, private=True if parcel.private else None)
            if to.revision is not None:
                api.create_branch(repository, branch=to.revision, exist_ok=True)
            info = api.model_info(repository, revision=to.revision, timeout=REQUEST_TIMEOUT_S)
            _refuse_public(parcel, info, to)
            self._commit(api, parcel, to, _names(info), Meter("upload", watched))
        Meter("upload", emit).finish(size)
        return to.shown

    def pull(self, source: Address, into: Path, *, emit: Emit) -> Fetched:
        """Fetch pack and signature of the newest commit of a branch, or of the commit that the address names."""
        tell_warning(source, emit)
        with self._errors(source), quiet_logs():
            info = self._api().model_info(hub_repository(source), revision=source.revision, timeout=REQUEST_TIMEOUT_S)
            names, commit = _names(info), str(info.sha)
        if PACK_NAME not in names or not REVISION.fullmatch(commit):
            raise ShareError(
                "share.missing",
                f"{source.shown} holds no {PACK_NAME}",
                hint="Check the address; only packs can be pulled.",
            )
        wire = self._wire(source)
        pack = into / PACK_NAME
        wire.fetch(self._file_url(source, PACK_NAME, commit), pack, cap=self._limits.pack_bytes, emit=emit)
        if SIGNATURE_NAME not in names:
            return Fetched(pack=pack)
        signature, problem = wire.fetch_signature(self._file_url(source, SIGNATURE_NAME, commit), into / SIGNATURE_NAME)
        if signature is None and problem is None:
            problem = f"{source.shown} lists {SIGNATURE_NAME} and does not give it"
        return Fetched(pack=pack, signature=signature, signature_problem=problem)

    def _commit(self, api: HfApi, parcel: Parcel, to: Address, there: set[str], meter: Meter) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        with disk_errors(parcel.pack):
            file = _Counted(parcel.pack, meter)
        with file:
            operations: list[Any] = [CommitOperationAdd(PACK_NAME, file)]
            file.count = True  # until here it was read to be digested
            if parcel.signature is not None:
                with disk_errors(parcel.signature):
                    operations.append(CommitOperationAdd(SIGNATURE_NAME, parcel.signature.read_bytes()))
            elif SIGNATURE_NAME in there:
                operations.append(CommitOperationDelete(SIGNATURE_NAME))  # of an earlier pack
            if parcel.card is not None:
                operations.append(CommitOperationAdd(CARD, parcel.card.encode()))
            message = f"{PACK_NAME}, uploaded by dlm"
            api.create_commit(hub_repository(to), operations, commit_message=message, revision=to.revision)

    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self._settings.endpoint, token=self._settings.token)

    def _wire(self, source: Address) -> Wire:
        from huggingface_hub.utils import build_hf_headers

        auth = build_hf_headers(token=self._settings.token).get("authorization")
        return Wire(address=source, auth=auth, refused_hint=_MAY_READ, limits=self._limits)

    def _file_url(self, source: Address, name: str, commit: str) -> str:
        from huggingface_hub import hf_hub_url

        url: str = hf_hub_url(hub_repository(source), name, revision=commit, endpoint=self._settings.endpoint)
        return url

    @contextmanager
    def _errors(self, address: Address, watched: _Watched | None = None) -> Iterator[None]:
        """Turn whatever the Hub's library raises into our errors; see :func:`dlm.domain.hub_failures.hub_failure`.

        Its exceptions are not chained: their texts hold addresses that let anybody in who reads them in time.
        """
        if self._settings.offline:
            raise _offline(address, self._settings)
        try:
            yield
        except DlmError:
            raise
        except Exception as exc:  # noqa: BLE001  # foreign code that reads answers from a foreign server
            if watched is not None and watched.raised is not None:
                raise watched.raised from None
            raise self._translated(_innermost(exc), address) from None

    def _translated(self, exc: Exception, address: Address) -> ShareError | StoreError:
        failure = hub_failure(exc)
        if isinstance(exc, OSError) and failure.kind == "disk":
            return disk_error(exc, Path(exc.filename) if isinstance(exc.filename, str) else self._settings.cache)
        if failure.why == OFFLINE_WHY:
            return _offline(address, self._settings)
        return _share_error(failure, address, self._settings)


def _share_error(failure: HubFailure, address: Address, settings: HubSettings) -> ShareError:
    where, shown = settings.where, address.shown
    match failure.kind:
        case "gated":
            return ShareError(
                "share.refused", f"{where} gives {shown} only to people who accepted its terms", hint=_MAY_READ
            )
        case "denied":
            return ShareError("share.refused", f"{where} refuses access to {shown} ({failure.why})", hint=_LOG_IN)
        case "not-found":
            hint = "Check the spelling. For a private repository log in with `hf auth login`, or set HF_TOKEN."
            return ShareError("share.missing", f"{where} has no repository {shown}, or it is private", hint=hint)
        case "no-revision":
            return ShareError("share.missing", f"{where} has no {shown}", hint="Check what follows the @.")
        case "unreachable":
            hint = "Check the connection, then run it again."
            return ShareError("share.unreachable", f"{where}: {failure.why}", hint=hint)
        case _:
            why = redacted(failure.why or "a file is missing there", address, settings.token)
            return ShareError("share.failed", f"{where} and {shown}: {why}", hint="Try again later.")


def _offline(address: Address, settings: HubSettings) -> ShareError:
    return ShareError(
        "share.offline", f"{address.shown} needs {settings.where}: {OFFLINE_WHY}", hint=f"To go on, {OFFLINE_REMEDY}."
    )


def _refuse_public(parcel: Parcel, info: ModelInfo, to: Address) -> None:
    if parcel.private and info.private is not True:
        raise ShareError(
            "share.public", f"{to.shown} exists and is public", hint="Make it private on its page, or push elsewhere."
        )


def _names(info: ModelInfo) -> set[str]:
    return {str(item.rfilename) for item in info.siblings or []}


def _innermost(exc: Exception) -> Exception:
    """Give what is behind the plain errors that the Hub's library wraps around those of its uploads."""
    while type(exc) is RuntimeError and isinstance(exc.__cause__, Exception):
        exc = exc.__cause__
    return exc


@attrs.define
class _Watched:
    """An observer whose exceptions survive foreign code: ``raised`` is the first one."""

    emit: Emit
    raised: BaseException | None = None

    def __call__(self, event: Event) -> None:
        try:
            self.emit(event)
        except BaseException as exc:
            self.raised = self.raised or exc
            raise


class _Counted(io.BufferedReader):
    """A file that tells how far it was read, once ``count`` is set."""

    count = False

    def __init__(self, path: Path, meter: Meter) -> None:
        super().__init__(path.open("rb", buffering=0))
        self._meter = meter
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self.count:
            self._meter.tell(self.tell(), self._size)
        return data


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep the Hub's library from drawing on the terminal as long as the block lasts."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
