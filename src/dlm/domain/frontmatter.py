"""The settings at the top of a document, as values.

Reading is strict: an unknown key, a wrong type or an impossible combination is a fault with its line and column, and
all faults of a header are reported together.
"""

# ruff: noqa: RUF009  knob() and group() declare fields, as attrs.field() does
from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import attrs

from dlm.domain.settings import BAD, Group, GroupList, GroupsByName, Report, group, knob, knobs, read_group
from dlm.domain.text import FaultList
from dlm.domain.values import Either, Flag, ListOf, Maybe, MaybeBlank, Number, OneOf, Text, Whole
from dlm.domain.yaml_text import MapNode

CURRENT_VERSION = 15
"""Version of the document format that is written; 1 to 15 are read."""

ADAPTER_NAME = r"^[a-z][a-z0-9_]{0,31}\Z"
RESERVED_ADAPTER_NAMES = ("default", "versions")
"""``default`` is the implied adapter of a document without named ones; ``versions`` is a folder of the store."""

ULID = r"^[0-9A-HJ-KM-NP-TV-Z]{26}\Z"

AdapterKind = Literal["lora", "qlora", "dora"]

_ADAPTER = OneOf(("lora", "qlora", "dora"))
_TARGETS = Either("auto", ListOf(Text(r"\S", "a module name"), at_least=1, what="a list of module names"))
_AUTO_COUNT = Either("auto", Whole(1))
_PATTERNS = ListOf(Text(r"\S", "a file pattern"), what="a list of file patterns")
_DOC_ADAPTER = "Kind of adapter: lora; qlora (4-bit base, needs an NVIDIA GPU); dora (slower, sometimes better)."
_DOC_R = "Rank of the adapter: how much it can hold. More is larger and slower."
_DOC_ALPHA = "Strength of the adapter; it is scaled by lora_alpha / lora_r. Twice the rank is usual."
_DOC_DROPOUT = "Share of the adapter's inputs dropped while training, against learning by rote."
_DOC_TARGETS = "Layers that get an adapter: auto (all linear ones) or a list of module names such as [q_proj, v_proj]."
_DOC_RETENTION = (
    "How firmly answers to ordinary questions are held to the base's own while the document is learned: auto, 0 (not "
    "at all, faster) or a weight; 1 counts as much as the document."
)
_DOC_RATE = "Size of the learning steps. Smaller is safer and slower."


@attrs.frozen(kw_only=True)
class PreferenceHyperparams:
    """Numbers of the preference phase."""

    beta: float = knob(0.1, Number(0, 1), "DPO: how far answers may move from the reference; smaller moves further.")
    alpha: float = knob(0.1, Number(0, 1), "ORPO: weight of preferring the chosen answer over the rejected one.")
    learning_rate: float = knob(5e-6, Number(above=0), "Size of the learning steps of the preference phase.")
    num_epochs: int = knob(1, Whole(1), "Passes over the preference rows.")


@attrs.frozen(kw_only=True)
class PreferenceConfig:
    """The phase that learns from chosen and rejected answers. ``enabled`` None: on if there are such sections."""

    enabled: bool | None = knob(
        None,
        Flag(),
        "Learn from preference sections. Left out, it happens whenever the document has some; false turns it off.",
    )
    method: Literal["dpo", "orpo"] = knob("dpo", OneOf(("dpo", "orpo")), "How to learn from preferences.")
    hyperparams: PreferenceHyperparams = group(PreferenceHyperparams, "Numbers of the preference phase.")
    loss_type: Literal["sigmoid", "hinge", "ipo"] = knob(
        "sigmoid", OneOf(("sigmoid", "hinge", "ipo")), "DPO only: shape of the loss."
    )
    reference: Literal["base", "pre_adapter"] = knob(
        "pre_adapter",
        OneOf(("base", "pre_adapter")),
        "What answers are compared with: the untouched base model, or the adapter as it was before this phase.",
    )


@attrs.frozen(kw_only=True)
class CptConfig:
    """Learning from plain prose."""

    schedule: Literal["auto", "dapt", "sft"] = knob(
        "auto",
        OneOf(("auto", "dapt", "sft")),
        "Learning-rate course: dapt keeps a floor for long prose; auto picks it when over 70 % of the rows are prose.",
    )
    embed_warmup_steps: int = knob(
        0, Whole(0), "Train the word embeddings too for this many first steps; for texts with many new words."
    )


@attrs.frozen(kw_only=True)
class GateConfig:
    """The small network that picks between named adapters for each prompt."""

    enabled: bool = knob(False, Flag(), "Train a gate; needs at least two entries in training.adapters.")
    hidden_proj_dim: int = knob(64, Whole(8, 2048), "Width of the gate.")
    steps: int = knob(200, Whole(1, 10_000), "Training steps of the gate.")
    lr: float = knob(3e-4, Number(above=0, high=1), "Size of the gate's learning steps.")
    cold_start_floor: int = knob(
        4, Whole(1, 1024), "Labelled sections each adapter needs; with fewer, all adapters are mixed evenly."
    )
    entropy_lambda: float = knob(0.01, Number(0, 1), "How much to reward spreading over several adapters.")


