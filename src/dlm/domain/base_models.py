"""Base models as values: what a row of the registry says, and where a base was found on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from dlm.domain.errors import BaseModelError

Modality = Literal["text", "text-moe", "vision-language", "audio-language"]
Origin = Literal["folder", "package", "hub-cache", "hub", "pack"]

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
"""``org/name``. Use ``fullmatch``; :func:`is_hub_id` also applies the Hub's rules on length and doubled signs."""

REVISION = re.compile(r"[0-9a-f]{40}")
"""A commit, never a branch: a branch moves, and then the same document trains another model."""

TEMPLATES = (
    "chatml",
    "qwen3thinking",
    "gemma2",
    "smollm3",
    "olmo2",
    "llama3",
    "phi3",
    "phi4mini",
    "mistral",
    "paligemma",
    "qwen2-audio",
    "qwen2-vl",
    "internvl2",
)
"""Chat dialects a base can speak."""

ATTENTION_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Attention projections of most architectures."""

FUSED_TARGETS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
"""Linear layers of architectures that fuse q, k and v (Phi-3)."""

_IMAGE_PLAN = ("target_size", "resize_policy", "image_token", "num_image_tokens")
_AUDIO_PLAN = ("sample_rate", "max_length_seconds", "audio_token", "num_audio_tokens")


@attrs.frozen(kw_only=True)
class BaseSpec:
    """One base model, as the registry (or a probe of ``hf:`` / ``path:``) describes it. See the table in the docs.

    A row that breaks a rule of this list cannot be built.

    Args:
        key: registry slug, ``hf:<org>/<name>`` or ``path:<folder>``.
        hf_id: ``org/name`` on the Hub; for ``path:`` bases the folder's name.
        revision: 40 lowercase hex; for ``path:`` bases None.
        params: number of weights.
        size_gb_fp16: 16-bit size in GB, approximate.
        context_length_effective: the part of the context that works well; None when it is all of it.
        template: chat dialect, one of ``TEMPLATES``.
        target_modules: names of the linear layers an adapter changes; ``("all-linear",)`` when they are not known.
        license_url: None only when ``requires_acceptance`` is False.
        refusal: why this base cannot be used at all; checked before anything is fetched.
        export_refusal: why this base can be trained and prompted but not exported as GGUF; None when it can.
        notes: things worth knowing that stop nothing, from the checks of an ``hf:`` or ``path:`` base.
        media_plan: for vision-language ``target_size`` (height, width in pixels), ``resize_policy``, ``image_token``,
            ``num_image_tokens``; for audio-language ``sample_rate`` (Hz), ``max_length_seconds``, ``audio_token``,
            ``num_audio_tokens``.

    Raises:
        BaseModelError: ``base.bad-row``, listing every broken rule.
    """

    key: str
    hf_id: str
    revision: str | None
    architecture: str
    params: int
    size_gb_fp16: float
    modality: Modality
    context_length: int
    recommended_seq_len: int
    template: str
    gguf_arch: str
    tokenizer_pre: str
    target_modules: tuple[str, ...]
    license_spdx: str
    license_url: str | None
    requires_acceptance: bool = False
    redistributable: bool = True
    redistributable_conditions: str | None = None
    trust_remote_code: bool = False
    context_length_effective: int | None = None
    reasoning_tuned: bool = False
    capability_warning: str | None = None
    refusal: str | None = None
    export_refusal: str | None = None
    notes: tuple[str, ...] = ()
    media_plan: Mapping[str, Any] | None = None
    provenance_url: str | None = None
    provenance_match_text: str | None = None
    refresh_check_hf_gating: bool = True

    def __attrs_post_init__(self) -> None:
        broken = (*_identity_faults(self), *_size_faults(self), *_policy_faults(self), *_media_faults(self))
        if broken:
            raise BaseModelError(
                "base.bad-row",
                f"the description of base {self.key!r} is not valid: {'; '.join(broken)}",
                hint="Check the model's config.json, or choose another base.",
            )

    @property
    def is_local(self) -> bool:
        """Whether this is a folder of the user's own (``path:``)."""
        return self.key.startswith("path:")

    @property
    def lora_scope(self) -> str | None:
        """Regular expression that keeps adapters inside the language model of a media base; None for text bases.

        Without it the names of ``target_modules`` also match layers of the picture and sound encoders, which stay as
        they are.
        """
        if self.modality in ("text", "text-moe"):
            return None
        return rf"(?:.*\.)?language_model\..*\.(?:{'|'.join(map(re.escape, self.target_modules))})"

    @property
    def context_limit(self) -> int:
        """Tokens of context to plan with."""
        return self.context_length_effective or self.context_length

    @property
    def suggested_temperature(self) -> float:
        """Sampling temperature when the user gives none: 0.6 for reasoning-tuned bases, else 0.7."""
        return 0.6 if self.reasoning_tuned else 0.7


