"""A gallery published on this machine, and a signer for it: what the refresh tests fetch from."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nacl.signing import SigningKey

META = """name: {name}
title: {title}
domain_tags: [test]
recommended_base: smollm2-135m
expected_steps: null
expected_duration: {{}}
summary: For a test.
sample_prompts: []
"""
DOCUMENT = """---
dlm_id: 01ARZ3NDEKTSV4RRFFQ69G5FAV
dlm_version: 15
base_model: smollm2-135m
---

# {title}

::instruction::
### Q
What is this?
### A
{title}.
"""


class Signer:
    """A minisign key pair made from a seed, with the two file formats it writes."""

    def __init__(self, seed: bytes = bytes(range(32)), key_id: bytes = bytes(range(1, 9))) -> None:
        self._key = SigningKey(seed)
        self.key_id = key_id

    def public_key(self) -> bytes:
        """Give the text of a ``.pub`` file."""
        raw = b"Ed" + self.key_id + bytes(self._key.verify_key)
        return b"untrusted comment: a test key\n" + base64.b64encode(raw) + b"\n"

    def sign(self, data: bytes, *, comment: str = "timestamp:1700000000\thashed", prehashed: bool = True) -> bytes:
        """Give the text of a ``.minisig`` file over ``data``."""
        message = hashlib.blake2b(data).digest() if prehashed else data
        signature = self._key.sign(message).signature
        final = self._key.sign(signature + comment.encode()).signature
        raw = (b"ED" if prehashed else b"Ed") + self.key_id + signature
        lines = [b"untrusted comment: x", base64.b64encode(raw), b"trusted comment: " + comment.encode()]
        return b"\n".join([*lines, base64.b64encode(final)]) + b"\n"


def pair(name: str, title: str = "A title") -> dict[str, bytes]:
    """Give the two files of a valid template."""
    return {
        f"{name}.dlm": DOCUMENT.format(title=title).encode(),
        f"{name}.meta.yaml": META.format(name=name, title=title).encode(),
    }


def entry(name: str, files: Mapping[str, bytes], *, min_dlm_version: str = "0.1.0") -> dict[str, Any]:
    """Give the index entry of ``name`` as its files are."""

    def described(path: str) -> dict[str, Any]:
        return {"path": path, "sha256": hashlib.sha256(files[path]).hexdigest(), "size": len(files[path])}

    dlm, meta = described(f"{name}.dlm"), described(f"{name}.meta.yaml")
    return {"name": name, "min_dlm_version": min_dlm_version, "dlm": dlm, "meta": meta}


def index(entries: list[dict[str, Any]], *, serial: int = 1, expires: str = "2027-01-01T00:00:00Z") -> dict[str, Any]:
    """Give an index."""
    times = {"generated_at": "2026-01-01T00:00:00Z", "expires_at": expires}
    return {"schema": 1, "serial": serial, **times, "templates": entries}


def site(
    files: Mapping[str, bytes], catalogue: Mapping[str, Any], signer: Signer | None, **signing: Any
) -> dict[str, bytes]:
    """Give everything to publish: the files, the index and, with a signer, its signature."""
    data = json.dumps(catalogue).encode()
    published = {**files, "index.json": data}
    if signer is not None:
        published["index.json.minisig"] = signer.sign(data, **signing)
    return published


Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A running loopback server. ``files`` are served by name; ``answers`` override a name with code."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Answer] = {}
        self.requested: list[str] = []


@contextmanager
def serve() -> Iterator[Site]:
    """Run a site until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            running.requested.append(name)
            if name in running.answers:
                running.answers[name](self)
            elif name in running.files:
                send(self, running.files[name])
            else:
                self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name of the base class
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Site(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, **headers: str) -> None:
    """Answer with ``body``; ``headers`` come with underscores for hyphens, and may lie about the length."""
    handler.send_response(status)
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    for key, value in {"Content-Length": str(len(body)), **named}.items():
        handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(body)


def redirect(to: str) -> Answer:
    """Give an answer that sends the client elsewhere."""
    return lambda handler: send(handler, b"", status=302, Location=to)
