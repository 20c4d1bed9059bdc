"""Fetching a base from the Hub at its pinned commit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlm.adapters.hub.errors import HubUnreachableError, hub_errors
from dlm.adapters.hub.progress import ByteCount, bar_class
from dlm.domain.base_files import BASE_FILE_PATTERNS, SKIPPED_PATTERNS, is_used
from dlm.domain.base_models import BaseSpec
from dlm.domain.errors import BaseModelError, DiskError
from dlm.domain.events import Emit, Note, Progress, ignore
from dlm.domain.hub_settings import OFFLINE_REMEDY, OFFLINE_WHY, REQUEST_TIMEOUT_S, HubSettings
from dlm.domain.probes import weights_fault
from dlm.domain.text_files import disk_error
from dlm.ports.base_source import Found, Miss

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

_SPARE_BYTES = 500_000_000
"""Room left free beside a download, so that the machine stays usable."""


class HubDownloadSource:
    """Downloads the pinned commit into the Hub's own cache: safetensors, settings and tokenizer, never program code.

    Asks first, with a short time limit, what the commit holds: a missing connection, a gate, another commit, weights in
    an unsafe format and a disk that is too small are all told before the first weight is fetched.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._settings = HubSettings.from_environ(environ)

    def find(self, spec: BaseSpec, *, emit: Emit = ignore) -> Found | Miss | None:
        """Fetch the base; a Miss when the Hub cannot be reached."""
        if spec.is_local or spec.revision is None:
            return None
        if self._settings.offline:
            return Miss(where=self._settings.where, why=OFFLINE_WHY, remedy=OFFLINE_REMEDY)
        try:
            return Found(folder=self._download(spec, spec.revision, emit), origin="hub")
        except HubUnreachableError as exc:
            return Miss(where=self._settings.where, why=str(exc))

    def _download(self, spec: BaseSpec, revision: str, emit: Emit) -> Path:
        sizes = self._checked_sizes(spec, revision)
        total = sum(sizes.values())
        _check_room(self._settings.cache, total, spec)
        emit(
            Note(
                subject="base_model",
                message=f"Downloading {spec.hf_id} ({total / 1e9:.2g} GB) from {self._settings.where}, because it is "
                "not on this machine yet; this is done once.",
            )
        )
        self._drop_damaged(spec.hf_id, revision, sizes)
        folder = self._snapshot(spec.hf_id, revision, emit)
        emit(Progress(stage="download", done=total, total=total, unit="B"))
        return _checked_commit(folder, spec, revision)

    def _checked_sizes(self, spec: BaseSpec, revision: str) -> dict[str, int]:
        """Ask what the commit holds and give the sizes in bytes of the files that will be fetched."""
        from huggingface_hub import HfApi

        with hub_errors(spec.hf_id, self._settings):
            api = HfApi(endpoint=self._settings.endpoint, token=self._settings.token)
            info = api.model_info(spec.hf_id, revision=revision, timeout=REQUEST_TIMEOUT_S, files_metadata=True)
            sizes = file_sizes(info)
        if info.sha != revision:
            raise _wrong_commit(spec, revision, str(info.sha))
        fault = weights_fault(tuple(sizes))
        if fault is not None:
            raise BaseModelError(fault.code, f"{spec.key}: {fault.detail}", hint=fault.hint)
        return {name: size for name, size in sizes.items() if is_used(name)}

    def _drop_damaged(self, hf_id: str, revision: str, sizes: Mapping[str, int]) -> None:
        """Remove cached files of the wrong length: the Hub's library takes a file that is there for good."""
        repository = self._settings.repository(hf_id).resolve()
        for name, size in sizes.items():
            link = self._settings.snapshot(hf_id, revision) / name
            try:
                stored = link.resolve()
                if size and stored.is_file() and stored.stat().st_size != size and stored.is_relative_to(repository):
                    stored.unlink()
                    link.unlink(missing_ok=True)
            except OSError as exc:
                raise disk_error(exc, link) from exc

    def _snapshot(self, hf_id: str, revision: str, emit: Emit) -> Path:
        from huggingface_hub import snapshot_download

        with hub_errors(hf_id, self._settings):
            return Path(
                snapshot_download(
                    hf_id,
                    revision=revision,
                    cache_dir=self._settings.cache,
                    endpoint=self._settings.endpoint,
                    token=self._settings.token,
                    etag_timeout=REQUEST_TIMEOUT_S,
                    allow_patterns=list(BASE_FILE_PATTERNS),
                    ignore_patterns=list(SKIPPED_PATTERNS),
                    tqdm_class=bar_class(ByteCount(emit)),
                )
            )


def file_sizes(info: ModelInfo) -> dict[str, int]:
    """Give the names and sizes in bytes of a repository's files; 0 where the Hub does not say."""
    siblings: Sequence[object] = info.siblings or []
    return {str(getattr(item, "rfilename", "")): int(getattr(item, "size", 0) or 0) for item in siblings}


def _check_room(cache: Path, total: int, spec: BaseSpec) -> None:
    existing = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < total + _SPARE_BYTES:
        raise DiskError(
            "disk.full",
            f"{spec.key} needs {total / 1e9:.1f} GB in {cache}, where {free / 1e9:.1f} GB are free",
            hint="Free some space, or set HF_HOME to a folder on a larger disk.",
        )


def _checked_commit(folder: Path, spec: BaseSpec, revision: str) -> Path:
    if folder.name != revision:
        raise _wrong_commit(spec, revision, folder.name)
    return folder


def _wrong_commit(spec: BaseSpec, wanted: str, got: str) -> BaseModelError:
    return BaseModelError(
        "base.commit-mismatch",
        f"asked for commit {wanted} of {spec.hf_id} and was offered {got[:40]}",
        hint="If HF_ENDPOINT names a mirror, the mirror is out of step: unset it and run the command again.",
    )
