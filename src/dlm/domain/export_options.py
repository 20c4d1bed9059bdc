"""What a person asks of an export, checked before anything is looked at."""

from __future__ import annotations

from typing import Literal, cast

import attrs

from dlm.domain.adapter_mix import MixEntry, mix_hash, parse_mix
from dlm.domain.choice import Choice
from dlm.domain.document import Document
from dlm.domain.errors import UsageError
from dlm.domain.export_targets import TARGETS, Target, TargetName
from dlm.domain.quantization import QUANTS, QuantName

MixMethod = Literal["linear", "svd"]


@attrs.frozen(kw_only=True)
class ExportOptions:
    """The words of ``dlm export``, each as the command line has it.

    Args:
        quant: None leaves it to the document.
        merged: one model with the adapter inside, instead of base and adapter.
        dequantize: merge an adapter trained on a 4-bit base into the 16-bit one.
        name: of the model in Ollama, or under which a server offers it.
        writes_template: write ``TEMPLATE`` into the Modelfile.
        registers: hand the model to Ollama.
        checks: run what was exported: the comparison with the trained model, and a short question.
        uses_imatrix: weigh the base's columns by an importance matrix where the level profits from it.
        draft, uses_draft: the model that writes ahead; none at all.
        adapter, adapter_mix, mix_method: which of several adapters.
        writes_evaluation: also write ``sway.yaml``.
    """

    target: str = "ollama"
    quant: str | None = None
    merged: bool = False
    dequantize: bool = False
    name: str | None = None
    writes_template: bool = True
    registers: bool = True
    checks: bool = True
    uses_imatrix: bool = True
    draft: str | None = None
    uses_draft: bool = True
    adapter: str | None = None
    adapter_mix: str | None = None
    mix_method: MixMethod | None = None
    writes_evaluation: bool = False


@attrs.frozen(kw_only=True)
class Selection:
    """Which adapters are exported, and as what.

    Args:
        adapters: names with weights; the name None is a document's only adapter. Several of a mix become one module,
            several without a mix one module each.
        method: how a mix is made; None for no mix.
        label: tells this selection from others of the document, in names of folders and models; None for the only
            adapter.
    """

    adapters: tuple[tuple[str | None, float], ...]
    method: MixMethod | None = None
    label: str | None = None

    @property
    def names(self) -> tuple[str | None, ...]:
        return tuple(name for name, _ in self.adapters)


def check_options(options: ExportOptions) -> Target:
    """Refuse what cannot be meant, and give the target.

    Raises:
        UsageError: an unknown target or level, or options that exclude one another.
    """
    if options.target not in TARGETS:
        raise _misuse(
            "export.unknown-target",
            f"there is no target {options.target[:60]!r}",
            f"Targets are {', '.join(TARGETS)}.",
        )
    if options.quant is not None and options.quant not in QUANTS:
        raise _misuse(
            "export.unknown-quant", f"there is no level {options.quant[:60]!r}", f"Levels are {', '.join(QUANTS)}."
        )
    for wrong, message, hint in (
        (
            options.dequantize and not options.merged,
            "--dequantize means something only with --merged",
            "Add --merged, or leave --dequantize out.",
        ),
        (
            options.adapter is not None and options.adapter_mix is not None,
            "--adapter and --adapter-mix cannot be used together",
            "Name one adapter, or a mix.",
        ),
        (
            options.mix_method is not None and options.adapter_mix is None,
            "--adapter-mix-method means something only with --adapter-mix",
            "Add a mix, for example --adapter-mix knowledge:1.0,tone:0.5.",
        ),
    ):
        if wrong:
            raise _misuse("export.options", message, hint)
    return TARGETS[cast(TargetName, options.target)]


def choose_quant(options: ExportOptions, document: Document, target: Target) -> Choice[QuantName]:
    """Choose the level of the weights; adapters alone are kept as they are, which counts as 16 bits."""
    if target.weights != "gguf":
        return Choice("F16", f"{target.title} keeps the base model as it is")
    if options.quant is not None:
        return Choice(cast(QuantName, options.quant), "--quant")
    return Choice(cast(QuantName, document.frontmatter.export.default_quant), "export.default_quant")


def select_adapters(options: ExportOptions, document: Document, target: Target) -> Selection:
    """Choose the adapters.

    Raises:
        UsageError: an adapter the document does not declare, or none chosen of several.
    """
    declared = tuple(document.frontmatter.training.adapters or ())
    asked = options.adapter or options.adapter_mix
    if not declared:
        if asked is not None:
            option = "--adapter" if options.adapter else "--adapter-mix"
            raise _misuse("export.adapter", f"{option} needs a document with several adapters", f"Leave {option} out.")
        return Selection(adapters=((None, 1.0),))
    if options.adapter is not None:
        if options.adapter not in declared:
            raise _misuse(
                "export.adapter",
                f"the document declares no adapter {options.adapter[:60]!r}",
                f"It has {', '.join(declared)}.",
            )
        return Selection(adapters=((options.adapter, 1.0),), label=options.adapter)
    if options.adapter_mix is not None:
        return _mix(parse_mix(options.adapter_mix, declared=declared), options.mix_method or "linear")
    if target.name == "vllm":
        return Selection(adapters=tuple((name, 1.0) for name in declared))
    raise _misuse(
        "export.adapter",
        f"the document has several adapters ({', '.join(declared)}), and {target.title} takes one",
        "Choose one with --adapter, or a mix with --adapter-mix.",
    )


def _mix(entries: tuple[MixEntry, ...], method: MixMethod) -> Selection:
    return Selection(
        adapters=tuple((entry.name, entry.weight) for entry in entries),
        method=method,
        label=f"mix-{mix_hash(entries, method)}",
    )


def ignored_options(options: ExportOptions, target: Target) -> tuple[str, ...]:
    """Name the options that were given and mean nothing for this target, as the command line has them."""
    if target.weights == "gguf":
        own_name = target.name == "ollama"
        given = {
            "--no-template": not options.writes_template and not own_name,
            "--skip-ollama": not options.registers and not own_name,
            "--draft": options.draft is not None and not own_name,
            "--no-draft": not options.uses_draft and not own_name,
        }
    else:
        given = {
            "--quant": options.quant is not None,
            "--merged": options.merged,
            "--dequantize": options.dequantize,
            "--no-template": not options.writes_template,
            "--skip-ollama": not options.registers,
            "--no-imatrix": not options.uses_imatrix,
            "--draft": options.draft is not None,
            "--no-draft": not options.uses_draft,
            "--name": options.name is not None and target.name != "vllm",
            "--no-smoke": not options.checks and target.name == "hf-adapter",
        }
    return tuple(name for name, is_given in given.items() if is_given)


def _misuse(code: str, message: str, hint: str) -> UsageError:
    return UsageError(code, message, subject="export", hint=hint)
