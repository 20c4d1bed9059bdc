"""Planning a training run: every check and every decision, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from dlm.app.base_access import BaseAccess, open_base
from dlm.app.reach import left_out, refuse_other_shapes
from dlm.domain.base_models import ResolvedBase
from dlm.domain.document import Document
from dlm.domain.errors import ResumeError, UsageError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.hardware import Capabilities
from dlm.domain.lessons import statement_rows
from dlm.domain.lock import LockMode
from dlm.domain.manifest import Manifest
from dlm.domain.memory import judge_disk
from dlm.domain.model_shape import ModelShape
from dlm.domain.plan import TrainingPlan
from dlm.domain.planning import PlanRequest, resolve_training_plan
from dlm.domain.recipe import Material, choose_recipe, held_out_fraction
from dlm.domain.rows import Row, Split, longest_row, split_rows
from dlm.domain.training import Recipe
from dlm.ports.clock import Clock
from dlm.ports.generator import GeneratorPort
from dlm.ports.hardware import HardwareProbe
from dlm.ports.registry import RegistryPort
from dlm.ports.store import StorePort
from dlm.ports.token_cache import TokenCachePort
from dlm.ports.trainer import TrainerPort

TrainMode = Literal["fresh", "resume"]


@attrs.frozen(kw_only=True)
class TrainOptions:
    """What a person may ask of one run.

    Args:
        max_steps: cap on the adapter's optimiser steps, resumed ones included.
        lock_mode: what to do when ``dlm.lock`` disagrees.
        break_lock: take over a writer lock that a killed process left behind.
        force_plan: pass over refusals of practicality (not of impossibility).
        wait_s: seconds to wait for another process that works on this document.
        use_cache: keep rows as token ids for the next training, where the document names sources.
    """

    mode: TrainMode = "fresh"
    seed: int | None = None
    max_steps: int | None = None
    accept_license: bool = False
    lock_mode: LockMode = "default"
    skip_export_probes: bool = False
    break_lock: bool = False
    force_plan: bool = False
    wait_s: float = 0.0
    use_cache: bool = True

    def check(self) -> None:
        """Refuse values that cannot mean anything.

        Raises:
            UsageError: naming the option and its value.
        """
        problems = [
            (self.mode not in ("fresh", "resume"), f"mode is {self.mode!r}; it is fresh or resume"),
            (self.lock_mode not in ("default", "strict", "update", "ignore"), f"lock_mode is {self.lock_mode!r}"),
            (self.seed is not None and self.seed < 0, f"seed is {self.seed}; it must be 0 or more"),
            (self.max_steps is not None and self.max_steps < 1, f"max_steps is {self.max_steps}; it must be 1 or more"),
        ]
        for wrong, message in problems:
            if wrong:
                raise UsageError("train.bad-option", message, subject="train", hint="Leave it out to use the default.")


@attrs.frozen(kw_only=True)
class TrainPorts:
    """The world, as training needs it."""

    store: StorePort
    registry: RegistryPort
    hardware: HardwareProbe
    trainer: TrainerPort
    generator: GeneratorPort
    clock: Clock
    token_cache: TokenCachePort | None = None


@attrs.frozen(kw_only=True)
class PlannedRun:
    """Every decision of a run, made before anything is written."""

    access: BaseAccess
    base: ResolvedBase
    capabilities: Capabilities
    split: Split
    recipe: Recipe
    plan: TrainingPlan
    adapter_params: int


def plan_run(
    document: Document, manifest: Manifest | None, options: TrainOptions, *, ports: TrainPorts, emit: Emit = ignore
) -> PlannedRun:
    """Decide everything; the base is fetched when it is not on this machine yet, nothing else is written."""
    access = open_base(
        document,
        manifest,
        registry=ports.registry,
        now=ports.clock.now(),
        accept_license=options.accept_license,
        skip_export_probes=options.skip_export_probes,
    )
    if access.spec.capability_warning:
        emit(Note(subject="train", message=access.spec.capability_warning, severity="warning"))
    refuse_other_shapes(document)
    for message in left_out(document):
        emit(Note(subject="train", message=message, severity="warning"))
    rows = [row for row in document.rows() if row.kind in ("prose", "instruction")]
    n_prose = sum(row.kind == "prose" for row in rows)
    n_statements = sum(1 for _ in statement_rows(rows))
    material = Material(n_prose=n_prose, n_instruction=len(rows) - n_prose, n_statements=n_statements)
    recipe = choose_recipe(document.frontmatter, material, access.spec, seed=options.seed)
    base = ports.registry.fetch(access.spec, emit=emit)
    shape = ModelShape.from_config(base.config, access.spec.params)
    capabilities = ports.hardware.probe()
    plan = resolve_training_plan(
        capabilities, shape, _plan_request(document, recipe, rows), spec=access.spec, force=options.force_plan
    )
    adapter_params = shape.lora_params(recipe.lora_r.value, recipe.adapter.value, recipe.target_modules.value)
    judge_disk(ports.store.free_bytes(), adapter_params).raise_if_refused()
    split = split_rows(rows, recipe.seed, held_out_fraction(material).value)
    split = Split((*split.train, *statement_rows(split.train)), split.validation)
    return PlannedRun(
        access=access,
        base=base,
        capabilities=capabilities,
        split=split,
        recipe=recipe,
        plan=plan,
        adapter_params=adapter_params,
    )


def _plan_request(document: Document, recipe: Recipe, rows: Sequence[Row]) -> PlanRequest:
    training = document.frontmatter.training
    return PlanRequest(
        adapter=recipe.adapter.value,
        lora_r=recipe.lora_r.value,
        target_modules=recipe.target_modules.value,
        sequence_len=recipe.sequence_len.value,
        micro_batch_size=training.micro_batch_size,
        grad_accum=training.grad_accum,
        precision=training.precision,
        optimizer=recipe.optimizer.value,
        batch_rows=recipe.step_rows,
        longest_row_tokens=longest_row(rows, document.frontmatter.system_prompt),
        dropout=recipe.lora_dropout.value,
    )


def require_something_to_resume(document: Document, options: TrainOptions, store: StorePort) -> None:
    """Refuse ``mode="resume"`` where nothing was left to continue.

    Raises:
        ResumeError: neither a checkpoint nor an adapter.
    """
    if options.mode != "resume":
        return
    if store.checkpoint(document.dlm_id) is None and store.current(document.dlm_id) is None:
        raise ResumeError(
            "resume.nothing",
            "there is nothing to continue: this document has no checkpoint and no adapter",
            hint="Leave --resume out for the first training.",
        )
