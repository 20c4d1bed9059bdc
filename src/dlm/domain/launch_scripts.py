r"""Launch scripts of server exports: bash text that serves what lies beside it.

A script finds its files from its own folder and its program at launch, so an export can be moved to another machine.
It listens at ``HOST``, ``PORT`` unless its arguments say otherwise, and hands every argument on to the server. On
Windows it needs a bash, such as Git's or that of WSL. ``DLM_SERVER_API_KEY`` becomes the key that clients have to send;
it travels in the environment, because everybody on a machine can read arguments.

Bash 3.2, which macOS comes with, runs it: an empty array there counts as unset, hence ``${X[@]+"${X[@]}"}``.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from dlm.domain.errors import ExportError

HOST, PORT = "127.0.0.1", 8000
"""Where a script listens when its arguments do not say."""

MLX_MODEL = "default_model"
"""What to call the model when asking ``mlx_lm.server``: any other name, those it lists too, is the bare base there."""

APPLE_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"VLLM_METAL_MEMORY_FRACTION": "auto", "VLLM_METAL_USE_PAGED_ATTENTION": "0"}
)
"""What vLLM needs on Apple Silicon."""


def llama_server_script(*, model: str, lora: str | None, context: int | None, template: str | None, alias: str) -> str:
    """Give the script that serves a GGUF file with ``llama-server``, or with dlm and ``xllamacpp`` in its absence.

    Args:
        model, lora, template: paths relative to the script.
        context: tokens; None for what the model was made for.
        alias: name that clients ask for.

    Raises:
        ExportError: ``export.script-text``: a name that no script can pass on.
    """
    for text in (lora or "", alias):
        if "," in text:
            raise _refused(text, "to llama.cpp a comma ends the name")
    arguments = [["--model", _beside(model)]]
    if lora is not None:
        arguments.append(["--lora", _beside(lora)])
    if context is not None:
        arguments.append(["--ctx-size", str(context)])
    arguments.append(["--jinja"])
    if template is not None:
        arguments.append(["--chat-template-file", _beside(template)])
    arguments.append(["--alias", _quoted(alias)])
    commas = _MOVE.format(why="To llama.cpp a comma ends a name.", pattern="*,*") if lora is not None else ""
    return _script("LLAMA_API_KEY", _FIND_LLAMA + commas, '"${COMMAND[@]}"', arguments)


@attrs.frozen(kw_only=True)
class LoraModule:
    """An adapter that vLLM serves under ``name``; ``path`` is its folder, relative to the script."""

    name: str
    path: str
    adapter_version: int


@attrs.frozen(kw_only=True)
class VllmServer:
    """What vLLM is to serve.

    Args:
        model: Hub id, or a folder of the user's own.
        revision: commit on the Hub; None for a folder.
        served_name: of the bare base.
        context: tokens; None for what the model was made for.
        max_rank: one of those that vLLM takes, no less than that of any adapter.
        template: chat template, relative to the script; None for the model's own.
    """

    model: str
    revision: str | None
    served_name: str
    context: int | None
    modules: Sequence[LoraModule] = attrs.field(validator=attrs.validators.min_len(1))
    max_rank: int
    template: str | None = None


def vllm_script(server: VllmServer) -> str:
    """Give the script that serves base and adapters with ``vllm serve``.

    Raises:
        ExportError: ``export.script-text``.
    """
    model = [_quoted(server.model)]
    if server.revision is not None:
        model += ["--revision", _quoted(server.revision)]
    arguments = [["serve", '"${MODEL[@]}"']]
    arguments += [["--dtype", "auto"], ["--served-model-name", _quoted(server.served_name)]]
    if server.context is not None:
        arguments.append(["--max-model-len", str(server.context)])
    arguments.append(["--enable-lora"])
    # Takes as many words as follow, so another option has to come behind it.
    arguments.append(["--lora-modules", *map(_module, server.modules)])
    arguments += [["--max-lora-rank", str(server.max_rank)], ["--max-loras", str(len(server.modules))]]
    if server.template is not None:
        arguments.append(["--chat-template", _beside(server.template)])
    pattern = "*" if any(map(_needs_json, server.modules)) else "*[=,]*"
    move = _MOVE.format(why="vLLM reads NAME=PATH, where PATH holds no = or comma.", pattern=pattern)
    return _script("VLLM_API_KEY", _FIND_VLLM + _APPLE + _base_model(*model) + move, '"$VLLM"', arguments)


def vllm_config(server: VllmServer, *, is_apple_silicon: bool) -> Mapping[str, object]:
    """Give the content of ``vllm_config.json``: what the script asks of vLLM, for programs to read."""
    return {
        "target": "vllm",
        "model": server.model,
        "revision": server.revision,
        "served_model_name": server.served_name,
        "dtype": "auto",
        "host": HOST,
        "port": PORT,
        "max_model_len": server.context,
        "max_lora_rank": server.max_rank,
        "max_loras": len(server.modules),
        "environment": dict(APPLE_ENVIRONMENT) if is_apple_silicon else {},
        "lora_modules": [attrs.asdict(module) for module in server.modules],
    }


def mlx_script(*, model: str, revision: str | None, adapter: str, template: str | None) -> str:
    """Give the script that serves base and adapter with ``mlx_lm.server``. Ask it for the model ``MLX_MODEL``.

    Args:
        model: Hub id, or a folder of the user's own.
        revision: commit on the Hub; None for a folder. The server itself takes none, so the script fetches the files.
        adapter: folder, relative to the script.
        template: chat template, relative to the script; None for the model's own.

    Raises:
        ExportError: ``export.script-text``.
    """
    arguments = [["-m", "mlx_lm.server"], ["--model", '"${MODEL[@]}"'], ["--adapter-path", _beside(adapter)]]
    prepare = _FIND_MLX + _base_model(_quoted(model))
    if revision is not None:
        prepare += _FETCH_BASE.format(revision=_quoted(revision))
    if template is not None:
        prepare += _READ_TEMPLATE.format(template=_beside(template))
        arguments.append(["--chat-template", '"$TEMPLATE"'])
    return _script(None, prepare, '"$PYTHON"', arguments)


def _script(key: str | None, prepare: str, program: str, arguments: Sequence[Sequence[str]]) -> str:
    lines = [f"exec {program}", *(" ".join(words) for words in arguments), '${ADDRESS[@]+"${ADDRESS[@]}"} "$@"']
    return _HEAD + (_KEY.format(name=key) if key else _NO_KEY) + prepare + "\n" + " \\\n  ".join(lines) + "\n"


def _base_model(*words: str) -> str:
    """Name the base; a folder on the machine that serves it may stand in."""
    return f"""
