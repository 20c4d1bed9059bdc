"""One registration at a time: the kernel's lock on a file, which ends with the process whatever happens to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlm.domain.errors import ExportError
from dlm.domain.kernel_lock import try_lock
from dlm.domain.text_files import disk_error

_PAUSE_S = 0.1


@contextmanager
def only_registration(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock file for the length of a ``with`` block.

    Raises:
        ExportError: ``ollama.busy``: somebody else held it for all of ``wait_s``.
        StoreError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as exc:
        raise disk_error(exc, path) from exc
    with file:
        until = time.monotonic() + wait_s
        while not try_lock(file.fileno()):
            if time.monotonic() > until:
                raise ExportError(
                    "ollama.busy",
                    f"another dlm command has been registering a model with Ollama for {wait_s:g} s",
                    subject="ollama",
                    hint="Wait until it has ended, then run it again.",
                )
            time.sleep(_PAUSE_S)
        yield
