"""A model that runs in llama.cpp, asked over HTTP."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Any

from dlm.adapters.servers.process import ServerProcess
from dlm.domain.errors import ExportError
from dlm.domain.rows import Turn

_ANSWER_S = 600.0
"""A long prompt on a big model and a slow processor takes minutes."""

_READY_S = 5.0

_TOKEN = re.compile(rb'"id":(\d+),.*?"logprob":([^,}\]]+)')
"""One token's entry. Reading 50,000 of them so takes a quarter of the time that a JSON parser takes; a token's own text
cannot look like one, because quotes inside of strings are escaped."""

_MOST_LOST = 0.01
"""llama.cpp adds up a distribution in float32, in no special order; its sum is off by up to 1e-4 over 50,000 tokens."""


class LlamaCppModel:
    """Implements ``LoadedRuntime``."""

    def __init__(self, url: str, api_key: str, server: ServerProcess) -> None:
        import httpx

        self._server = server
        # Proxy settings of the environment are for the outside world, never for this machine itself.
        # One connection for each request: the server closes one that it has used for a while, without saying so before.
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}", "Connection": "close"},
            timeout=_ANSWER_S,
            trust_env=False,
        )

    def __enter__(self) -> LlamaCppModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def is_ready(self, alias: str) -> bool:
        """Tell whether the server there is ready, and is the one that calls its model so."""
        import httpx

        try:
            listed = self._client.get("/v1/models", timeout=_READY_S).json()["data"]
            return any(model["id"] == alias for model in listed)
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False  # not there yet, still loading, or something else that took the port

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Tokenise rendered text: special tokens are read, none is added."""
        answer = self._ask("/tokenize", content=text, add_special=False, parse_special=True)
        return tuple(int(token) for token in answer["tokens"])

    def render(self, turns: Sequence[Turn]) -> str:
        """Give the conversation as llama.cpp puts it before the model, with the opening of the answer.

        It takes a start token off the template's text, to add one itself where the file asks for it.
        """
        return self._opening + str(self._ask("/apply-template", messages=_messages(turns))["prompt"])

    def next_logprobs(self, ids: Sequence[int]) -> Sequence[float]:
        """Give each token's log-probability to come next, nats, by token id, over the whole vocabulary.

        Beginnings that successive prompts share are computed once.
        """
        body = self._post(
            "/completion",
            prompt=list(ids),
            n_predict=1,
            n_probs=self.vocabulary,
            post_sampling_probs=False,
            temperature=0.0,
            cache_prompt=True,
            logit_bias=[[self._letter, 1000.0]],  # half a character would be held back, with its probabilities
            stream=True,  # the same JSON, without the prompt and the settings, in two thirds of the time
        )
        return _distribution(body, self.vocabulary)

    @cached_property
    def _letter(self) -> int:
        """A token that is a whole character."""
        return self.token_ids("a")[-1]

    @cached_property
    def _opening(self) -> str:
        """What llama.cpp puts before every prompt: the start token where the file asks for it, else nothing."""
        ids = self._ask("/tokenize", content="", add_special=True)["tokens"]
        return str(self._ask("/detokenize", tokens=ids)["content"])

    @cached_property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return int(self._ask("/v1/models")["data"][0]["meta"]["n_vocab"])

    def _ask(self, path: str, **body: Any) -> Any:
        import json

        answer = self._post(path, **body)
        try:
            return json.loads(answer)
        except ValueError as exc:
            raise self._failed(f"{path} did not answer in JSON") from exc

    def _post(self, path: str, **body: Any) -> bytes:
        import httpx

        try:
            response = self._client.post(path, json=body) if body else self._client.get(path)
        except httpx.HTTPError as exc:
            raise self._failed(f"{path} did not answer: {str(exc) or type(exc).__name__}") from exc
        if response.status_code != 200:
            raise self._failed(f"{path} answered {response.status_code}: {response.text[:500]}")
        return response.content

    def _failed(self, what: str) -> ExportError:
        log = f"\n{self._server.log_tail()}" if self._server.has_ended else ""
        return ExportError("export.runtime-failed", f"llama.cpp: {what}{log}")


def _messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _distribution(body: bytes, vocabulary: int) -> array[float]:
    """Read a complete distribution, so that its probabilities add up to 1.

    Raises:
        ExportError: tokens are missing, or the model gives no numbers.
    """
    values = array("d", bytes(8 * vocabulary))
    seen = bytearray(vocabulary)
    for token, value in _TOKEN.findall(body):
        index = int(token)
        values[index] = math.nan if value == b"null" else float(value)
        seen[index] = 1
    total = math.fsum(map(math.exp, values))
    if not all(seen) or not abs(total - 1.0) <= _MOST_LOST:
        raise ExportError(
            "export.runtime-failed",
            f"llama.cpp gave {sum(seen)} of {vocabulary} tokens a probability; together they are {total:.4f}, not 1",
            hint="The file holds numbers that are none, or this version of llama.cpp works differently.",
        )
    shift = math.log(total)
    return array("d", [value - shift for value in values])
