"""Runs one GGUF file in llama.cpp, in a process of its own: a bad file kills only that."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MARK = "answer:"
"""Before each line that is meant for us; llama.cpp writes to the same stream."""


class LlamaChild:
    """A context manager around the process.

    Args:
        lora: adapter that is applied to it.
        context: tokens of context.
    """

    def __init__(self, model: Path, *, lora: Path | None = None, context: int = 256) -> None:
        self._command = [sys.executable, __file__, str(model), str(lora or ""), str(context)]

    def __enter__(self) -> LlamaChild:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def token_ids(self, text: str) -> list[int]:
        """Tokenise; special tokens are read, none is added."""
        answer = self._ask("/tokenize", {"content": text, "add_special": False, "parse_special": True})
        return list(answer["tokens"])

    def next_logprobs(self, ids: Sequence[int], *, vocabulary: int) -> list[float]:
        """Give the natural logarithm of each token's probability to come next, by id.

        Which token is then taken does not matter, but it has to be whole text for probabilities to be given: the bias
        makes it a letter. It does not touch the probabilities, which are those before sampling.
        """
        letter = self.token_ids("a")[-1]
        answer = self._ask(
            "/completion",
            {
                "prompt": list(ids),
                "n_predict": 1,
                "n_probs": vocabulary,
                "temperature": 0,
                "cache_prompt": False,
                "logit_bias": [[letter, 1000.0]],
            },
        )
        top = answer["completion_probabilities"][0]["top_logprobs"]
        assert len(top) == vocabulary
        found = {item["id"]: item["logprob"] for item in top}
        # Their sum is not 1 by up to 1e-4: llama.cpp adds them up in 32 bits.
        total = math.log(math.fsum(math.exp(value) for value in found.values()))
        return [found[index] - total for index in range(vocabulary)]

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([path, body]) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(_MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(_MARK))
                return answer
        raise AssertionError(f"llama.cpp ended with {self._process.wait()}")


def _serve(model: str, lora: str, context: str) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    if lora:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(lora, 1.0)]
    params.n_ctx = int(context)
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.warmup = False
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    for line in sys.stdin:
        path, body = json.loads(line)
        request = urllib.request.Request(
            server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            print(_MARK + json.dumps(json.load(response)), flush=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
