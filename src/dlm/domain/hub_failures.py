"""What went wrong with the Hub, read off an exception of its library by name."""

from __future__ import annotations

from typing import Literal

import attrs

from dlm.domain.hub_settings import OFFLINE_WHY

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

FailureKind = Literal["gated", "not-found", "no-revision", "no-file", "denied", "unreachable", "disk", "other"]


@attrs.frozen(kw_only=True)
class HubFailure:
    """A failure.

    Args:
        why: in words, for ``unreachable``, ``denied`` and ``other``.
        status: of the answer, when there was one.
    """

    kind: FailureKind
    why: str = ""
    status: int | None = None


def hub_failure(exc: Exception) -> HubFailure:
    """Tell what an exception means, the most telling class first."""
    names = {cls.__name__ for cls in type(exc).__mro__}
    status = getattr(getattr(exc, "response", None), "status_code", None)
    no_answer = bool(names & set(_NO_CONNECTION))
    if "GatedRepoError" in names:
        return HubFailure(kind="gated", status=status)
    if names & {"RepositoryNotFoundError", "HFValidationError", "DisabledRepoError"}:
        return HubFailure(kind="not-found", status=status)
    if names & {"RevisionNotFoundError", "RevisionResolutionError"}:
        return HubFailure(kind="no-revision", status=status)
    if names & {"EntryNotFoundError", "NotASafetensorsRepoError"} and not no_answer:
        return HubFailure(kind="no-file", status=status)
    if status in (401, 403):
        return HubFailure(kind="denied", status=status, why=f"status {status}")
    if no_answer:
        return HubFailure(kind="unreachable", why=_why_unreachable(exc, names))
    if isinstance(exc, OSError) and exc.errno is not None and status is None:
        return HubFailure(kind="disk")
    return HubFailure(kind="other", status=status, why=f"status {status}" if status else _first_line(exc))


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
