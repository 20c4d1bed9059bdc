"""The HTTP interface of a running Ollama."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from dlm.domain.errors import ExportError
from dlm.domain.text_files import disk_error

_PORT = 11434
_CONNECT_S = 5.0
_CHUNK = 1 << 20


def server_address(environ: Mapping[str, str]) -> str:
    """Give the address of Ollama as ``OLLAMA_HOST`` names it: ``host``, ``:port``, ``host:port`` or a whole address.

    An Ollama that listens on every address (``0.0.0.0``) is asked on this machine's own.

    Raises:
        ExportError: ``ollama.not-running``: the variable holds no address.
    """
    named = environ.get("OLLAMA_HOST", "").strip().strip("\"'")
    scheme, mark, rest = named.partition("://")
    if not mark:
        scheme, rest = "http", named
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "127.0.0.1", parts.port
    except ValueError as exc:
        raise ExportError(
            "ollama.not-running",
            f"OLLAMA_HOST={named!r} is no address",
            subject="ollama",
            hint="Write it as 127.0.0.1:11434, or unset it.",
        ) from exc
    if host in ("0.0.0.0", "::"):  # noqa: S104  # that is what is replaced
        host = "127.0.0.1"
    usual = {"http": 80, "https": 443}[scheme] if mark and scheme in ("http", "https") else _PORT
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or usual}{parts.path.rstrip('/')}"


@attrs.frozen
class OllamaServer:
    """Asks Ollama over HTTP.

    Raises ``ExportError`` ``ollama.not-running`` when nobody answers and ``ollama.failed`` when the answer is an error
    or makes no sense; ``TimeoutError`` when it takes too long.
    """

    address: str

    def version(self) -> str | None:
        """Give its version; None when no Ollama answers at the address."""
        try:
            answer = self._asked("GET", "/api/version", limit_s=_CONNECT_S)
        except (ExportError, TimeoutError):
            return None
        version = answer.get("version")
        return version if isinstance(version, str) else None

    def has_blob(self, digest: str) -> bool:
        """Tell whether it has a file already; ``digest`` is ``sha256:<64 hex>``."""
        status: int = self._sent("HEAD", f"/api/blobs/{digest}", limit_s=60.0).status_code
        return status == 200

    def send_blob(self, path: Path, digest: str, *, limit_s: float) -> None:
        """Hand over a file."""
        try:
            reply = self._sent("POST", f"/api/blobs/{digest}", limit_s=limit_s, content=_chunks(path))
        except OSError as exc:
            raise disk_error(exc, path) from exc
        _require_success(reply)

    def create(self, request: Mapping[str, Any], *, limit_s: float) -> None:
        """Make a model of files it has."""
        self._asked("POST", "/api/create", limit_s=limit_s, json={**request, "stream": False})

    def chat(self, request: Mapping[str, Any], *, limit_s: float) -> Mapping[str, Any]:
        """Give the whole answer to a conversation."""
        return self._asked("POST", "/api/chat", limit_s=limit_s, json={**request, "stream": False})

    def _asked(self, method: str, path: str, *, limit_s: float, **content: Any) -> Mapping[str, Any]:
        reply = self._sent(method, path, limit_s=limit_s, **content)
        _require_success(reply)
        answer = _json_object(reply.content)
        if "error" in answer:
            raise _failed(str(answer["error"]))
        return answer

    def _sent(self, method: str, path: str, *, limit_s: float, **content: Any) -> Any:
        import httpx

        timeout = httpx.Timeout(limit_s, connect=_CONNECT_S)
        try:
            # Proxies are for the outside world; a server that OLLAMA_HOST names is asked directly.
            with httpx.Client(timeout=timeout, trust_env=False) as client:
                return client.request(method, self.address + path, **content)
        except httpx.ConnectTimeout as exc:
            raise self._unreachable() from exc
        except httpx.TimeoutException as exc:
            raise TimeoutError(f"Ollama took longer than {limit_s:g} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise self._unreachable() from exc

    def _unreachable(self) -> ExportError:
        return ExportError(
            "ollama.not-running",
            f"no Ollama answers at {self.address}",
            subject="ollama",
            hint="Start its app or `ollama serve`, check OLLAMA_HOST, or add --skip-ollama.",
        )


def sha256_of(path: Path) -> str:
    """Digest a file as Ollama names it, ``sha256:<64 hex>``."""
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as exc:
        raise disk_error(exc, path) from exc


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _require_success(reply: Any) -> None:
    if reply.status_code >= 400:
        answer = _json_object(reply.content) if reply.content.startswith(b"{") else {}
        raise _failed(str(answer.get("error") or f"it answered HTTP {reply.status_code}"))


def _json_object(content: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError as exc:
        raise _failed("it answered with something that is not JSON") from exc
    if not isinstance(answer, dict):
        raise _failed("it answered with something unexpected")
    return answer


def _failed(message: str) -> ExportError:
    return ExportError("ollama.failed", f"Ollama: {message}", subject="ollama")
