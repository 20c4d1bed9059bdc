"""A small Hub on this machine: enough of its interface for its own client library to list and fetch models."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

COMMIT = "a" * 40


@attrs.define(kw_only=True)
class HubModel:
    """A repository, and how it misbehaves.

    ``gate`` is (status, error code) sent for its files; ``sent_bytes`` cuts every file off after that many bytes.
    """

    files: Mapping[str, bytes]
    sha: str = COMMIT
    gate: tuple[int, str] | None = None
    api_status: int = 200
    api_error: str = ""
    sent_bytes: int | None = None
    params: int | None = None


class LocalHub:
    """Published models by id, and the requests made so far as (method, path)."""

    def __init__(self) -> None:
        self.models: dict[str, HubModel] = {}
        self.requests: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.url = ""


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """Serve a hub on a free port for the length of a ``with`` block."""
    hub = LocalHub()
    with serving(hub, handler_of(hub)):
        yield hub


@contextmanager
def serving(hub: LocalHub, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    """Answer with ``handler`` at ``hub.url`` for the length of a ``with`` block."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a client that hangs up early


def handler_of(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's own name
            return

        def _answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path))
            hub.tokens.add(self.headers.get("Authorization", ""))
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self._api("/".join(parts[2:4]), parts[4:])
            else:
                self._file("/".join(parts[:2]), parts[2:], body=body)

        def _api(self, hf_id: str, rest: list[str]) -> None:
            model = hub.models.get(hf_id)
            if model is None:
                return self._error(404, "RepoNotFound")
            if model.api_status != 200:
                return self._error(model.api_status, model.api_error)
            if rest[:1] == ["revision"] and rest[1] not in (model.sha, "main") and model.sha == COMMIT:
                return self._error(404, "RevisionNotFound")
            return self._json(_tree(model) if rest[:1] == ["tree"] else _info(hf_id, model))

        def _file(self, hf_id: str, rest: list[str], *, body: bool) -> None:
            model = hub.models.get(hf_id)
            if model is None:
                return self._error(404, "RepoNotFound")
            if model.gate is not None:
                return self._error(*model.gate)
            name = "/".join(rest[2:])
            if name not in model.files:
                return self._error(404, "EntryNotFound")
            data = model.files[name]
            sent = data[: model.sent_bytes] if body else b""
            headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": model.sha}
            self._send(200, sent, {**headers, "Content-Length": str(len(data))})
            if body and len(sent) < len(data):
                self.close_connection = True
            return None

        def _json(self, data: object) -> None:
            body = json.dumps(data).encode()
            self._send(200, body, {"Content-Type": "application/json", "Content-Length": str(len(body))})

        def _error(self, status: int, code: str) -> None:
            headers = {"Content-Length": "0", **({"X-Error-Code": code} if code else {})}
            self._send(status, b"", headers)

        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _info(hf_id: str, model: HubModel) -> dict[str, Any]:
    siblings = [{"rfilename": name, "size": len(data)} for name, data in model.files.items()]
    info = {"id": hf_id, "modelId": hf_id, "sha": model.sha, "siblings": siblings, "gated": bool(model.gate)}
    if model.params is not None:
        info["safetensors"] = {"parameters": {"F32": model.params}, "total": model.params}
    return info


def _tree(model: HubModel) -> list[dict[str, Any]]:
    return [
        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        for name, data in model.files.items()
    ]
