"""The memory estimate against peaks measured now, on this machine, in fresh processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.torch.loss import CHUNK
from dlm.domain.memory import LOGIT_CHUNK_TOKENS, estimate_training_memory
from dlm.domain.model_shape import ModelShape

CHILD = Path(__file__).with_name("hardware_memory_child.py")
SMALL = {
    "hidden_size": 576,
    "layers": 8,
    "heads": 9,
    "kv_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "tied_embeddings": True,
}
WIDE = {**SMALL, "hidden_size": 1536, "layers": 3, "heads": 12, "intermediate_size": 6144, "vocab_size": 32000}
CASES: list[dict[str, Any]] = [
    {**SMALL, "micro_batch": 2, "seq_len": 512, "precision": "bf16", "checkpointing": False, "kind": "lora"},
    {**SMALL, "micro_batch": 1, "seq_len": 512, "precision": "fp32", "checkpointing": False, "kind": "lora"},
    {**SMALL, "micro_batch": 4, "seq_len": 512, "precision": "bf16", "checkpointing": True, "kind": "lora"},
    {**SMALL, "micro_batch": 2, "seq_len": 256, "precision": "bf16", "checkpointing": False, "kind": "dora"},
    {**WIDE, "micro_batch": 1, "seq_len": 512, "precision": "fp32", "checkpointing": False, "kind": "lora"},
]


def test_the_trainer_keeps_as_many_logits_as_the_estimate_counts() -> None:
    assert CHUNK == LOGIT_CHUNK_TOKENS


@pytest.mark.model
@pytest.mark.skipif(sys.platform != "linux", reason="the estimate for a CPU is calibrated on glibc's allocator")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['hidden_size']}-{case['precision']}-{case['kind']}")
def test_estimate_is_within_a_factor_of_the_measured_peak(case: dict[str, Any]) -> None:
    case = {**case, "r": 8, "dropout": 0.05, "threads": 1}
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(case)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    shape = ModelShape(
        **{name: case[name] for name in SMALL}, head_dim=case["hidden_size"] // case["heads"], params=measured["params"]
    )
    knobs = ("precision", "kind", "r", "micro_batch", "seq_len", "checkpointing", "dropout")
    estimate = estimate_training_memory(shape, **{name: case[name] for name in knobs})
    assert shape.lora_params(8, case["kind"]) == measured["trainable_params"]
    assert 0.6 < estimate.total / measured["peak_bytes"] < 1.8
