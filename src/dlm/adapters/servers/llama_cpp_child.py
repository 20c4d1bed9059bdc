"""Run beside dlm as a program of its own: serves one GGUF file with llama.cpp until its standard input ends.

The end of its input is how it notices that dlm is gone, killed or not; nothing is left running then. It imports nothing
of dlm, so that it starts at once. The first line of its input is its order, a JSON object: ``argv`` and ``cwd`` of a
``llama-server``, or what ``xllamacpp`` is to run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


def main() -> int:
    """Serve; gives the exit status."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    return _run_program(job) if "argv" in job else _run_library(job)


def _end_with_input() -> None:
    # From the descriptor: a thread inside sys.stdin would hold its lock while the interpreter shuts down.
    while os.read(0, 4096):
        pass
    if os.name == "nt":
        os._exit(1)
    os.killpg(0, signal.SIGKILL)


def _run_program(job: dict[str, Any]) -> int:
    return subprocess.run(job["argv"], cwd=job["cwd"], stdin=subprocess.DEVNULL, check=False).returncode


def _run_library(job: dict[str, Any]) -> int:
    import xllamacpp

    try:
        server = xllamacpp.Server(_params(job))
    except RuntimeError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    threading.Event().wait()
    return 0 if server else 1  # never reached; the name keeps the server alive


def _params(job: dict[str, Any]) -> Any:
    """Give llama.cpp's parameters: on the CPU, one conversation at a time, attention and cache in float32."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = job["model"]
    params.model_alias = {job["alias"]}
    params.hostnames = [job["host"]]
    params.port = job["port"]
    params.api_keys = [job["api_key"]]
    params.n_ctx = job["context"]
    params.cpuparams.n_threads = job["threads"]
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.fit_params = False
    params.warmup = False
    params.no_extra_bufts = True  # plain kernels: no second copy of the weights, and no AMX where it is not allowed
    params.swa_full = True
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    if job["lora"]:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(job["lora"], 1.0)]
    if job["chat_template"]:
        params.chat_template = Path(job["chat_template"]).read_text(encoding="utf-8")
    return params


if __name__ == "__main__":
    sys.exit(main())