MODEL=({" ".join(words)})
[ -z "${{DLM_BASE_MODEL:-}}" ] || MODEL=("$DLM_BASE_MODEL")  # a folder that holds the base model
"""


def _beside(path: str) -> str:
    escaped = re.sub(r'([\\"$`])', r"\\\1", _plain(path))
    return f'"$SCRIPT_DIR/{escaped}"'


def _quoted(text: str) -> str:
    return shlex.quote(_plain(text))


def _plain(text: str) -> str:
    """Refuse signs that end a line, steer a terminal or cannot be written at all."""
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        raise _refused(text, "it holds a line break or another sign that is no letter")
    return text


def _module(module: LoraModule) -> str:
    if _needs_json(module):
        return _quoted(json.dumps({"name": module.name, "path": f"./{module.path}"}, ensure_ascii=False))
    return f"{_quoted(module.name)}={_beside(module.path)}"


def _needs_json(module: LoraModule) -> bool:
    return any(sign in module.name + module.path for sign in "=,")


def _refused(text: str, why: str) -> ExportError:
    return ExportError(
        "export.script-text", f"{text[:80]!r} cannot stand in a launch script: {why}", hint="Choose another name."
    )


_HEAD = rf"""#!/usr/bin/env bash
# Written by dlm export. Serves the model beside this script until it is stopped with Ctrl-C; other programs reach it at
# http://{HOST}:{PORT}/v1 as they would reach OpenAI. Further arguments go to the server. Windows: run it in Git Bash.
set -euo pipefail

SCRIPT_DIR="$(CDPATH='' cd -- "$(dirname -- "${{BASH_SOURCE[0]}}")" && pwd)"

