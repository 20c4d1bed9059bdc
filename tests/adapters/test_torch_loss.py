"""Losses in chunks equal losses in one piece."""

from __future__ import annotations

import pytest
import torch

from dlm.adapters.torch.loss import (
    OutputHead,
    TopK,
    chunked_backward,
    position_losses,
    summed_cross_entropy,
    summed_divergence,
)

POSITIONS, HIDDEN, VOCABULARY = 13, 6, 40


@pytest.fixture
def parts() -> tuple[torch.Tensor, torch.nn.Linear, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    head = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False)
    head.weight.data = torch.randn(VOCABULARY, HIDDEN, generator=generator)
    hidden = torch.randn(POSITIONS, HIDDEN, generator=generator, requires_grad=True)
    return hidden, head, torch.randint(0, VOCABULARY, (POSITIONS,), generator=generator)


@pytest.mark.parametrize("chunk", [1, 4, 13, 100])
def test_chunked_cross_entropy_is_the_whole_one(
    parts: tuple[torch.Tensor, torch.nn.Linear, torch.Tensor], chunk: int
) -> None:
    hidden, head, targets = parts
    whole = torch.nn.functional.cross_entropy(head(hidden), targets, reduction="sum")
    (wanted,) = torch.autograd.grad(whole, hidden)
    total, gradient = chunked_backward(hidden, head, summed_cross_entropy(targets), chunk=chunk)
    torch.testing.assert_close(total, whole.detach())
    torch.testing.assert_close(gradient, wanted)


def test_no_chunk_sees_more_positions_than_it_may(parts: tuple[torch.Tensor, torch.nn.Linear, torch.Tensor]) -> None:
    hidden, head, targets = parts
    seen: list[int] = []

    def watching(states: torch.Tensor) -> torch.Tensor:
        seen.append(states.shape[0])
        return head(states)

    chunked_backward(hidden, watching, summed_cross_entropy(targets), chunk=5)
    assert seen == [5, 5, 3]


def _exact_divergence(base: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.kl_div(
        torch.log_softmax(model, -1), torch.log_softmax(base, -1), log_target=True, reduction="sum"
    )


def test_divergence_over_all_tokens_is_exact() -> None:
    generator = torch.Generator().manual_seed(5)
    base, model = (torch.randn(POSITIONS, VOCABULARY, generator=generator) for _ in range(2))
    total = summed_divergence(TopK.of(base, VOCABULARY - 1))(model, slice(None))
    torch.testing.assert_close(total, _exact_divergence(base, model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_divergence_over_the_likeliest_is_a_lower_bound(k: int) -> None:
    generator = torch.Generator().manual_seed(6)
    base, model = (torch.randn(POSITIONS, VOCABULARY, generator=generator) for _ in range(2))
    total = summed_divergence(TopK.of(base, k))(model, slice(None))
    assert 0 < float(total) <= float(_exact_divergence(base, model)) + 1e-5


def test_a_model_does_not_diverge_from_itself() -> None:
    base = torch.randn(POSITIONS, VOCABULARY, generator=torch.Generator().manual_seed(7))
    assert abs(float(summed_divergence(TopK.of(base, 8))(base, slice(None)))) < 1e-4


@pytest.mark.parametrize("positions", [1, 13, 40])
def test_a_bare_head_gives_the_losses_and_gradients_of_any_other(positions: int) -> None:
    draw = torch.Generator().manual_seed(8)
    head = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False)
    head.weight.data = torch.randn(VOCABULARY, HIDDEN, generator=draw)
    hidden = torch.randn(positions, HIDDEN, generator=draw)
    base = TopK.of(torch.randn(positions, VOCABULARY, generator=draw), 5)
    for loss_of in (summed_cross_entropy(torch.arange(positions) % VOCABULARY), summed_divergence(base)):
        bare = OutputHead(head)
        assert bare.is_bare
        wanted = chunked_backward(hidden, lambda states: head(states), loss_of)
        for ours, theirs in zip(chunked_backward(hidden, bare, loss_of), wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    targets = torch.arange(positions) % VOCABULARY
    losses = position_losses(hidden, OutputHead(head), targets)
    torch.testing.assert_close(
        losses, torch.nn.functional.cross_entropy(head(hidden), targets, reduction="none"), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("wrong", [50.0, 1000.0, float("nan")])
def test_the_loss_of_an_impossible_token_is_not_cut_off(wrong: float) -> None:
    logits = torch.tensor([[wrong, 0.0]])
    targets = summed_cross_entropy(torch.tensor([1]))
    loss, slope = targets.slope_of(logits.clone(), slice(0, 1))
    torch.testing.assert_close(loss, targets(logits, slice(0, 1)), equal_nan=True)
    assert slope.isnan().any() == torch.tensor(wrong).isnan()
