"""``OllamaPort``: through the program where there is one, over HTTP where there is only a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from dlm.adapters.ollama.lock import only_registration
from dlm.adapters.ollama.program import OllamaProgram, find_program, version_in
from dlm.adapters.ollama.server import OllamaServer, server_address, sha256_of
from dlm.domain.errors import ExportError
from dlm.domain.modelfile import Directive, parameters_of, read_modelfile
from dlm.domain.rows import Turn
from dlm.domain.text_files import disk_error

FLOOR = (0, 4, 2)
"""Oldest version whose program takes what is exported."""

HTTP_FLOOR = (0, 5, 5)
"""Oldest version that makes a model of files sent over HTTP; before, the request was another one."""

FIRST_LINE = 200
"""Characters kept of a smoke test's answer."""


class Ollama:
    """The Ollama that the environment names. See ``OllamaPort``.

    Args:
        home: of dlm; holds the lock that keeps registrations apart.
        create_s, answer_s, lock_s: the longest that each may take.
    """

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        *,
        create_s: float = 600.0,
        answer_s: float = 120.0,
        lock_s: float = 120.0,
    ) -> None:
        self._home = home
        self._environ = environ
        self._create_s = create_s
        self._answer_s = answer_s
        self._lock_s = lock_s

    def require(self) -> str:
        """Give the version of the running server, having looked that program and server are new enough."""
        program = self._program
        version = self._server.version()
        if version is None:
            raise self._absent(program)
        _require_version(version, HTTP_FLOOR if program is None else FLOOR)
        if program is not None:
            _require_version(_version(program), FLOOR)
        return version_in(version)

    def create(self, name: str, folder: Path, *, quantize: str | None = None) -> None:
        """Register ``folder/Modelfile`` as ``name``. See ``OllamaPort``."""
        with only_registration(self._home / "ollama.lock", self._lock_s):
            try:
                if self._program is None:
                    self._create_over_http(name, folder, quantize)
                else:
                    self._create_by_program(self._program, name, folder, quantize)
            except TimeoutError as exc:
                raise _refused(name, str(exc)) from exc

    def smoke(self, name: str, question: str = "Hello.") -> str:
        """Ask a model once. See ``OllamaPort``."""
        try:
            answer = self._answer(name, question)
        except TimeoutError as exc:
            raise _silent(name, f"did not answer within {self._answer_s:g} s") from exc
        line = next((line.strip() for line in answer.splitlines() if line.strip()), None)
        if line is None:
            raise _silent(name, "answered with nothing")
        return line[:FIRST_LINE]

    def prompt_tokens(self, name: str, turns: Sequence[Turn]) -> int:
        """Count the tokens of a conversation, with the opening of the answer. See ``OllamaPort``."""
        request = {
            "model": name,
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "options": {"num_predict": 1, "temperature": 0},
        }
        try:
            count = self._server.chat(request, limit_s=self._answer_s).get("prompt_eval_count")
        except TimeoutError as exc:
            raise _silent(name, f"did not answer within {self._answer_s:g} s") from exc
        if not isinstance(count, int):
            raise ExportError("ollama.failed", f"Ollama did not say how many tokens {name} was given", subject="ollama")
        return count

    @cached_property
    def _program(self) -> OllamaProgram | None:
        return find_program(self._environ)

    @cached_property
    def _server(self) -> OllamaServer:
        return OllamaServer(server_address(self._environ))

    def _absent(self, program: OllamaProgram | None) -> ExportError:
        if program is None and not self._environ.get("OLLAMA_HOST"):
            return ExportError(
                "ollama.missing",
                "Ollama is not installed",
                subject="ollama",
                hint="Install it from ollama.com, set OLLAMA_HOST to where it runs, or add --skip-ollama.",
            )
        return ExportError(
            "ollama.not-running",
            f"no Ollama answers at {self._server.address}",
            subject="ollama",
            hint="Start its app or `ollama serve`, check OLLAMA_HOST, or add --skip-ollama.",
        )

    def _create_by_program(self, program: OllamaProgram, name: str, folder: Path, quantize: str | None) -> None:
        wish = () if quantize is None else ("--quantize", quantize)
        done = program.call("create", name, "-f", "Modelfile", *wish, limit_s=self._create_s, folder=folder)
        if not done.ok:
            raise _refused(name, _last_lines(done.said))

    def _create_over_http(self, name: str, folder: Path, quantize: str | None) -> None:
        directives = _modelfile(folder)
        request: dict[str, Any] = {"model": name, "parameters": parameters_of(directives)}
        for directive in directives:
            if directive.name in ("from", "adapter"):
                field = "files" if directive.name == "from" else "adapters"
                request.setdefault(field, {}).update(self._sent(folder, directive.value))
            elif directive.name in ("template", "system"):
                request[directive.name] = directive.value
            elif directive.name == "license":
                request.setdefault("license", []).append(directive.value)
        if quantize is not None:
            request["quantize"] = quantize
        try:
            self._server.create(request, limit_s=self._create_s)
        except ExportError as exc:
            raise _refused(name, exc.message) from exc

    def _sent(self, folder: Path, value: str) -> dict[str, str]:
        """Hand a file of the export over, unless Ollama has it; give its name and digest."""
        path = folder / value
        digest = sha256_of(path)
        if not self._server.has_blob(digest):
            self._server.send_blob(path, digest, limit_s=self._create_s)
        return {path.name: digest}

    def _answer(self, name: str, question: str) -> str:
        if self._program is None:
            request = {"model": name, "messages": [{"role": "user", "content": question}]}
            message = self._server.chat(request, limit_s=self._answer_s).get("message")
            content = message.get("content") if isinstance(message, dict) else None
            return content if isinstance(content, str) else ""
        done = self._program.call("run", name, question, limit_s=self._answer_s)
        if not done.ok:
            raise _silent(name, f"failed: {_last_lines(done.said)}")
        return done.printed


def _version(program: OllamaProgram) -> str:
    with suppress(TimeoutError):
        return program.version()
    return "0.0.0"


def _require_version(version: str, floor: tuple[int, int, int]) -> None:
    found = version_in(version)
    if tuple(map(int, found.split("."))) < floor:
        wanted = ".".join(map(str, floor))
        raise ExportError(
            "ollama.too-old",
            f"Ollama {found} is older than {wanted}",
            subject="ollama",
            hint="Update it, or add --skip-ollama.",
        )


def _modelfile(folder: Path) -> tuple[Directive, ...]:
    path = folder / "Modelfile"
    try:
        return read_modelfile(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise disk_error(exc, path) from exc
    except ValueError as exc:
        raise ExportError("modelfile.unreadable", f"{path.name} is not text", subject="ollama") from exc


def _last_lines(text: str) -> str:
    return "\n".join(text.splitlines()[-20:]) or "it said nothing"


def _refused(name: str, why: str) -> ExportError:
    return ExportError(
        "ollama.create-failed",
        f"Ollama did not take {name}: {why}",
        subject="ollama create",
        hint="The exported files are kept; add --skip-ollama to leave it at that.",
    )


def _silent(name: str, what: str) -> ExportError:
    return ExportError(
        "ollama.no-answer",
        f"{name} {what}",
        subject="smoke",
        hint="Try `ollama run` yourself, or add --no-smoke.",
    )
