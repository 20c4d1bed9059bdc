"""A small Hub on this machine that takes commits too: large files go to an address of their own, the rest inline."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from base_hub_server import HubModel, LocalHub, handler_of, serving

LARGE_BYTES = 1000
UPLOAD_SECRET = "X-Signature=presigned-secret"


class WritableHub(LocalHub):
    """``commits``: for each the repository, the branch, the message and the paths that it touched.

    ``refused``: status and error code for every attempt to write.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[tuple[str, str, str, list[str]]] = []
        self.private: set[str] = set()
        self.branches: list[tuple[str, str]] = []
        self.stored: dict[str, bytes] = {}
        self.refused: tuple[int, str] | None = None
        self.refused_upload: int | None = None


@contextmanager
def writable_hub() -> Iterator[WritableHub]:
    """Serve a hub on a free port for the length of a ``with`` block."""
    hub = WritableHub()
    with serving(hub, _handler(hub)):
        yield hub


def _handler(hub: WritableHub) -> type[BaseHTTPRequestHandler]:
    base: Any = handler_of(hub)

    class Handler(base):  # type: ignore[misc]  # a class made by a function
        def do_PUT(self) -> None:  # noqa: N802  # the library's own name
            data = self.rfile.read(int(self.headers["Content-Length"]))
            assert UPLOAD_SECRET in self.path
            if hub.refused_upload is not None:
                self._error(hub.refused_upload, "")
                return
            hub.stored[urlsplit(self.path).path.rpartition("/")[2]] = data
            self._json({})

        def do_POST(self) -> None:  # noqa: N802  # the library's own name
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(("POST", path))
            hub.tokens.add(self.headers.get("Authorization", ""))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = path.strip("/").split("/")
            if hub.refused is not None:
                self._error(*hub.refused)
            elif path == "/api/repos/create":
                self._create(json.loads(body))
            elif path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif path.endswith(".git/info/lfs/objects/batch"):
                self._batch(json.loads(body))
            else:
                getattr(self, f"_{parts[4]}")("/".join(parts[2:4]), "/".join(parts[5:]), body)

        def _create(self, asked: dict[str, Any]) -> None:
            hf_id = f"{asked['organization']}/{asked['name']}"
            if hf_id in hub.models:
                return self._json({"url": f"{hub.url}/{hf_id}"}, 409)
            hub.models[hf_id] = HubModel(files={})
            if asked.get("visibility") == "private" or asked.get("private"):
                hub.private.add(hf_id)
            return self._json({"url": f"{hub.url}/{hf_id}"})

        def _branch(self, hf_id: str, branch: str, body: bytes) -> None:
            hub.branches.append((hf_id, branch))
            hub.models[hf_id] = attrs.evolve(hub.models[hf_id], sha="b" * 40)
            self._json({})

        def _preupload(self, hf_id: str, revision: str, body: bytes) -> None:
            modes = {True: "lfs", False: "regular"}
            files = json.loads(body)["files"]
            self._json(
                {
                    "files": [
                        {"path": file["path"], "uploadMode": modes[file["size"] > LARGE_BYTES], "shouldIgnore": False}
                        for file in files
                    ]
                }
            )

        def _batch(self, asked: dict[str, Any]) -> None:
            objects = [
                {**item, "actions": {"upload": {"href": f"{hub.url}/lfs/{item['oid']}?{UPLOAD_SECRET}"}}}
                for item in asked["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})

        def _commit(self, hf_id: str, revision: str, body: bytes) -> None:
            files = dict(hub.models[hf_id].files)
            message, touched = "", []
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "header":
                    message = value["summary"]
                    continue
                touched.append(value["path"])
                if line["key"] == "deletedFile":
                    del files[value["path"]]
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.stored[value["oid"]]
                else:
                    files[value["path"]] = base64.b64decode(value["content"])
            hub.models[hf_id] = attrs.evolve(hub.models[hf_id], files=files)
            hub.commits.append((hf_id, revision, message, touched))
            self._json({"commitUrl": f"{hub.url}/{hf_id}/commit/{'c' * 40}", "commitOid": "c" * 40})

        def _json(self, data: dict[str, Any], status: int = 200) -> None:
            if "siblings" in data:
                data = {**data, "private": data["id"] in hub.private}
            body = json.dumps(data).encode()
            self._send(status, body, {"Content-Type": "application/json", "Content-Length": str(len(body))})

    return Handler
