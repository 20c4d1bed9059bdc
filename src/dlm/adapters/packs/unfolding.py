"""The bytes inside a pack, one after another, with every limit kept on what is really there."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from dlm.domain.errors import PackError
from dlm.domain.pack import MAX_RATIO, MAX_TOTAL_BYTES, MAX_WINDOW_LOG, RATIO_FROM_BYTES
from dlm.domain.pack_checks import too_large
from dlm.domain.pack_records import damaged

STEP = 1 << 20
_MAGIC = b"\x28\xb5\x2f\xfd"
"""What a zstd frame begins with (RFC 8878, 3.1.1)."""
_PROGRESS_EVERY = 16 << 20


def zstd() -> ModuleType:
    """Give the zstd module: the standard library's from Python 3.14 on, before that its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


class Unfolding:
    """Reads a pack once, from its first byte to its last.

    Args:
        size_bytes: of the file.
        progress: called with the bytes of the file read so far.
    """

    def __init__(self, pack: Path, file: BinaryIO, size_bytes: int, progress: Callable[[int], None]) -> None:
        module = zstd()
        self._pack, self._file, self._size, self._progress = pack, file, size_bytes, progress
        options = {module.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
        self._frame = module.ZstdDecompressor(options=options)
        self._error: type[Exception] = module.ZstdError
        self._digest = hashlib.sha256()
        self._read = self._told = self._unfolded = 0
        self._rest = memoryview(b"")

    @property
    def sha256(self) -> str:
        """Digest of the file, once everything was read."""
        return self._digest.hexdigest()

    def chunks(self, size_bytes: int) -> Iterator[memoryview]:
        """Give exactly that many bytes, in pieces of at most 1 MiB.

        Raises:
            PackError: there are fewer.
        """
        while size_bytes:
            if not self._rest and not self._refill():
                raise damaged("the pack", "it ends in the middle")
            chunk = self._rest[:size_bytes]
            self._rest = self._rest[len(chunk) :]
            size_bytes -= len(chunk)
            yield chunk

    def take(self, size_bytes: int) -> bytes:
        """Give that many bytes at once."""
        return b"".join(self.chunks(size_bytes))

    def tail(self) -> Iterator[memoryview]:
        """Give what is left."""
        while self._rest or self._refill():
            yield self._rest
            self._rest = memoryview(b"")

    def _refill(self) -> bool:
        """Unfold the next piece; False at the end of the frame, which has to be the end of the file."""
        while not self._frame.eof:
            piece = self._next_piece() if self._frame.needs_input else b""
            try:
                unfolded = self._frame.decompress(piece, STEP)
            except self._error as exc:
                raise damaged("the pack", f"it cannot be unfolded ({exc})") from exc
            if unfolded:
                self._count(len(unfolded))
                self._rest = memoryview(unfolded)
                return True
        if self._frame.unused_data or self._from_file(1):
            raise damaged("the pack", "something follows behind its end")
        return False

    def _next_piece(self) -> bytes:
        piece = self._from_file(STEP)
        if not piece:
            raise damaged("the pack", "its end is missing" if self._read else "the file is empty")
        if not self._read and not piece.startswith(_MAGIC):
            raise damaged("the file", "it is not a pack")
        self._digest.update(piece)
        self._read += len(piece)
        if self._read - self._told >= _PROGRESS_EVERY or self._read == self._size:
            self._told = self._read
            self._progress(self._read)
        return piece

    def _from_file(self, size_bytes: int) -> bytes:
        try:
            return self._file.read(size_bytes)
        except OSError as exc:
            raise unreadable(self._pack, exc.strerror or str(exc)) from exc

    def _count(self, more: int) -> None:
        self._unfolded += more
        if self._unfolded > MAX_TOTAL_BYTES:
            raise too_large(f"the pack unfolds to more than {MAX_TOTAL_BYTES >> 30} GiB")
        if self._unfolded > RATIO_FROM_BYTES and self._unfolded > MAX_RATIO * self._size:
            raise too_large(f"the pack unfolds to more than {MAX_RATIO} times its size")


def unreadable(pack: Path, why: str) -> PackError:
    """Make the error of a file that the system does not give."""
    return PackError(
        "pack.unreadable", f"{pack} cannot be read: {why}", subject="unpack", hint="Check its name and permissions."
    )
