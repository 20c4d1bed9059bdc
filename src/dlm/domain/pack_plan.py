"""What of a store goes into a pack, what does not, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath, PureWindowsPath

import attrs

from dlm.domain.manifest import manifest_from_json, manifest_to_json
from dlm.domain.pack import ContentType
from dlm.domain.pack_adapter import is_pickle
from dlm.domain.store_layout import LOCK, MANIFEST, METRICS, POINTER, WRITER_LOCK, version_name

_LEFT_BEHIND = re.compile(r".+\.tmp\.\d{1,10}(\.[0-9a-f]{8})?|\.(staging|replaced|discarded|incoming)-.*")
_VERSION = re.compile(r"v\d{4,}")
_CACHES = frozenset({"cache", "tokenized-cache", "vl-cache", "audio-cache", "audio-waveform-cache"})
_REPLAY = frozenset({"corpus.zst", "index.json"})
_WHOLE = frozenset({"blobs", "controls"})
_FOLDERS = frozenset({"adapter", "replay", "exports", "logs", *_WHOLE})
_ROOT = frozenset({MANIFEST, LOCK, METRICS})
_STAGED_PLANS = frozenset({"preference", "synth"})
LAUNCH_SCRIPT = "_launch.sh"
"""Ending of the only files that may be started once they are unpacked."""

_CACHE = "made anew when it is needed"
_ON_REQUEST = "only with --include-logs"


@attrs.frozen
class LeftOut:
    """Something that does not travel: a file, or a folder with a slash at its end."""

    path: str
    reason: str


@attrs.frozen(kw_only=True)
class PackPlan:
    """Files of a store that go into a pack, relative to the store and sorted; and what does not, with reasons."""

    members: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def content_type(*, include_base: bool, include_exports: bool) -> ContentType:
    """Give the word for what a pack brings along."""
    if include_base:
        return "full" if include_exports else "no-exports"
    return "no-base" if include_exports else "minimal"


def plan_members(
    entries: Iterable[str],
    *,
    current: Mapping[str | None, int],
    include_exports: bool,
    include_logs: bool,
    all_versions: bool = False,
) -> PackPlan:
    """Decide what of a store goes into a pack.

    Args:
        entries: all files below the store, as relative paths with ``/``.
        current: the live version by adapter name; None names a document's only adapter.
        include_logs: logs, and the metrics database ``metrics.sqlite``, to be copied by its own means.
        all_versions: older versions too; rejected ones never.
    """
    kept: list[str] = []
    left: dict[str, str] = {}
    for entry in sorted(entries):
        out = _left_out(entry, current, exports=include_exports, logs=include_logs, all_versions=all_versions)
        if out is None:
            kept.append(entry)
        else:
            left.setdefault(out.path, out.reason)
    return PackPlan(members=tuple(kept), left_out=tuple(LeftOut(path, reason) for path, reason in left.items()))


def _left_out(
    entry: str, current: Mapping[str | None, int], *, exports: bool, logs: bool, all_versions: bool
) -> LeftOut | None:
    parts = entry.split("/")
    first, name = parts[0], parts[-1]
    left_behind = next((index for index, part in enumerate(parts) if _LEFT_BEHIND.fullmatch(part)), None)
    if left_behind is not None:
        whole = "/".join(parts[: left_behind + 1])
        return LeftOut(whole if whole == entry else whole + "/", "left by a command that was interrupted")
    if name.startswith(WRITER_LOCK):
        return LeftOut(entry, "says who is writing just now")
    if is_pickle(entry):
        return LeftOut(entry, "could run code on the machine it is read on")
    if first == "adapter" and len(parts) > 1:
        return _left_of_adapter(parts, current, all_versions=all_versions)
    if len(parts) == 1:
        return _left_of_root(entry, logs=logs)
    if first in _WHOLE or (first == "exports" and exports) or (first == "logs" and logs):
        return None
    if first == "replay":
        return None if entry in {f"replay/{kept}" for kept in _REPLAY} else LeftOut(entry, _CACHE)
    return LeftOut(f"{first}/", _reason_of_folder(first))


def _left_of_root(name: str, *, logs: bool) -> LeftOut | None:
    if name in _ROOT and (name != METRICS or logs):
        return None
    if name in (f"{METRICS}-wal", f"{METRICS}-shm"):
        return LeftOut(name, "part of a database in use")
    if name == METRICS:
        return LeftOut(name, _ON_REQUEST)
    return LeftOut(name, "concerns this machine only")


def _left_of_adapter(parts: list[str], current: Mapping[str | None, int], *, all_versions: bool) -> LeftOut | None:
    if parts[1] == "_gate":
        return None
    named = (len(parts) > 3 and parts[2] == "versions") or parts[2:] == [POINTER]
    adapter = parts[1] if named and parts[1] != "versions" else None
    folder = parts[:2] if adapter else parts[:1]
    rest = parts[len(folder) :]
    if adapter in current and rest == [POINTER]:
        return None
    if adapter in current and rest[0] == "versions" and len(rest) > 2:
        return _left_of_version(parts, "/".join([*folder, *rest[:2]]), rest[1], current[adapter], all_versions)
    return LeftOut("/".join(parts[:2]) + ("/" if len(parts) > 2 else ""), _reason_of_adapter(parts[1]))


def _left_of_version(parts: list[str], path: str, name: str, live: int, all_versions: bool) -> LeftOut | None:
    if name == version_name(live) or (all_versions and _VERSION.fullmatch(name)):
        return None
    older = _VERSION.fullmatch(name)
    return LeftOut(f"{path}/", "an older version; only with --all-versions" if older else "a version that was rejected")


def _reason_of_adapter(name: str) -> str:
    return "the record of a training that was interrupted" if name == "_checkpoint" else "not used by the document now"


def _reason_of_folder(name: str) -> str:
    if name == "exports":
        return "only with --include-exports"
    if name == "logs":
        return _ON_REQUEST
    if name in _CACHES:
        return _CACHE
    return "suggestions not yet accepted" if name in _STAGED_PLANS else "concerns this machine only"


def is_dropped(path: str) -> str | None:
    """Tell why a file of a stranger's pack, relative to the store, is not unpacked; None when it is."""
    parts = path.split("/")
    first = parts[0]
    if parts[:2] == ["cache", "base"]:
        return None
    if first in _CACHES or path == "replay/index.bin":
        return "caches are made anew here"
    if first in _STAGED_PLANS:
        return "suggestions of others are not taken over"
    if any(_LEFT_BEHIND.fullmatch(part) or part.startswith(WRITER_LOCK) for part in parts):
        return "it was left by a command that was interrupted"
    if is_pickle(path) or path.lower().endswith(".pt.sha256"):
        return "the record of its training could run code, so that training cannot be resumed"
    known = first in _FOLDERS if len(parts) > 1 else path in _ROOT
    return None if known and parts[:2] != ["adapter", "_checkpoint"] else "it concerns the machine it was made on"


