"""A server to try launch scripts with: speaks the interface shared with OpenAI, and misbehaves as it is told to."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def write_script(path: Path, **behaviour: Any) -> Path:
    """Write a launch script of a server that behaves so; it appends what it is asked to ``asked`` beside it.

    Args:
        models: ids it lists, by default one. ``answer``: content of its message; ``message``: the whole message.
        body: what it answers instead of JSON. ``status``: of its answer, ``listing`` of its list.
        key: API key it wants, for the list as well with ``strict``.
        ready_s: time until it listens; None for never. ``hangs``: it never answers. ``crashes``: it ends when asked.
        says: lines it prints at the start. ``ends``: status with which it ends at the start.
        stays: it ignores SIGTERM. ``child``: it starts another process.
    """
    words = [sys.executable, "-I", "-S", __file__, json.dumps(behaviour)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/usr/bin/env bash\nset -euo pipefail\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    return path


def asked(script: Path) -> list[dict[str, Any]]:
    """Give the questions that servers of a script were asked, with ``host``, ``port`` and ``pids`` of each server."""
    return [json.loads(line) for line in (script.parent / "asked").read_text(encoding="utf-8").splitlines()]


class _Handler(BaseHTTPRequestHandler):
    behaviour: dict[str, Any]

    def do_GET(self) -> None:
        if self.behaviour.get("strict") and not self._is_allowed():
            self._send(401, {"error": "wrong key"})
        elif self.path == "/v1/models":
            listed = {"data": [{"id": name} for name in self.behaviour.get("models", ["the-model"])]}
            self._send(self.behaviour.get("listing", 200), listed)
        else:
            self._send(404, {})

    def do_POST(self) -> None:
        _note(path=self.path, body=json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if self.behaviour.get("hangs"):
            time.sleep(600)
        if self.behaviour.get("crashes"):
            print("segmentation fault, more or less", flush=True)
            os._exit(3)
        message = self.behaviour.get("message", {"role": "assistant", "content": self.behaviour.get("answer", "Hi!")})
        answer = self.behaviour.get("body", {"choices": [{"message": message}]})
        if not self._is_allowed():
            self._send(401, {"error": "wrong key"})
        else:
            self._send(self.behaviour.get("status", 200), answer)

    def _is_allowed(self) -> bool:
        key = self.behaviour.get("key")
        return key is None or self.headers["Authorization"] == f"Bearer {key}"

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _note(**what: Any) -> None:
    with Path("asked").open("a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")


def main(behaviour: dict[str, Any], arguments: list[str]) -> None:
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    host, port = options["--host"], int(options["--port"])
    for line in behaviour.get("says", []):
        print(line, flush=True)
    if behaviour.get("stays"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids = [os.getpid()]
    if behaviour.get("child"):
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        pids.append(child.pid)
    environ = {name: os.environ.get(name) for name in ("DLM_PYTHON", "DLM_SERVER_API_KEY", "LLAMA_API_KEY", "MORE")}
    _note(host=host, port=port, pids=pids, environ=environ)
    if "ends" in behaviour:
        sys.exit(behaviour["ends"])
    if behaviour.get("ready_s", 0) is None:
        time.sleep(600)
    time.sleep(behaviour.get("ready_s", 0))
    _Handler.behaviour = behaviour
    _Server((host, port), _Handler).serve_forever()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = False

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)  # without looking up the machine's name


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
