"""Planning a training run: every check and every decision, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from dlm.app.base_access import BaseAccess, open_base
from dlm.app.reach import left_out, refuse_other_shapes
from dlm.app.recalling import Recalled, recall
from dlm.domain.base_models import ResolvedBase
from dlm.domain.corpus import Corpus, Delta
from dlm.domain.document import Document
from dlm.domain.errors import ResumeError, UsageError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.hardware import Capabilities
from dlm.domain.lessons import statement_rows
from dlm.domain.lock import LockMode
from dlm.domain.manifest import Manifest
from dlm.domain.memory import judge_disk
from dlm.domain.metrics import RunPhase
from dlm.domain.model_shape import ModelShape
from dlm.domain.plan import TrainingPlan
from dlm.domain.planning import PlanRequest, resolve_training_plan
from dlm.domain.recipe import Material, choose_recipe, held_out_fraction
from dlm.domain.rows import Row, Split, longest_row, split_rows, weighted
from dlm.domain.training import Recipe
from dlm.ports.clock import Clock
from dlm.ports.generator import GeneratorPort
from dlm.ports.hardware import HardwareProbe
from dlm.ports.metrics import RunSink
from dlm.ports.registry import RegistryPort
from dlm.ports.replay import ReplayPort
from dlm.ports.sources import SourcesPort
from dlm.ports.store import StorePort
from dlm.ports.token_cache import TokenCachePort
from dlm.ports.trainer import TrainerPort

TrainMode = Literal["auto", "fresh", "resume"]
TrainPhase = Literal["all", "sft", "preference"]


@attrs.frozen(kw_only=True)
class TrainOptions:
    """What a person may ask of one run.

    Args:
        mode: ``fresh`` begins again from the base, ``resume`` goes on where the last run stopped; ``auto`` begins
            again too, unless nothing changed since the last run.
        phase: which phases to run.
        max_steps: cap on the adapter's optimiser steps, resumed ones included.
        lock_mode: what to do when ``dlm.lock`` disagrees.
        break_lock: take over a writer lock that a killed process left behind.
        force_plan: pass over refusals of practicality (not of impossibility).
        wait_s: seconds to wait for another process that works on this document.
        use_cache: keep rows as token ids for the next training, where the document names sources.
        strict_metrics: end the run when the metrics database cannot be written.
        trust_sources: let a document that came in a pack read files outside its folder, now and later.
    """

    mode: TrainMode = "auto"
    phase: TrainPhase = "all"
    seed: int | None = None
    max_steps: int | None = None
    accept_license: bool = False
    lock_mode: LockMode = "default"
    skip_export_probes: bool = False
    break_lock: bool = False
    force_plan: bool = False
    wait_s: float = 0.0
    use_cache: bool = True
    strict_metrics: bool = False
    trust_sources: bool = False

    def check(self) -> None:
        """Refuse values that cannot mean anything.

        Raises:
            UsageError: naming the option and its value.
        """
        problems = [
            (self.mode not in ("auto", "fresh", "resume"), f"mode is {self.mode!r}; it is auto, fresh or resume"),
            (self.phase not in ("all", "sft", "preference"), f"phase is {self.phase!r}"),
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
    sources: SourcesPort
    replay: ReplayPort
    clock: Clock
    token_cache: TokenCachePort | None = None
    sinks: tuple[RunSink, ...] = ()


@attrs.frozen(kw_only=True)
class PlannedRun:
    """Every decision of a run, made before anything is written."""

    access: BaseAccess
    base: ResolvedBase
    capabilities: Capabilities
    delta: Delta
    recalled: Recalled
    split: Split
    recipe: Recipe
    plan: TrainingPlan
    adapter_params: int

    @property
    def phase(self) -> RunPhase:
        """What the metrics call this run: ``cpt`` when there is only prose."""
        return "sft" if any(row.kind == "instruction" and not row.statement for row in self.split.train) else "cpt"


def plan_run(
    corpus: Corpus, manifest: Manifest | None, options: TrainOptions, *, ports: TrainPorts, emit: Emit = ignore
) -> PlannedRun:
    """Decide everything; the base is fetched when it is not on this machine yet, nothing else is written."""
    document = corpus.document
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
    for message in left_out(corpus, options.phase):
        emit(Note(subject="train", message=message, severity="warning"))
    rows = [row for row in corpus.rows if row.kind in ("prose", "instruction")]
    delta = corpus.delta(manifest.content_hashes if manifest else ())
    seed = effective_seed(document, options)
    recalled = recall(corpus, ports.replay, manifest, n_new=len(delta.new), seed=seed, emit=emit)
    statements = tuple(statement_rows(rows))
    material = _material(rows, len(statements), recalled)
    recipe = choose_recipe(document.frontmatter, material, access.spec, seed=options.seed)
    base = ports.registry.fetch(access.spec, bundled=ports.store.bundled_base(corpus.document.dlm_id), emit=emit)
    shape = ModelShape.from_config(base.config, access.spec.params)
    capabilities = ports.hardware.probe()
    plan = resolve_training_plan(
        capabilities, shape, _plan_request(document, recipe, rows), spec=access.spec, force=options.force_plan
    )
    adapter_params = shape.lora_params(recipe.lora_r.value, recipe.adapter.value, recipe.target_modules.value)
    judge_disk(ports.store.free_bytes(), adapter_params).raise_if_refused()
    return PlannedRun(
        access=access,
        base=base,
        capabilities=capabilities,
        delta=delta,
        recalled=recalled,
        split=_split(rows, statements, recalled, recipe.seed, held_out_fraction(material).value),
        recipe=recipe,
        plan=plan,
        adapter_params=adapter_params,
    )


def effective_seed(document: Document, options: TrainOptions) -> int:
    """Give the seed of a run."""
    return document.frontmatter.training.seed if options.seed is None else options.seed


def _material(rows: Sequence[Row], n_statements: int, recalled: Recalled) -> Material:
    n_prose = sum(row.kind == "prose" for row in rows)
    return Material(
        n_prose=n_prose,
        n_instruction=len(rows) - n_prose,
        n_statements=n_statements,
        n_recalled=len(recalled.rows),
    )


def _split(rows: Sequence[Row], statements: Sequence[Row], recalled: Recalled, seed: int, fraction: float) -> Split:
    """Divide the rows first and repeat them by their weight afterwards, so that no row is on both sides."""
    split = split_rows(rows, seed, fraction)
    kept = {row.section_id for row in split.train}
    asked = [row for row in statements if row.section_id in kept]
    return Split((*weighted((*split.train, *asked), seed), *recalled.rows), split.validation)


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
