"""Whether an adapter can go where a person wants it, decided before any work is done.

A target either runs an adapter beside the base, or gets one model with the adapter's change inside (GGUF only), or
cannot run it at all. Which of these it is follows from the traits of the adapter that are more than plain LoRA on
linear layers, and from the tables here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from types import MappingProxyType

import attrs

from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.base_models import ResolvedBase
from dlm.domain.choice import Choice
from dlm.domain.errors import ExportError
from dlm.domain.export_targets import TARGETS, Target, TargetName

MLX_LAYERS = re.compile(
    r"model\.layers\.(?P<layer>\d+)\."
    r"(?P<key>self_attn\.(?:q_proj|k_proj|v_proj|o_proj|qkv_proj)|mlp\.(?:gate_proj|up_proj|down_proj|gate_up_proj))"
)
"""Layers that mlx-lm calls by the same names as the Hugging Face library. Source: its ``models/`` for llama, qwen2,
qwen3, phi3, gemma2, smollm3 and olmo2, and mixtral for attention only."""

_MLX_THETA = MappingProxyType(
    {
        "llama": 1e4, "mistral": 1e4, "smollm3": 1e4, "phi3": 1e4, "gemma": 1e4, "gemma2": 1e4, "olmo2": 1e4,
        "qwen2": 1e6, "mixtral": 1e6,
    }
)  # fmt: skip
"""Rotary base that mlx-lm takes when it finds no ``rope_theta``. Source: its ``models/``, version 0.32. These families
do not look into ``rope_parameters``, where newer configurations keep it; qwen3 does."""

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM takes for ``--max-lora-rank``. Source: ``vllm/config/lora.py``."""

_ENCODERS = (
    "vision_tower", "visual.", "vision_model", "mm_projector", "multi_modal_projector", "merger.", "audio_tower",
)  # fmt: skip
"""In names of the parts of a media base that are no language model."""

_ENDS = ("embed_tokens", "lm_head")
"""First and last layer of a language model: one row per token."""

_RETRAIN = "Train again: dlm train."
_PEFT_ONLY = "Export with --target hf-adapter: the PEFT library itself can run it."
_MERGES = "Export with --target llama-server or ollama, whose files can hold it, or train without it."


@attrs.frozen(kw_only=True)
class WeightsPlan:
    """How an adapter's weights are written.

    Args:
        merged: one model with the change inside, instead of base and adapter.
        notes: things worth telling that stop nothing.
        lora_rank_limit: ``--max-lora-rank`` for vLLM; None for other targets.
    """

    merged: Choice[bool]
    notes: tuple[str, ...] = ()
    lora_rank_limit: int | None = None


@attrs.frozen(kw_only=True)
class _Case:
    facts: AdapterFacts
    base: ResolvedBase
    target: Target
    base_rows: int


@attrs.frozen(kw_only=True)
class _Trait:
    """Something about an adapter that not every target can run.

    Args:
        find: says what was found, to go after "the adapter"; None when it is not there.
        runs_on: targets that run it beside the base.
        merges: whether it can be put into the base.
    """

    probe: str
    find: Callable[[_Case], str | None]
    runs_on: frozenset[TargetName] = frozenset({"hf-adapter"})
    merges: bool = True


