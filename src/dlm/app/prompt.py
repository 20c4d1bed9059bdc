"""Ask a trained document a question."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import attrs

from dlm.app.base_access import open_base, trained_adapter
from dlm.app.callers import shielded, unwrapped
from dlm.domain.document import Document
from dlm.domain.errors import UsageError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.hardware import Capabilities
from dlm.domain.inference import InferencePlan, SamplingParams
from dlm.domain.inference_plan import BackendRequest, resolve_inference_plan
from dlm.domain.rows import Turn
from dlm.ports.clock import Clock
from dlm.ports.generator import GeneratorPort
from dlm.ports.hardware import HardwareProbe
from dlm.ports.registry import RegistryPort
from dlm.ports.store import StorePort


def prompt(
    document: Document,
    query: str,
    *,
    max_tokens: int = 256,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    backend: BackendRequest = "auto",
    store: StorePort,
    registry: RegistryPort,
    hardware: HardwareProbe,
    generators: Mapping[str, GeneratorPort],
    clock: Clock,
    on_plan: Callable[[InferencePlan], None] | None = None,
    emit: Emit = ignore,
) -> Iterator[str]:
    """Yield the answer of the document's current adapter, piece by piece.

    Everything is checked before the first piece is asked for; the model loads with it.

    Args:
        temperature: None means the base's own suggestion; 0 is greedy and repeatable.
        generators: by backend name; a backend without one counts as not installed.

    Raises:
        UsageError: an empty query or a knob outside its range.
        InferenceError: the document was never trained, or on another base.
    """
    params = _params(max_tokens, temperature, top_p, seed)
    if not query.strip():
        raise UsageError("infer.empty-query", "the question is empty", subject="prompt", hint="Give a question.")
    manifest = store.manifest(document.dlm_id)
    adapter = trained_adapter(document, manifest, store)
    access = open_base(document, manifest, registry=registry, now=clock.now())
    plan = resolve_inference_plan(
        _with_backends(hardware.probe(), generators),
        backend=backend,
        trained_with_qlora=store.trained_with_qlora(adapter),
        modality=access.spec.modality,
    )
    if on_plan is not None:
        on_plan(plan)
    if temperature is None:
        params = SamplingParams(
            max_new_tokens=max_tokens, temperature=access.spec.suggested_temperature, top_p=top_p, seed=seed
        )
    emit(Note(subject="prompt", message=f"adapter v{adapter.version:04d} at {adapter.folder}"))

    def answer() -> Iterator[str]:
        with unwrapped():
            base = registry.fetch(access.spec, bundled=store.bundled_base(document.dlm_id), emit=shielded(emit))
        turns = [Turn("user", query)]
        generator = generators[plan.backend.value]
        with generator.load(base, adapter.folder, plan, system_prompt=document.frontmatter.system_prompt) as model:
            yield from model.stream(turns, params)

    return answer()


def _with_backends(capabilities: Capabilities, generators: Mapping[str, GeneratorPort]) -> Capabilities:
    if "mlx" in generators:
        return capabilities
    missing = capabilities.mlx_missing or ("an MLX generator, which this dlm was not given",)
    return attrs.evolve(capabilities, has_mlx=False, mlx_missing=missing)


def _params(max_tokens: int, temperature: float | None, top_p: float | None, seed: int | None) -> SamplingParams:
    """Check the knobs.

    Raises:
        UsageError: naming the knob, its value and its range.
    """
    problems = [
        (max_tokens < 1, f"max tokens is {max_tokens}; it must be 1 or more"),
        (
            temperature is not None and not 0 <= temperature < math.inf,
            f"temperature is {temperature}; it must be 0 or more",
        ),
        (top_p is not None and not 0 < top_p <= 1, f"top-p is {top_p}; it must be above 0 and at most 1"),
    ]
    for wrong, message in problems:
        if wrong:
            raise UsageError("infer.bad-knob", message, subject="prompt", hint="Leave it out to use the default.")
    return SamplingParams(
        max_new_tokens=max_tokens, temperature=0.7 if temperature is None else temperature, top_p=top_p, seed=seed
    )
