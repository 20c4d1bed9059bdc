"""Every error dlm raises on purpose, in one tree.

    DlmError                 code, message, hint, place, details
    ├─ UsageError            a call that cannot mean anything (exit 2)
    ├─ DocumentError         a bad ``.dlm`` file; carries every fault of it at once
    ├─ ConfigError           values that are well formed and impossible together
    ├─ BaseModelError        unknown, offline, incompatible base model
    │  └─ LicenseError       a gated base whose licence was not accepted
    ├─ HardwareError         no plan fits this machine
    ├─ TrainingError         nothing to learn, diverged, out of memory
    │  ├─ ResumeError        a saved training state that cannot be continued
    │  └─ Interrupted        stopped on request; a checkpoint was kept (exit 130)
    ├─ InferenceError        no adapter yet, broken adapter
    ├─ PackError             a pack that is damaged, hostile, from a newer dlm, or may not be made
    ├─ SignatureError        no key, a wrong passphrase, a signature or chain of digests that does not hold
    ├─ ShareError            a place that cannot be reached, refuses, or sends something else
    ├─ ExportError           an adapter that cannot be exported so, a runtime that is missing or answers wrongly
    ├─ StoreError            locked, corrupt, unreadable
    │  ├─ DiskError          no room, read-only
    │  ├─ ReplayError        damaged memory of sections that were removed
    │  └─ MetricsError       a metrics database that cannot be read or written
    ├─ SourceError           training.sources names what is missing, forbidden, or changed under our hands
    ├─ LockDriftError        ``dlm.lock`` disagrees with this run
    ├─ InitError             a document that cannot be created
    │  └─ FolderError        a folder that has no document to be trained with, or another one than asked for
    ├─ TemplateError         unknown or invalid template
    ├─ NetworkError          an address that is refused, missing or out of reach
    ├─ MigrationError        a document that cannot be migrated
    └─ MissingExtra          an optional package is needed; names the install command

Each error names a ``code`` from :mod:`dlm.domain.error_codes`. Adapters translate foreign exceptions into this tree
with ``raise … from exc``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs


@attrs.frozen
class Place:
    """Where in a file something is; lines and columns count from 1."""

    path: str | None = None
    line: int | None = None
    col: int | None = None

    def __str__(self) -> str:
        parts = [self.path or "<text>"]
        if self.line is not None:
            parts.append(str(self.line))
            if self.col is not None:
                parts.append(str(self.col))
        return ":".join(parts)


@attrs.frozen
class Fault:
    """One problem of a document: where, what is wrong, what to write instead."""

    code: str
    message: str
    line: int | None = None
    col: int | None = None
    hint: str | None = None

    def render(self, path: str | None) -> str:
        """Give ``path:line:col: message`` with as much of the place as is known."""
        return f"{Place(path, self.line, self.col)}: {self.message}"


class DlmError(Exception):
    """Base of all errors of dlm.

    Args:
        code: slug listed in ``docs/reference/errors.md``.
        message: what happened, to which thing, with the values.
        hint: the next command or edit.
        place: position in a file, when there is one.
        details: machine-readable extras.
    """

    subject: str = "error"
    exit_code: int = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        place: Place | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.place = place
        self.details: Mapping[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class UsageError(DlmError):
    """A call or command line that cannot mean anything."""

    subject = "usage"
    exit_code = 2

    def __init__(self, code: str, message: str, *, subject: str | None = None, hint: str | None = None) -> None:
        super().__init__(code, message, hint=hint)
        if subject is not None:
            self.subject = subject


class DocumentError(DlmError):
    """A document that cannot be read. ``faults`` lists every problem found, in file order."""

    subject = "parse"

    def __init__(self, faults: Sequence[Fault], *, path: str | None = None) -> None:
        self.faults = tuple(faults)
        self.path = path
        first = self.faults[0]
        super().__init__(
            first.code, "\n".join(fault.render(path) for fault in self.faults), hint=first.hint, details={"path": path}
        )


class ConfigError(DlmError):
    subject = "config"


class BaseModelError(DlmError):
    subject = "base_model"


class LicenseError(BaseModelError):
    subject = "license"


class HardwareError(DlmError):
    subject = "doctor"


class TrainingError(DlmError):
    subject = "train"


class ResumeError(TrainingError):
    subject = "resume"


class Interrupted(TrainingError):  # noqa: N818  # it is a request that was followed, not a fault
    exit_code = 130


class InferenceError(DlmError):
    subject = "inference"


class ExportError(DlmError):
    """An export that cannot be made, or does not behave like what was trained.

    Args:
        subject: what the message is about when that is narrower than the export: ``preflight[<probe>]``, ``merge``,
            ``ollama``, ``smoke``, ``parity``, ``template``.
    """

    subject = "export"

    def __init__(self, code: str, message: str, *, subject: str | None = None, **rest: Any) -> None:
        super().__init__(code, message, **rest)
        if subject is not None:
            self.subject = subject


class PackError(DlmError):
    """A pack that cannot be made, trusted or opened. ``subject`` names the command that met it."""

    subject = "pack"

    def __init__(self, code: str, message: str, *, subject: str | None = None, **rest: Any) -> None:
        super().__init__(code, message, **rest)
        if subject is not None:
            self.subject = subject


class SignatureError(DlmError):
    """A key or signature that does not do. ``exit_code``: 2 for a signer nobody trusts here, 3 for a signature that
    does not hold, else 1. ``subject``: ``sign`` for one's own key, ``keys`` for the trusted ones."""

    subject = "verify"

    def __init__(self, code: str, message: str, *, exit_code: int = 1, subject: str | None = None, **rest: Any) -> None:
        super().__init__(code, message, **rest)
        self.exit_code = exit_code
        if subject is not None:
            self.subject = subject


class ShareError(DlmError):
    subject = "share"


class StoreError(DlmError):
    subject = "store"


class DiskError(StoreError):
    subject = "disk"


class ReplayError(StoreError):
    subject = "replay"


class MetricsError(StoreError):
    subject = "metrics"


class SourceError(DlmError):
    subject = "sources"


class LockDriftError(DlmError):
    subject = "lock"


class InitError(DlmError):
    subject = "init"


class FolderError(InitError):
    subject = "train"


class NetworkError(DlmError):
    subject = "network"


class TemplateError(DlmError):
    subject = "templates"


class MigrationError(DlmError):
    subject = "migrate"


class MissingExtra(DlmError):  # noqa: N818  # the name says what is missing
    subject = "install"