def scrubbed_manifest(text: str, path: str) -> str:
    """Give a store's manifest without what concerns the sender alone: folders, and their word to a licence.

    Raises:
        StoreError: it is not a manifest.
    """
    manifest = manifest_from_json(text, path)
    return manifest_to_json(
        attrs.evolve(
            manifest,
            source_path=_file_name(manifest.source_path),
            license_acceptance=None,
            exports=tuple(attrs.evolve(row, smoke_output_first_line=None) for row in manifest.exports),
        )
    )


def private_kinds(plan: PackPlan) -> tuple[str, ...]:
    """Give, in words, what a pack tells about its author beyond the weights themselves."""
    members = plan.members
    kinds = ["the document with all its text"]
    if any(member.startswith("replay/") for member in members):
        kinds.append("text of sections that were removed from the document (replay)")
    if any(member.startswith("blobs/") for member in members):
        kinds.append("pictures and sound of the document")
    if MANIFEST in members:
        kinds.append("the history of trainings, with questions and answers of the exam")
    if any("/training_state" in member for member in members):
        kinds.append("the state of the training, to go on with it")
    if any(member.startswith("logs/") for member in members):
        kinds.append("logs of trainings")
    if METRICS in members:
        kinds.append("figures of trainings")
    if any(member.startswith("exports/") for member in members):
        kinds.append("exports, and whatever was written beside them")
    return tuple(kinds)


def _file_name(path: str | None) -> str | None:
    if path is None:
        return None
    return PureWindowsPath(path).name or None if "\\" in path else PurePosixPath(path).name or None
