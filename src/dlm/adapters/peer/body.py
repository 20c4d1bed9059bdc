"""Bodies: the one that is sent, at a pace that readers have to keep, and the one that nobody asked for."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from contextlib import aclosing

from starlette.types import Receive, Send

from dlm.adapters.peer.connection import PeerConnection
from dlm.adapters.peer.served_file import ServedFile, chunks
from dlm.domain.peer_limits import ByteRange, Pace

_PIECE_BYTES = 256 * 1024
"""Handed to the connection at once: what a reader at the least speed takes well within ``Pace.write_s``."""
_PASSED_OVER_BYTES = 64 * 1024


class FileBody:
    """Sends a part of a file. ``sent`` counts the bytes that were handed to the network."""

    def __init__(self, file: ServedFile, part: ByteRange, *, pace: Pace, executor: Executor) -> None:
        self.sent = 0
        self._file = file
        self._part = part
        self._pace = pace
        self._executor = executor
        self._started = time.monotonic()

    @property
    def is_complete(self) -> bool:
        """Whether everything was handed to the network."""
        return self.sent == self._part.length

    async def send(self, send: Send, connection: PeerConnection) -> None:
        """Send everything, or cut the connection off: the reader was too slow or has gone, or the file ended early."""
        try:
            with self._file.open() as file:
                # Closed before the file is: a read that is under way must not meet another file under its number.
                async with aclosing(chunks(file, self._part.first, self._part.length, self._executor)) as read:
                    async for chunk in read:
                        await self._send_pieces(chunk, send, connection)
        except OSError:  # a timeout is one, too
            connection.abort()
            return
        if self.is_complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            connection.abort()

    async def _send_pieces(self, chunk: bytes, send: Send, connection: PeerConnection) -> None:
        view = memoryview(chunk)
        for at in range(0, len(chunk), _PIECE_BYTES):
            piece = view[at : at + _PIECE_BYTES]
            async with asyncio.timeout(self._pace.patience_s(self.sent, time.monotonic() - self._started)):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if connection.is_lost:
                raise ConnectionResetError
            self.sent += len(piece)


async def pass_over(receive: Receive, seconds: float) -> bool:
    """Read what came with a request, up to 64 KiB, so that the answer arrives; False when it takes too long."""
    seen = 0
    try:
        async with asyncio.timeout(seconds):
            while seen <= _PASSED_OVER_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        return False
    return True
