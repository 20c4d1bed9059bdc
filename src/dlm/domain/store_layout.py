"""The names inside a store, and which names are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath

from dlm.domain.errors import Place, StoreError
from dlm.domain.json_record import RecordError, parse_object
from dlm.domain.manifest import ADAPTER_NAME, DLM_ID, RESERVED_ADAPTER_NAMES

MANIFEST = "manifest.json"
LOCK = "dlm.lock"
WRITER_LOCK = ".lock"
METRICS = "metrics.sqlite"
TENSORBOARD = "tensorboard"
WANDB = "wandb"
"""The package makes the folder of this name itself."""
POINTER = "current.txt"
TRAINING_RUN = "training_run.json"
"""In a version's folder: how it was trained, as far as loading it depends on that."""
ROW_CACHE = "tokenized-cache"
"""Rows as token ids, kept between trainings; may be deleted at any time."""
EXPORTS = "exports"
BUNDLED_BASE = "cache/base"
"""A base that came in a pack: one folder, named by its commit."""
PROVENANCE = "provenance.json"
"""Who signed the pack that the store came in."""
CHECKPOINTS = "adapter/_checkpoint"
"""The underscore keeps it apart from named adapters, whose names start with a letter."""

_VERSION = re.compile(r"v(\d{4,})")
_SPENT = re.compile(r"v(\d{4,})(-.*)?")
_EXPORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LOG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def qlora_from_json(text: str, path: str) -> bool:
    """Give ``use_qlora`` of a version's ``training_run.json``; False when the key is not there.

    Raises:
        StoreError: not a JSON object, or the value is neither true nor false.
    """
    try:
        value = parse_object(text).get("use_qlora", False)
        if not isinstance(value, bool):
            raise RecordError(f"$.use_qlora: expected true or false, found {value!r}"[:200])
    except RecordError as exc:
        raise StoreError(
            "store.version-corrupt",
            exc.message,
            hint="The adapter version was damaged. Go back to an earlier one, or train again with --fresh.",
            place=Place(path, exc.line, exc.col),
        ) from exc
    return value


def checked_dlm_id(dlm_id: str) -> str:
    """Give ``dlm_id``, now known to be safe as a folder name.

    Raises:
        StoreError: it is not 26 characters of upper-case Crockford base32.
    """
    if not DLM_ID.fullmatch(dlm_id):
        raise StoreError(
            "store.bad-id",
            f"{dlm_id!r} is not a document id",
            hint="An id is 26 digits and capital letters without I, L, O and U; see dlm_id at the top of the document.",
        )
    return dlm_id


def adapter_folder(adapter: str | None) -> PurePosixPath:
    """Give the folder of an adapter, relative to the store; None is the document's only one.

    Raises:
        StoreError: the name is malformed or reserved.
    """
    if adapter is None:
        return PurePosixPath("adapter")
    if not ADAPTER_NAME.fullmatch(adapter) or adapter in RESERVED_ADAPTER_NAMES:
        raise StoreError(
            "store.bad-adapter-name",
            f"{adapter!r} cannot name an adapter",
            hint="Use a small letter, then up to 31 small letters, digits or _; not 'default', not 'versions'.",
        )
    return PurePosixPath("adapter", adapter)


def checked_log_name(name: str) -> str:
    """Give ``name``, now known to be safe as the start of a file name.

    Raises:
        StoreError: it holds anything but letters, digits, ``.``, ``_`` and ``-``, or is longer than 100.
    """
    if not _LOG_NAME.fullmatch(name):
        raise StoreError(
            "store.bad-log-name", f"{name!r} cannot name a log", hint="Use letters, digits, '.', '_' and '-'."
        )
    return name


def checked_export_name(name: str) -> str:
    """Give ``name``, now known to be safe as a folder name.

    Raises:
        StoreError: it holds anything but letters, digits, ``.``, ``_`` and ``-``, or is longer than 100.
    """
    if not _EXPORT_NAME.fullmatch(name):
        raise StoreError(
            "store.bad-export-name", f"{name!r} cannot name an export", hint="Use letters, digits, '.', '_' and '-'."
        )
    return name


def version_name(version: int) -> str:
    """Give the folder name of an adapter version: ``v0003``; wider from 10000 on."""
    return f"v{version:04d}"


def committed_versions(names: Iterable[str]) -> tuple[int, ...]:
    """Give the versions among folder names, smallest first; rejected and failed ones do not count."""
    matches = (_VERSION.fullmatch(name) for name in names)
    return tuple(sorted(int(match[1]) for match in matches if match))


def next_version(names: Iterable[str]) -> int:
    """Give the first number never used: above every folder, rejected and failed ones included."""
    matches = (_SPENT.fullmatch(name) for name in names)
    return max((int(match[1]) for match in matches if match), default=0) + 1


def pointer_to(adapter: str | None, version: int) -> str:
    """Give the path kept in ``current.txt``, relative to the store."""
    return str(adapter_folder(adapter) / "versions" / version_name(version))


def leaves_store(pointer: str) -> bool:
    """Tell whether a pointer could lead out of the store, read as a Posix or as a Windows path."""
    windows = PureWindowsPath(pointer)
    parts = {*PurePosixPath(pointer).parts, *windows.parts}
    return "\0" in pointer or ".." in parts or pointer.startswith("/") or bool(windows.drive or windows.root)


def pointed_version(pointer: str, adapter: str | None) -> int | None:
    """Give the version a pointer names; None when it is not a pointer of this adapter."""
    match = _VERSION.fullmatch(pointer.rsplit("/", 1)[-1])
    if match is None or len(match[1]) > 18:
        return None
    version = int(match[1])
    return version if pointer == pointer_to(adapter, version) else None
