"""Launch scripts tried out: started, asked one question over HTTP, ended."""

from __future__ import annotations

import importlib.util
import json
import platform
import shutil
import sys
from collections.abc import Mapping

from dlm.adapters.servers import llama_cpp_child
from dlm.adapters.servers.launch_client import LaunchClient, failed
from dlm.adapters.servers.llama_cpp import llama_server
from dlm.adapters.servers.process import LOOPBACK, ServerProcess, free_port, is_taken, start
from dlm.ports.launcher import SmokeJob

_ATTEMPTS = 2
_KEY = "DLM_SERVER_API_KEY"
_OTHER_KEYS = ("LLAMA_API_KEY", "VLLM_API_KEY")
"""Keys that servers would ask for behind the script's back."""


class ScriptLauncher:
    """Implements ``LauncherPort``. Needs bash.

    A script runs in its own folder, in a process group that ends with dlm, even when dlm is killed.

    Args:
        environ: what scripts get, and where programs are looked for. ``DLM_PYTHON`` becomes this Python, and
            ``DLM_SERVER_API_KEY`` is the key of a job without one.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def missing(self, program: str) -> str | None:
        """Say what a script's server lacks here: ``llama-server``, ``vllm``, ``mlx_lm``, or any program on ``PATH``."""
        if self._which("bash") is None:
            return "bash is not installed, which launch scripts need (on Windows: Git Bash)"
        if program == "llama-server":
            found = _has("xllamacpp") or llama_server(self._environ) is not None
            return None if found else "neither llama-server nor xllamacpp is installed: run pip install 'dlm[runtime]'"
        if program == "mlx_lm":
            return None if _has("mlx_lm") and _has("mlx") else _without_mlx()
        if self._which(program) is None:
            return "vLLM is not installed: run pip install vllm" if program == "vllm" else f"{program} is not on PATH"
        return None

    def smoke(self, job: SmokeJob) -> str:
        """Start, ask, end. See ``LauncherPort``."""
        environ = self._environment(job)
        attempt = 1
        while True:
            port = free_port()
            with self._start(job, port, environ) as server, LaunchClient(port, environ.get(_KEY), server) as client:
                models = client.wait_for_models(job.ready_s)
                if models is not None:
                    line = client.ask(job.question, job.model or next(iter(models), None), answer_s=job.answer_s)
                    # Whoever took the port from under our server may have answered in its place.
                    if not server.has_ended:
                        return line
                if attempt == _ATTEMPTS or not is_taken(port):
                    raise failed("smoke.ended", f"ended with status {server.exit_status}", server)
            attempt += 1

    def _environment(self, job: SmokeJob) -> dict[str, str]:
        environ = {**self._environ, **job.environ, "DLM_PYTHON": sys.executable}
        if job.api_key is not None:
            environ[_KEY] = job.api_key
        return {name: value for name, value in environ.items() if name not in _OTHER_KEYS}

    def _start(self, job: SmokeJob, port: int, environ: Mapping[str, str]) -> ServerProcess:
        script = job.script.resolve()
        argv = [self._which("bash") or "bash", str(script), "--host", LOOPBACK, "--port", str(port)]
        try:
            server = start([sys.executable, "-I", "-S", llama_cpp_child.__file__], environ)  # the standard library does
        except OSError as exc:
            raise failed("smoke.ended", f"could not be started: {exc}") from exc
        server.say(json.dumps({"argv": argv, "cwd": str(script.parent)}))
        return server

    def _which(self, program: str) -> str | None:
        return shutil.which(program, path=self._environ.get("PATH", ""))


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _without_mlx() -> str:
    if (platform.system(), platform.machine()) == ("Darwin", "arm64"):
        return "mlx-lm is not installed: run pip install 'dlm[mlx]'"
    return "MLX runs on Macs with Apple Silicon; this is another machine"
