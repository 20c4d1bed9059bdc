"""Adapters whose files are JSON: facts and mixes without numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.adapter_mix import check_mixable
from dlm.domain.errors import ExportError
from dlm.domain.json_record import RecordError, dump_object, parse_object
from dlm.ports.adapter_files import MixMethod, MixPart

_MODULE = "model.layers.0.self_attn.q_proj"


class FakeAdapterFiles:
    """Reads what :func:`write_fake_adapter` wrote; ranks of a mix follow the rules of real ones."""

    def facts(self, folder: Path) -> AdapterFacts:
        """Give the facts that were written."""
        config = _read(folder / "adapter_config.json", "adapter_config")
        _read(folder / "adapter_model.safetensors", "adapter_config")
        use_qlora = _read(folder / "training_run.json", "training_run_json").get("use_qlora", False)
        if not isinstance(use_qlora, bool):
            raise _damaged(folder / "training_run.json", "training_run_json", "use_qlora")
        return AdapterFacts(
            base_name=str(config["base_model_name_or_path"]),
            kind="LORA",
            ranks={_MODULE: int(config["r"])},
            alphas={_MODULE: 2.0 * int(config["r"])},
            use_dora=bool(config.get("use_dora", False)),
            vocabulary_size=32,
            has_chat_template=True,
            trained_4bit=use_qlora,
        )

    def mix(self, parts: Sequence[MixPart], method: MixMethod, into: Path) -> None:
        """Write an adapter with the rank a mix would have."""
        facts = {part.name: self.facts(part.folder) for part in parts}
        check_mixable(facts, allow_4bit=True)
        ranks = [facts[part.name].highest_rank for part in parts if part.weight]
        first = facts[parts[0].name]
        use_qlora = any(facts[part.name].trained_4bit for part in parts if part.weight)
        mixed = attrs.evolve(first, ranks={_MODULE: max(ranks) if method == "svd" else sum(ranks)})
        write_fake_adapter(into, rank=mixed.highest_rank, base_name=mixed.base_name, use_qlora=use_qlora)


def write_fake_adapter(
    folder: Path,
    *,
    rank: int = 4,
    base_name: str = "example/tiny",
    use_qlora: bool = False,
    use_dora: bool = False,
) -> Path:
    """Write a folder that :class:`FakeAdapterFiles` reads, and give it."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, object]] = {
        "adapter_config.json": {"base_model_name_or_path": base_name, "r": rank, "use_dora": use_dora},
        "adapter_model.safetensors": {},
        "training_run.json": {"use_qlora": use_qlora},
    }
    for name, value in files.items():
        (folder / name).write_text(dump_object(value, ascii_only=True), encoding="utf-8")
    return folder


def _read(path: Path, probe: str) -> dict[str, Any]:
    try:
        return parse_object(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        subject = f"preflight[{probe}]"
        raise ExportError("export.no-adapter", f"{path} is not there", subject=subject) from exc
    except RecordError as exc:
        raise _damaged(path, probe, exc.message) from exc


def _damaged(path: Path, probe: str, why: str) -> ExportError:
    return ExportError("export.damaged-adapter", f"{path}: {why}", subject=f"preflight[{probe}]")