@attrs.frozen(kw_only=True)
class CacheConfig:
    """The cache of tokenized source files."""

    enabled: bool = knob(True, Flag(), "Keep tokenized source files between runs.")
    max_bytes: int = knob(10 * 2**30, Whole(1), "Largest size in bytes (10737418240 is 10 GiB).")
    prune_older_than_days: int = knob(90, Whole(1), "Days without use after which 'dlm cache prune' drops an entry.")


@attrs.frozen(kw_only=True)
class AudioConfig:
    """How sound files are read."""

    auto_resample: bool = knob(
        False, Flag(), "Convert sound to the rate of the base model instead of refusing other rates."
    )


@attrs.frozen(kw_only=True)
class NamedAdapterConfig:
    """One adapter of a document with several."""

    adapter: AdapterKind = knob("lora", _ADAPTER, _DOC_ADAPTER)
    lora_r: int = knob(8, Whole(1, 256), _DOC_R)
    lora_alpha: int = knob(16, Whole(1), _DOC_ALPHA)
    lora_dropout: float = knob(0.05, Number(0, 0.5), _DOC_DROPOUT)
    target_modules: Literal["auto"] | tuple[str, ...] = knob("auto", _TARGETS, _DOC_TARGETS)
    learning_rate: float = knob(2e-4, Number(above=0), _DOC_RATE)


@attrs.frozen(kw_only=True)
class SourceConfig:
    """A folder or file whose text is learned along with the document."""

    path: str = knob(
        attrs.NOTHING,
        Text(r"\S", "the path of a file or folder"),
        "File or folder: absolute, starting with ~, or relative to the document's folder.",
    )
    include: tuple[str, ...] = knob(("**/*",), _PATTERNS, "Patterns of the files to read.")
    exclude: tuple[str, ...] = knob((), _PATTERNS, "Patterns of files to leave out.")
    max_bytes_per_file: int | None = knob(None, Maybe(Whole(1)), "Leave out files larger than this many bytes.")
    max_files: int | None = knob(None, Maybe(Whole(1)), "Read at most this many files.")


@attrs.frozen(kw_only=True)
class TrainingConfig:
    """The key ``training``: how the document is learned."""

    adapter: AdapterKind = knob("lora", _ADAPTER, _DOC_ADAPTER)
    lora_r: int = knob(8, Whole(1, 256), _DOC_R)
    lora_alpha: int = knob(16, Whole(1), _DOC_ALPHA)
    lora_dropout: float = knob(0.05, Number(0, 0.5), _DOC_DROPOUT)
    target_modules: Literal["auto"] | tuple[str, ...] = knob("auto", _TARGETS, _DOC_TARGETS)
    sequence_len: int = knob(2048, Whole(64, 32_768), "Longest stretch of text learned at once, in tokens.")
    micro_batch_size: Literal["auto"] | int = knob("auto", _AUTO_COUNT, "Rows computed together.")
    grad_accum: Literal["auto"] | int = knob("auto", _AUTO_COUNT, "Batches gathered before each learning step.")
    learning_rate: float = knob(2e-4, Number(above=0), _DOC_RATE)
    num_epochs: int = knob(3, Whole(1), "Passes over the whole document.")
    optimizer: str = knob(
        "adamw_torch",
        OneOf(("adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit", "galore_adamw", "galore_adamw_8bit")),
        "Learning algorithm; the 8-bit and galore ones save GPU memory.",
    )
    lr_scheduler: Literal["cosine", "linear", "constant"] = knob(
        "cosine", OneOf(("cosine", "linear", "constant")), "How the learning rate falls over the run."
    )
    warmup_ratio: float = knob(0.1, Number(0, 0.5), "Share of the run in which the learning rate rises from zero.")
    precision: Literal["bf16", "fp16", "fp32"] | None = knob(
        None, Maybe(OneOf(("bf16", "fp16", "fp32"))), "Number format of the weights; null lets the planner decide."
    )
    retention: Literal["auto"] | float = knob("auto", Either("auto", Number(0, 100)), _DOC_RETENTION)
    seed: int = knob(42, Whole(), "Starting point of all random choices; the same seed repeats a run.")
    preference: PreferenceConfig = group(PreferenceConfig, "Learning from chosen and rejected answers.")
    cpt: CptConfig = group(CptConfig, "Learning from plain prose.")
    gate: GateConfig = group(GateConfig, "Picking between named adapters for each prompt.")
    cache: CacheConfig = group(CacheConfig, "The cache of tokenized source files.")
    audio: AudioConfig = group(AudioConfig, "How sound files are read.")
    adapters: Mapping[str, NamedAdapterConfig] | None = knob(
        None,
        GroupsByName(NamedAdapterConfig, ADAPTER_NAME, RESERVED_ADAPTER_NAMES, "adapter name"),
        "Several adapters in one document, by name; sections choose one with a suffix as in ::prose#name::.",
        hashed=False,
    )
    sources: tuple[SourceConfig, ...] | None = knob(
        None, GroupList(SourceConfig), "Folders and files whose text is learned along with the document."
    )
    sources_policy: Literal["permissive", "strict"] = knob(
        "permissive",
        OneOf(("permissive", "strict")),
        "strict refuses sources outside the document's folder.",
    )


