"""Drawing tokens: greedy for many prompts at once, sampled for one conversation token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dlm.adapters.torch.chat import ChatTokenizer
from dlm.adapters.torch.loss import head_of, transformer_of
from dlm.domain.inference import SamplingParams

if TYPE_CHECKING:
    import torch

GREEDY_BATCH = 64
"""Prompts decoded side by side: on a CPU a step costs nearly the same for one as for many."""


def greedy_continuations(
    model: Any, prompts: Sequence[Sequence[int]], chat: ChatTokenizer, max_new_tokens: int
) -> list[list[int]]:
    """Continue each prompt greedily; an end-of-turn token is part of the answer when it was reached.

    Prompts are sorted by length before batching, so left padding is small; answers come back in the given order.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), GREEDY_BATCH):
        part = order[start : start + GREEDY_BATCH]
        for index, answer in zip(
            part, _greedy_batch(model, [prompts[i] for i in part], chat, max_new_tokens), strict=True
        ):
            answers[index] = answer
    return answers


def _greedy_batch(
    model: Any, prompts: Sequence[Sequence[int]], chat: ChatTokenizer, max_new_tokens: int
) -> list[list[int]]:
    import torch

    device = next(model.parameters()).device
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[chat.pad_id] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    stops = torch.tensor(sorted(stop_ids(model, chat)), device=device)
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    answers: list[list[int]] = [[] for _ in prompts]
    running = torch.ones(len(prompts), dtype=torch.bool, device=device)
    cache = None
    with torch.inference_mode():
        for _ in range(max_new_tokens):
            logits, cache = _next_logits(model, ids, cache, attention_mask=mask, position_ids=positions)
            chosen = logits.argmax(-1)
            for row in running.nonzero().flatten().tolist():
                answers[row].append(int(chosen[row]))
            running &= ~torch.isin(chosen, stops)
            if not bool(running.any()):
                break
            ids = chosen[:, None]
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
            positions = positions[:, -1:] + 1
    return answers


def sampled_tokens(model: Any, prompt: Sequence[int], chat: ChatTokenizer, params: SamplingParams) -> Iterator[int]:
    """Draw one token at a time until an end-of-turn token, which is not given, or ``max_new_tokens``."""
    import torch

    device = next(model.parameters()).device
    generator = torch.Generator(device="cpu")
    if params.seed is None:
        generator.seed()
    else:
        generator.manual_seed(params.seed)
    stops = stop_ids(model, chat)
    warpers = _warpers(params)
    seen = torch.tensor([list(prompt)], device=device)
    ids, cache = seen, None
    for _ in range(params.max_new_tokens):
        with torch.inference_mode():
            scores, cache = _next_logits(model, ids, cache)
            for warper in warpers:
                scores = warper(seen, scores)
            token = _draw(scores, params.temperature, generator)
        if token in stops:
            return
        yield token
        ids = torch.tensor([[token]], device=device)
        seen = torch.cat([seen, ids], dim=1)


def _next_logits(model: Any, ids: torch.Tensor, cache: Any, **inputs: Any) -> tuple[torch.Tensor, Any]:
    """Give the logits after the last token, fp32 ``(rows, vocabulary)``, and the cache that goes with them.

    The head gets a flat matrix: on the strided slice that a model's own ``logits_to_keep`` hands it, torch copies the
    whole vocabulary matrix each time (60 of 100 ms a step on SmolLM2-135M).
    """
    transformer = transformer_of(model)
    output = transformer.base_model(input_ids=ids, past_key_values=cache, use_cache=True, **inputs)
    return head_of(transformer)(output[0][:, -1].contiguous()), output.past_key_values


def _draw(scores: torch.Tensor, temperature: float, generator: torch.Generator) -> int:
    import torch

    if temperature == 0:
        return int(scores.argmax(-1))
    probabilities = torch.softmax(scores, dim=-1).cpu()
    return int(torch.multinomial(probabilities, 1, generator=generator))


def _warpers(params: SamplingParams) -> list[Any]:
    """Give transformers' own score processors for the knobs that are set; greedy keeps only the repetition penalty."""
    from transformers.generation import logits_process as lp

    warpers: list[Any] = []
    if params.repetition_penalty is not None:
        warpers.append(lp.RepetitionPenaltyLogitsProcessor(params.repetition_penalty))
    if params.temperature > 0:
        warpers.append(lp.TemperatureLogitsWarper(params.temperature))
        if params.top_k is not None:
            warpers.append(lp.TopKLogitsWarper(params.top_k))
        if params.top_p is not None:
            warpers.append(lp.TopPLogitsWarper(params.top_p))
    return warpers


def stop_ids(model: Any, chat: ChatTokenizer) -> set[int]:
    """Give the tokens that end an answer: those of the base's generation config and the tokenizer's EOS."""
    declared = transformer_of(model).generation_config.eos_token_id
    ids = declared if isinstance(declared, list) else [declared]
    return {int(token) for token in ids if token is not None} | {chat.eos_id}
