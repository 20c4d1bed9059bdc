"""Describing a model that is not in the registry (``hf:`` and ``path:``) from the files it comes with."""

from __future__ import annotations

from collections.abc import Iterable

from dlm.domain.base_facts import (
    EXPORTABLE_LABELS,
    BaseFacts,
    architecture_of,
    context_of,
    estimate_params,
    gguf_arch_of,
)
from dlm.domain.base_models import ATTENTION_TARGETS, FUSED_TARGETS, BaseSpec
from dlm.domain.pretokenizers import infer_pretokenizer
from dlm.domain.probes import ProbeResult, raise_fatal, run_probes


def describe_facts(selector: str, facts: BaseFacts, *, skip_export_probes: bool = False) -> BaseSpec:
    """Check a model's facts and build its description.

    Args:
        selector: becomes the key: ``hf:<org>/<name>`` or ``path:<folder>``.
        skip_export_probes: leave out the checks that matter only for GGUF export.

    Raises:
        BaseModelError: the model cannot be used; every failed check is listed.
    """
    label, pre_note = infer_pretokenizer(facts.tokenizer)
    dialect = chat_dialect(facts)
    results = run_probes(facts, dialect=dialect, pre_note=pre_note, skip_export=skip_export_probes)
    raise_fatal(selector, results)
    return _synthesise(selector, facts, dialect=dialect or "chatml", tokenizer_pre=label, results=results)


def _synthesise(
    selector: str, facts: BaseFacts, *, dialect: str, tokenizer_pre: str, results: tuple[ProbeResult, ...]
) -> BaseSpec:
    params = facts.params or estimate_params(facts.config)
    context = context_of(facts.config)
    architecture = architecture_of(facts.config)
    exports = [result.detail for result in results if result.severity == "export-only" and result.failed]
    return BaseSpec(
        key=selector,
        hf_id=facts.name,
        revision=facts.revision,
        architecture=architecture,
        params=params,
        size_gb_fp16=max(0.1, 2 * params / 2**30),
        modality="text",
        context_length=context,
        recommended_seq_len=min(context, 2048),
        template=dialect,
        gguf_arch=gguf_arch_of(architecture),
        tokenizer_pre=tokenizer_pre,
        target_modules=target_modules_of(gguf_arch_of(architecture), facts.tensor_names),
        license_spdx="Unknown",
        license_url=None,
        redistributable=False,
        export_refusal="; ".join(exports) or None,
        notes=tuple(result.detail for result in results if result.severity == "advisory" and result.failed),
    )


# Leaf names of attention and MLP matrices; the embedding and the output head are not among them, so that every runtime
# can load the adapter.
_ATTENTION_LEAVES = (
    *ATTENTION_TARGETS,
    "qkv_proj",
    "query_key_value",
    "c_attn",
    "Wqkv",
    "wqkv",
    "out_proj",
    "dense",
    "c_proj",
    "wo",
)


def target_modules_of(gguf_arch: str, tensor_names: Iterable[str]) -> tuple[str, ...]:
    """Give the layers an adapter changes: read off the weights' names when they are known, else by architecture."""
    if gguf_arch == "phi3":
        return FUSED_TARGETS
    leaves = {name.removesuffix(".weight").rpartition(".")[2] for name in tensor_names if name.endswith(".weight")}
    found = tuple(leaf for leaf in _ATTENTION_LEAVES if leaf in leaves)
    if found:
        return found
    return ATTENTION_TARGETS if gguf_arch in EXPORTABLE_LABELS else ("all-linear",)


_MARKERS = {
    "chatml": "<|im_start|>",
    "llama3": "<|start_header_id|>",
    "gemma2": "<start_of_turn>",
    "phi3": "<|end|>",
    "mistral": "[INST]",
}
_MARKERS_OF_NAMED = {**_MARKERS, "smollm3": "<|im_start|>", "olmo2": "<|assistant|>", "phi4mini": "<|end|>"}


def chat_dialect(facts: BaseFacts) -> str | None:
    """Give the chat dialect a model speaks, or None when its chat template is none of the known ones.

    The model's family is asked first; the template it brings has the last word, because fine-tuned models often speak
    another dialect than the family they come from.
    """
    named = _dialect_by_name(facts.name.lower(), architecture_of(facts.config))
    text = facts.chat_template
    if text is None or _MARKERS_OF_NAMED[named] in text:
        return named
    return next((dialect for dialect, marker in _MARKERS.items() if marker in text), None)


def _dialect_by_name(name: str, architecture: str) -> str:
    rules = (
        ("gemma2", "gemma-2" in name or architecture.startswith("Gemma2")),
        ("smollm3", "smollm3" in name or architecture.startswith("SmolLM3")),
        ("olmo2", "olmo-2" in name or architecture.startswith("Olmo2")),
        ("llama3", "llama-3" in name or "llama3" in name),
        ("phi4mini", "phi-4-mini-reasoning" in name),
        ("phi3", architecture.startswith("Phi")),
        ("mistral", architecture.startswith(("Mistral", "Mixtral"))),
    )
    return next((dialect for dialect, holds in rules if holds), "chatml")