def plan_weights(
    facts: AdapterFacts,
    base: ResolvedBase,
    target: Target,
    *,
    merged: bool,
    dequantize: bool,
    writes_template: bool,
    base_rows: int,
    recorded_base_sha256: str | None = None,
) -> WeightsPlan:
    """Decide how an adapter is written for a target.

    Args:
        merged: asked for; looked at for GGUF targets only, the others always keep the base as it is.
        dequantize: whether an adapter from a 4-bit base may be merged into the 16-bit one.
        writes_template: whether the export says how conversations are written.
        base_rows: tokens the base has a row for in its first layer.
        recorded_base_sha256: digest of the base when the adapter was trained; None when nobody wrote it down.

    Raises:
        ExportError: with the subject ``preflight[<probe>]``, or ``merge`` for a merge that would not be exact.
    """
    _check_base(facts, base, recorded_base_sha256)
    _check_whole(facts, base_rows, writes_template=writes_template)
    case = _Case(facts=facts, base=base, target=target, base_rows=base_rows)
    if target.weights == "mlx":
        _check_rotary(base)
    forced = _forced(case)
    merging = _merging(case, asked=merged, forced=forced)
    if merging.value and facts.trained_4bit and not dequantize:
        raise _unsafe_merge(merging.reason, asked=merged)
    limit = rank_limit(facts.highest_rank) if target.name == "vllm" else None
    return WeightsPlan(merged=merging, notes=tuple(_notes(case, merged=merging.value)), lora_rank_limit=limit)


def rank_limit(rank: int) -> int:
    """Give the smallest rank above or at this one that vLLM can be started for.

    Raises:
        ExportError: there is none.
    """
    limit = next((limit for limit in LORA_RANKS if limit >= rank), None)
    if limit is None:
        raise _refused(
            "export.lora-rank",
            "lora_rank",
            f"the adapter has rank {rank}, and vLLM runs ranks up to {LORA_RANKS[-1]}",
            "Train with a smaller training.lora_r, mix with --adapter-mix-method svd, or export with --target ollama.",
        )
    return limit


def vllm_rank(facts: AdapterFacts, base: ResolvedBase, *, base_rows: int) -> int | None:
    """Give ``--max-lora-rank`` for an adapter's folder; None when vLLM cannot run it."""
    try:
        plan = plan_weights(
            facts, base, TARGETS["vllm"], merged=False, dequantize=False, writes_template=False, base_rows=base_rows
        )
    except ExportError:
        return None
    return plan.lora_rank_limit


def names_base(name: str, base: ResolvedBase) -> bool:
    """Tell whether an adapter's note of its base means this one: its id, or a local copy of the same repository."""
    wanted = base.spec.hf_id.lower()
    parts = [part for part in re.split(r"[/\\]", name.strip().lower()) if part]
    if name == str(base.folder) or "/".join(parts) == wanted:
        return True
    cached = f"models--{wanted.replace('/', '--')}"  # a folder of the Hub's own cache
    is_path = len(parts) > 2 or PurePath(name).is_absolute()
    return is_path and (cached in parts or parts[-wanted.count("/") - 1 :] == wanted.split("/"))


def _check_base(facts: AdapterFacts, base: ResolvedBase, recorded: str | None) -> None:
    if not names_base(facts.base_name, base):
        raise _refused(
            "export.foreign-base",
            "adapter_config",
            f"the adapter was trained on {facts.base_name[:120] or 'a base without a name'}, "
            f"and the document's base is {base.spec.hf_id}",
            "Train the document again, or put its old base_model back.",
        )
    if None not in (recorded, base.sha256) and recorded != base.sha256:
        raise _refused(
            "export.base-changed",
            "base_identity",
            f"the files of {base.spec.hf_id} changed since training, "
            f"from {(recorded or '')[:12]} to {(base.sha256 or '')[:12]}",
            "Train again, or put the old files back: the adapter fits only the base it was trained on.",
        )


def _check_whole(facts: AdapterFacts, base_rows: int, *, writes_template: bool) -> None:
    """Refuse what no target can do anything with."""
    if facts.nonfinite_tensor is not None:
        what = f"{facts.nonfinite_tensor[:120]} of the adapter holds numbers that are none"
        raise _refused("export.bad-weights", "finite", what, "Go back to an earlier version, or train again.")
    size = facts.vocabulary_size
    if size is None:
        raise _refused("export.damaged-adapter", "tokenizer_vocab", "no tokenizer lies beside the adapter", _RETRAIN)
    if size > base_rows and not _saved(facts, "embed_tokens"):
        raise _refused(
            "export.vocabulary",
            "tokenizer_vocab",
            f"the adapter's tokenizer gives ids up to {size - 1}, and the base has {base_rows} rows for them",
            "They do not belong together. Train again with --fresh.",
        )
    if writes_template and not facts.has_chat_template:
        raise _refused(
            "export.no-chat-template",
            "chat_template",
            "the adapter's tokenizer does not say how conversations are written",
            "Add --no-template, or train on a base that was made for conversations.",
        )