program() {{  # NAME: prints its path, or nothing
  local path
  path="$(type -P -- "$1" || true)"
  case "$path" in "" | /*) ;; *) path="$PWD/$path" ;; esac
  printf '%s' "$path"
}}

given() {{  # OPTION ARGUMENT...: whether it is among them
  local option="$1" argument
  shift
  for argument in "$@"; do
    case "$argument" in "$option" | "$option"=*) return 0 ;; esac
  done
  return 1
}}

ADDRESS=()
given --host "$@" || ADDRESS+=(--host {HOST})
given --port "$@" || ADDRESS+=(--port {PORT})
"""

_KEY = r"""
if [ -n "${{DLM_SERVER_API_KEY:-}}" ]; then
  export {name}="$DLM_SERVER_API_KEY"
fi
"""

_NO_KEY = r"""
if [ -n "${DLM_SERVER_API_KEY:-}" ]; then
  echo "Note: mlx_lm.server knows no API key. Whoever can reach it may ask it." >&2
fi
"""

_MOVE = r"""
# {why}
case "$SCRIPT_DIR" in {pattern}) cd -- "$SCRIPT_DIR" && SCRIPT_DIR=. ;; esac
"""

_FIND_LLAMA = r"""
SERVER=""
for folder in "${DLM_LLAMA_CPP_BUILD:-}" "${DLM_LLAMA_CPP_ROOT:-}"; do
  for part in "" /bin /build/bin; do
    if [ -z "$SERVER" ] && [ -n "$folder" ]; then
      SERVER="$(program "$folder$part/llama-server")"
    fi
  done
done
[ -n "$SERVER" ] || SERVER="$(program llama-server)"
COMMAND=("$SERVER")
if [ -z "$SERVER" ]; then  # dlm itself serves the file with the Python package xllamacpp
  export PYTHONSAFEPATH=1
  PYTHON="$(program "${DLM_PYTHON:-python3}")"
  if [ -z "$PYTHON" ] || ! "$PYTHON" -c "import dlm.adapters.servers.serve, xllamacpp" 2>/dev/null; then
    echo "llama-server was not found. Install llama.cpp and put llama-server on PATH (or its folder into" \
      "DLM_LLAMA_CPP_BUILD), or run: pip install 'dlm[runtime]'" >&2
    exit 127
  fi
  COMMAND=("$PYTHON" -m dlm.adapters.servers.serve)
fi
"""

_FIND_VLLM = r"""
VLLM="$(program vllm)"
if [ -z "$VLLM" ]; then
  echo "vllm was not found. Run: pip install vllm" >&2
  exit 127
fi
"""

_APPLE = "\n".join(
    [
        "",
        'if [ "$(uname -s)" = Darwin ] && [ "$(uname -m)" = arm64 ]; then',
        *(f"  export {name}={value}" for name, value in APPLE_ENVIRONMENT.items()),
        "fi",
        "",
    ]
)

_FIND_MLX = r"""
export PYTHONSAFEPATH=1
PYTHON="$(program "${DLM_PYTHON:-python3}")"
FOUND='import importlib.util, sys; sys.exit(importlib.util.find_spec("mlx_lm") is None)'
if [ -z "$PYTHON" ] || ! "$PYTHON" -c "$FOUND" 2>/dev/null; then
  echo "mlx-lm was not found. On a Mac with Apple Silicon, run: pip install mlx-lm" >&2
  exit 127
fi
# Ask it for the model "default_model": under every other name, those it lists too, it is the base without the adapter.
# What it lists is this folder; while that is missing it does not answer.
mkdir -p -- "${HF_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/huggingface}/hub}" || true
"""

_FETCH_BASE = r"""
if [ -z "${{DLM_BASE_MODEL:-}}" ]; then  # as trained on: the server itself would take whatever is newest
  FETCH='import sys; from huggingface_hub import snapshot_download as fetch; print(fetch(sys.argv[1],
    revision=sys.argv[2], allow_patterns=["*.json", "*.safetensors", "*.txt", "*.jinja", "tokenizer.model"]))'
  FOLDER="$("$PYTHON" -c "$FETCH" "${{MODEL[0]}}" {revision})"
  MODEL=("$FOLDER")
fi
"""

_READ_TEMPLATE = r"""
IFS= read -r -d '' TEMPLATE < {template} || [ -n "$TEMPLATE" ]  # all of it, line breaks too
"""
