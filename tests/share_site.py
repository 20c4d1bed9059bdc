"""A web place on this machine that keeps what is posted to it and gives it back, whole or in part."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Answer = Callable[["Handler"], None]


class Site:
    """``files`` by path; ``requests`` made so far; ``answers`` instead of the usual ones, by method and path, one after
    the other, the last of them for ever."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[Asked] = []
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.url = ""

    def script(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)


class Asked:
    def __init__(self, handler: Handler) -> None:
        self.method, self.target = handler.command, handler.path
        self.headers = dict(handler.headers.items())

    def __getitem__(self, name: str) -> str | None:
        return self.headers.get(name)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def _do(self) -> None:
        path = urlsplit(self.path).path
        self.site.requests.append(Asked(self))
        script = self.site.answers.get((self.command, path))
        if script:
            (script.pop(0) if len(script) > 1 else script[0])(self)
        elif self.command == "POST":
            self.keep()
        else:
            self.give()

    def keep(self) -> None:
        self.site.files[urlsplit(self.path).path] = self.body()
        self.send(b"", 201)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def give(self, *, upto: int | None = None, headers: dict[str, str] | None = None) -> None:
        """Answer a GET, by range if that is asked for; end the connection after ``upto`` bytes of the file."""
        data = self.site.files.get(urlsplit(self.path).path)
        if data is None:
            return self.send(b"", 404)
        tag = f'"{hashlib.sha256(data).hexdigest()}"'
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start and self.headers.get("If-Range") != tag:
            start = 0
        partial = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        return self.send(data[start:], 206 if start else 200, upto, {"ETag": tag, **partial, **(headers or {})})

    def send(
        self, data: bytes, status: int = 200, upto: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data if upto is None else data[:upto])
        if upto is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's own name
        return


def redirect(target: str, status: int = 302) -> Answer:
    def answer(handler: Handler) -> None:
        if handler.command == "POST":
            handler.body()
        handler.send(b"", status, headers={"Location": target})

    return answer


def status(code: int, headers: dict[str, str] | None = None) -> Answer:
    def answer(handler: Handler) -> None:
        if handler.command == "POST":
            handler.body()
        handler.send(b"", code, headers=headers)

    return answer


def cut(upto: int, headers: dict[str, str] | None = None) -> Answer:
    return lambda handler: handler.give(upto=upto, headers=headers)


def endless(sent: list[int], pause_s: float = 0.0) -> Answer:
    """Send without an end, and without saying how much."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.end_headers()
        try:
            while len(sent) < 100_000:
                handler.wfile.write(b"y" * (1 if pause_s else 65536))
                sent.append(1)
                time.sleep(pause_s)
        except OSError:
            return

    return answer


@contextmanager
def served(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve a site on a free port for the length of a ``with`` block."""
    site = Site()

    class Bound(Handler):
        pass

    Bound.site = site
    server = _Server(("127.0.0.1", 0), Bound)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # clients that hang up are what these tests are about
