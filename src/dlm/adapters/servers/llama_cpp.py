"""GGUF files running in llama.cpp: the ``xllamacpp`` package where it is installed, else ``llama-server``.

Both are the same server, so both are asked over HTTP, on this machine only. The file runs in a child process, because
a bad one can abort the process it is loaded into.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from dlm.adapters.servers import llama_cpp_child
from dlm.adapters.servers.llama_cpp_model import LlamaCppModel
from dlm.adapters.servers.process import LOOPBACK, ServerProcess, free_port, is_taken, start
from dlm.domain.environment import GOMP_SPINCOUNT
from dlm.domain.errors import ExportError
from dlm.ports.runtime import RuntimeJob

_ATTEMPTS = 2
_POLL_S = 0.05


@attrs.frozen(kw_only=True)
class Address:
    """Where one server is to be. ``alias`` is what it calls its model: nobody else's server knows that name, and nobody
    else's program the key."""

    port: int = attrs.field(factory=free_port)
    alias: str = attrs.field(factory=lambda: f"dlm-{secrets.token_hex(8)}")
    api_key: str = attrs.field(factory=secrets.token_urlsafe, repr=False)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


class LlamaCppRuntime:
    """Runs GGUF files. Implements ``RuntimePort``.

    Args:
        environ: gives ``PATH``, and ``DLM_LLAMA_CPP_BUILD`` and ``DLM_LLAMA_CPP_ROOT``, folders in which
            ``llama-server`` is looked for first. The child gets it, without llama.cpp's own settings.
        ready_s: how long loading may take.
        use_library: whether to use ``xllamacpp``; None for "when it is installed".
    """

    def __init__(self, environ: Mapping[str, str], *, ready_s: float = 600.0, use_library: bool | None = None) -> None:
        self._environ = environ
        self._ready_s = ready_s
        self._use_library = _has_library() if use_library is None else use_library

    @property
    def name(self) -> str:
        return "xllamacpp" if self._use_library else "llama-server"

    def missing(self) -> str | None:
        """Say what to install; None when files can be run here."""
        if self._use_library or llama_server(self._environ):
            return None
        return "llama.cpp is not installed: run pip install 'dlm[runtime]', or put llama-server on PATH"

    @contextmanager
    def open(self, job: RuntimeJob) -> Iterator[LlamaCppModel]:
        """Load a file and keep it running for the length of a ``with`` block."""
        for attempt in range(1, _ATTEMPTS + 1):
            address = Address()
            with self._start(job, address) as server, LlamaCppModel(address.url, address.api_key, server) as model:
                if self._becomes_ready(model, server, address.alias, job):
                    yield model
                    return
                if attempt == _ATTEMPTS or not is_taken(address.port):
                    raise _failed(job, f"llama.cpp ended with status {server.exit_status} while loading", server)

    def _start(self, job: RuntimeJob, address: Address) -> ServerProcess:
        problem = self.missing()
        if problem is not None:
            raise ExportError("export.runtime-failed", problem)
        environ = {name: value for name, value in self._environ.items() if not name.startswith("LLAMA_ARG_")}
        environ.setdefault("GOMP_SPINCOUNT", GOMP_SPINCOUNT)
        if not self._use_library:
            environ |= _EXACT | {"LLAMA_API_KEY": address.api_key}
        try:
            server = start([sys.executable, "-P", llama_cpp_child.__file__], environ)
        except OSError as exc:
            raise ExportError("export.runtime-failed", f"{self.name} could not be started: {exc}") from exc
        server.say(json.dumps(self._order(job, address)))
        return server

    def _order(self, job: RuntimeJob, address: Address) -> dict[str, Any]:
        order = {
            "model": str(job.model.resolve()),
            "lora": str(job.lora.resolve()) if job.lora else None,
            "chat_template": str(job.chat_template.resolve()) if job.chat_template else None,
            "context": job.context,
            "threads": cores(),
            "host": LOOPBACK,
            "port": address.port,
            "alias": address.alias,
            "api_key": address.api_key,
        }
        if self._use_library:
            return order
        program = llama_server(self._environ)
        assert program is not None
        folder = job.lora.resolve().parent if job.lora else job.model.resolve().parent
        return {"argv": _argv(program, order), "cwd": str(folder)}

    def _becomes_ready(self, model: LlamaCppModel, server: ServerProcess, alias: str, job: RuntimeJob) -> bool:
        """Wait until the model answers; False when the server ended."""
        deadline = time.monotonic() + self._ready_s
        while not server.has_ended:
            if model.is_ready(alias):
                return True
            if time.monotonic() > deadline:
                raise _failed(job, f"llama.cpp did not become ready within {self._ready_s:g} s", server)
            time.sleep(_POLL_S)
        return False


_EXACT = {
    "LLAMA_ARG_FLASH_ATTN": "off",
    "LLAMA_ARG_CACHE_TYPE_K": "f32",
    "LLAMA_ARG_CACHE_TYPE_V": "f32",
    "LLAMA_ARG_N_GPU_LAYERS": "0",
    "LLAMA_ARG_SWA_FULL": "1",
    "LLAMA_ARG_FIT": "off",
    "LLAMA_ARG_REPACK": "off",
}
"""Settings of ``llama-server`` without which figures are less exact. As variables, which versions that do not know one
pass over; an unknown argument would stop them."""


def _argv(program: Path, order: Mapping[str, Any]) -> list[str]:
    argv = [str(program), "--jinja", "--no-warmup", "--parallel", "1"]
    for option, key in (
        ("--model", "model"),
        ("--ctx-size", "context"),
        ("--threads", "threads"),
        ("--host", "host"),
        ("--port", "port"),
        ("--alias", "alias"),
        ("--chat-template-file", "chat_template"),
    ):
        if order[key] is not None:
            argv += [option, str(order[key])]
    if order["lora"]:
        argv += ["--lora", Path(order["lora"]).name]  # a comma in the folder's name would separate two files
    return argv


def llama_server(environ: Mapping[str, str]) -> Path | None:
    """Find the program: in the folders that variables name, then on ``PATH``."""
    folders = [Path(value) for name in ("DLM_LLAMA_CPP_BUILD", "DLM_LLAMA_CPP_ROOT") if (value := environ.get(name))]
    places = [str(folder / part) for folder in folders for part in ("", "bin", "build/bin")]
    found = shutil.which("llama-server", path=os.pathsep.join([*places, environ.get("PATH", "")]))
    return Path(found).absolute() if found else None


def cores() -> int:
    """Give the number of processor cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def _has_library() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


def _failed(job: RuntimeJob, what: str, server: ServerProcess) -> ExportError:
    return ExportError(
        "export.runtime-failed",
        f"{job.model.name}: {what}\n{server.log_tail()}",
        hint="The end of llama.cpp's own report is above; the file or the installed version of llama.cpp is at fault.",
    )
