"""The fetched gallery on disk: ``<home>/templates-cache/current/`` and what is known about it.

A new set is staged beside the old one and swapped in by renaming, so that a crash at any point leaves one whole set.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.errors import Place, TemplateError
from dlm.domain.json_record import RecordError, dump_object, in_seconds, parse_object, structure
from dlm.domain.text_files import disk_error, sync_folder, write_atomic

_STATE = "state.json"
_STAGING = ".staging-"
_PREVIOUS = ".previous-"
# A refresh takes seconds; a staging folder this old belongs to a process that died.
_STALE_S = 3600.0
_MAX_STATE_BYTES = 64 << 10


@attrs.frozen(kw_only=True)
class CacheState:
    """What is known about the fetched set.

    Args:
        signer_key_id: 16 hex digits; None when nobody signed.
        unsigned: no trusted key vouches for the set.
        signed_serial: highest serial ever accepted with a trusted signature. Kept apart from ``serial`` so that an
            unsigned set can neither roll a signed gallery back nor block its next serial.
    """

    serial: int
    fetched_at: datetime = attrs.field(converter=in_seconds)
    index_sha256: str
    signer_key_id: str | None
    unsigned: bool
    signed_serial: int | None = None


@attrs.frozen
class GalleryCache:
    """Reads and replaces the fetched set."""

    root: Path

    def folder(self) -> Path | None:
        """Give the folder of the fetched set; None when nothing was fetched."""
        current = self.root / "current"
        if current.is_dir():
            return current
        # Between the two renames of a swap only the previous set has a name.
        return max(self._leftovers(_PREVIOUS), default=None, key=_modified)

    def state(self) -> CacheState | None:
        """Give what is known about the fetched set; None when nothing was fetched.

        Raises:
            TemplateError: ``templates.cache-corrupt``: without its state a set is not to be trusted.
        """
        folder = self.folder()
        if folder is None:
            return None
        path = folder / _STATE
        try:
            with path.open("rb") as file:
                return structure(CacheState, parse_object(file.read(_MAX_STATE_BYTES).decode("utf-8")))
        except (OSError, UnicodeDecodeError, RecordError) as exc:
            raise TemplateError(
                "templates.cache-corrupt",
                f"the fetched gallery cannot be used: {exc}",
                hint=f"Remove {folder} and run: dlm templates list --refresh",
                place=Place(str(path)),
            ) from exc

    def replace(self, files: Mapping[str, bytes], state: CacheState) -> None:
        """Put a new set in place of the old one. The old one stays until the new one has its name.

        Raises:
            StoreError: no room, no permission; the old set is in place.
        """
        staging = self.root / f"{_STAGING}{secrets.token_hex(4)}"
        try:
            staging.mkdir(parents=True)
            for name, data in files.items():
                write_atomic(staging / name, data)
            write_atomic(staging / _STATE, _state_text(state).encode())
            self._swap(staging)
        except OSError as exc:
            raise disk_error(exc, self.root) from exc
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a killed refresh left behind; a previous set without a successor gets its name back.

        Raises:
            StoreError: the previous set cannot be renamed.
        """
        current = self.root / "current"
        rescued = self.folder()
        if rescued is not None and rescued != current:
            try:
                rescued.rename(current)
            except OSError as exc:
                raise disk_error(exc, current) from exc
        for leftover in self._leftovers(_PREVIOUS):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in self._leftovers(_STAGING):
            if time.time() - _modified(leftover) > _STALE_S:
                shutil.rmtree(leftover, ignore_errors=True)

    def _swap(self, staging: Path) -> None:
        current = self.root / "current"
        previous = self.root / f"{_PREVIOUS}{secrets.token_hex(4)}"
        if current.exists():
            current.rename(previous)
        try:
            staging.rename(current)
        except OSError:
            if previous.exists():
                previous.rename(current)
            raise
        sync_folder(self.root)
        shutil.rmtree(previous, ignore_errors=True)

    def _leftovers(self, prefix: str) -> list[Path]:
        try:
            return [path for path in self.root.iterdir() if path.name.startswith(prefix) and path.is_dir()]
        except OSError:
            return []


def _state_text(state: CacheState) -> str:
    record: dict[str, Any] = attrs.asdict(state) | {"fetched_at": state.fetched_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return dump_object(record, ascii_only=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
