"""Looking up models by their Hub id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlm.adapters.hub.download import file_sizes
from dlm.adapters.hub.errors import HubUnreachableError, hub_errors
from dlm.domain.base_models import REVISION
from dlm.domain.errors import BaseModelError
from dlm.domain.hub_settings import OFFLINE_REMEDY, OFFLINE_WHY, REQUEST_TIMEOUT_S, HubSettings
from dlm.domain.text_files import disk_error, write_atomic
from dlm.ports.base_source import HubLook

_SMALL_FILES = (
    "config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "tokenizer.json",
)
"""All that is needed to describe a model; every one of them is needed again for training."""


class HubModelLookup:
    """Describes models of the Hub by fetching their small files.

    What was found out about a commit is noted in ``<home>/bases/hub``: a commit never changes, so the next look needs
    no network.
    """

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._settings = HubSettings.from_environ(environ)
        self._notes = home / "bases" / "hub"

    def look_up(self, hf_id: str, *, revision: str | None = None) -> HubLook:
        """Give what is known of a model, at its newest commit or at ``revision``."""
        known = self._known(hf_id, revision) if revision else None
        if known is not None:
            return known
        if self._settings.offline:
            raise self._offline(hf_id, OFFLINE_WHY)
        try:
            look = self._ask(hf_id, revision)
        except HubUnreachableError as exc:
            raise self._offline(hf_id, str(exc)) from exc
        self._remember(hf_id, look)
        return look

    def _ask(self, hf_id: str, revision: str | None) -> HubLook:
        from huggingface_hub import HfApi, hf_hub_download

        settings = self._settings
        with hub_errors(hf_id, settings):
            api = HfApi(endpoint=settings.endpoint, token=settings.token)
            info = api.model_info(hf_id, revision=revision, timeout=REQUEST_TIMEOUT_S)
            files = tuple(file_sizes(info))
            commit = _commit(hf_id, info.sha, revision)
            for name in _SMALL_FILES:
                if name in files:
                    hf_hub_download(
                        hf_id,
                        name,
                        revision=commit,
                        cache_dir=settings.cache,
                        endpoint=settings.endpoint,
                        token=settings.token,
                        etag_timeout=REQUEST_TIMEOUT_S,
                    )
            return HubLook(
                revision=commit, folder=settings.snapshot(hf_id, commit), files=files, params=_params(info.safetensors)
            )

    def _known(self, hf_id: str, revision: str) -> HubLook | None:
        folder = self._settings.snapshot(hf_id, revision)
        try:
            if not (folder / "config.json").is_file():
                return None
            note = json.loads(self._note(hf_id, revision).read_bytes())
            return HubLook(
                revision=revision, folder=folder, files=tuple(map(str, note["files"])), params=_whole(note["params"])
            )
        except FileNotFoundError:
            return self._complete_copy(folder, revision)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # a damaged note: the Hub is asked again

    def _complete_copy(self, folder: Path, revision: str) -> HubLook | None:
        """Describe from a copy that another program downloaded, when it has the weights too."""
        files = tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))
        if not any(name.endswith(".safetensors") for name in files):
            return None
        return HubLook(revision=revision, folder=folder, files=files, params=None)

    def _remember(self, hf_id: str, look: HubLook) -> None:
        try:
            self._notes.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise disk_error(exc, self._notes) from exc
        note = {"files": list(look.files), "params": look.params}
        write_atomic(self._note(hf_id, look.revision), json.dumps(note).encode())

    def _note(self, hf_id: str, revision: str) -> Path:
        return self._notes / f"{hf_id.replace('/', '--')}@{revision}.json"

    def _offline(self, hf_id: str, why: str) -> BaseModelError:
        return BaseModelError(
            "base.offline",
            f"hf:{hf_id} is not known on this machine and cannot be looked up now. "
            f"Looked at:\n  the local Hub cache {self._settings.cache}: it does not describe {hf_id}\n"
            f"  {self._settings.where}: {why}",
            hint="Connect to the internet and run it again, "
            + (f"{OFFLINE_REMEDY}, " if why == OFFLINE_WHY else "")
            + "name a base of the registry, or write base_model: path:<folder> with a folder that holds it.",
        )


def _commit(hf_id: str, sha: str | None, asked: str | None) -> str:
    if sha is None or not REVISION.fullmatch(sha) or (asked is not None and sha != asked):
        raise BaseModelError(
            "base.commit-mismatch",
            f"asked for {'commit ' + asked if asked else 'the newest commit'} of {hf_id} and was offered {sha!r:.60}",
            hint="If HF_ENDPOINT names a mirror, the mirror is out of step: unset it and run the command again.",
        )
    return sha


def _params(safetensors: Any) -> int | None:
    return _whole(getattr(safetensors, "total", None))


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
