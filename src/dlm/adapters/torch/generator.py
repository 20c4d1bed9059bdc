"""Prompting on torch: a base with an adapter on it, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlm.adapters.torch.bases import LoadSpec, TorchBases
from dlm.adapters.torch.batches import IGNORED, collate
from dlm.adapters.torch.chat import ChatTokenizer, Encoded
from dlm.adapters.torch.decoding import greedy_continuations, sampled_tokens
from dlm.adapters.torch.foreign import translated
from dlm.adapters.torch.lora import load_adapter
from dlm.adapters.torch.loss import CHUNK, head_of
from dlm.domain.base_models import ResolvedBase
from dlm.domain.inference import InferencePlan, SamplingParams
from dlm.domain.rows import Turn


class TorchGenerator:
    """Loads models for prompting. Implements ``GeneratorPort``; shares its bases with the trainer."""

    def __init__(self, bases: TorchBases) -> None:
        self._bases = bases

    @contextmanager
    def load(
        self, base: ResolvedBase, adapter: Path | None, plan: InferencePlan, *, system_prompt: str | None = None
    ) -> Iterator[TorchModel]:
        """Give the base, with the adapter on it when there is one, for the length of a ``with`` block."""
        spec = LoadSpec(
            folder=base.folder,
            precision=plan.precision.value,
            attention=plan.attn_implementation.value,
            device=plan.device,
            in_4bit=plan.load_in_4bit,
            trust_remote_code=base.spec.trust_remote_code,
        )
        with self._bases.lend(base, spec) as loaded:
            chat = ChatTokenizer(loaded.tokenizer, system_prompt)
            if adapter is None:
                yield TorchModel(loaded.model, chat)
                return
            with translated(f"adapter {adapter.name}"):
                adapted = load_adapter(loaded.model, adapter, trainable=False)
                adapted.eval()
            try:
                yield TorchModel(adapted, chat)
            finally:
                adapted.unload()


class TorchModel:
    """A model in memory. Implements ``LoadedModel``."""

    def __init__(self, model: Any, chat: ChatTokenizer) -> None:
        self._model = model
        self._chat = chat

    def stream(self, turns: Sequence[Turn], params: SamplingParams) -> Iterator[str]:
        """Yield the answer piece by piece, each piece whole characters."""
        with translated("prompt"):
            prompt = self._chat.prompt_ids(turns)
            yield from _text_pieces(sampled_tokens(self._model, prompt, self._chat, params), self._chat)

    def answer_all(
        self, conversations: Sequence[Sequence[Turn]], *, max_new_tokens: int, with_adapter: bool = True
    ) -> tuple[str, ...]:
        """Answer greedily, in order."""
        with translated("prompt"), self._adapter(with_adapter):
            answers = greedy_continuations(self._model, self._prompts(conversations), self._chat, max_new_tokens)
        decode = self._chat.tokenizer.decode
        return tuple(str(decode(answer, skip_special_tokens=True)).strip() for answer in answers)

    def drift(self, conversations: Sequence[Sequence[Turn]], *, max_new_tokens: int) -> float:
        """Mean KL(base ‖ adapter) in nats per token, over the full vocabulary, along the base's own greedy answers."""
        prompts = self._prompts(conversations)
        with translated("exam"):
            with self._adapter(False):
                answers = greedy_continuations(self._model, prompts, self._chat, max_new_tokens)
            pairs = zip(prompts, answers, strict=True)
            parts = [self._divergence(prompt, answer) for prompt, answer in pairs]
        return sum(total for total, _ in parts) / max(1, sum(count for _, count in parts))

    def _divergence(self, prompt: list[int], answer: list[int]) -> tuple[float, int]:
        import torch

        sequence = Encoded((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))
        batch = collate([sequence], self._chat.pad_id, str(next(self._model.parameters()).device))
        wanted = batch.labels[0] != IGNORED
        with torch.inference_mode():
            with self._adapter(False):
                base = self._hidden(batch.ids)[wanted]
            hidden = self._hidden(batch.ids)[wanted]
            head = head_of(self._transformer)
            total = 0.0
            for start in range(0, len(hidden), CHUNK):
                old = torch.log_softmax(head(base[start : start + CHUNK]), -1)
                new = torch.log_softmax(head(hidden[start : start + CHUNK]), -1)
                total += float((old.exp() * (old - new)).sum())
        return total, len(answer)

    def _hidden(self, ids: Any) -> Any:
        return self._transformer.base_model(input_ids=ids, use_cache=False)[0][0]

    def _prompts(self, conversations: Sequence[Sequence[Turn]]) -> list[list[int]]:
        return [self._chat.prompt_ids(turns) for turns in conversations]

    @property
    def _transformer(self) -> Any:
        return self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model

    @contextmanager
    def _adapter(self, on: bool) -> Iterator[None]:
        if on or not hasattr(self._model, "disable_adapter"):
            yield
            return
        with self._model.disable_adapter():
            yield


def _text_pieces(tokens: Iterator[int], chat: ChatTokenizer) -> Iterator[str]:
    """Turn tokens into text as they come; a character spread over several tokens waits until it is whole."""
    ids: list[int] = []
    shown = ""
    for token in tokens:
        ids.append(token)
        text = str(chat.tokenizer.decode(ids, skip_special_tokens=True))
        if not text.endswith("�"):
            yield text[len(shown) :]
            shown = text
    rest = str(chat.tokenizer.decode(ids, skip_special_tokens=True))
    if len(rest) > len(shown):
        yield rest[len(shown) :]