def _check_rotary(base: ResolvedBase) -> None:
    """Refuse a base whose positions mlx-lm would count wrongly, in silence.

    A base that was unpacked from a package is left out: MLX fetches it from the Hub, with another ``config.json``.
    """
    rope, theta = base.config.get("rope_parameters"), _MLX_THETA.get(str(base.config.get("model_type")))
    if theta is None or base.origin == "package" or "rope_theta" in base.config or not isinstance(rope, Mapping):
        return
    if rope.get("rope_theta", theta) != theta or rope.get("rope_type", "default") != "default":
        raise _refused(
            "export.cannot-carry",
            "rotary",
            f"{base.spec.hf_id} keeps its rotary settings under rope_parameters, where mlx-lm does not look for them",
            "Export with --target llama-server, or add rope_theta (and rope_scaling) to a config.json of your own.",
        )


def _forced(case: _Case) -> str | None:
    """Give the first reason to merge, after checking all traits."""
    reasons = []
    for trait in _TRAITS:
        what = trait.find(case)
        if what is None or case.target.name in trait.runs_on:
            continue
        if case.target.weights != "gguf" or not trait.merges:
            raise _refused(
                "export.cannot-carry",
                trait.probe,
                f"the adapter {what}, which {case.target.title} cannot run",
                _MERGES if trait.merges else _PEFT_ONLY,
            )
        reasons.append(f"the adapter {what}, which only a merged model can hold")
    return reasons[0] if reasons else None


def _merging(case: _Case, *, asked: bool, forced: str | None) -> Choice[bool]:
    if case.target.weights != "gguf":
        return Choice(False, f"{case.target.title} loads the adapter beside the base")
    if asked:
        return Choice(True, "--merged")
    if forced is not None:
        return Choice(True, forced)
    return Choice(False, "plain LoRA stays a small file beside the base")


def _unsafe_merge(reason: str, *, asked: bool) -> ExportError:
    trained = "it was trained over a 4-bit base (qlora), so that merging into the 16-bit base is not exact"
    if asked:
        message = f"--merged was given for an adapter, and {trained}"
        hint = "Add --dequantize to merge nevertheless, or leave --merged out."
    else:
        message = f"{reason}; but {trained}"
        hint = "Add --merged --dequantize to merge nevertheless, or train again with training.adapter: lora."
    return ExportError("export.merge-4bit", message, subject="merge", hint=hint)


def _notes(case: _Case, *, merged: bool) -> Iterable[str]:
    facts = case.facts
    if facts.trained_4bit:
        how = "merged into" if merged else "run over"
        yield f"the adapter was trained over a 4-bit base and is {how} another one, so answers may differ a little"
    if case.target.name == "hf-adapter" and facts.peculiar:
        yield f"only the PEFT library can run this adapter ({', '.join(facts.peculiar)})"
    if case.target.name == "hf-adapter" and (facts.vocabulary_size or 0) > case.base_rows:
        yield "the tokenizer has more tokens than the base; AutoPeftModelForCausalLM adds rows for them as it loads"


def _refused(code: str, probe: str, message: str, hint: str) -> ExportError:
    return ExportError(code, message, subject=f"preflight[{probe}]", hint=hint)


def _other_kind(case: _Case) -> str | None:
    kind = case.facts.kind
    return None if kind == "LORA" else f"is of the kind {kind[:40]}, not LoRA"


