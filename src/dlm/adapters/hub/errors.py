"""What went wrong with the Hub, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlm.adapters.hub.settings import OFFLINE_WHY, HubSettings
from dlm.domain.errors import BaseModelError, DlmError, LicenseError, StoreError
from dlm.domain.text_files import disk_error

_NO_CONNECTION = (
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "IncompleteSnapshotError",
    "TimeoutException",
    "Timeout",
    "NetworkError",
    "ConnectionError",
    "ProxyError",
    "ConnectError",
    "RemoteProtocolError",
    "TimeoutError",
)
"""Classes, by name, that mean "no answer". By name, because the Hub's library changed its HTTP library twice."""


class HubUnreachableError(Exception):
    """No answer from the Hub; the message says why. Never leaves this package."""


@contextmanager
def hub_errors(hf_id: str, settings: HubSettings) -> Iterator[None]:
    """Turn whatever the Hub's library raises into our errors.

    Everything is caught: what runs inside is foreign code that reads answers from a foreign server, and it raises its
    own classes, those of three HTTP libraries and plain ones.

    Raises:
        HubUnreachableError: no connection, or going online is forbidden.
        LicenseError: the Hub wants its terms accepted first.
        BaseModelError: any other answer.
        StoreError: no room, no permission, a failing disk.
    """
    try:
        yield
    except (DlmError, HubUnreachableError):
        raise
    except Exception as exc:
        raise translate(exc, hf_id, settings) from exc


def translate(exc: Exception, hf_id: str, settings: HubSettings) -> DlmError | HubUnreachableError:
    """Give our error for a foreign one, the most telling class first."""
    names = {cls.__name__ for cls in type(exc).__mro__}
    status = getattr(getattr(exc, "response", None), "status_code", None)
    if "GatedRepoError" in names:
        return gated_on_hub(hf_id, settings)
    if names & {"RepositoryNotFoundError", "HFValidationError", "DisabledRepoError"}:
        return _not_found(hf_id, settings)
    if names & {"RevisionNotFoundError", "RevisionResolutionError"}:
        return _revision_missing(hf_id, settings)
    if names & {"EntryNotFoundError", "NotASafetensorsRepoError"} and not names & set(_NO_CONNECTION):
        return _failed(hf_id, settings, "a file of the model is missing there")
    if status in (401, 403):
        return _not_allowed(hf_id, settings, status)
    if names & set(_NO_CONNECTION):
        return HubUnreachableError(_why_unreachable(exc, names))
    if isinstance(exc, OSError) and exc.errno is not None and status is None:
        return _disk(exc, settings)
    return _failed(hf_id, settings, f"status {status}" if status else _first_line(exc))


def gated_on_hub(hf_id: str, settings: HubSettings) -> LicenseError:
    """Build the error for a repository whose terms must be accepted on the Hub itself."""
    return LicenseError(
        "base.gated-on-hub",
        f"{settings.where} gives {hf_id} only to people who accepted its terms there",
        hint=f"Open the page of {hf_id} on the Hub, accept the terms, then log in here with `hf auth login` or set "
        "HF_TOKEN, and run the command again.",
        details={"hf_id": hf_id},
    )


def _not_found(hf_id: str, settings: HubSettings) -> BaseModelError:
    return BaseModelError(
        "base.not-found",
        f"{settings.where} has no model {hf_id}, or it is private",
        hint="Check the spelling of the id. For a private model log in with `hf auth login` or set HF_TOKEN.",
    )


def _revision_missing(hf_id: str, settings: HubSettings) -> BaseModelError:
    return BaseModelError(
        "base.revision-missing",
        f"{settings.where} no longer has the pinned commit of {hf_id}",
        hint="Its owner removed it. Choose another base, or use a local copy with base_model: path:<folder>.",
    )


def _not_allowed(hf_id: str, settings: HubSettings, status: int) -> LicenseError:
    return LicenseError(
        "base.not-allowed",
        f"{settings.where} refused access to {hf_id} (status {status})",
        hint="Log in with `hf auth login`, or set HF_TOKEN to a token that may read this model.",
    )


def _failed(hf_id: str, settings: HubSettings, why: str) -> BaseModelError:
    return BaseModelError(
        "base.hub-failed",
        f"fetching {hf_id} from {settings.where} failed: {why}",
        hint="Run the command again; what was already fetched is kept. If it fails again, try later.",
    )


def _disk(exc: OSError, settings: HubSettings) -> StoreError:
    return disk_error(exc, Path(exc.filename) if isinstance(exc.filename, str) else settings.cache)


def _why_unreachable(exc: Exception, names: set[str]) -> str:
    if "OfflineModeIsEnabled" in names or (isinstance(exc.__cause__, Exception) and _is_offline(exc.__cause__)):
        return OFFLINE_WHY
    if names & {"TimeoutException", "Timeout", "TimeoutError"}:
        return "it did not answer in time"
    return "it could not be reached"


def _is_offline(exc: BaseException) -> bool:
    return type(exc).__name__ == "OfflineModeIsEnabled"


def _first_line(exc: Exception) -> str:
    text = str(exc).strip()
    return f"{type(exc).__name__}: {text.splitlines()[0][:200]}" if text else type(exc).__name__
