"""An Ollama to test against: a server that speaks its HTTP interface, and a program ``ollama`` that asks the server."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from dlm.domain.modelfile import parameters_of, read_modelfile

Fault = Literal["", "refusing", "slow", "silent", "countless", "garbled"]

_PROGRAM = """#!{python}
import json, os, sys, urllib.error, urllib.request

def ask(path, **content):
    request = urllib.request.Request("http://" + os.environ["OLLAMA_HOST"] + path, json.dumps(content).encode())
    try:
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as exc:
        print("\\x1b[?25lgathering model components\\x1b[K\\rError:", json.load(exc)["error"], file=sys.stderr)
    except urllib.error.URLError:
        print("Error: could not connect to ollama app, is it running?", file=sys.stderr)
    raise SystemExit(1)

command, *rest = sys.argv[1:]
if command == "--version":
    print("ollama version is {version}")
elif command == "create":
    try:
        with open(rest[2], encoding="utf-8") as file:
            text = file.read()
    except OSError as exc:
        raise SystemExit("Error: " + str(exc))
    ask("/peer/create", model=rest[0], modelfile=text, folder=os.getcwd(), quantize=(rest[3:] or [None])[-1])
elif command == "run":
    message = [{{"role": "user", "content": rest[1]}}]
    print(ask("/api/chat", model=rest[0], messages=message, stream=False)["message"]["content"])
"""


class OllamaPeer:
    """What the peer knows and how it misbehaves; tests read and change it while it runs."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.version = "0.12.3"
        self.fault: Fault = ""
        self.models: dict[str, dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploads = 0
        self.released = threading.Event()

    def program(self, folder: Path, *, version: str = "0.12.3") -> Path:
        """Write the program ``ollama`` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "ollama"
        path.write_text(_PROGRAM.format(python=sys.executable, version=version), encoding="utf-8")
        path.chmod(0o755)
        return path

    def environ(self, programs: Path | None = None) -> dict[str, str]:
        """Give the environment of a process that may use the peer, with the folder its program is in."""
        return {"OLLAMA_HOST": self.address, "PATH": str(programs) if programs else "/nowhere"}

    def answer(self, path: str, asked: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Answer one request for JSON."""
        if path == "/api/version":
            return 200, {"version": self.version}
        if path in ("/api/create", "/peer/create") and self.fault == "refusing":
            return 400, {"error": "unsupported architecture"}
        if path == "/api/create":
            return self._made(asked)
        if path == "/peer/create":
            try:
                return self._made(_request(asked))
            except OSError as exc:
                return 400, {"error": str(exc)}
        return self._chat(asked)

    def _made(self, asked: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        for digest in [*asked["files"].values(), *asked.get("adapters", {}).values()]:
            if digest not in self.blobs and "modelfile" not in asked:
                return 400, {"error": f"no blob {digest}"}
        self.models[asked["model"]] = dict(asked)
        return 200, {"status": "success"}

    def _chat(self, asked: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        model = self.models.get(asked["model"])
        if model is None:
            return 404, {"error": f"model '{asked['model']}' not found"}
        if self.fault == "slow":
            self.released.wait(20)
        words = [word for turn in asked["messages"] for word in ("turn", *turn["content"].split())]
        if asked["messages"][0]["role"] != "system":
            words += str(model.get("system") or "").split()
        said = "" if self.fault == "silent" else f"\n {asked['messages'][-1]['content']}\n"
        count = {} if self.fault == "countless" else {"prompt_eval_count": len(words)}
        return 200, {"message": {"role": "assistant", "content": said}, **count}


def _request(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Do what the program does with a Modelfile: read it, digest the files it names."""
    directives = read_modelfile(asked["modelfile"])
    request = {directive.name: directive.value for directive in directives if not directive.is_parameter}
    folder = Path(asked["folder"])
    files = {name: _digest((folder / request[name]).read_bytes()) for name in ("from", "adapter") if name in request}
    return {
        **request,
        "model": asked["model"],
        "modelfile": asked["modelfile"],
        "parameters": parameters_of(directives),
        "files": files,
        "quantize": asked["quantize"],
    }


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class _Handler(BaseHTTPRequestHandler):
    peer: OllamaPeer

    def do_HEAD(self) -> None:
        self._reply(200 if self.path.rpartition("/")[2] in self.peer.blobs else 404, b"")

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.startswith("/api/blobs/"):
            digest = self.path.rpartition("/")[2]
            self.peer.uploads += 1
            is_right = _digest(body) == digest
            if is_right:
                self.peer.blobs[digest] = body
            self._reply(201 if is_right else 400, b"")
        else:
            self._answer(json.loads(body))

    def _answer(self, asked: Mapping[str, Any]) -> None:
        status, content = self.peer.answer(self.path, asked)
        garbled = self.peer.fault == "garbled" and self.path != "/api/version"
        self._reply(status, b"<html>" if garbled else json.dumps(content).encode())

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _reply(self, status: int, content: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            assert self.peer.fault == "slow"  # whoever asked has given up

    def log_message(self, *_: object) -> None:
        """Say nothing: tests look at what the peer knows."""


@contextmanager
def running_ollama() -> Iterator[OllamaPeer]:
    """Run the peer for the length of a ``with`` block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    peer = OllamaPeer(f"127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"peer": peer})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield peer
    finally:
        peer.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