def _peculiar(case: _Case) -> str | None:
    names = case.facts.peculiar
    return f"uses {', '.join(names)}" if names else None


def _unknown_tensors(case: _Case) -> str | None:
    """PEFT may save an unchanged copy of a layer whose change it holds; that is nothing of its own."""
    copies = tuple(f".{name}.base_layer.weight" for name in _ENDS)
    name = next((name for name in case.facts.other_tensors if not name.endswith(copies)), None)
    return None if name is None else f"holds {name[:120]}, which is no change of a linear layer"


def _encoder_layers(case: _Case) -> str | None:
    module = next((name for name in case.facts.ranks if any(part in name for part in _ENCODERS)), None)
    return None if module is None else f"changes {module}, outside the language model"


def _biases(case: _Case) -> str | None:
    return None if case.facts.bias == "none" else f"was trained with bias: {case.facts.bias[:40]}"


def _dora(case: _Case) -> str | None:
    return "is a DoRA adapter" if case.facts.use_dora else None


def _saved_ends(case: _Case) -> str | None:
    name = next((name for end in _ENDS for name in _saved(case.facts, end)), None)
    return None if name is None else f"stores {name} whole"


def _saved_others(case: _Case) -> str | None:
    name = next((name for name in case.facts.saved_modules if _last(name) not in _ENDS), None)
    return None if name is None else f"stores {name} whole"


def _grown(case: _Case) -> str | None:
    size = case.facts.vocabulary_size or 0
    return f"has {size} tokens, and the base {case.base_rows}" if size > case.base_rows else None


def _embedding_change(case: _Case) -> str | None:
    name = next((name for name in case.facts.ranks if _last(name) == "embed_tokens"), None)
    return None if name is None else f"changes the embeddings ({name})"


def _output_change(case: _Case) -> str | None:
    """llama.cpp runs a change of the output layer where that is a tensor of its own, not the embeddings once more."""
    name = next((name for name in case.facts.ranks if _last(name) == "lm_head"), None)
    own = case.target.weights == "gguf" and case.base.config.get("tie_word_embeddings") is False
    return None if name is None or own else f"changes the output layer ({name})"


def _not_in_mlx(case: _Case) -> str | None:
    name = next((name for name in case.facts.ranks if not _is_mlx(name, case.base)), None)
    return None if name is None else f"changes {name}"


def _is_mlx(name: str, base: ResolvedBase) -> bool:
    found = MLX_LAYERS.fullmatch(name)
    return found is not None and (base.spec.modality != "text-moe" or found["key"].startswith("self_attn."))


def _saved(facts: AdapterFacts, layer: str) -> list[str]:
    return [name for name in facts.saved_modules if _last(name) == layer]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


_TRAITS = (
    _Trait(probe="adapter_kind", find=_other_kind, merges=False),
    _Trait(probe="adapter_settings", find=_peculiar, merges=False),
    _Trait(probe="adapter_tensors", find=_unknown_tensors, merges=False),
    _Trait(probe="vl_target_modules_lm_only", find=_encoder_layers, merges=False),
    _Trait(probe="embedding_rows", find=_saved_ends),
    _Trait(probe="embedding_rows", find=_grown),
    _Trait(probe="embedding_rows", find=_embedding_change),
    _Trait(probe="output_layer", find=_output_change),
    _Trait(probe="saved_modules", find=_saved_others),
    _Trait(probe="bias", find=_biases),
    # Source: "does not yet support DoRA" of vLLM's vllm/lora/peft_helper.py; DoRALinear of mlx_lm/tuner/dora.py.
    _Trait(probe="dora", find=_dora, runs_on=frozenset({"hf-adapter", "mlx-serve"})),
    _Trait(
        probe="layers",
        find=_not_in_mlx,
        runs_on=frozenset({"ollama", "llama-server", "vllm", "hf-adapter"}),
    ),
)
