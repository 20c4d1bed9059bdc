"""When a gated base may be used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from dlm.domain.base_models import BaseSpec
from dlm.domain.errors import LicenseError
from dlm.domain.license import LicenseAcceptance, license_gate

NOW = datetime(2026, 4, 23, 18, 42, 11, 500, tzinfo=UTC)
URL = "https://www.llama.com/llama3_2/license/"
GATED = BaseSpec(
    key="llama-3.2-1b",
    hf_id="meta-llama/Llama-3.2-1B-Instruct",
    revision="a" * 40,
    architecture="LlamaForCausalLM",
    params=1_235_814_400,
    size_gb_fp16=2.5,
    modality="text",
    context_length=131072,
    recommended_seq_len=4096,
    template="llama3",
    gguf_arch="llama",
    tokenizer_pre="llama-bpe",
    target_modules=("q_proj", "v_proj"),
    license_spdx="Other",
    license_url=URL,
    requires_acceptance=True,
    redistributable=False,
)
RECORD = LicenseAcceptance(accepted_at=NOW, license_url=URL, license_spdx="Other", via="interactive")


def gate(spec: BaseSpec = GATED, **changes: Any) -> LicenseAcceptance | None:
    arguments = {"recorded": None, "recorded_base": None, "accept": False, "now": NOW} | changes
    return license_gate(spec, arguments.pop("recorded"), **arguments)


def test_a_free_base_asks_for_nothing() -> None:
    free = attrs.evolve(GATED, requires_acceptance=False, license_url=None)
    assert gate(free) is None
    assert gate(free, accept=True, recorded=RECORD, recorded_base="llama-3.2-1b") is None


def test_a_matching_record_serves_later_commands() -> None:
    assert gate(recorded=RECORD, recorded_base="llama-3.2-1b") is RECORD
    assert gate(recorded=RECORD, recorded_base="llama-3.2-1b", accept=True) is RECORD


def test_saying_yes_makes_a_record() -> None:
    assert gate(accept=True) == attrs.evolve(RECORD, via="cli_flag")
    assert gate(accept=True, via="interactive") == RECORD


@pytest.mark.parametrize(
    ("recorded", "base", "said"),
    [
        (None, None, ""),
        (RECORD, "llama-3.2-3b", "the recorded acceptance is for llama-3.2-3b"),
        (RECORD, None, "the recorded acceptance is for None"),
        (attrs.evolve(RECORD, license_url="https://old"), "llama-3.2-1b", "the recorded acceptance is for https://old"),
    ],
)
def test_without_a_record_that_counts_it_is_refused(recorded: Any, base: str | None, said: str) -> None:
    with pytest.raises(LicenseError) as caught:
        gate(recorded=recorded, recorded_base=base)
    assert caught.value.code == "license.not-accepted"
    assert "llama-3.2-1b" in caught.value.message
    assert URL in caught.value.message
    assert said in caught.value.message
    assert "--i-accept-license" in (caught.value.hint or "")
    accepted = gate(recorded=recorded, recorded_base=base, accept=True)
    assert accepted is not None
    assert accepted.license_url == URL


def test_a_record_drops_what_is_finer_than_a_second() -> None:
    assert RECORD.to_record() == {
        "accepted_at": "2026-04-23T18:42:11",
        "license_url": URL,
        "license_spdx": "Other",
        "via": "interactive",
    }
