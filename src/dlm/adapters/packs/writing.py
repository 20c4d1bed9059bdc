"""Writing a pack: digests first, then one stream of all members, sorted."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

import attrs

from dlm.adapters.packs.tar import BLOCK, RECORD, header_bytes, padding
from dlm.adapters.packs.unfolding import STEP, zstd
from dlm.domain.errors import PackError, StoreError
from dlm.domain.events import Emit, Event, Progress
from dlm.domain.pack import (
    CHECKSUMS,
    HEADER,
    MANIFEST,
    MAX_MEMBERS,
    MAX_RATIO,
    MAX_TOTAL_BYTES,
    PROVENANCE,
    RATIO_FROM_BYTES,
    PackManifest,
)
from dlm.domain.pack_adapter import SETTINGS, is_pickle
from dlm.domain.pack_checks import check_complete, check_header, check_member, check_settings, too_large
from dlm.domain.pack_names import NameSet, member_problem
from dlm.domain.pack_records import checksums_text, header_to_json, manifest_to_json, rollup
from dlm.domain.text_files import write_chunks_digested
from dlm.ports.packs import PackJob, WrittenPack

_LEVEL_OF_TEXT, _LEVEL_OF_NUMBERS = 10, 1
"""Weights shrink by the same few percent at any level; at 10 that takes up to 25 times as long."""
_NUMBERS = (".safetensors", ".gguf", ".zst")
_MANY_BYTES = 32 << 20
_PROGRESS_EVERY = 16 << 20


@attrs.frozen
class _Source:
    """A member to be: bytes in memory, or a file, with a mark of how it was when it was looked at."""

    name: str
    size: int
    data: bytes | None = None
    seen: int = 0


_BY_NAME = attrgetter("name")


class _Passed(Exception):  # noqa: N818  # never leaves this module
    """What an observer raised, on its way past those who take every ``OSError`` for one of the disk."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def write_pack(job: PackJob, into: Path, *, emit: Emit) -> WrittenPack:
    """Write a pack. See ``PackPort.write``."""
    sources = _sources(job)
    total = sum(source.size for source in sources)
    checksums = _digests(sources, job.files, _progress("checksums", total, emit))
    if job.provenance is not None:
        signed = job.provenance(checksums)
        sources = sorted([*sources, _Source(PROVENANCE, len(signed), data=signed)], key=_BY_NAME)
        checksums[PROVENANCE] = hashlib.sha256(signed).hexdigest()
    manifest = PackManifest(
        dlm_id=job.dlm_id,
        base_model=job.base_model,
        base_model_revision=job.base_model_revision,
        base_model_sha256=job.base_model_sha256,
        adapter_version=job.adapter_version,
        entries={source.name: source.size for source in sources},
        content_sha256=rollup(checksums),
    )
    for name, data in (
        (MANIFEST, manifest_to_json(manifest).encode()),
        (CHECKSUMS, checksums_text(checksums).encode()),
    ):
        sources.append(_Source(name, len(data), data=data))
    sources.sort(key=_BY_NAME)
    try:
        _check(job, sources)
    except PackError as exc:
        exc.subject = "pack"  # the reader's words, met by the writer
        raise
    total = sum(source.size for source in sources)
    tar = _tar(sources, job.files, _progress("pack", total, _passing(emit)))
    try:
        sha256, size_bytes = write_chunks_digested(into, _folded(tar, _level(sources)))
    except _Passed as exc:
        raise exc.error from None
    return WrittenPack(path=into, sha256=sha256, size_bytes=size_bytes, manifest=manifest, checksums=checksums)


def _sources(job: PackJob) -> list[_Source]:
    texts = {**job.texts, HEADER: header_to_json(job.header).encode()}
    for name in (*({HEADER, MANIFEST, CHECKSUMS} & {*job.texts, *job.files}), *(texts.keys() & job.files.keys())):
        raise PackError("pack.bad-name", f"{name} was given twice, or is not for the caller to give")
    sources = [_Source(name, len(data), data=data) for name, data in texts.items()]
    _check_modes(job.files, job.header.executables)
    sources += [_looked_at(name, path) for name, path in job.files.items()]
    return sorted(sources, key=_BY_NAME)


def _looked_at(name: str, path: Path) -> _Source:
    status = _lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise PackError(
            "pack.not-a-file",
            f"{path} is not an ordinary file, and packs hold nothing else",
            hint="Put the file itself in the place of a link, or remove it.",
        )
    return _Source(name, status.st_size, seen=_mark(status))


def _check_modes(files: Mapping[str, Path], allowed: tuple[str, ...]) -> None:
    programs = [name for name, path in files.items() if _lstat(path).st_mode & 0o111]
    # Where every file may be started, the disk does not keep that bit.
    means_something = len(programs) < len(files)
    for name in programs if means_something else ():
        if name not in allowed:
            raise PackError(
                "pack.executable",
                f"{files[name]} may be started as a program, and packs carry no programs",
                hint=f"If it is none: chmod -x '{files[name]}'",
            )