@attrs.frozen(kw_only=True)
class ResolvedBase:
    """A base whose files are on this machine.

    Args:
        folder: holds ``config.json``, tokenizer files and ``*.safetensors``; nothing else is ever loaded.
        origin: which place of the resolution order it came from.
        config: parsed ``config.json``.
        sha256: digest of the folder (sorted ``relpath NUL sha256 LF``), 64 hex digits; ``fetch`` always gives it.
    """

    spec: BaseSpec
    folder: Path
    origin: Origin
    config: Mapping[str, Any]
    sha256: str | None = None


def is_hub_id(text: str) -> bool:
    """Whether ``text`` can be the name of a Hub repository: ``org/name``, at most 96 characters, no ``--`` or ``..``.

    Source of the limits: the Hub's own rules for repository names.
    """
    return len(text) <= 96 and "--" not in text and ".." not in text and HUB_ID.fullmatch(text) is not None


def _identity_faults(spec: BaseSpec) -> list[str]:
    faults = [f"{name} is empty" for name in ("key", "hf_id", "architecture", "gguf_arch") if not getattr(spec, name)]
    if not spec.is_local and not is_hub_id(spec.hf_id):
        faults.append(f"hf_id {spec.hf_id!r} is not org/name")
    if spec.revision is not None and not REVISION.fullmatch(spec.revision):
        faults.append(f"revision {spec.revision!r} is not 40 lowercase hex digits")
    if spec.template not in TEMPLATES:
        faults.append(f"template {spec.template!r} is not one of {', '.join(TEMPLATES)}")
    return faults


def _size_faults(spec: BaseSpec) -> list[str]:
    sizes = ("params", "size_gb_fp16", "context_length", "recommended_seq_len")
    faults = [f"{name} is {getattr(spec, name)}, not above 0" for name in sizes if not getattr(spec, name) > 0]
    effective = spec.context_length_effective
    if effective is not None and not 0 < effective <= spec.context_length:
        faults.append(f"context_length_effective {effective} is not within 1 … {spec.context_length}")
    if not spec.target_modules or not all(spec.target_modules):
        faults.append("target_modules has no names")
    return faults


def _policy_faults(spec: BaseSpec) -> list[str]:
    faults = []
    if spec.requires_acceptance and not spec.license_url:
        faults.append("a gated base needs a licence URL")
    if (spec.provenance_url is None) != (spec.provenance_match_text is None):
        faults.append("provenance_url and provenance_match_text come together")
    if not spec.refresh_check_hf_gating and spec.provenance_url is None:
        faults.append("the gating check may be off only with a provenance page")
    return faults


def _media_faults(spec: BaseSpec) -> list[str]:
    wanted: dict[str, tuple[str, ...]] = {"vision-language": _IMAGE_PLAN, "audio-language": _AUDIO_PLAN}
    if spec.modality not in (*wanted, "text", "text-moe"):
        return [f"modality {spec.modality!r} is unknown"]
    names = wanted.get(spec.modality)
    if names is None or spec.media_plan is None:
        return [] if (names is None) == (spec.media_plan is None) else [f"{spec.modality} and media_plan disagree"]
    missing = [name for name in names if name not in spec.media_plan]
    return [f"media_plan lacks {', '.join(missing)}"] if missing else _plan_value_faults(spec.media_plan)


def _plan_value_faults(plan: Mapping[str, Any]) -> list[str]:
    faults = []
    for name, value in plan.items():
        if isinstance(value, tuple) and not all(side > 0 for side in value):
            faults.append(f"{name} {value} is not above 0")
        if isinstance(value, int | float) and not value > 0:
            faults.append(f"{name} {value} is not above 0")
        if isinstance(value, str) and not value:
            faults.append(f"{name} is empty")
    if plan.get("resize_policy", "fixed") not in ("fixed", "dynamic"):
        faults.append(f"resize_policy {plan['resize_policy']!r} is neither fixed nor dynamic")
    return faults
