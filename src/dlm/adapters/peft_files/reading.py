"""Opening the files of an adapter folder, which may come from a stranger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlm.domain.errors import ExportError
from dlm.domain.json_record import RecordError, parse_object

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_REDO = "The adapter is damaged. Train again, or go back to an earlier version."


def read_object(path: Path, *, probe: str, largest: int) -> dict[str, Any] | None:
    """Give the JSON object in a file; None when there is no file of this name.

    Args:
        probe: named by errors as ``preflight[<probe>]``.
        largest: bytes that an honest file stays below.

    Raises:
        ExportError: too large, not UTF-8, not JSON, not an object, a repeated key.
    """
    if not path.is_file():
        return None
    try:
        size = path.stat().st_size
        if size > largest:
            raise damaged(path, f"it has {size} bytes, far more than such a file has", probe=probe)
        return parse_object(path.read_bytes().decode())
    except (RecordError, UnicodeDecodeError) as exc:
        raise damaged(path, str(exc)[:200], probe=probe) from exc
    except OSError as exc:
        raise damaged(path, exc.strerror or str(exc), probe=probe) from exc


def damaged(path: Path, why: str, *, probe: str = "adapter_config") -> ExportError:
    """The error for a file that is not what it should be."""
    return ExportError("export.damaged-adapter", f"{path}: {why}", subject=f"preflight[{probe}]", hint=_REDO)


def missing(path: Path) -> ExportError:
    """The error for a file that every adapter has."""
    return ExportError(
        "export.no-adapter",
        f"{path} is not there",
        subject="preflight[adapter_config]",
        hint="Train the document first; dlm train writes the adapter.",
    )
