"""``export_manifest.json``: what lies in an export's folder, what it was made from, and how it was checked."""

from __future__ import annotations

from datetime import datetime

import attrs

from dlm.domain.errors import ExportError, Place
from dlm.domain.json_record import RecordError, dump_object, in_seconds, parse_object, plain_time, structure
from dlm.domain.parity import Parity

NAME = "export_manifest.json"


@attrs.frozen(kw_only=True)
class Artifact:
    """One file: ``path`` relative to the folder, lower-case hex digest."""

    path: str
    sha256: str
    size_bytes: int


@attrs.frozen(kw_only=True)
class Smoke:
    """A short question to the exported model; ``first_line`` of the answer, at most 200 characters."""

    ok: bool
    first_line: str


@attrs.frozen(kw_only=True)
class Converter:
    """What wrote the weights."""

    name: str
    version: str


@attrs.frozen(kw_only=True)
class ExportManifest:
    """One export.

    Args:
        quant: level of the weights; ``hf`` where the base is not part of the export.
        dequantized: an adapter trained on 4 bits was merged into the 16-bit base.
        llama_cpp_tag: version of llama.cpp that the file was checked with; None when it was not.
        adapter_version: the highest of a mix.
        imatrix_sha256: of the importance matrix; None without one.
        parity: how far it is from the trained model; None when that was not measured, and ``parity_skipped`` says why.
        smoke: None when it was not asked.
    """

    target: str
    quant: str
    merged: bool
    dequantized: bool
    ollama_name: str | None = None
    created_at: datetime = attrs.field(converter=in_seconds)
    created_by: str
    llama_cpp_tag: str | None = None
    base_model_hf_id: str
    base_model_revision: str | None = None
    base_model_sha256: str | None = None
    adapter_version: int
    adapter_name: str | None = None
    adapter_mix: tuple[tuple[str, float], ...] | None = None
    gate_mode: str | None = None
    converter: Converter | None = None
    imatrix_sha256: str | None = None
    parity: Parity | None = None
    parity_skipped: str | None = None
    smoke: Smoke | None = None
    artifacts: tuple[Artifact, ...] = ()


OPTIONAL = (
    "base_model_sha256",
    "adapter_name",
    "adapter_mix",
    "gate_mode",
    "converter",
    "imatrix_sha256",
    "parity",
    "parity_skipped",
    "smoke",
)
"""Keys beyond the common format: written only when they say something."""


def export_manifest_to_json(manifest: ExportManifest) -> str:
    """Give the text of the file: sorted keys, two-space indent, final LF."""
    record = attrs.asdict(manifest)
    record["created_at"] = plain_time(manifest.created_at)
    for key in OPTIONAL:
        if record[key] is None:
            del record[key]
    return dump_object(record, ascii_only=False)


def export_manifest_from_json(text: str, path: str) -> ExportManifest:
    """Read the file; keys it does not know are an error of the file.

    Raises:
        ExportError: ``export.manifest-unreadable``, with its path and the JSON position.
    """
    try:
        return structure(ExportManifest, parse_object(text))
    except RecordError as exc:
        raise ExportError(
            "export.manifest-unreadable",
            exc.message,
            hint="The file was damaged or edited by hand. Export again.",
            place=Place(path, exc.line, exc.col),
        ) from exc
