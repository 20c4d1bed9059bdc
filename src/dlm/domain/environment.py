"""The environment variables dlm reads or sets, in one place: the source of ``docs/reference/environment.md``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

VariableKind = Literal["dlm", "terminal", "models", "set"]


@attrs.frozen(kw_only=True)
class Variable:
    """One environment variable.

    Args:
        kind: ``dlm`` settings of dlm itself, ``terminal`` how text is shown, ``models`` where base models come from,
            ``set`` given a value by dlm for its own process when the variable is absent.
        effect: what it changes, for somebody who meets it for the first time.
        default: what holds when it is not set; None says "nothing".
    """

    name: str
    kind: VariableKind
    effect: str
    default: str | None = None


TELEMETRY_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "WANDB_ERROR_REPORTING": "false",
    }
)
"""Usage reporting of other libraries, switched off for this process unless the person has set the variable."""

GOMP_SPINCOUNT = "5000"
"""Turns an idle OpenMP thread waits before it sleeps. GNU's own 300,000 make a training step 20 times slower as soon as
another program wants a core; with 5,000 it is as fast on a quiet machine and shares a busy one."""

CUBLAS_WORKSPACE = ":4096:8"
"""cuBLAS keeps the order of its sums only with a fixed workspace; must be set before CUDA starts."""

PROCESS_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {**TELEMETRY_DEFAULTS, "GOMP_SPINCOUNT": GOMP_SPINCOUNT, "CUBLAS_WORKSPACE_CONFIG": CUBLAS_WORKSPACE}
)
"""What the command line sets for its own process unless the person has. A library call leaves the environment alone."""

VARIABLES: tuple[Variable, ...] = (
    Variable(
        name="DLM_HOME",
        kind="dlm",
        effect="Folder in which dlm keeps what it learned and downloaded. The option `--home` beats it.",
        default="`~/.dlm` (`%APPDATA%\\dlm` on Windows)",
    ),
    Variable(
        name="APPDATA",
        kind="dlm",
        effect="On Windows, the parent of dlm's folder when neither `--home` nor `DLM_HOME` is given.",
    ),
    Variable(
        name="DLM_VERBOSE",
        kind="dlm",
        effect="`1` adds the full Python traceback to error reports, like `--verbose`.",
        default="off",
    ),
    Variable(
        name="DLM_SKIP_EXPORT_PROBES",
        kind="dlm",
        effect="`1`, `true` or `yes` works like `--skip-export-probes`: whether a base model can be exported is not "
        "checked.",
        default="off",
    ),
    Variable(
        name="DLM_FORCE_PLAN",
        kind="dlm",
        effect="`1` trains although dlm advises against it on this machine; what is impossible is still refused.",
        default="off",
    ),
    Variable(
        name="DLM_SHARE_AUTH",
        kind="dlm",
        effect="Sent as the `Authorization` header by `dlm push` and `dlm pull` to the web address you name, to no "
        "other.",
    ),
    Variable(
        name="SOURCE_DATE_EPOCH",
        kind="dlm",
        effect="Seconds since 1970 that `dlm pack` writes as its time of making; else that of the store's last change.",
    ),
    Variable(
        name="DLM_SERVER_API_KEY",
        kind="dlm",
        effect="Key that the launch scripts of `dlm export` make clients send; not for MLX, which knows no keys.",
    ),
    Variable(
        name="DLM_BASE_MODEL",
        kind="dlm",
        effect="Folder with the base model, for the launch scripts of vLLM and MLX; else they take it from the Hub.",
    ),
    Variable(
        name="DLM_PYTHON",
        kind="dlm",
        effect="Python that launch scripts use where they need one.",
        default="`python3`",
    ),
    Variable(
        name="DLM_LLAMA_CPP_BUILD",
        kind="dlm",
        effect="Folder in which `llama-server` and `llama-quantize` are looked for first, also in its `bin` and "
        "`build/bin`.",
    ),
    Variable(
        name="DLM_LLAMA_CPP_ROOT",
        kind="dlm",
        effect="Like `DLM_LLAMA_CPP_BUILD`, looked at second.",
    ),
    Variable(
        name="DLM_DISABLE_TOKENIZED_CACHE",
        kind="dlm",
        effect="`1` works like `--no-cache` of `dlm train`: text is tokenised anew and the token cache stays as it is.",
        default="off",
    ),
    Variable(
        name="DLM_GALLERY_URL",
        kind="dlm",
        effect="https address from which `dlm templates list --refresh` fetches the template gallery.",
    ),
    Variable(
        name="DLM_TENSORBOARD",
        kind="dlm",
        effect="`1`, `true` or `yes` also writes each training's curves for TensorBoard, into the folder `tensorboard` "
        'of the document\'s store. Needs `pip install "dlm[observability]"`.',
        default="off",
    ),
    Variable(
        name="DLM_WANDB_PROJECT",
        kind="dlm",
        effect="Name of a Weights & Biases project: each training is also kept for it, offline, in the folder `wandb` "
        'of the document\'s store. Nothing is sent. Needs `pip install "dlm[observability]"`.',
        default="off",
    ),
    Variable(
        name="NO_COLOR",
        kind="terminal",
        effect="Any value turns colours off.",
        default="colours on terminals that have them",
    ),
    Variable(
        name="TERM",
        kind="terminal",
        effect="`dumb` turns colours and progress bars off; progress is then shown as plain lines.",
    ),
    Variable(
        name="COLUMNS",
        kind="terminal",
        effect="Width to which help texts are wrapped. Data on standard output is never wrapped.",
        default="the width of the terminal",
    ),
    Variable(
        name="SHELL",
        kind="terminal",
        effect="Shell for `--show-completion` and `--install-completion` when none is named.",
    ),
    Variable(
        name="BASH_COMPLETION_USER_DIR",
        kind="terminal",
        effect="Where `--install-completion bash` writes.",
        default="`$XDG_DATA_HOME/bash-completion`",
    ),
    Variable(
        name="XDG_DATA_HOME",
        kind="terminal",
        effect="Parent of the bash completion folder.",
        default="`~/.local/share`",
    ),
    Variable(
        name="XDG_CONFIG_HOME",
        kind="terminal",
        effect="Where `--install-completion` writes for fish and PowerShell.",
        default="`~/.config`",
    ),
    Variable(
        name="ZDOTDIR",
        kind="terminal",
        effect="Where `--install-completion zsh` puts the folder `.zfunc`.",
        default="your home folder",
    ),
    Variable(
        name="HF_TOKEN",
        kind="models",
        effect="Access token of your Hugging Face account, needed for base models with a licence to accept.",
        default="the login stored by `hf auth login`, if any",
    ),
    Variable(
        name="HF_HOME",
        kind="models",
        effect="Folder in which downloaded base models are kept.",
        default="`~/.cache/huggingface`",
    ),
    Variable(
        name="HF_HUB_OFFLINE",
        kind="models",
        effect="`1` forbids downloads; only base models already on this machine are used.",
        default="off",
    ),
    Variable(
        name="HF_ENDPOINT",
        kind="models",
        effect="Address of a mirror to download base models from.",
        default="the Hugging Face Hub",
    ),
    *(
        Variable(
            name=name,
            kind="set",
            effect="Switches usage reporting or advertising messages of other libraries off. Your own value is kept.",
            default=f"`{value}`",
        )
        for name, value in TELEMETRY_DEFAULTS.items()
    ),
    Variable(
        name="CUBLAS_WORKSPACE_CONFIG",
        kind="set",
        effect="Makes matrix products on NVIDIA cards give the same result each time. Your own value is kept.",
        default=f"`{CUBLAS_WORKSPACE}`",
    ),
    Variable(
        name="GOMP_SPINCOUNT",
        kind="set",
        effect="Lets training share the processor with other programs. Your own value is kept. In a notebook set it "
        "before the first import of torch.",
        default=f"`{GOMP_SPINCOUNT}`",
    ),
)
"""Every variable, grouped by kind; names are unique."""
