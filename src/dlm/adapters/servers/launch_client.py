"""The questions a started server is asked, in the interface that all servers share with OpenAI."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from dlm.adapters.servers.process import LOOPBACK, ServerProcess
from dlm.domain.errors import ExportError

FIRST_LINE = 200
"""Characters of an answer that are kept."""

_MAX_TOKENS = 32
_POLL_S = 0.1
_LISTING_S = 5.0
_UNREADABLE = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError)
"""What reading an answer of another form ends in."""


class LaunchClient:
    """Talks to the server at a port of this machine. ``api_key`` is empty or None for a server without one."""

    def __init__(self, port: int, api_key: str | None, server: ServerProcess) -> None:
        import httpx

        self._server = server
        # Proxy settings of the environment are for the outside world, never for this machine itself.
        self._http = httpx.Client(
            base_url=f"http://{LOOPBACK}:{port}",
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            trust_env=False,
            verify=False,  # noqa: S501  # plain HTTP: loading certificates would take longer than the question
        )

    def __enter__(self) -> LaunchClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def wait_for_models(self, ready_s: float) -> tuple[str, ...] | None:
        """Wait until the server lists its models; None when it ended before.

        Raises:
            ExportError: ``smoke.not-ready`` after ``ready_s`` seconds; ``smoke.refused`` for a wrong key.
        """
        deadline = time.monotonic() + ready_s
        while not self._server.has_ended:
            models = self._models(min(_LISTING_S, max(_POLL_S, deadline - time.monotonic())))
            if models is not None:
                return models
            if time.monotonic() > deadline:
                raise failed("smoke.not-ready", f"did not become ready within {ready_s:g} s", self._server)
            time.sleep(_POLL_S)
        return None

    def ask(self, question: str, model: str | None, *, answer_s: float) -> str:
        """Ask greedily; gives the first line of the answer that is not blank, in signs that can be shown.

        Raises:
            ExportError: ``smoke.refused``, ``smoke.no-answer``, ``smoke.blank``.
        """
        import httpx

        body = {
            "messages": [{"role": "user", "content": question}],
            "max_tokens": _MAX_TOKENS,
            "temperature": 0,
            **({} if model is None else {"model": model}),
        }
        try:
            response = self._http.post("/v1/chat/completions", json=body, timeout=answer_s)
        except httpx.TimeoutException as exc:
            raise failed("smoke.no-answer", f"did not answer within {answer_s:g} s", self._server) from exc
        except httpx.HTTPError as exc:
            why = f"did not answer: {str(exc) or type(exc).__name__}"
            raise failed("smoke.no-answer", why, self._server) from exc
        if response.status_code != 200:
            raise self._refused(response)
        line = _first_line(self._text(response))
        if not line:
            raise failed("smoke.blank", "answered with nothing", self._server)
        return line

    def _models(self, timeout_s: float) -> tuple[str, ...] | None:
        """List the models; None while the server is not there yet or still loading."""
        import httpx

        try:
            response = self._http.get("/v1/models", timeout=timeout_s)
            if response.status_code in (401, 403):
                raise self._refused(response)
            return tuple(str(model["id"]) for model in response.raise_for_status().json()["data"])
        except (httpx.HTTPError, *_UNREADABLE):
            return None

    def _text(self, response: Any) -> str:
        try:
            message = response.json()["choices"][0]["message"]
            # A model that thinks first may not have got further in so few tokens; that is an answer too.
            texts = [_joined(message.get(key)) for key in ("content", "reasoning_content", "reasoning")]
        except _UNREADABLE as exc:
            raise failed("smoke.no-answer", f"answered in no known form: {response.text[:300]}", self._server) from exc
        return next((text for text in texts if text.strip()), "")

    def _refused(self, response: Any) -> ExportError:
        return failed("smoke.refused", f"refused: {response.status_code} {response.text[:300]}", self._server)


def failed(code: str, what: str, server: ServerProcess | None = None) -> ExportError:
    """Give the error of a server that did ``what``, with the end of what it printed."""
    log = server.log_tail() if server is not None else ""
    return ExportError(
        code,
        f"the exported server {what}" + (f"\n{log}" if log else ""),
        subject="smoke",
        hint="Add --no-smoke to export without asking the result a question.",
    )


def _joined(content: Any) -> str:
    """Give a message's content, which is a text, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(str(part["text"]) for part in content if part.get("type", "text") == "text")


def _first_line(text: str) -> str:
    shown = ("".join(map(_shown, line)).strip() for line in text.splitlines())
    return next((line for line in shown if line), "")[:FIRST_LINE]


def _shown(sign: str) -> str:
    """Drop signs that steer a terminal or are none."""
    return " " if sign.isspace() else sign if sign.isprintable() else ""
