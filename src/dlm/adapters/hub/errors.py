"""What went wrong with the Hub, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlm.domain.errors import BaseModelError, DlmError, LicenseError, StoreError
from dlm.domain.hub_failures import hub_failure
from dlm.domain.hub_settings import HubSettings
from dlm.domain.text_files import disk_error


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
    """Give our error for a foreign one."""
    failure = hub_failure(exc)
    match failure.kind:
        case "gated":
            return gated_on_hub(hf_id, settings)
        case "not-found":
            return _not_found(hf_id, settings)
        case "no-revision":
            return _revision_missing(hf_id, settings)
        case "no-file":
            return _failed(hf_id, settings, "a file of the model is missing there")
        case "denied":
            return _not_allowed(hf_id, settings, failure.why)
        case "unreachable":
            return HubUnreachableError(failure.why)
        case "disk":
            return _disk(exc, settings)
        case _:
            return _failed(hf_id, settings, failure.why)


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


def _not_allowed(hf_id: str, settings: HubSettings, why: str) -> LicenseError:
    return LicenseError(
        "base.not-allowed",
        f"{settings.where} refused access to {hf_id} ({why})",
        hint="Log in with `hf auth login`, or set HF_TOKEN to a token that may read this model.",
    )


def _failed(hf_id: str, settings: HubSettings, why: str) -> BaseModelError:
    return BaseModelError(
        "base.hub-failed",
        f"fetching {hf_id} from {settings.where} failed: {why}",
        hint="Run the command again; what was already fetched is kept. If it fails again, try later.",
    )


def _disk(exc: Exception, settings: HubSettings) -> StoreError:
    error = exc if isinstance(exc, OSError) else OSError(str(exc))
    return disk_error(error, Path(error.filename) if isinstance(error.filename, str) else settings.cache)
