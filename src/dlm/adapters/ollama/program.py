"""The program ``ollama``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import attrs

from dlm.domain.errors import ExportError

_USUAL_FOLDERS = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin", "/snap/bin", "~/.local/bin")
"""Where its installers put it, for processes that were started with a short PATH."""

_VERSION_S = 10.0


@attrs.frozen
class Finished:
    """How a call ended; ``said`` is everything it printed, without the signs that move a cursor."""

    ok: bool
    printed: str
    said: str


@attrs.frozen
class OllamaProgram:
    """One installed ``ollama``."""

    path: str
    environ: Mapping[str, str]

    def version(self) -> str:
        """Give ``x.y.z``; ``0.0.0`` when it names none."""
        return version_in(self.call("--version", limit_s=_VERSION_S).said)

    def call(self, *arguments: str, limit_s: float, folder: Path | None = None) -> Finished:
        """Run it to its end.

        Raises:
            TimeoutError: it took longer than ``limit_s`` and was stopped.
            ExportError: ``ollama.failed``: it cannot be started.
        """
        try:
            done = subprocess.run(
                [self.path, *arguments],
                cwd=folder,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise TimeoutError(f"ollama {arguments[0]} took longer than {limit_s:g} s") from exc
        except OSError as exc:
            raise ExportError(
                "ollama.failed", f"{self.path} cannot be started: {exc.strerror}", subject="ollama"
            ) from exc
        printed, complaint = (_plain(stream) for stream in (done.stdout, done.stderr))
        return Finished(done.returncode == 0, printed, "\n".join(filter(None, (printed, complaint))))


def find_program(environ: Mapping[str, str]) -> OllamaProgram | None:
    """Look for ``ollama`` on PATH, then where its installers put it."""
    usual = os.pathsep.join(str(Path(folder).expanduser()) for folder in _USUAL_FOLDERS)
    for folders in (environ.get("PATH", ""), usual):
        found = shutil.which("ollama", path=folders)
        if found:
            return OllamaProgram(found, environ)
    return None


def version_in(text: str) -> str:
    """Give the first ``x.y.z`` of a text."""
    found = re.search(r"\d+\.\d+\.\d+", text)
    return found[0] if found else "0.0.0"


_CURSOR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]")


def _plain(stream: bytes) -> str:
    """Give what a person would see at the end: of a line that was drawn again and again, the last drawing."""
    text = _CURSOR.sub("", stream.decode("utf-8", "replace")).replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n")).strip()
