"""What an export will do, decided once, with reasons; ``dlm export --verbose`` prints it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from dlm.domain.adapter_hygiene import WeightsPlan
from dlm.domain.base_models import BaseSpec
from dlm.domain.choice import Choice
from dlm.domain.dialects import DIALECTS
from dlm.domain.document import Document
from dlm.domain.drafts import resolve_draft
from dlm.domain.export_options import ExportOptions, Selection, choose_quant, ignored_options
from dlm.domain.export_targets import Target
from dlm.domain.ollama_names import ollama_name
from dlm.domain.quantization import QUANTS, QuantName

LOADING_BYTES_PER_WEIGHT = 4
"""The trained model is compared in 32-bit numbers, so that its own rounding does not count."""


@attrs.frozen(kw_only=True)
class ExportPlan:
    """One export.

    Args:
        folder: name below the store's ``exports``.
        name: of the model in Ollama, or under which a server offers it.
        version: of the adapter; the highest of several.
        merged: whether base and adapter become one model.
        weights: what the adapter's files allow, for each adapter.
        imatrix: whether an importance matrix is used.
        num_ctx: tokens of context the model is run with.
        draft: name in Ollama of a model that may write ahead.
        checked: whether the exported model is compared with the trained one and asked a question.
        notes: for the person.
    """

    target: Target
    selection: Selection
    version: int
    folder: str
    name: str
    quant: Choice[QuantName]
    merged: Choice[bool]
    dequantized: bool
    weights: tuple[WeightsPlan, ...]
    imatrix: Choice[bool]
    num_ctx: Choice[int]
    temperature: Choice[float]
    top_p: Choice[float]
    draft: Choice[str | None]
    registers: bool
    checked: Choice[bool]
    notes: tuple[str, ...] = ()

    @property
    def quant_label(self) -> str:
        """The level for records: ``hf`` where the base is not part of the export."""
        return self.quant.value if self.target.weights == "gguf" else "hf"

    def choices(self) -> Iterator[tuple[str, str]]:
        """Give every decision with its reason, for people."""
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if isinstance(value, Choice):
                yield field.name, str(value)
        yield "folder", self.folder
        yield "name", self.name


def plan_export(
    document: Document,
    spec: BaseSpec,
    options: ExportOptions,
    target: Target,
    selection: Selection,
    weights: tuple[WeightsPlan, ...],
    *,
    version: int,
) -> ExportPlan:
    """Decide everything about an export.

    Raises:
        UsageError: a name or draft that is none.
    """
    quant = choose_quant(options, document, target)
    merged = weights[0].merged
    return ExportPlan(
        target=target,
        selection=selection,
        version=version,
        folder="-".join(part for part in (target.folder or quant.value, selection.label) if part),
        name=_name(document, options, target, selection, version),
        quant=quant,
        merged=merged,
        dequantized=options.dequantize and merged.value,
        weights=weights,
        imatrix=_imatrix(options, quant.value, target),
        num_ctx=_context(document, spec),
        temperature=_temperature(document, spec),
        top_p=_top_p(document, spec),
        draft=_draft(spec, options, target),
        registers=target.name == "ollama" and options.registers,
        checked=_checked(options, target),
        notes=_notes(options, target, weights),
    )


def parity_memory_bytes(params: int, quant: QuantName) -> int:
    """Give the memory that comparing takes: the trained model, and after it the exported one, with room to work in."""
    largest = max(LOADING_BYTES_PER_WEIGHT, QUANTS[quant].bytes_per_weight)
    return int(params * largest * 1.2)


def _name(document: Document, options: ExportOptions, target: Target, selection: Selection, version: int) -> str:
    if target.name == "ollama" or options.name is not None:
        return ollama_name(options.name, document.dlm_id, version, selection.label)
    return f"dlm-{document.dlm_id.lower()}{f'-{selection.label}' if selection.label else ''}"


def _imatrix(options: ExportOptions, quant: QuantName, target: Target) -> Choice[bool]:
    if target.weights != "gguf":
        return Choice(False, f"{target.title} keeps the base's own weights")
    if not QUANTS[quant].uses_importance:
        return Choice(False, f"{quant} rounds every column alike")
    if not options.uses_imatrix:
        return Choice(False, "--no-imatrix")
    return Choice(True, f"{quant} keeps the columns that matter more exactly")


def _context(document: Document, spec: BaseSpec) -> Choice[int]:
    learned, limit = document.frontmatter.training.sequence_len, spec.context_limit
    if learned <= limit:
        return Choice(learned, "training.sequence_len")
    return Choice(limit, f"the context of {spec.key}")


def _temperature(document: Document, spec: BaseSpec) -> Choice[float]:
    chosen = document.frontmatter.export.default_temperature
    if chosen is not None:
        return Choice(chosen, "export.default_temperature")
    return Choice(spec.suggested_temperature, f"what {spec.key} suggests")


def _top_p(document: Document, spec: BaseSpec) -> Choice[float]:
    chosen = document.frontmatter.export.default_top_p
    if chosen is not None:
        return Choice(chosen, "export.default_top_p")
    return Choice(DIALECTS[spec.template].top_p, f"usual for {spec.template}")


def _draft(spec: BaseSpec, options: ExportOptions, target: Target) -> Choice[str | None]:
    draft = resolve_draft(spec, options.draft, off=not options.uses_draft)
    return draft if target.name == "ollama" else Choice(None, "only Ollama is told of draft models")


def _checked(options: ExportOptions, target: Target) -> Choice[bool]:
    if not options.checks:
        return Choice(False, "--no-smoke")
    if target.name == "hf-adapter":
        return Choice(False, "the files are the trained ones")
    return Choice(True, "an export is asked before it is handed on")


def _notes(options: ExportOptions, target: Target, weights: tuple[WeightsPlan, ...]) -> tuple[str, ...]:
    ignored = ignored_options(options, target)
    unused = (f"{', '.join(ignored)} {'mean' if len(ignored) > 1 else 'means'} nothing for {target.title}",)
    return (*(unused if ignored else ()), *dict.fromkeys(note for plan in weights for note in plan.notes))
