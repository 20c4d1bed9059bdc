"""Prompting on torch: a base with an adapter on it, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlm.adapters.torch.bases import LoadSpec, TorchBases
from dlm.adapters.torch.batches import IGNORED, Batch, micro_batches
from dlm.adapters.torch.chat import ChatTokenizer, Encoded
from dlm.adapters.torch.cpu_pace import give_back_holes
from dlm.adapters.torch.decoding import GREEDY_BATCH, greedy_continuations, sampled_tokens
from dlm.adapters.torch.foreign import translated
from dlm.adapters.torch.lora import load_adapter
from dlm.adapters.torch.loss import chunks, head_of, hidden_states, transformer_of
from dlm.domain.base_models import ResolvedBase
from dlm.domain.dialects import thinks_aloud
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
            chat = ChatTokenizer(loaded.tokenizer, system_prompt, thinks=thinks_aloud(base.spec.template))
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
                give_back_holes(plan.device)


class TorchModel:
    """A model in memory. Implements ``LoadedModel``."""

    def __init__(self, model: Any, chat: ChatTokenizer) -> None:
        self._model = model
        self._chat = chat
        self._base_answers: dict[object, list[list[int]]] = {}

    def stream(self, turns: Sequence[Turn], params: SamplingParams) -> Iterator[str]:
        """Yield the answer piece by piece, each piece whole characters."""
        with translated("prompt"):
            prompt = self._chat.prompt_ids(turns)
            yield from _text_pieces(sampled_tokens(self._model, prompt, self._chat, params), self._chat)

    def answer_all(
        self, conversations: Sequence[Sequence[Turn]], *, max_new_tokens: int, with_adapter: bool = True
    ) -> tuple[str, ...]:
        """Answer greedily, in order."""
        with translated("prompt"):
            answers = self._continuations(self._prompts(conversations), max_new_tokens, with_adapter=with_adapter)
        decode = self._chat.tokenizer.decode
        return tuple(str(decode(answer, skip_special_tokens=True)).strip() for answer in answers)

    def drift(self, conversations: Sequence[Sequence[Turn]], *, max_new_tokens: int) -> float:
        """Mean KL(base ‖ adapter) in nats per token, over the full vocabulary, along the base's own greedy answers."""
        prompts = self._prompts(conversations)
        with translated("exam"):
            answers = self._continuations(prompts, max_new_tokens, with_adapter=False)
            sequences = list(map(Encoded.answered, prompts, answers))
            device = str(next(self._model.parameters()).device)
            batches = micro_batches(sequences, GREEDY_BATCH, self._chat.pad_id, device)
            total = sum(self._divergence(batch) for batch in batches)
        return total / max(1, sum(len(answer) for answer in answers))

    def _continuations(self, prompts: list[list[int]], max_new_tokens: int, *, with_adapter: bool) -> list[list[int]]:
        """Continue prompts greedily. The base's own answers are kept: the exam reads them as text, then measures along
        them."""
        if with_adapter:
            return greedy_continuations(self._model, prompts, self._chat, max_new_tokens)
        key = (tuple(map(tuple, prompts)), max_new_tokens)
        if key not in self._base_answers:
            with self._without_adapter():
                self._base_answers[key] = greedy_continuations(self._model, prompts, self._chat, max_new_tokens)
        return self._base_answers[key]

    def _divergence(self, batch: Batch) -> float:
        """Sum KL(base ‖ adapter) over a batch's answers, nats."""
        import torch

        wanted = batch.labels != IGNORED
        head = head_of(self._transformer)
        total = 0.0
        with torch.inference_mode():
            with self._without_adapter():
                base = hidden_states(self._transformer, batch)[wanted]
            adapted = hidden_states(self._transformer, batch)[wanted]
            for part in chunks(len(base)):
                old, new = (torch.log_softmax(head(states[part]), -1) for states in (base, adapted))
                total += float((old.exp() * (old - new)).sum())
        return total

    def _prompts(self, conversations: Sequence[Sequence[Turn]]) -> list[list[int]]:
        return [self._chat.prompt_ids(turns) for turns in conversations]

    @property
    def _transformer(self) -> Any:
        return transformer_of(self._model)

    @contextmanager
    def _without_adapter(self) -> Iterator[None]:
        if not hasattr(self._model, "disable_adapter"):  # a bare base
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
