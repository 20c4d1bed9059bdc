"""The settings: what each kind of value takes, ranges, combinations, and what is remembered of the file."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from dlm.domain.document import Document
from dlm.domain.errors import ConfigError, DocumentError, Fault
from dlm.domain.frontmatter import (
    ExportConfig,
    Frontmatter,
    GateConfig,
    NamedAdapterConfig,
    PreferenceConfig,
    TrainingConfig,
)
from dlm.domain.settings import plain

ID = "01HQ8Z0000000000000000000A"
BASE = f"---\ndlm_id: {ID}\ndlm_version: 15\nbase_model: b\n"


def parse(yaml: str) -> Frontmatter:
    return Document.parse(f"{BASE}{yaml}\n---\n").frontmatter


def training(yaml: str) -> TrainingConfig:
    return parse(f"training: {{{yaml}}}").training


def faults(yaml: str) -> tuple[Fault, ...]:
    with pytest.raises(DocumentError) as caught:
        parse(yaml)
    return caught.value.faults


def test_defaults_are_those_of_the_format() -> None:
    assert plain(TrainingConfig()) == {
        "adapter": "lora",
        "lora_r": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "target_modules": "auto",
        "sequence_len": 2048,
        "micro_batch_size": "auto",
        "grad_accum": "auto",
        "learning_rate": 2e-4,
        "num_epochs": 3,
        "optimizer": "adamw_torch",
        "lr_scheduler": "cosine",
        "warmup_ratio": 0.1,
        "precision": None,
        "retention": "auto",
        "seed": 42,
        "preference": {
            "enabled": None,
            "method": "dpo",
            "hyperparams": {"beta": 0.1, "alpha": 0.1, "learning_rate": 5e-6, "num_epochs": 1},
            "loss_type": "sigmoid",
            "reference": "pre_adapter",
        },
        "cpt": {"schedule": "auto", "embed_warmup_steps": 0},
        "gate": {
            "enabled": False,
            "hidden_proj_dim": 64,
            "steps": 200,
            "lr": 3e-4,
            "cold_start_floor": 4,
            "entropy_lambda": 0.01,
        },
        "cache": {"enabled": True, "max_bytes": 10737418240, "prune_older_than_days": 90},
        "audio": {"auto_resample": False},
        "adapters": None,
        "sources": None,
        "sources_policy": "permissive",
    }
    assert plain(ExportConfig()) == {
        "default_quant": "Q4_K_M",
        "default_temperature": None,
        "default_top_p": None,
    }


@pytest.mark.parametrize(
    ("yaml", "name", "value"),
    [
        ("learning_rate: 2e-4", "learning_rate", 2e-4),
        ('learning_rate: "2e-4"', "learning_rate", 2e-4),
        ("learning_rate: 1", "learning_rate", 1.0),
        ("learning_rate: 1.5e-05", "learning_rate", 1.5e-5),
        ("learning_rate: .5", "learning_rate", 0.5),
        ("lora_r: 16.0", "lora_r", 16),
        ('lora_r: "16"', "lora_r", 16),
        ("lora_r: 0x10", "lora_r", 16),
        ("lora_r: 020", "lora_r", 16),
        ("lora_r: 1_6", "lora_r", 16),
        ("sequence_len: 1:40", "sequence_len", 100),
        ("seed: -7", "seed", -7),
        ("seed: 123456789012345678901234567890", "seed", 123456789012345678901234567890),
        ("target_modules: auto", "target_modules", "auto"),
        ("target_modules: [q_proj, v_proj]", "target_modules", ("q_proj", "v_proj")),
        ("micro_batch_size: 4", "micro_batch_size", 4),
        ("precision: null", "precision", None),
        ("precision: ~", "precision", None),
        ("precision: ", "precision", None),
        ("precision: fp16", "precision", "fp16"),
        ("adapter: !!str lora", "adapter", "lora"),
    ],
)
def test_values_are_read_as_people_write_them(yaml: str, name: str, value: Any) -> None:
    read = getattr(training(yaml), name)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("word", ["true", "yes", "on", "True", "YES", '"on"', "1"])
def test_truth_values_of_old_files(word: str) -> None:
    assert parse(
        f"training: {{cache: {{enabled: {word}}}, audio: {{auto_resample: {word}}}}}"
    ).training.audio.auto_resample
    no = {"true": "false", "yes": "no", "on": "off", "True": "False", "YES": "NO", '"on"': '"off"', "1": "0"}[word]
    assert training(f"cache: {{enabled: {no}}}").cache.enabled is False


@pytest.mark.parametrize(
    "yaml",
    [
        "lora_r: 2.5",
        "lora_r: true",
        "lora_r: 0",
        "lora_r: 257",
        "lora_r: null",
        "lora_r: x",
        "lora_r: [8]",
        "lora_r: {a: 1}",
        "lora_r: 2024-01-01",
        "lora_r: '１６'",
        "lora_alpha: 0",
        "lora_dropout: 0.51",
        "lora_dropout: -0.1",
        "lora_dropout: .nan",
        "lora_dropout: nan",
        "learning_rate: 0",
        "learning_rate: .inf",
        "learning_rate: 1e999",
        "learning_rate: yes",
        "learning_rate: null",
        "sequence_len: 63",
        "sequence_len: 32769",
        "micro_batch_size: 0",
        "micro_batch_size: Auto",
        "grad_accum: null",
        "num_epochs: 0",
        "optimizer: sgd",
        "lr_scheduler: Cosine",
        "warmup_ratio: 0.6",
        "precision: bf32",
        "seed: 1.5",
        "seed: " + "9" * 5000,
        "target_modules: q_proj",
        "target_modules: [1]",
        "target_modules: []",
        "preference: null",
        "preference: {enabled: null}",
        "preference: {enabled: 2}",
        "preference: {hyperparams: {beta: 1.1}}",
        "gate: {steps: 10001}",
        "gate: {lr: 0}",
        "gate: {hidden_proj_dim: 7}",
        "cache: {max_bytes: 0}",
        "cpt: {embed_warmup_steps: -1}",
        "adapters: {}",
        "adapters: [a]",
        "adapters: {a: null}",
        "sources: {path: x}",
        "sources: [x]",
        "sources: [{path: ''}]",
        "sources: [{path: 2024}]",
        "sources: [{path: x, max_files: 0}]",
        "sources: [{path: x, include: x}]",
        "sources_policy: lax",
    ],
)
def test_wrong_values_are_one_fault_each_with_line_and_column(yaml: str) -> None:
    found = faults(f"training: {{{yaml}}}")
    assert [(fault.code, fault.line) for fault in found] == [("doc.bad-value", 5)]
    assert found[0].col is not None
    assert found[0].col > len("training: ")
    assert found[0].hint


def test_an_error_names_value_and_range() -> None:
    fault = faults("training:\n  lora_r: 300")[0]
    assert fault.message == "training.lora_r must be a whole number from 1 to 256, not the number 300"
    assert (fault.line, fault.col) == (6, 11)


@pytest.mark.parametrize("value", ["123", "1.5", "2024-01-01", "yes", "0b1"])
def test_text_that_looks_like_something_else_must_be_quoted(value: str) -> None:
    fault = faults(f"system_prompt: {value}")[0]
    assert f'put it in quotes: "{value}"' in fault.message
    assert parse(f'system_prompt: "{value}"').system_prompt == value


@pytest.mark.parametrize("value", ["01hq8z0000000000000000000a", "01HQ8Z", "01HQ8Z000000000000000000IL", ID + "\\n"])
def test_ids_are_ulids(value: str) -> None:
    with pytest.raises(DocumentError, match="dlm_id must be an id of 26"):
        Document.parse(f'---\ndlm_id: "{value}"\nbase_model: b\n---\n')


def test_unquoted_id_of_digits_is_explained() -> None:
    with pytest.raises(DocumentError, match='put it in quotes: "01234567012345670123456701"'):
        Document.parse("---\ndlm_id: 01234567012345670123456701\nbase_model: b\n---\n")


@pytest.mark.parametrize(
    ("yaml", "line", "hint"),
    [
        ("training:\n  learnig_rate: 1", 6, "Did you mean 'learning_rate'?"),
        ("seed: 1", 5, "'seed' belongs under 'training'."),
        ("training:\n  system_prompt: x", 6, "'system_prompt' belongs at the top level, not indented."),
        ("training:\n  default_quant: x", 6, "'default_quant' belongs under 'export'."),
        ("training:\n  adapters:\n    a:\n      lora_rr: 1", 8, "Did you mean 'lora_r'?"),
    ],
)
def test_unknown_keys_come_with_a_suggestion(yaml: str, line: int, hint: str) -> None:
    found = faults(yaml)
    assert [(fault.code, fault.line) for fault in found] == [("doc.unknown-key", line)]
    assert found[0].hint == hint


def test_duplicate_keys_name_both_lines() -> None:
    found = faults("training:\n  seed: 1\n  lora_r: 4\n  seed: 2")
    assert [(fault.code, fault.line, fault.col) for fault in found] == [("doc.duplicate-key", 8, 3)]
    assert "lines 6 and 8" in found[0].message


def test_named_adapters() -> None:
    config = training("adapters: {tone: {}, facts: {lora_r: 4, learning_rate: 1e-3}}")
    assert config.adapters == {"tone": NamedAdapterConfig(), "facts": NamedAdapterConfig(lora_r=4, learning_rate=1e-3)}
    assert list(config.adapters or ()) == ["tone", "facts"]


@pytest.mark.parametrize("name", ["Tone", "default", "versions", "9a", "a" * 33, "a-b", "é"])
def test_adapter_names_follow_the_pattern(name: str) -> None:
    assert [fault.code for fault in faults(f"training: {{adapters: {{{name}: {{}}}}}}")] == ["doc.adapter-name"]


def test_a_gate_needs_two_adapters() -> None:
    for yaml in ("gate: {enabled: true}", "gate: {enabled: true}, adapters: {a: {}}"):
        assert [fault.code for fault in faults(f"training: {{{yaml}}}")] == ["doc.conflict"]
    assert training("gate: {enabled: true}, adapters: {a: {}, b: {}}").gate == GateConfig(enabled=True)


def test_flat_adapter_settings_beside_named_ones_are_all_reported() -> None:
    found = faults("training:\n  lora_r: 4\n  lora_alpha: 16\n  learning_rate: 1e-3\n  adapters:\n    a: {}")
    assert [(fault.code, fault.line) for fault in found] == [("doc.conflict", 6), ("doc.conflict", 8)]
    assert training("lora_r: 8, adapters: {a: {}}").lora_r == 8


def test_what_is_written_is_remembered_even_if_it_is_the_default() -> None:
    found = parse("training:\n  seed: 42\n  preference:\n    enabled: false\n  adapters:\n    a: {lora_r: 8}")
    assert found.is_explicit("training.seed")
    assert found.is_explicit("training.preference.enabled")
    assert found.is_explicit("training.adapters.a.lora_r")
    assert not found.is_explicit("training.lora_r")
    assert found.training.preference == PreferenceConfig(enabled=False)


@pytest.mark.parametrize("blank", ['""', '"  "', "|\n  \n", "null", ""])
def test_a_blank_system_prompt_is_none(blank: str) -> None:
    assert parse(f"system_prompt: {blank}\n").system_prompt is None


def test_the_system_prompt_keeps_its_exact_text() -> None:
    assert parse("system_prompt: |\n  You\n    are.\n").system_prompt == "You\n  are.\n"


def test_changing_a_value_in_memory_is_checked_too() -> None:
    assert attrs.evolve(TrainingConfig(), seed=7).seed == 7
    with pytest.raises(ConfigError, match="lora_r must be a whole number from 1 to 256"):
        TrainingConfig(lora_r=0)


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("16", "doc.version-newer"),
        ("0", "doc.version-unknown"),
        ("-1", "doc.version-unknown"),
        ("true", "doc.bad-value"),
        ('"15"', "doc.bad-value"),
        ("15.0", "doc.bad-value"),
        ("[15]", "doc.bad-value"),
    ],
)
def test_versions_are_real_whole_numbers_in_range(version: str, code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        Document.parse(f"---\ndlm_id: {ID}\ndlm_version: {version}\nbase_model: b\n---\n")
    assert [(fault.code, fault.line, fault.col) for fault in caught.value.faults] == [(code, 3, 14)]


@pytest.mark.parametrize(
    ("yaml", "code"),
    [
        ("a: [1", "doc.yaml"),
        ("\ta: 1", "doc.yaml"),
        ("a: b: c", "doc.yaml"),
        ("a: \x07", "doc.yaml"),
        ('a: "\\ud800"', "doc.yaml"),
        ("...\n%YAML 1.1", "doc.yaml"),
        ("training: &x {}", "doc.yaml-alias"),
        ("training: *x", "doc.yaml-alias"),
        ("training: !foo {}", "doc.yaml-tag"),
        ("? [a]\n: b", "doc.yaml-shape"),
        ("a: " + "[" * 30 + "]" * 30, "doc.yaml-depth"),
    ],
)
def test_yaml_that_is_not_read(yaml: str, code: str) -> None:
    assert faults(yaml)[0].code == code


def test_a_header_that_is_no_mapping() -> None:
    for yaml in ("- a\n", "word\n", "[a]\n"):
        with pytest.raises(DocumentError) as caught:
            Document.parse(f"---\n{yaml}---\n")
        assert [(fault.code, fault.line) for fault in caught.value.faults] == [("doc.yaml-shape", 2)]


def test_yaml_faults_have_the_line_and_column_of_the_file() -> None:
    fault = faults("training:\n  seed: [1,\n  x: }")[0]
    assert fault.line == 7
    exotic = faults("export: {}\nsystem_prompt: a\u2028b\ntraining:\n  seed: x")
    assert exotic[-1].line == 8
