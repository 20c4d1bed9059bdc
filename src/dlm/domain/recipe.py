"""Choosing the knobs a document leaves out. What the document sets is obeyed to the letter."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import attrs

from dlm.domain.base_models import BaseSpec
from dlm.domain.choice import Choice
from dlm.domain.errors import ConfigError
from dlm.domain.frontmatter import Frontmatter
from dlm.domain.training import Recipe

T = TypeVar("T")

SET = "set in the document"

SMALL_BASE = 1_000_000_000
"""Weights below which a base needs firm steps: it has little room between not learning and learning."""

MAX_PASSES, MIN_PASSES = 30, 8
"""Passes over a short and over a very long document. Each pass asks in other words. Thirty end within a minute on
a laptop; more teach more (``docs/log.md``). Where there are thousands of rows, one supports the other."""

PROSE_PASSES = 3
"""Passes over a large corpus in which there is nothing to ask for, such as a code base; usual for plain reading."""

FULL_PASSES_ROWS = 48
"""Rows up to which a document gets all passes; above, their number falls with the square root of the rows."""

BATCH_ROWS = 9
STOP_LOSS = 0.005
"""Mean loss of a pass, nats per token, below which another pass changes nothing that the exam could see."""

# Chosen together on the development set; what was tried beside them stands in docs/log.md.
REWORDING = 0.75
PROSE_EVERY = 6
ANCHOR_WEIGHT = 1.5
ANCHOR_ROWS = 6
ANCHOR_BANK = 450

REPLAY_RATIO = 0.5
"""Most rows of removed sections in a pass, as a share of the rows of the document."""

FEWEST_READINGS = 8
"""Passes in which each row of a removed section is read at least, however many there are: what is read more rarely is
not answered afterwards."""

PROSE_SHARE = 0.7
"""Share of prose rows above which a document is learned like a book: a slow rise and a rate that never reaches zero."""

_LONG_PROSE = "cosine_with_min_lr"

HOLD_OUT_FROM = 100
"""Rows from which a tenth is held out. Below that each row is something the writer wants learned."""


@attrs.frozen(kw_only=True)
class Material:
    """What there is to learn: rows by kind, how many sentences of the prose can be asked for, and how many rows of
    removed sections are read again."""

    n_prose: int
    n_instruction: int
    n_statements: int = 0
    n_recalled: int = 0

    @property
    def n_rows(self) -> int:
        return self.n_prose + self.n_instruction

    @property
    def n_asked(self) -> int:
        """Rows that are a question, those made from sentences included."""
        return self.n_instruction + self.n_statements

    @property
    def prose_share(self) -> float:
        return self.n_prose / self.n_rows if self.n_rows else 0.0


def choose_recipe(frontmatter: Frontmatter, material: Material, spec: BaseSpec, *, seed: int | None = None) -> Recipe:
    """Decide every knob of a run.

    Raises:
        ConfigError: GaLore, which trains whole weight matrices and cannot train an adapter.
    """
    _refuse_galore(frontmatter.training.optimizer)
    knob = _Knobs(frontmatter)
    rank = knob("lora_r", 16, "enough room for a document on a small base, still a small file")
    batch = _batch_rows(frontmatter)
    schedule = _schedule(knob, frontmatter, material)
    passes = knob("num_epochs", *_passes(material))
    return Recipe(
        adapter=knob("adapter", "lora", "the smallest and fastest adapter"),
        lora_r=rank,
        lora_alpha=knob("lora_alpha", 2 * rank.value, "twice the rank, the usual scale of two"),
        lora_dropout=knob("lora_dropout", 0.0, "no dropout: the document is to be learned, and steps are faster"),
        target_modules=knob("target_modules", "auto", "all linear layers except the output head"),
        sequence_len=_sequence_len(frontmatter, spec),
        learning_rate=knob("learning_rate", *_rate(spec)),
        num_epochs=passes,
        optimizer=knob("optimizer", "adamw_torch", "exact AdamW; its state is small for an adapter"),
        lr_scheduler=schedule,
        warmup_ratio=knob("warmup_ratio", *_warmup(schedule.value)),
        stop_loss=_stop_loss(knob),
        batch_rows=batch,
        rewording=Choice(REWORDING, "a question that is asked in many ways is known, and not only recited"),
        prose_every=_prose_every(material),
        replay_every=replay_every(material.n_recalled, material.n_asked or material.n_rows, passes.value),
        anchor_weight=_anchor_weight(frontmatter),
        anchor_rows=Choice(ANCHOR_ROWS, "ordinary questions in each step"),
        anchor_bank=Choice(ANCHOR_BANK, "the more there are, the less depends on any one of them"),
        seed=frontmatter.training.seed if seed is None else seed,
    )


class _Knobs:
    """Gives a knob as the document set it, or as we choose it."""

    def __init__(self, frontmatter: Frontmatter) -> None:
        self._frontmatter = frontmatter

    def is_set(self, name: str) -> bool:
        return self._frontmatter.is_explicit(f"training.{name}")

    def __call__(self, name: str, value: Any, reason: str) -> Choice[Any]:
        if self.is_set(name):
            return Choice(getattr(self._frontmatter.training, name), SET)
        return Choice(value, reason)


def _rate(spec: BaseSpec) -> tuple[float, str]:
    if spec.params < SMALL_BASE:
        return 1.5e-3, "a small base needs firm steps to learn new facts"
    return 4e-4, "a larger base learns the same from gentler steps"


def _batch_rows(frontmatter: Frontmatter) -> Choice[int]:
    training = frontmatter.training
    micro, accumulate = training.micro_batch_size, training.grad_accum
    if micro == "auto" and accumulate == "auto":
        return Choice(BATCH_ROWS, "several rows a step smooth the way, more would mean fewer steps")
    rows = (BATCH_ROWS if micro == "auto" else micro) * (1 if accumulate == "auto" else accumulate)
    return Choice(rows, "micro_batch_size × grad_accum, set in the document")


def _passes(material: Material) -> tuple[int, str]:
    rows = max(1, material.n_asked or material.n_rows)
    wanted = round(MAX_PASSES * min(1.0, math.sqrt(FULL_PASSES_ROWS / rows)))
    if not material.n_asked:
        return max(PROSE_PASSES, wanted), f"{rows} texts to read; a large corpus needs few passes"
    return max(MIN_PASSES, wanted), f"{rows} questions; short documents need many passes, long ones fewer"


def _stop_loss(knob: _Knobs) -> Choice[float | None]:
    if knob.is_set("num_epochs"):
        return Choice(None, "num_epochs is set in the document")
    return Choice(STOP_LOSS, "ends early when every question is known in every wording of a pass")


def _prose_every(material: Material) -> Choice[int]:
    if not material.n_asked:
        return Choice(1, "there is only prose, and nothing in it to ask for")
    return Choice(PROSE_EVERY, "half of its sentences are asked for in each pass; reading all of it takes longer")


def replay_every(n_recalled: int, n_current: int, passes: int) -> Choice[int]:
    """Decide in how many passes the rows of removed sections come round once."""
    if not n_recalled:
        return Choice(1, "no section was removed")
    wanted = math.ceil(n_recalled / (REPLAY_RATIO * max(1, n_current)))
    often_enough = max(1, passes // FEWEST_READINGS)
    reason = f"{n_recalled} rows of removed sections beside {n_current} of the document, which comes first"
    return Choice(min(wanted, often_enough), reason)


def _anchor_weight(frontmatter: Frontmatter) -> Choice[float]:
    retention = frontmatter.training.retention
    if retention != "auto":
        return Choice(float(retention), SET)
    return Choice(ANCHOR_WEIGHT, "ordinary answers weigh more than the document's")


def _sequence_len(frontmatter: Frontmatter, spec: BaseSpec) -> Choice[int]:
    wanted = frontmatter.training.sequence_len
    if wanted > spec.context_limit:
        return Choice(spec.context_limit, f"{spec.key} reads at most {spec.context_limit} tokens")
    return Choice(wanted, SET if frontmatter.is_explicit("training.sequence_len") else "default")


def _schedule(knob: _Knobs, frontmatter: Frontmatter, material: Material) -> Choice[str]:
    """``training.cpt.schedule``: mostly-prose documents end at a tenth of the rate instead of zero."""
    schedule = frontmatter.training.cpt.schedule
    if schedule == "dapt":
        return Choice(_LONG_PROSE, "training.cpt.schedule: dapt is set in the document")
    if schedule == "auto" and material.prose_share > PROSE_SHARE and not knob.is_set("lr_scheduler"):
        return Choice(_LONG_PROSE, f"{material.prose_share:.0%} of the rows are prose")
    return knob("lr_scheduler", "cosine", "falls smoothly to zero")


def _warmup(schedule: str) -> tuple[float, str]:
    if schedule == _LONG_PROSE:
        return 0.2, "much prose: a slow rise keeps what the base knows"
    return 0.05, "a short rise, then full speed"


def _refuse_galore(optimizer: str) -> None:
    if optimizer.startswith("galore"):
        raise ConfigError(
            "config.galore-adapter",
            f"training.optimizer is {optimizer}, which projects the gradients of whole weight matrices; an adapter has "
            "only small ones",
            hint="Use adamw_torch, or adamw_bnb_8bit on a CUDA machine.",
        )


def held_out_fraction(material: Material) -> Choice[float]:
    """Give the share of rows kept for evaluation."""
    if material.n_rows < HOLD_OUT_FROM:
        return Choice(0.0, f"{material.n_rows} rows: each is something to learn, none is held out")
    return Choice(0.1, "one row in ten is held out to watch for overfitting")


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Give knob → value and reason."""
    record: dict[str, Any] = {"seed": recipe.seed}
    for field in attrs.fields(Recipe):
        choice = getattr(recipe, field.name)
        if isinstance(choice, Choice):
            record[field.name] = {"value": choice.value, "reason": choice.reason}
    return record
