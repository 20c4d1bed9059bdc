"""The program ``llama-quantize``: where it is, and running it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from dlm.domain.errors import ExportError
from dlm.domain.quantization import QuantName
from dlm.domain.text_files import disk_error, sync_folder

PROGRAM = "llama-quantize"
TAIL_BYTES = 4096
"""Bytes of what the program printed that an error shows."""

_NO_ROOM = 1 << 20
"""A disk with less free bytes than this after a failure is taken to be full: the program only says that a write
failed."""


class LlamaQuantizeProgram:
    """Runs ``llama-quantize``. Implements ``FileQuantizer``.

    It is looked for in ``$DLM_LLAMA_CPP_BUILD`` and ``$DLM_LLAMA_CPP_ROOT/build`` (each with or without ``bin``), then
    on ``PATH``.

    Args:
        environ: variables to look in, and those the program gets.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)

    @property
    def name(self) -> str:
        return PROGRAM

    def missing(self) -> str | None:
        """Say where the program was looked for in vain; None when it is there."""
        if self._program() is not None:
            return None
        return f"the program {PROGRAM} is neither on PATH nor in a folder that DLM_LLAMA_CPP_BUILD names"

    def quantize_file(self, source: Path, into: Path, *, quant: QuantName, importance: Path | None) -> None:
        """Write ``into`` from a 16-bit file, whole or not at all. Takes as long as it takes; an interrupt ends it."""
        temporary = into.with_name(f"{into.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")
        extra = [] if importance is None else ["--imatrix", str(importance.absolute())]
        files = [str(path.absolute()) for path in (source, temporary)]
        try:
            self._run([self._found(), *extra, *files, quant], temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(into)
            sync_folder(into.parent)
        except OSError as exc:
            raise disk_error(exc, into) from exc
        finally:
            temporary.unlink(missing_ok=True)

    def _run(self, command: list[str], written: Path) -> None:
        with tempfile.TemporaryFile() as output:
            status = self._status(command, output)
            if status == 0 and _is_gguf(written):
                return
            if shutil.disk_usage(written.parent).free < _NO_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise _failed(f"ended with status {status} and without a usable file; it said last:\n{_tail(output)}")

    def _status(self, command: list[str], output: IO[bytes]) -> int:
        try:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=self._environ
            ).returncode
        except OSError as exc:
            raise _failed(f"({command[0]}) cannot be started: {exc.strerror}") from exc

    def _found(self) -> str:
        program = self._program()
        if program is None:
            raise ExportError(
                "export.no-quantizer",
                f"nothing here can quantise: {self.missing()}",
                hint="Choose --quant Q8_0 or F16, which need nothing else.",
            )
        return program

    def _program(self) -> str | None:
        return shutil.which(PROGRAM, path=os.pathsep.join(self._folders()))

    def _folders(self) -> Iterator[str]:
        for variable, inside in (("DLM_LLAMA_CPP_BUILD", ""), ("DLM_LLAMA_CPP_ROOT", "build")):
            if self._environ.get(variable):
                folder = Path(self._environ[variable], inside)
                yield from (str(folder / "bin"), str(folder))
        yield from filter(None, self._environ.get("PATH", "").split(os.pathsep))  # an empty one is this very folder


def _failed(what: str) -> ExportError:
    return ExportError(
        "export.quantizer-failed",
        f"{PROGRAM} {what}",
        hint=f"Another version of llama.cpp may do; or make {PROGRAM} not to be found, to do without it.",
    )


def _is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF does. The program writes the beginning last."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except FileNotFoundError:
        return False


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TAIL_BYTES))
    return output.read().decode("utf-8", "replace").strip() or "(nothing)"
