"""Checks of a model nobody has reviewed for the registry, before anything is built on it.

Three severities: a *fatal* failure refuses the base, an *export-only* failure leaves training and prompting and closes
GGUF export, an *advisory* failure is a note. All checks run, so one answer lists everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from dlm.domain.base_facts import EXPORTABLE_ARCHITECTURES, BaseFacts, architecture_of
from dlm.domain.base_files import gguf_names, has_safetensors, has_tokenizer, pickle_names
from dlm.domain.errors import BaseModelError

Severity = Literal["fatal", "export-only", "advisory"]


@attrs.frozen(kw_only=True)
class ProbeResult:
    """One check: ``detail`` says what is wrong, ``hint`` what to do; both are empty when it passed.

    A skipped check counts as passed.
    """

    name: str
    severity: Severity
    passed: bool
    code: str = ""
    detail: str = ""
    hint: str = ""
    skipped: bool = False

    @property
    def failed(self) -> bool:
        """Whether the check ran and did not pass."""
        return not self.passed and not self.skipped


@attrs.frozen
class ProbeFault:
    """What a check found wrong, and what to do about it."""

    code: str
    detail: str
    hint: str = ""


_OTHER_BASE = "Choose a text chat model, or a base of the registry."


def run_probes(
    facts: BaseFacts, *, dialect: str | None, pre_note: str | None, skip_export: bool = False
) -> tuple[ProbeResult, ...]:
    """Run every check over what a model's small files say.

    Args:
        dialect: chat dialect found in the chat template; None when it is none of the known ones.
        pre_note: why the pre-tokenizer label is a guess; None when it is known.
        skip_export: mark the export checks as skipped.
    """
    fatal: tuple[tuple[str, Callable[[BaseFacts], ProbeFault | None]], ...] = (
        ("architecture", architecture_fault),
        ("weights", lambda facts: weights_fault(facts.files)),
        ("remote_code", lambda facts: remote_code_fault(facts.config, facts.tokenizer_config)),
        ("precision", lambda facts: quantised_fault(facts.config)),
        ("tokenizer", lambda facts: tokenizer_fault(facts.files)),
        ("chat_template", lambda facts: chat_template_fault(facts.chat_template)),
    )
    results = [_result(name, "fatal", check(facts)) for name, check in fatal]
    exports = (("gguf_arch", _gguf_arch_fault(facts)), ("chat_dialect", _dialect_fault(dialect)))
    results += [_result(name, "export-only", fault, skipped=skip_export) for name, fault in exports]
    label = ProbeFault("", pre_note) if pre_note else None
    results.append(_result("pretokenizer_label", "advisory", label, skipped=skip_export))
    return tuple(results)


def raise_fatal(selector: str, results: Sequence[ProbeResult]) -> None:
    """Raise when a fatal check failed, listing every failed check.

    Raises:
        BaseModelError: with the code and hint of the first fatal failure.
    """
    failed = [result for result in results if result.failed]
    first = next((result for result in failed if result.severity == "fatal"), None)
    if first is None:
        return
    lines = "".join(f"\n  {result.name}: {result.detail}" for result in failed)
    raise BaseModelError(
        first.code,
        f"{selector} cannot be used as a base: {len(failed)} of {len(results)} checks failed{lines}",
        hint=first.hint or _OTHER_BASE,
        details={"probes": {result.name: result.detail for result in failed}},
    )


_MEDIA_KEYS = ("vision_config", "audio_config", "vision_tower", "audio_encoder_config", "speech_config")
_MEDIA_WORDS = ("ForConditionalGeneration", "VLChat", "VLFor", "Vision", "Audio", "ImageText", "Llava", "ChatModel")


def architecture_fault(facts: BaseFacts) -> ProbeFault | None:
    """Check that the model is one that continues text."""
    name = architecture_of(facts.config)
    if not name:
        return ProbeFault("base.architecture", "config.json does not say which model class it is (architectures)")
    if facts.config.get("is_encoder_decoder") is True:
        return ProbeFault("base.architecture", f"{name} translates one text into another; it does not continue a chat")
    if any(key in facts.config for key in _MEDIA_KEYS) or any(word in name for word in _MEDIA_WORDS):
        return ProbeFault(
            "base.media",
            f"{name} reads pictures or sound; such models are supported only from the registry",
            "Use paligemma-3b-mix-224 or qwen2-vl-2b-instruct for pictures, qwen2-audio-7b-instruct for sound.",
        )
    if not name.endswith(("ForCausalLM", "LMHeadModel")):
        return ProbeFault("base.architecture", f"{name} is not a model that writes text")
    return None


def weights_fault(files: Sequence[str]) -> ProbeFault | None:
    """Check that weights are there in safetensors, the one format that cannot run code."""
    if has_safetensors(files):
        return None
    if "adapter_config.json" in files:
        return ProbeFault(
            "base.is-adapter", "it holds a LoRA adapter, not a model", "Name the model it was trained on."
        )
    if pickles := pickle_names(files):
        return ProbeFault(
            "base.unsafe-weights",
            f"the weights are only in {pickles[0]}, a format that can run code when it is loaded",
            "Look for a version of the model with model.safetensors; dlm loads no other format.",
        )
    if ggufs := gguf_names(files):
        return ProbeFault(
            "base.no-weights",
            f"the weights are only in {ggufs[0]}, a format for running models, not for training them",
            "Name the original model this file was made from.",
        )
    return ProbeFault(
        "base.no-weights",
        "there is neither model.safetensors nor model.safetensors.index.json",
        "Check the path or id.",
    )


def remote_code_fault(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> ProbeFault | None:
    """Check that neither the model nor its tokenizer asks for program code of its own."""
    asking = [name for name, data in (("config", config), ("tokenizer_config", tokenizer_config)) if "auto_map" in data]
    if not asking:
        return None
    return ProbeFault(
        "base.remote-code",
        f"{asking[0]}.json asks to run program code from the model's own files (auto_map)",
        "dlm runs no code that comes with a model. Choose a model without such code.",
    )


def quantised_fault(config: Mapping[str, Any]) -> ProbeFault | None:
    """Check that the weights are plain numbers."""
    settings = config.get("quantization_config")
    if not settings:
        return None
    method = settings.get("quant_method", "unknown") if isinstance(settings, dict) else "unknown"
    return ProbeFault(
        "base.quantised",
        f"the weights are already compressed (method {str(method)[:40]!r}) and cannot be trained as they are",
        "Name the uncompressed original; dlm compresses while loading when the machine needs it.",
    )


def tokenizer_fault(files: Sequence[str]) -> ProbeFault | None:
    """Check that a tokenizer is there."""
    if has_tokenizer(files):
        return None
    return ProbeFault(
        "base.no-tokenizer",
        "there is no tokenizer (tokenizer.json or tokenizer.model)",
        "Copy the tokenizer files of the original model into the folder.",
    )


def chat_template_fault(chat_template: str | None) -> ProbeFault | None:
    """Check that the tokenizer knows how to write a conversation."""
    if chat_template and chat_template.strip():
        return None
    return ProbeFault(
        "base.no-chat-template",
        "the tokenizer has no chat template, so it is a base for continuing text, not for conversation",
        'Choose the variant whose name ends in "Instruct", "Chat" or "it".',
    )


def _gguf_arch_fault(facts: BaseFacts) -> ProbeFault | None:
    name = architecture_of(facts.config)
    if name in EXPORTABLE_ARCHITECTURES:
        return None
    return ProbeFault(
        "", f"models of class {name or 'unknown'} cannot be exported as GGUF yet; training and prompting work"
    )


def _dialect_fault(dialect: str | None) -> ProbeFault | None:
    if dialect is not None:
        return None
    return ProbeFault("", "its chat template is none of the known dialects, so an exported file could not repeat it")


def _result(name: str, severity: Severity, fault: ProbeFault | None, *, skipped: bool = False) -> ProbeResult:
    if fault is None or skipped:
        return ProbeResult(name=name, severity=severity, passed=True, skipped=skipped)
    return ProbeResult(
        name=name, severity=severity, passed=False, code=fault.code, detail=fault.detail, hint=fault.hint
    )
