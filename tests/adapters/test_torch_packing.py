"""Packed rows give the losses and gradients of padded ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from dlm.adapters.torch.batches import IGNORED, collate
from dlm.adapters.torch.chat import Encoded
from dlm.adapters.torch.loss import hidden_states, packed_hidden_states
from dlm.adapters.torch.packable import why_not_packed
from dlm.adapters.torch.packing import common_prefix, pack, pack_groups
from dlm.adapters.torch.short_attention import register

SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 512, "initializer_range": 0.2,
    "pad_token_id": 2, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
ARCHITECTURES = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Phi3": {},
    "Mistral": {"sliding_window": None},
    "Gemma2": {"head_dim": 8},
    "Olmo": {},
    "GPTNeoX": {"hidden_dropout": 0.0, "attention_dropout": 0.0},
}
SHAPES = {
    "a common beginning": (20, (5, 9, 12), ()),
    "prose among them": (20, (5, 9), (30, 7)),
    "nothing in common": (0, (), (7, 30)),
    "a beginning longer than the rest": (90, (3, 5), ()),
    "rows of several chunks": (10, (200, 190, 300), ()),
    "equal rows": (0, (), (31, 31)),
}


def _model(name: str, **changes: Any) -> Any:
    config = getattr(transformers, f"{name}Config")(**{**SIZES, **ARCHITECTURES.get(name, {}), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = getattr(transformers, f"{name}ForCausalLM")._from_config(config, attn_implementation=register())
    return model.train()


def _rows(shared: int, lengths: Sequence[int], prose: Sequence[int]) -> list[Encoded]:
    """Chat rows with a common beginning, then rows that begin with another token."""
    draw = random.Random(5)
    start = [3] + [draw.randrange(5, 320) for _ in range(shared - 1)]
    chats = [start + [draw.randrange(5, 320) for _ in range(length)] for length in lengths]
    others = [[4] + [draw.randrange(5, 320) for _ in range(length - 1)] for length in prose]
    return [
        *(Encoded(tuple(ids), tuple(at > shared + 1 for at in range(len(ids)))) for ids in chats),
        *(Encoded(tuple(ids), tuple(at > 0 for at in range(len(ids)))) for ids in others),
    ]


def _result(model: Any, hidden: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    wanted = labels != IGNORED
    logits = model.get_output_embeddings()(hidden[wanted])
    loss = torch.nn.functional.cross_entropy(logits, labels[wanted], reduction="sum")
    model.zero_grad()
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_losses_and_gradients_are_those_of_padded_rows(name: str, shape: str) -> None:
    """fp32; sums of some hundred products in another order agree to about 1e-6."""
    model, rows = _model(name), _rows(*SHAPES[shape])
    batch, packed = collate(rows, 2), pack(rows)
    loss, wanted = _result(model, hidden_states(model, batch).flatten(0, 1), batch.labels.flatten())
    same_loss, gradients = _result(model, packed_hidden_states(model, packed), packed.labels)
    torch.testing.assert_close(same_loss, loss, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == wanted.keys()
    for key, gradient in wanted.items():
        assert float((gradients[key] - gradient).norm()) <= 2e-5 * float(gradient.norm()) + 1e-6, key


def test_the_attention_of_other_devices_computes_the_same() -> None:
    from dlm.adapters.torch import packed_attention as module

    packed = pack(_rows(20, (5, 9), (30,)))
    draw = torch.Generator().manual_seed(1)
    qkv = torch.randn(packed.ids.shape[1], 8, 16, generator=draw)
    results = []
    for attend in (
        lambda x: module._function().apply(x, packed.cells, 4, 0.3),
        lambda x: module._elsewhere(x, packed.cells, 4, 0.3, None),
        lambda x: module._elsewhere(x, packed.cells, 4, 0.3, 1e6),  # a cap so high that it caps nothing
    ):
        x = qkv.clone().requires_grad_(True)
        out = attend(x)
        results.append((out.detach(), *torch.autograd.grad(out.square().sum(), x)))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_pack_reads_the_common_beginning_once() -> None:
    rows = [
        Encoded((5, 6, 7, 8, 9, 1, 2), (False,) * 5 + (True, True)),
        Encoded((5, 6, 7, 8, 9, 3), (False,) * 5 + (True,)),
        Encoded((4, 6), (False, True)),
    ]
    packed = pack(rows)
    assert packed.ids.tolist() == [[5, 6, 7, 8, 9, 1, 2, 9, 3, 4, 6]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 1]]
    assert packed.labels.tolist() == [IGNORED] * 4 + [1, 2, IGNORED, 3, IGNORED, 6, IGNORED]
    assert packed.n_tokens == 15
    assert pack(rows, share=False).ids.shape == (1, 15)


def test_nothing_supervised_is_shared() -> None:
    same = Encoded((5, 6, 7, 8, 9, 10), (False,) * 5 + (True,))
    assert common_prefix([same, same]) == (4, frozenset({0, 1}))
    silent = Encoded((5, 6, 7, 8, 9, 10), (False,) * 6)
    assert common_prefix([silent, silent]) == (5, frozenset({0, 1}))
    learned = Encoded((5, 6, 7, 8, 9, 10), (False,) + (True,) * 5)
    assert common_prefix([learned, learned]) == (0, frozenset())
    assert common_prefix([same]) == (0, frozenset())


@given(
    lengths=st.lists(st.integers(2, 400), min_size=1, max_size=20),
    max_rows=st.none() | st.integers(1, 5),
    max_tokens=st.none() | st.integers(50, 600),
)
@settings(deadline=None)
def test_every_row_is_in_one_group_within_the_limits(
    lengths: list[int], max_rows: int | None, max_tokens: int | None
) -> None:
    rows = [Encoded(tuple(range(n)), (False,) * (n - 1) + (True,)) for n in lengths]
    groups = pack_groups(rows, max_rows=max_rows, max_tokens=max_tokens)
    assert sorted(index for group in groups for index in group) == list(range(len(rows)))
    for group in groups:
        assert max_rows is None or len(group) <= max_rows
        tokens = pack([rows[index] for index in group]).ids.shape[1]
        assert max_tokens is None or len(group) == 1 or tokens <= max_tokens


def test_models_that_cannot_be_packed_say_why() -> None:
    assert why_not_packed(_model("Llama"), 100) is None
    window = _model("Mistral", sliding_window=64)
    assert why_not_packed(window, 64) is None
    assert "window of 64" in str(why_not_packed(window, 65))
    plain = _model("Llama")
    plain.set_attn_implementation("eager")
    assert why_not_packed(plain, 10) == "its attention is eager"


def test_a_model_that_ignores_positions_is_found_out() -> None:
    model = _model("Llama")
    inner = model.model.forward

    def deaf(*, position_ids: torch.Tensor, **inputs: Any) -> Any:
        return inner(position_ids=torch.arange(position_ids.shape[1])[None], **inputs)

    model.model.forward = lambda **inputs: deaf(**inputs) if "position_ids" in inputs else inner(**inputs)
    assert "other results" in str(why_not_packed(model, 10))
    model.model.forward = lambda input_ids, attention_mask, use_cache: inner(
        input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache
    )
    assert "does not take packed rows" in str(why_not_packed(model, 10))
