"""Reading a pack: once through, checked as a whole, unpacked on the way."""

from __future__ import annotations

import hashlib
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, BinaryIO, cast

import attrs

from dlm.adapters.packs.members import files_in
from dlm.adapters.packs.unfolding import Unfolding, unreadable
from dlm.domain.events import Emit, Progress
from dlm.domain.pack import (
    CHECKSUMS,
    DOCUMENTS,
    HEADER,
    MANIFEST,
    PROVENANCE,
    STORE,
    STORE_MANIFEST,
    PackContents,
    PackHeader,
)
from dlm.domain.pack_checks import (
    check_adapters,
    check_checksums,
    check_complete,
    check_header,
    check_identity,
    check_manifest,
    text_limit,
)
from dlm.domain.pack_plan import is_dropped
from dlm.domain.pack_records import damaged, header_from_json, manifest_from_json
from dlm.domain.text_files import disk_error

_EXECUTABLE = 0o755


@attrs.define
class _Found:
    """What one pass over a pack gave. ``texts``: the content of the small members that say something about others."""

    digests: dict[str, str] = attrs.field(factory=dict)
    sizes: dict[str, int] = attrs.field(factory=dict)
    texts: dict[str, bytes] = attrs.field(factory=dict)
    header: PackHeader | None = None
    dropped: Counter[tuple[str, str]] = attrs.field(factory=Counter)


def read_pack(pack: Path, into: Path | None, *, stage: str, emit: Emit) -> PackContents:
    """Check a pack. What lies below ``store/`` is written into the folder ``into`` unless it is None.

    Raises:
        PackError: it is not what a pack has to be.
        DiskError, StoreError: what is unpacked cannot be written.
    """
    with _opened(pack) as (file, size_bytes):
        stream = Unfolding(pack, file, size_bytes, lambda done: emit(_progress(stage, done, size_bytes)))
        found = _Found()
        for member, chunks in files_in(stream):
            _read_member(found, member.name, chunks, into)
        contents = _checked(found, sha256=stream.sha256, size_bytes=size_bytes)
    if into is not None:
        _make_executable(contents.header, into)
    return contents


def _progress(stage: str, done: int, total: int) -> Progress:
    return Progress(stage=stage, done=done, total=total, unit="bytes")


@contextmanager
def _opened(pack: Path) -> Iterator[tuple[BinaryIO, int]]:
    try:
        status = pack.stat()
        if not stat.S_ISREG(status.st_mode):
            raise unreadable(pack, "it is not a file")
        file = pack.open("rb", buffering=0)
    except OSError as exc:
        raise unreadable(pack, exc.strerror or str(exc)) from exc
    with file:
        yield cast("BinaryIO", file), status.st_size


def _read_member(found: _Found, name: str, chunks: Iterator[memoryview], into: Path | None) -> None:
    reason = is_dropped(name.removeprefix(STORE)) if name.startswith(STORE) else None
    if reason is not None:
        found.dropped[name.removeprefix(STORE).split("/")[0], reason] += 1
    is_written = into is not None and name.startswith(STORE) and reason is None
    target = into / name.removeprefix(STORE) if into is not None and is_written else None
    if text_limit(name) is None:
        found.digests[name], found.sizes[name] = _copied(chunks, target)
        return
    data = b"".join(chunks)
    found.texts[name] = data
    found.digests[name], found.sizes[name] = _copied(iter([memoryview(data)]), target)
    if name == HEADER:
        # A newer format may differ in everything else, so this is said before anything else is found wrong.
        found.header = header_from_json(_text(name, data))


def _copied(chunks: Iterator[memoryview], target: Path | None) -> tuple[str, int]:
    """Give digest and size of the chunks, written to ``target`` on the way."""
    digest, size = hashlib.sha256(), 0
    with _new_file(target) if target else nullcontext() as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            if file is not None and target is not None:
                with _writing(target):
                    file.write(chunk)
    return digest.hexdigest(), size


@contextmanager
def _new_file(target: Path) -> Iterator[IO[bytes]]:
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    try:
        yield file
    finally:
        with _writing(target):
            file.close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise disk_error(exc, path) from exc


def _checked(found: _Found, *, sha256: str, size_bytes: int) -> PackContents:
    document_name = check_complete(found.digests)
    header, names = found.header, found.digests
    assert header is not None  # check_complete saw it
    for name in (MANIFEST, CHECKSUMS):
        del found.digests[name], found.sizes[name]
    check_header(header, names)
    # With 100 000 members these texts are large, so none is kept longer than it is needed.
    check_checksums(_taken(found, CHECKSUMS), found.digests)
    manifest = manifest_from_json(_taken(found, MANIFEST))
    check_manifest(manifest, found.digests, found.sizes)
    check_adapters(found.texts, names)
    document, store_manifest = found.texts[document_name], _taken(found, STORE_MANIFEST)
    check_identity(manifest, document_name, document, store_manifest)
    return PackContents(
        header=header,
        manifest=manifest,
        checksums=found.digests,
        document_name=document_name.removeprefix(DOCUMENTS),
        document=document.decode(),
        store_manifest=store_manifest,
        provenance=_taken(found, PROVENANCE) if PROVENANCE in found.texts else None,
        sha256=sha256,
        size_bytes=size_bytes,
        notes=_notes(found),
    )


def _notes(found: _Found) -> tuple[str, ...]:
    return tuple(
        f"{first}: {count} file{'s' if count > 1 else ''} not unpacked: {reason}"
        for (first, reason), count in sorted(found.dropped.items())
    )


def _make_executable(header: PackHeader, into: Path) -> None:
    for name in header.executables:
        path = into / name.removeprefix(STORE)
        with _writing(path):
            path.chmod(_EXECUTABLE)


def _taken(found: _Found, name: str) -> str:
    return _text(name, found.texts.pop(name))


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise damaged(name, f"it is not UTF-8 text: byte {exc.start} cannot be read") from exc