@attrs.frozen(kw_only=True)
class ExportConfig:
    """The key ``export``: defaults of ``dlm export``."""

    default_quant: Literal["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"] = knob(
        "Q4_K_M", OneOf(("Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")), "Size of the exported weights; Q8_0 is the most exact."
    )
    default_temperature: float | None = knob(
        None, Maybe(Number(above=0, high=2)), "Sampling temperature written into the export."
    )
    default_top_p: float | None = knob(None, Maybe(Number(above=0, high=1)), "Nucleus sampling limit of the export.")


@attrs.frozen(kw_only=True)
class Frontmatter:
    """All settings of a document.

    Args:
        dlm_version: always the current version: older documents are brought up to it while reading.
        explicit: dotted paths of the keys that are written in the file, for example ``training.learning_rate``.
    """

    dlm_id: str = knob(
        attrs.NOTHING,
        Text(ULID, "an id of 26 digits and capital letters"),
        "Identity of the document: its trained state is found by it. 'dlm init' makes one.",
    )
    dlm_version: int = knob(
        CURRENT_VERSION,
        Whole(1, CURRENT_VERSION),
        "Version of the document format; left out, it means 1. 'dlm migrate' brings it up to date.",
    )
    base_model: str = knob(
        attrs.NOTHING,
        Text(r"\S", "the name of a base model"),
        "Model that learns the document: a name such as smollm2-135m, hf:<org>/<name>, or path:<folder>.",
    )
    training: TrainingConfig = group(TrainingConfig, "How the document is learned.")
    export: ExportConfig = group(ExportConfig, "Defaults of 'dlm export'.")
    system_prompt: str | None = knob(
        None, MaybeBlank(Text(what="text")), "Instruction that comes before every conversation, in training and in use."
    )
    explicit: frozenset[str] = frozenset()

    def is_explicit(self, path: str) -> bool:
        """Tell whether the file itself writes this key, even if only with its default value."""
        return path in self.explicit


def read_frontmatter(root: MapNode, faults: FaultList) -> Frontmatter | None:
    """Give the settings written in ``root`` (already of the current version); None when faults were added."""
    report = Report(faults)
    value = read_group(Frontmatter, root, "", report)
    if value is BAD:
        return None
    frontmatter: Frontmatter = attrs.evolve(value, explicit=frozenset(report.explicit), dlm_version=CURRENT_VERSION)
    conflicts = tuple(_conflicts(frontmatter))
    for path, message, hint in conflicts:
        line, col = _place_of(root, path)
        faults.add("doc.conflict", message, line, col, hint)
    return None if conflicts else frontmatter


_PER_ADAPTER = tuple(field.name for field, _ in knobs(NamedAdapterConfig))


def _conflicts(frontmatter: Frontmatter) -> Iterator[tuple[str, str, str]]:
    """Give the settings that are fine alone and impossible together: path, message, hint."""
    training = frontmatter.training
    if training.gate.enabled and len(training.adapters or {}) < 2:
        yield (
            "training.gate.enabled",
            f"training.gate.enabled needs at least two adapters; training.adapters has {len(training.adapters or {})}",
            "Declare two or more under training.adapters, or turn the gate off.",
        )
    if training.adapters is None:
        return
    plain = TrainingConfig()
    for name in _PER_ADAPTER:
        if getattr(training, name) != getattr(plain, name):
            yield (
                f"training.{name}",
                f"training.{name} has no meaning beside training.adapters",
                f"Move it into the adapters it is meant for: training.adapters.<name>.{name}.",
            )


def _place_of(root: MapNode, path: str) -> tuple[int, int]:
    node: Any = root
    line, col = root.line, root.col
    for part in path.split("."):
        entry = node.get(part)
        line, col, node = entry.key.line, entry.key.col, entry.value
    return line, col


def _paths(cls: type[Any], path: str) -> Iterator[tuple[str, str]]:
    for field, item in knobs(cls):
        yield field.name, path
        if isinstance(item.kind, Group):
            yield from _paths(item.kind.cls, f"{path}.{field.name}".lstrip("."))


def _key_paths() -> Mapping[str, str]:
    homes: dict[str, list[str]] = {}
    for name, path in _paths(Frontmatter, ""):
        homes.setdefault(name, []).append(path)
    return MappingProxyType(
        {name: paths[0] for name, paths in homes.items() if len(paths) == 1 or paths[0] == "training"}
    )


KEY_PATHS: Mapping[str, str] = _key_paths()
"""Key → dotted path of the one group it belongs to (empty: the top level); used in suggestions."""


def group_at(path: str) -> type[Any] | None:
    """Give the class of the settings at a dotted path (empty for the top); None where there is no fixed group."""
    cls: type[Any] = Frontmatter
    for part in filter(None, path.split(".")):
        kind = {field.name: item.kind for field, item in knobs(cls)}.get(part)
        if not isinstance(kind, Group):
            return None
        cls = kind.cls
    return cls
