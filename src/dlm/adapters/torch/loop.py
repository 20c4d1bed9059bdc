"""The training loop: one story from the first step to the last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from dlm.adapters.torch.anchors import Anchors
from dlm.adapters.torch.batches import IGNORED, Order, collate, length_groups
from dlm.adapters.torch.chat import Encoded
from dlm.adapters.torch.cpu_pace import give_back_holes
from dlm.adapters.torch.loss import (
    Head,
    TopK,
    chunked_backward,
    head_of,
    hidden_states,
    packed_hidden_states,
    position_losses,
    summed_cross_entropy,
    summed_divergence,
)
from dlm.adapters.torch.memory import peak_memory_mb
from dlm.adapters.torch.packable import why_not_packed
from dlm.adapters.torch.packing import CPU_TOKENS, pack, pack_groups
from dlm.adapters.torch.rows import Examples, Parts, Reader
from dlm.adapters.torch.state import Counters
from dlm.domain.errors import TrainingError
from dlm.domain.events import Emit, EvalDone, Note, StepDone
from dlm.domain.lessons import is_read
from dlm.domain.numbers import perplexity, spread
from dlm.domain.schedule import Schedule
from dlm.domain.training import StopReason, TrainingJob, TrainingOutcome

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

MAX_BAD_STEPS = 3
"""Non-finite steps in a row after which a run is given up."""

EVAL_PATIENCE = 3
"""Evaluations without improvement after which a run stops early."""

HOLES_EVERY = 8
"""Steps between two times at which unused memory goes back to the system; an estimated 2 % of their time."""

LOSS_ROWS, LOSS_TOKENS = 256, 16_384
"""Sequences and tokens over which losses before and after are measured, at most: the mean over 256 rows of a document
is within a few hundredths of that over all, and ten thousand rows would take as long as a pass of training."""

CLIP_NORM = 1.0
"""Gradient norm limit, the usual one for fine-tuning."""


@attrs.frozen
class Item:
    """One sequence of a step: a row to learn, or an anchor with the base's distributions to hold on to."""

    encoded: Encoded
    base: TopK | None = None

    @property
    def n_supervised(self) -> int:
        return sum(self.encoded.supervised)


@attrs.define(kw_only=True)
class _Sums:
    """What a step adds up: losses in nats, positions with a loss, tokens read."""

    n_supervised: int
    n_anchor: int
    loss: float = 0.0
    anchor: float = 0.0
    n_tokens: int = 0
    n_anchor_tokens: int = 0


