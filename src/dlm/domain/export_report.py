"""What an export gives back to a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from dlm.domain.export_manifest import ExportManifest
from dlm.domain.export_plan import ExportPlan
from dlm.domain.json_record import finite, plain_time
from dlm.domain.numbers import human_size


@attrs.frozen(kw_only=True)
class ExportReport:
    """One export: where it is, what is in it, how it was checked, how it is used.

    Args:
        path: folder of the export.
        manifest: what stands in its ``export_manifest.json``.
        usage: command lines that use it.
        seconds: from the order to the end.
    """

    dlm_id: str
    path: Path
    plan: ExportPlan
    manifest: ExportManifest
    usage: tuple[str, ...]
    seconds: float

    @property
    def size_bytes(self) -> int:
        return sum(artifact.size_bytes for artifact in self.manifest.artifacts)

    def to_json(self) -> dict[str, Any]:
        """Give one object, as ``dlm export --json`` prints it."""
        record: dict[str, Any] = finite(attrs.asdict(self.manifest))
        return {
            "dlm_id": self.dlm_id,
            "path": str(self.path),
            **record,
            "created_at": plain_time(self.manifest.created_at),
            "size_bytes": self.size_bytes,
            "seconds": self.seconds,
            "usage": list(self.usage),
            "plan": dict(self.plan.choices()),
        }

    def to_text(self) -> str:
        """Give a few lines for a person."""
        lines = [f"{artifact.path} ({human_size(artifact.size_bytes)})" for artifact in self.manifest.artifacts]
        parity = self.manifest.parity
        lines.append(parity_line(parity.to_record() if parity else None, self.manifest.parity_skipped))
        if self.manifest.smoke is not None:
            lines.append(f"asked for a greeting, it said: {self.manifest.smoke.first_line}")
        return "\n".join([*lines, "", "Use it:", *(f"  {line}" for line in self.usage)])


def parity_line(parity: Mapping[str, Any] | None, skipped: str | None) -> str:
    """Say in one line how far an export is from the trained model."""
    if parity is None:
        return f"not compared with the trained model: {skipped or 'no record'}"
    if parity["mean_kl"] is None:
        return (
            "it writes and reads conversations as the trained model does; how alike their answers are was not "
            f"measured: {parity['wording_only']}"
        )
    return (
        f"compared with the trained model: {parity['mean_kl']:.4f} nats apart (bound {parity['bound']:g}), the same "
        f"next token at {parity['top1_agreement']:.0%} of {parity['positions']} places"
    )