def _check(job: PackJob, sources: list[_Source]) -> None:
    """Ask what the reader will ask, as far as it can be answered without reading everything."""
    names, seen = NameSet(), {source.name for source in sources}
    for source in sources:
        problem = member_problem(source.name) or names.problem_of(source.name)
        if problem:
            raise PackError("pack.bad-name", f"{source.name!r} cannot be packed: {problem}", hint="Rename it.")
        check_member(source.name, source.size)
        if is_pickle(source.name.removeprefix("store/")):
            raise PackError("pack.pickle", f"{source.name} could run code while it is read", hint="Leave it out.")
        if source.name.endswith(f"/{SETTINGS}"):
            check_settings(source.name, b"".join(_content(source, job.files)))
    if len(sources) > MAX_MEMBERS or sum(source.size + 4 * BLOCK for source in sources) > MAX_TOTAL_BYTES:
        raise too_large(
            f"the pack has {len(sources)} members; the most is {MAX_MEMBERS}, and {MAX_TOTAL_BYTES >> 30} GiB"
        )
    check_complete(seen)
    check_header(job.header, seen)


def _digests(sources: list[_Source], files: Mapping[str, Path], progress: Callable[[int], None]) -> dict[str, str]:
    found = {}
    for source in sources:
        digest = hashlib.sha256()
        for chunk in _content(source, files):
            digest.update(chunk)
            progress(len(chunk))
        found[source.name] = digest.hexdigest()
    return found


def _tar(sources: list[_Source], files: Mapping[str, Path], progress: Callable[[int], None]) -> Iterator[bytes]:
    size = 2 * BLOCK
    for source in sources:
        header = header_bytes(source.name, source.size)
        yield header
        for chunk in _content(source, files):
            yield chunk
            progress(len(chunk))
        yield padding(source.size)
        size += len(header) + source.size + len(padding(source.size))
    yield bytes(2 * BLOCK) + padding(size, RECORD)


def _folded(chunks: Iterator[bytes], level: int) -> Iterator[bytes]:
    module = zstd()
    parameter = module.CompressionParameter
    frame = module.ZstdCompressor(options={parameter.compression_level: level, parameter.checksum_flag: 1})
    plain = folded = 0
    for chunk in chunks:
        plain += len(chunk)
        if piece := frame.compress(chunk):
            folded += len(piece)
            yield piece
    end: bytes = frame.flush()
    if plain > RATIO_FROM_BYTES and plain > MAX_RATIO * (folded + len(end)):
        raise too_large(f"the pack holds {plain} bytes that say almost nothing, so it would look like an attack")
    yield end


def _level(sources: list[_Source]) -> int:
    numbers = sum(source.size for source in sources if source.name.endswith(_NUMBERS))
    mostly = numbers > _MANY_BYTES and 2 * numbers > sum(source.size for source in sources)
    return _LEVEL_OF_NUMBERS if mostly else _LEVEL_OF_TEXT


def _content(source: _Source, files: Mapping[str, Path]) -> Iterator[bytes]:
    """Give a member's bytes; its file has to be the same as when it was looked at."""
    if source.data is not None:
        yield source.data
        return
    path = files[source.name]
    with _reading(path):
        file = path.open("rb", buffering=0)
    with file:
        left = source.size
        while left:
            with _reading(path):
                chunk = file.read(min(left, STEP))
            if not chunk:
                break
            left -= len(chunk)
            yield chunk
        with _reading(path):
            same = _mark(os.fstat(file.fileno())) == source.seen
    if left or not same:
        raise PackError(
            "pack.changed",
            f"{path} was changed while it was being packed",
            hint="Wait for the program that writes it, then pack again.",
        )


def _mark(status: os.stat_result) -> int:
    return hash((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


def _lstat(path: Path) -> os.stat_result:
    with _reading(path):
        return path.lstat()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreError(
            "store.unreadable",
            f"{path} cannot be read: {exc.strerror or exc}",
            hint="Check the permissions of the folder and that its disk is present.",
        ) from exc


def _passing(emit: Emit) -> Emit:
    def tell(event: Event) -> None:
        try:
            emit(event)
        except OSError as exc:
            raise _Passed(exc) from exc

    return tell


def _progress(stage: str, total: int, emit: Emit) -> Callable[[int], None]:
    done = told = 0

    def count(more: int) -> None:
        nonlocal done, told
        done += more
        if done - told >= _PROGRESS_EVERY or (done == total and told < total):
            told = done
            emit(Progress(stage=stage, done=done, total=total, unit="bytes"))

    return count