class Loop:
    """Steps over examples; holds no files and draws nothing at random but dropout.

    ``counters`` is advanced in place after each optimiser step, so that whoever saves between two steps saves a state
    from which the very next step can be repeated.
    """

    def __init__(
        self,
        job: TrainingJob,
        adapted: PeftModel,
        optimizer: torch.optim.Optimizer,
        parts: Parts,
        anchors: Anchors,
        reader: Reader,
        counters: Counters,
    ) -> None:
        self.job = job
        self.adapted = adapted
        self.optimizer = optimizer
        self.examples, self.held, self.measured = parts
        self.anchors = anchors
        self.reader = reader
        self.pad_id = reader.chat.pad_id
        self.counters = counters
        self.head: Head = head_of(adapted.get_base_model())
        longest = max([*(part.longest for part in parts), *map(len, anchors.examples)])
        self.why_padded = why_not_packed(adapted.get_base_model(), longest)
        self.shares_prefix = job.recipe.lora_dropout.value == 0
        self.parameters = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        recipe = job.recipe
        self.order = Order(
            self._members, batch_rows=recipe.batch_rows.value, passes=recipe.num_epochs.value, seed=recipe.seed
        )
        self.total = self.order.total
        self.schedule = Schedule(
            kind=recipe.lr_scheduler.value,
            total=self.total,
            warmup=round(recipe.warmup_ratio.value * self.total),
            floor=0.1,
        )
        self.eval_every = max(1, job.max_steps // 4) if job.max_steps else 50
        end = counters.origin + self.total
        self.last_step = end if job.max_steps is None else min(end, job.max_steps)
        self.bad_steps = 0
        self.n_tokens = 0
        self.anchor_seconds = 0.0

    def run(self, *, emit: Emit, stop: Callable[[], bool], after_step: Callable[[], None]) -> TrainingOutcome:
        """Take steps until the job is done, converged, stopped early, capped or interrupted."""
        started = time.monotonic()
        first: float | None = None
        loss: float | None = None
        if self.why_padded:
            emit(Note(subject="train", message=f"rows are padded: {self.why_padded}"))
        reason = self._why_stop(stop)
        before, kept_before = (self._losses(part) if reason is None else {} for part in (self.examples, self.measured))
        self.adapted.train()
        while reason is None:
            loss = self._step(emit)
            first = loss if first is None else first
            reason = self._close_epoch() or self._evaluate(emit) or self._why_stop(stop)
            after_step()
            if self.counters.step % HOLES_EVERY == 0 or reason is not None:
                give_back_holes(self.job.plan.device)
        self.counters.finished = reason in ("completed", "converged", "early-stopped")
        self.adapted.eval()
        measured = loss is not None
        after, kept_after, held = (
            self._losses(part) if measured else {} for part in (self.examples, self.measured, self.held)
        )
        return TrainingOutcome(
            steps=self.counters.step,
            stopped=reason,
            first_train_loss=first,
            final_train_loss=loss,
            tokens=self.n_tokens,
            seconds=time.monotonic() - started,
            val_losses=_of_parts(held),
            train_losses=_of_parts(after),
            section_losses={name: pair for name, pair in _paired(before, after).items() if name not in _PARTS},
            retention=_of_parts(_paired(kept_before, kept_after)),
            peak_memory_mb=peak_memory_mb(self.job.plan.device),
            trainable_params=sum(parameter.numel() for parameter in self.parameters),
            anchor_seconds=self.anchor_seconds,
        )

    def _why_stop(self, stop: Callable[[], bool]) -> StopReason | None:
        counters = self.counters
        if counters.finished or counters.step - counters.origin >= self.total:
            return "completed"
        if self.job.max_steps is not None and counters.step >= self.job.max_steps:
            return "max-steps"
        return "interrupted" if stop() else None

    def _step(self, emit: Emit) -> float:
        """Take one optimiser step and give its mean loss in nats per supervised token."""
        began = time.monotonic()
        local = self.counters.step - self.counters.origin
        rate = self.job.recipe.learning_rate.value * self.schedule.factor(local)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        sums = self._accumulate(self._items_of(local))
        loss = sums.loss / sums.n_supervised
        norm = float(_clip(self.parameters))
        self._update(loss, norm)
        elapsed = max(time.monotonic() - began, 1e-9)
        self._count(sums, elapsed)
        emit(
            StepDone(
                step=self.counters.step,
                total_steps=self.last_step,
                loss=loss,
                lr=rate,
                grad_norm=norm,
                tokens_per_s=sums.n_tokens / elapsed,
                anchor_loss=sums.anchor / sums.n_anchor if sums.n_anchor else None,
                peak_memory_mb=peak_memory_mb(self.job.plan.device),
            )
        )
        return loss

    def _members(self, number: int) -> list[int]:
        """Give the examples that a pass reads."""
        prose_every, replay_every = self.job.recipe.prose_every.value, self.job.recipe.replay_every.value
        return [
            index
            for index, row in enumerate(self.examples.row_of_each())
            if is_read(row, number, prose_every=prose_every, replay_every=replay_every)
        ]

    def _items_of(self, local: int) -> list[Item]:
        """Give what one step trains on: its rows, then a few anchors in rotation."""
        recipe, number = self.job.recipe, self.order.pass_of(local)
        rows = [Item(self.reader.in_pass(self.examples[row], number)) for row in self.order.examples_of(local)]
        count = len(self.anchors.examples) if recipe.anchor_weight.value else 0
        width = min(recipe.anchor_rows.value, count)
        turn = [(local * width + offset) % count for offset in range(width)]
        return rows + [Item(self.anchors.examples[i], self.anchors.targets[i]) for i in turn]

    def _accumulate(self, items: Sequence[Item]) -> _Sums:
        """Add the gradients of a step: mean loss of its rows plus the weighted mean divergence of its anchors."""
        sums = _Sums(
            n_supervised=sum(item.n_supervised for item in items if item.base is None),
            n_anchor=sum(item.n_supervised for item in items if item.base is not None),
        )
        for group in self._micro_batches([item.encoded for item in items]):
            rows = [items[i] for i in group if items[i].base is None]
            anchors = [items[i] for i in group if items[i].base is not None]
            self._backward(rows, anchors, sums)
        return sums

    def _micro_batches(self, rows: Sequence[Encoded]) -> list[list[int]]:
        """Choose which rows go through the model together: as many as the plan has room for."""
        plan = self.job.plan
        max_rows = plan.micro_batch_size.value if plan.micro_batch_tokens is None else None
        max_tokens = plan.micro_batch_tokens
        if self.why_padded:
            return length_groups([len(row) for row in rows], max_rows=max_rows, max_tokens=max_tokens)
        if plan.device == "cpu":
            max_tokens = min(CPU_TOKENS, max_tokens or CPU_TOKENS)
        return pack_groups(rows, max_rows=max_rows, max_tokens=max_tokens, share=self.shares_prefix)

    def _backward(self, rows: Sequence[Item], anchors: Sequence[Item], sums: _Sums) -> None:
        """Run one micro-batch forward and backward; rows' positions come first, then anchors'."""
        hidden, labels = self._supervised([item.encoded for item in (*rows, *anchors)])
        cut = sum(item.n_supervised for item in rows)
        parts = []
        if rows:
            loss, gradient = chunked_backward(hidden[:cut], self.head, summed_cross_entropy(labels[:cut]))
            sums.loss += float(loss)
            parts.append(gradient / sums.n_supervised)
        if anchors:
            targets = _joined([item.base for item in anchors if item.base is not None])
            loss, gradient = chunked_backward(hidden[cut:], self.head, summed_divergence(targets))
            sums.anchor += float(loss)
            parts.append(gradient * (self.job.recipe.anchor_weight.value / sums.n_anchor))
        hidden.backward(_stacked(parts))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        sums.n_tokens += sum(len(item.encoded) for item in (*rows, *anchors))
        sums.n_anchor_tokens += sum(len(item.encoded) for item in anchors)

    def _supervised(self, rows: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
        """Give hidden states ``(positions, hidden)`` and labels ``(positions,)`` where there is something to learn."""
        model, device = self.adapted.get_base_model(), self.job.plan.device
        if self.why_padded:
            batch = collate(rows, self.pad_id, device)
            hidden, labels = hidden_states(model, batch).flatten(0, 1), batch.labels.flatten()
        else:
            packed = pack(rows, device, share=self.shares_prefix)
            hidden, labels = packed_hidden_states(model, packed), packed.labels
        wanted = labels != IGNORED
        return hidden[wanted], labels[wanted]

    def _update(self, loss: float, norm: float) -> None:
        """Apply the gradients, unless they are not numbers; several such steps in a row end the run."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.optimizer.step()
            self.bad_steps = 0
        else:
            self.bad_steps += 1
            if self.bad_steps >= MAX_BAD_STEPS:
                raise TrainingError(
                    "train.diverged",
                    f"the loss was not a number for {MAX_BAD_STEPS} steps, last at step {self.counters.step + 1}",
                    hint="Lower training.learning_rate, or set training.precision: fp32.",
                )
        self.optimizer.zero_grad(set_to_none=True)

    def _count(self, sums: _Sums, elapsed: float) -> None:
        self.counters.step += 1
        self.counters.epoch_loss += sums.loss
        self.counters.epoch_tokens += sums.n_supervised
        self.n_tokens += sums.n_tokens
        self.anchor_seconds += elapsed * sums.n_anchor_tokens / sums.n_tokens

    def _close_epoch(self) -> StopReason | None:
        """At the end of an epoch compare its mean loss with the stop rule and begin a new sum."""
        counters = self.counters
        if not self.order.ends_after(counters.step - counters.origin):
            return None
        mean = counters.epoch_loss / counters.epoch_tokens
        counters.epoch_loss, counters.epoch_tokens = 0.0, 0
        limit = self.job.recipe.stop_loss.value
        return "converged" if limit is not None and mean < limit else None

    def _evaluate(self, emit: Emit) -> StopReason | None:
        """Now and then, look at the held-out rows; stop when they have not improved for a while."""
        counters = self.counters
        if not self.held or counters.step % self.eval_every:
            return None
        loss = self._losses(self.held)["all"]
        emit(EvalDone(step=counters.step, val_loss=loss, perplexity=perplexity(loss)))
        if not math.isfinite(loss):
            raise TrainingError(
                "train.diverged", f"the validation loss is {loss}", hint="Lower training.learning_rate."
            )
        if counters.best_val is None or loss < counters.best_val:
            counters.best_val, counters.bad_evals = loss, 0
        else:
            counters.bad_evals += 1
        return "early-stopped" if counters.bad_evals >= EVAL_PATIENCE else None

    def _losses(self, examples: Examples) -> dict[str, float]:
        """Give the mean loss per token in all, by part and by section; empty ones are left out.

        Questions made from prose do not count. Of many sequences an evenly spread choice is taken.
        """
        import torch

        chosen = [examples[index] for index in _to_measure(examples)]
        read = [example.encoded for example in chosen]
        sums: dict[str, list[float]] = {}
        was_training = self.adapted.training
        self.adapted.eval()
        with torch.no_grad():
            for group in self._micro_batches(read):
                losses = self._row_losses([read[index] for index in group])
                for index, (loss, count) in zip(group, losses, strict=True):
                    for key in ("all", chosen[index].part, chosen[index].row.section_id):
                        pair = sums.setdefault(key, [0.0, 0.0])
                        pair[0] += loss
                        pair[1] += count
        self.adapted.train(was_training)
        return {key: loss / count for key, (loss, count) in sums.items()}

    def _row_losses(self, rows: Sequence[Encoded]) -> list[tuple[float, int]]:
        """Give the summed loss of each row and the number of its supervised positions."""
        hidden, targets = self._supervised(rows)
        counts = [sum(row.supervised) for row in rows]
        ends = list(accumulate(counts))
        losses = position_losses(hidden, self.head, targets)
        return [(float(losses[end - count : end].sum()), count) for end, count in zip(ends, counts, strict=True)]


_PARTS = ("all", "prose", "instruction")
"""Keys of losses that are not section ids."""

M = TypeVar("M")


def _of_parts(losses: Mapping[str, M]) -> dict[str, M]:
    return {name: losses[name] for name in _PARTS if name in losses}


def _to_measure(examples: Examples) -> list[int]:
    """Choose sequences for measuring: evenly spread, and few enough that it takes seconds."""
    own = [index for index, row in enumerate(examples.row_of_each()) if row.statement is None]
    chosen = spread(own, LOSS_ROWS)
    n_tokens = sum(examples.length(index) for index in chosen)
    return spread(chosen, max(1, len(chosen) * LOSS_TOKENS // max(LOSS_TOKENS, n_tokens)))


def _paired(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Give each part's loss before a run and after it."""
    return {key: (before[key], loss) for key, loss in after.items()}


def _stacked(parts: list[torch.Tensor]) -> torch.Tensor:
    import torch

    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _joined(parts: list[TopK]) -> TopK:
    import torch

    return TopK(*(torch.cat([getattr(part, name) for part in parts]) for name in ("ids", "log_probs", "log_rest")))


def _clip(parameters: list[Any]) -> Any:
    import torch

    return torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
