"""Foreign exceptions become ours here, most specific first."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlm.domain.errors import BaseModelError, DlmError, HardwareError, InferenceError
from dlm.domain.text_files import disk_error


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Let no exception of torch, transformers, PEFT or safetensors out of a block.

    Out of memory → ``HardwareError``; operating system → ``StoreError``/``DiskError``; files a library cannot read →
    ``BaseModelError``; anything else those libraries raise → ``InferenceError``. Programming errors of our own
    (``TypeError`` and the like) pass: hiding them behind a friendly sentence would only delay their repair.
    """
    try:
        yield
    except (DlmError, KeyboardInterrupt):
        raise
    except OSError as exc:
        if exc.errno is None:  # transformers raises bare OSErrors for missing or malformed model files
            raise BaseModelError("base.unreadable", f"{subject}: {exc}", hint=_REFETCH) from exc
        raise disk_error(exc, Path(str(exc.filename or subject))) from exc
    except MemoryError as exc:
        raise out_of_memory(subject) from exc
    except ImportError as exc:
        raise InferenceError("infer.missing-package", f"{subject}: {exc}", hint="Run `dlm doctor`.") from exc
    except Exception as exc:
        if is_out_of_memory(exc):
            raise out_of_memory(subject) from exc
        system = _system_error(exc)
        if system is not None:
            raise disk_error(system, Path(subject)) from exc
        if type(exc).__module__.split(".")[0] in _FILE_LIBRARIES or isinstance(exc, ValueError | KeyError):
            raise BaseModelError("base.unreadable", f"{subject}: {exc}", hint=_REFETCH) from exc
        if isinstance(exc, RuntimeError):
            raise InferenceError("infer.failed", f"{subject}: {exc}", hint="Run again with --verbose.") from exc
        raise


def _system_error(exc: Exception) -> OSError | None:
    """Give the operating system's error that a library written in Rust tells in words, ``… (os error 28)``."""
    match = re.search(r"\(os error (\d+)\)", str(exc))
    return OSError(int(match[1]), os.strerror(int(match[1]))) if match else None


_FILE_LIBRARIES = ("safetensors_rust", "safetensors", "tokenizers", "huggingface_hub", "jinja2", "json")
_REFETCH = "The files may be damaged: remove that folder and run again to get them anew."


def is_out_of_memory(exc: BaseException) -> bool:
    """Recognise the ways torch says that memory ran out, on any device."""
    import torch

    text = str(exc).lower()
    return isinstance(exc, torch.OutOfMemoryError | MemoryError) or (
        isinstance(exc, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def out_of_memory(subject: str) -> HardwareError:
    """The error for a machine that is too small, with what to change, gentlest first."""
    return HardwareError(
        "hardware.out-of-memory",
        f"{subject}: memory ran out",
        hint=(
            "In the document's training block, try in this order: halve micro_batch_size (and double grad_accum), "
            "a shorter sequence_len, a smaller lora_r; or choose a smaller base."
        ),
    )
