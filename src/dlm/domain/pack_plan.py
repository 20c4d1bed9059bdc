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
_LIVE_POINTER = re.compile(rf"adapter/((?P<adapter>[^/]+)/)?{re.escape(POINTER)}")
_IN_VERSION = re.compile(r"adapter/((?P<adapter>[^/]+)/)?versions/(?P<version>[^/]+)/.+", re.DOTALL)
_CACHES = frozenset({"cache", "tokenized-cache", "vl-cache", "audio-cache", "audio-waveform-cache"})
_REPLAY = (["corpus.zst"], ["index.json"])
_FOLDERS = frozenset({"adapter", "replay", "exports", "logs", "blobs", "controls"})
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
    first = parts[0]
    reason = _reason_of_folder(first, exports=exports, logs=logs) if len(parts) > 1 else None
    if reason is not None:
        return LeftOut(f"{first}/", reason)
    left_behind = next((index for index, part in enumerate(parts, 1) if _LEFT_BEHIND.fullmatch(part)), None)
    if left_behind is not None:
        ending = "" if left_behind == len(parts) else "/"
        return LeftOut("/".join(parts[:left_behind]) + ending, "left by a command that was interrupted")
    if parts[-1].startswith(WRITER_LOCK):
        return LeftOut(entry, "says who is writing just now")
    if is_pickle(entry):
        return LeftOut(entry, "could run code on the machine it is read on")
    if len(parts) == 1:
        return _left_of_root(entry, logs=logs)
    if first == "replay" and parts[1:] not in _REPLAY:
        return LeftOut(entry, _CACHE)
    return _left_of_adapter(entry, current, all_versions=all_versions) if first == "adapter" else None


def _left_of_root(name: str, *, logs: bool) -> LeftOut | None:
    if name in _ROOT and (name != METRICS or logs):
        return None
    if name in (f"{METRICS}-wal", f"{METRICS}-shm"):
        return LeftOut(name, "part of a database in use")
    if name == METRICS:
        return LeftOut(name, _ON_REQUEST)
    return LeftOut(name, "concerns this machine only")


def _left_of_adapter(entry: str, current: Mapping[str | None, int], *, all_versions: bool) -> LeftOut | None:
    if entry.startswith("adapter/_gate/"):
        return None
    match = _LIVE_POINTER.fullmatch(entry) or _IN_VERSION.fullmatch(entry)
    if match is None or match["adapter"] not in current:
        top, rest = entry.split("/")[1], entry.count("/") > 1
        return LeftOut(f"adapter/{top}{'/' if rest else ''}", _reason_of_adapter(top))
    version = match.groupdict().get("version")
    is_live = version in (None, version_name(current[match["adapter"]]))
    if is_live or (all_versions and _VERSION.fullmatch(version or "")):
        return None
    older = _VERSION.fullmatch(version or "")
    path = entry[: match.end("version")]
    return LeftOut(f"{path}/", "an older version; only with --all-versions" if older else "a version that was rejected")


def _reason_of_adapter(name: str) -> str:
    return "the record of a training that was interrupted" if name == "_checkpoint" else "not used by the document now"


def _reason_of_folder(name: str, *, exports: bool, logs: bool) -> str | None:
    if name == "exports":
        return None if exports else "only with --include-exports"
    if name == "logs":
        return None if logs else _ON_REQUEST
    if name in _CACHES:
        return _CACHE
    if name in _STAGED_PLANS:
        return "suggestions not yet accepted"
    return None if name in _FOLDERS else "concerns this machine only"


def is_dropped(path: str) -> str | None:
    """Tell why a file of a stranger's pack, relative to the store, is not unpacked; None when it is."""
    parts = path.split("/")
    first = parts[0]
    if is_pickle(path) or path.lower().endswith(".pt.sha256"):
        return "it could run code while it is read; a training recorded in it cannot be resumed"
    if parts[:2] == ["cache", "base"]:
        return None
    if first in _CACHES or path == "replay/index.bin":
        return "caches are made anew here"
    if first in _STAGED_PLANS:
        return "suggestions of others are not taken over"
    if any(_LEFT_BEHIND.fullmatch(part) or part.startswith(WRITER_LOCK) for part in parts):
        return "it was left by a command that was interrupted"
    known = first in _FOLDERS if len(parts) > 1 else path in _ROOT
    return None if known and parts[:2] != ["adapter", "_checkpoint"] else "it concerns the machine it was made on"


def scrubbed_manifest(text: str, path: str) -> str:
    """Give a store's manifest without what concerns the sender alone: folders, whom they trusted, their word to a
    licence.

    Raises:
        StoreError: it is not a manifest.
    """
    manifest = manifest_from_json(text, path)
    return manifest_to_json(
        attrs.evolve(
            manifest,
            source_path=_file_name(manifest.source_path),
            license_acceptance=None,
            installed_from=None,
            trusts_sources=False,
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
