"""Files and folders of this machine, network drives included."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from dlm.adapters.share.files import Meter, disk_errors, pieces, require_digest, size_of, tell_warning
from dlm.domain.errors import ShareError
from dlm.domain.events import Emit, ignore
from dlm.domain.share import PACK_NAME, SIGNATURE_SUFFIX, Address
from dlm.domain.text_files import write_chunks_atomic
from dlm.domain.transfer import LIMITS, TransferLimits
from dlm.ports.share import Fetched, Parcel

_PACK_BEGINS = b"\x28\xb5\x2f\xfd"
"""First bytes of every pack: those of a zstd stream."""


class PathShare:
    """``SharePort`` for paths: copies, never links."""

    kind = "path"

    def __init__(self, *, limits: TransferLimits = LIMITS) -> None:
        self._limits = limits

    def push(self, parcel: Parcel, to: Address, *, emit: Emit) -> str:
        """Copy a pack. Into a folder, when ``to`` is one or ends in ``/``; such a folder is made."""
        tell_warning(to, emit)
        target = _target(to.text, parcel.pack.name)
        _refuse_to_destroy(target)
        if target.exists() and target.samefile(parcel.pack):
            return str(target)  # it is there already, and so is its signature
        signature = _beside(target)
        if parcel.signature is not None:
            _copy(parcel.signature, size_of(parcel.signature), signature, "upload", emit=ignore)
        else:
            with disk_errors(signature):
                signature.unlink(missing_ok=True)  # of an earlier pack; it would make this one look forged
        _copy(parcel.pack, size_of(parcel.pack), target, "upload", emit=emit)
        return str(target)

    def pull(self, source: Address, into: Path, *, emit: Emit) -> Fetched:
        """Copy a pack and the signature beside it."""
        tell_warning(source, emit)
        path = _expanded(source.text)
        size = _file_size(path)
        if size is None:
            raise ShareError("share.missing", f"there is no {path}", hint="Check the path.")
        if size > self._limits.pack_bytes:
            raise ShareError(
                "share.too-large", f"{path} is larger than the {self._limits.pack_bytes} bytes that are accepted"
            )
        pack = into / PACK_NAME
        _copy(path, size, pack, "download", emit=emit)
        require_digest(pack, source)
        signature, problem = self._signature(_beside(path), into / f"{PACK_NAME}{SIGNATURE_SUFFIX}")
        return Fetched(pack=pack, signature=signature, signature_problem=problem)

    def _signature(self, source: Path, target: Path) -> tuple[Path | None, str | None]:
        try:
            size = _file_size(source)
        except ShareError as exc:
            return None, exc.message
        if size is None:
            return None, None
        if size > self._limits.signature_bytes:
            return None, f"{source} is larger than any signature"
        _copy(source, size, target, "download", emit=ignore)
        return target, None


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as exc:
        raise ShareError("share.missing", f"{text}: there is no such user", hint="Write the path out.") from exc


def _target(text: str, name: str) -> Path:
    path = _expanded(text)
    if text.endswith(("/", "\\")):
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
    elif not path.parent.is_dir():
        raise ShareError(
            "share.no-folder", f"there is no folder {path.parent}", hint="Make it, or give a folder that ends in /."
        )
    return path / name if path.is_dir() else path


def _refuse_to_destroy(target: Path) -> None:
    """Refuse to replace what is no pack: a document whose name was mistyped, a device."""
    size = _file_size(target)
    if not size:
        return
    with disk_errors(target), target.open("rb") as file:
        if file.read(len(_PACK_BEGINS)) == _PACK_BEGINS:
            return
    raise ShareError(
        "share.not-a-pack", f"{target} is there already and is no pack", hint="Give another name, or remove it first."
    )


def _file_size(path: Path) -> int | None:
    """Give a file's size in bytes; None when there is nothing of this name.

    Raises:
        ShareError: ``share.not-a-file``, for a folder, a device, or what cannot be looked at.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise ShareError(
            "share.not-a-file", f"{path} cannot be read: {exc.strerror}", hint="Check its rights."
        ) from exc
    if not stat.S_ISREG(found.st_mode):
        raise ShareError("share.not-a-file", f"{path} is no file", hint="Give the path of a pack.")
    return found.st_size


def _copy(source: Path, size: int, target: Path, stage: str, *, emit: Emit) -> None:
    """Copy ``size`` bytes of a file so that the target is there as a whole or not at all."""
    meter = Meter(stage, emit)

    def told() -> Iterator[bytes]:
        yield from pieces(source, size, meter)
        meter.finish(size)

    write_chunks_atomic(target, told())


def _beside(pack: Path) -> Path:
    return pack.with_name(f"{pack.name}{SIGNATURE_SUFFIX}")
