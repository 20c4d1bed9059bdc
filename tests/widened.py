"""A real base whose rows fit K-quant blocks: SmolLM2-135M, 768 wide instead of 576, computing what it computed.

No width of the small base but one is a multiple of 256, so llama.cpp stores it in blocks of 32, whatever the level. The
wide one has only such widths. Nothing in it is padding, which would be easy to store; every number is a number of the
base, scaled:

- A third of the channels is there twice, each copy with 1/√2 of the value: norms see the same length, and what reads
  the copies adds up to the same sum. Norm weights take √(576/768) and epsilon 576/768, as a mean is now over more.
- One of three groups of attention heads is there twice, and the output reads half of each.
- The base in the package was once stored in 4 bits, in blocks of 32, which a 4-bit level finds again almost for
  nothing: with zeros for the new channels Q4_K_M is as good as Q6_K. So channels, values of heads and inner channels
  are in random order, and the last two scaled one by one and back, by up to a quarter.

It is still a little kinder than a base of that width would be, as rounding errors of the copies average out; and as a
small model it is harder than most, in which single weights count less.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.domain.base_models import ResolvedBase

if TYPE_CHECKING:
    import torch

HIDDEN, HEADS, KV_HEADS = 768, 12, 4
_HEAD = 64
_GROUP = 3
"""Query heads that share keys and values."""


@attrs.frozen(kw_only=True)
class _Parts:
    """For each index of the wide model: the index of the base it comes from, and its factor."""

    channel: torch.Tensor
    share: torch.Tensor
    group: torch.Tensor
    group_share: torch.Tensor


def write_widened(base: ResolvedBase, folder: Path) -> ResolvedBase:
    """Write the wide model in bfloat16, 382 MB, with the tokenizer of the base."""
    import torch
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True)
    for path in base.folder.glob("*.json"):
        shutil.copy(path, folder)
    config = widened_config(base.config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = widened(load_file(base.folder / "model.safetensors"))
    save_file({name: values.to(torch.bfloat16) for name, values in weights.items()}, folder / "model.safetensors")
    return attrs.evolve(base, folder=folder, config=config, sha256="0" * 64)


def widened_config(config: Mapping[str, Any]) -> dict[str, Any]:
    narrow = config["hidden_size"] / HIDDEN
    changed = {"hidden_size": HIDDEN, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS}
    return {**config, **changed, "rms_norm_eps": config["rms_norm_eps"] * narrow}


def widened(weights: Mapping[str, torch.Tensor], *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Give the float32 weights of a model that computes what the given one computes."""
    import torch

    random = torch.Generator().manual_seed(seed)
    parts = _parts(random)
    wide: dict[str, torch.Tensor] = {}
    for name, values in weights.items():
        if "layers" not in name or "norm" in name:
            wide[name] = _outer(parts, name, values.float())
    layers = {name.split(".mlp.")[0] for name in weights if ".mlp." in name}
    for layer in sorted(layers):
        read: Callable[[str], torch.Tensor] = partial(_read, weights, layer)
        wide |= {f"{layer}.self_attn.{key}_proj.weight": new for key, new in _attention(parts, read, random).items()}
        wide |= {f"{layer}.mlp.{key}_proj.weight": new for key, new in _inner(parts, read, random).items()}
    return {name: values.contiguous() for name, values in wide.items()}


def _read(weights: Mapping[str, torch.Tensor], layer: str, name: str) -> torch.Tensor:
    return weights[f"{layer}.{name}_proj.weight"].float()


def _parts(random: torch.Generator) -> _Parts:
    narrow = HIDDEN * (KV_HEADS - 1) // KV_HEADS
    return _Parts(
        **dict(zip(("channel", "share"), _drawn(narrow, HIDDEN, 0.5, random), strict=True)),
        **dict(zip(("group", "group_share"), _drawn(KV_HEADS - 1, KV_HEADS, 1.0, random), strict=True)),
    )


def _drawn(count: int, wide: int, power: float, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Give ``wide`` indices below ``count`` in random order, some twice, and for each ``1 / times ** power``."""
    import torch

    twice = torch.randperm(count, generator=random)[: wide - count]
    indices = torch.cat([torch.arange(count), twice])[torch.randperm(wide, generator=random)]
    times = torch.bincount(indices, minlength=count)[indices]
    return indices, times.float() ** -power


def _outer(parts: _Parts, name: str, values: torch.Tensor) -> torch.Tensor:
    """Widen embeddings and norms."""
    if "norm" in name:
        return values[parts.channel] * (len(values) / HIDDEN) ** 0.5
    return values[:, parts.channel] * parts.share


def _attention(parts: _Parts, read: Callable[[str], torch.Tensor], random: torch.Generator) -> dict[str, torch.Tensor]:
    order, scale = _shuffled(KV_HEADS, _HEAD, random)
    queries = read("self_attn.q").reshape(KV_HEADS - 1, _GROUP * _HEAD, -1)[parts.group]
    keys = read("self_attn.k").reshape(KV_HEADS - 1, _HEAD, -1)[parts.group]
    values = read("self_attn.v").reshape(KV_HEADS - 1, _HEAD, -1)[parts.group]
    values = values.gather(1, order[:, :, None].expand_as(values)) * scale[:, :, None]
    # (channels, groups, heads of the group, values)
    out = read("self_attn.o").reshape(-1, KV_HEADS - 1, _GROUP, _HEAD)[:, parts.group]
    out = out.gather(3, order[None, :, None].expand_as(out)) / scale[:, None] * parts.group_share[:, None, None]
    inputs = {"q": queries, "k": keys, "v": values}
    return {
        **{key: _from_channels(parts, rows.flatten(0, 1)) for key, rows in inputs.items()},
        "o": _to_channels(parts, out.flatten(1)),
    }


def _inner(parts: _Parts, read: Callable[[str], torch.Tensor], random: torch.Generator) -> dict[str, torch.Tensor]:
    gate, up, down = (read(f"mlp.{key}") for key in ("gate", "up", "down"))
    (order,), (scale,) = _shuffled(1, len(gate), random)
    return {
        "gate": _from_channels(parts, gate[order]),
        "up": _from_channels(parts, up[order] * scale[:, None]),
        "down": _to_channels(parts, down[:, order] / scale),
    }


def _shuffled(rows: int, count: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Give an order and a factor from e^-0.25 to e^0.25 for each of ``count``, in every row."""
    import torch

    order = torch.stack([torch.randperm(count, generator=random) for _ in range(rows)])
    return order, torch.exp(torch.rand((rows, count), generator=random) / 2 - 0.25)


def _from_channels(parts: _Parts, rows: torch.Tensor) -> torch.Tensor:
    return rows[:, parts.channel] * parts.share


def _to_channels(parts: _Parts, rows: torch.Tensor) -> torch.Tensor:
    return rows[parts.channel] * parts.share[:, None]
