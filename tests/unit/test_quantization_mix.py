"""Our mix of types is the one that people know under the level's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.quantization import BLOCKS, QUANTS, MixFacts, TensorShape, row_bytes, stays_exact, tensor_types

GOLDEN = Path(__file__).parents[1] / "golden" / "quant_mix.json"
"""What ``llama-quantize`` wrote for models of these shapes. ``layer_tensors`` are in every layer; where layers differ,
``types`` lists the layers of each type."""

CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))
PLAIN = MixFacts(architecture="llama", layers=8, heads=4, kv_heads=4)
LEVELS = st.sampled_from(sorted(QUANTS))


def shapes(case: dict[str, Any]) -> list[TensorShape]:
    """Give the tensors of a whole model."""
    layers = range(case["facts"]["layers"])
    inner = [
        TensorShape(f"blk.{layer}.{name}", tuple(shape))
        for layer in layers
        for name, shape in case["layer_tensors"].items()
    ]
    return [TensorShape(name, tuple(shape)) for name, shape in case["tensors"].items()] + inner


def spread(types: dict[str, Any], case: dict[str, Any]) -> dict[str, str]:
    """Give the type of each tensor by its full name."""
    found = {name: types[name] for name in case["tensors"]}
    for name in case["layer_tensors"]:
        groups = types[name]
        if isinstance(groups, str):
            groups = {groups: range(case["facts"]["layers"])}
        found |= {f"blk.{layer}.{name}": kind for kind, layers in groups.items() for layer in layers}
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_every_tensor_gets_the_type_that_llama_quantize_gives_it(case: dict[str, Any]) -> None:
    for level in QUANTS:
        types = tensor_types(shapes(case), level, MixFacts(**case["facts"]))
        assert types == spread(case["types"][level], case), level


@given(
    columns=st.integers(1, 2048),
    name=st.sampled_from(["token_embd", "output", "blk.3.attn_v", "blk.3.ffn_down", "blk.3.attn_q", "blk.0.attn_qkv"]),
    level=LEVELS,
    experts=st.sampled_from([0, 4, 8]),
)
def test_every_row_is_a_whole_number_of_blocks(columns: int, name: str, level: Any, experts: int) -> None:
    tensor = TensorShape(f"{name}.weight", (7, columns))
    facts = MixFacts(architecture="llama", layers=8, heads=4, kv_heads=1, experts=experts)
    kind = tensor_types([tensor], level, facts)[tensor.name]
    assert row_bytes(kind, columns) > 0
    assert kind != "F32"


@given(level=LEVELS, order=st.permutations(shapes(CASES[0])))
def test_the_order_of_tensors_does_not_matter(level: Any, order: list[TensorShape]) -> None:
    assert tensor_types(order, level, PLAIN) == tensor_types(shapes(CASES[0]), level, PLAIN)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("output_norm.weight", (256,)),
        ("rope_freqs.weight", (32,)),
        ("blk.0.attn_q.bias", (256,)),
        ("blk.0.ffn_gate_inp.weight", (8, 256)),
        ("blk.0.attn_q_norm.weight", (4, 256)),
        ("blk.0.attn_q.weight", (1, 256)),
    ],
)
def test_small_and_delicate_tensors_stay_exact(name: str, shape: tuple[int, ...]) -> None:
    assert stays_exact(TensorShape(name, shape))


def test_rows_that_no_block_fits_are_refused() -> None:
    assert row_bytes("Q4_K", 512) == 288
    with pytest.raises(ValueError, match="576 numbers"):
        row_bytes("Q4_K", 576)


def test_a_level_takes_about_the_bytes_that_it_says() -> None:
    case = next(case for case in CASES if case["name"] == "llama 32 layers")
    for level, quant in QUANTS.items():
        types = tensor_types(shapes(case), level, MixFacts(**case["facts"]))
        heavy = [tensor for tensor in shapes(case) if not stays_exact(tensor)]
        size = sum(tensor.shape[0] * row_bytes(types[tensor.name], tensor.columns) for tensor in heavy)
        weights = sum(tensor.shape[0] * tensor.columns for tensor in heavy)
        assert size / weights == pytest.approx(quant.bytes_per_weight, rel=0.03), level


def test_every_type_has_a_block() -> None:
    assert {kind for case in CASES for types in case["types"].values() for kind in spread(types, case).values()} <= set(
        BLOCKS
    )
