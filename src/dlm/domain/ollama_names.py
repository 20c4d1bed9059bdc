"""Names of models in Ollama: ``[namespace/]name[:tag]``."""

from __future__ import annotations

import re

from dlm.domain.errors import UsageError

MAX_NAME = 128
"""Longest name in characters."""

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(rf"(?:{_SEGMENT}/)?{_SEGMENT}(?::{_SEGMENT})?")


def is_ollama_name(name: str) -> bool:
    """Whether Ollama takes ``name`` for a model, and no part of it can be read as a path or an option."""
    return len(name) <= MAX_NAME and ".." not in name and _NAME.fullmatch(name) is not None


def ollama_name(requested: str | None, dlm_id: str, version: int, adapter: str | None = None) -> str:
    """Give the name a model is registered under: the requested one, else one made of the document's id.

    Raises:
        UsageError: ``ollama.name``: the requested name is none.
    """
    if requested is None:
        return f"dlm-{dlm_id.lower()}:v{version:04d}{f'-{adapter}' if adapter else ''}"
    if not is_ollama_name(requested):
        raise UsageError(
            "ollama.name",
            f"{requested[:80]!r} cannot be the name of a model in Ollama",
            subject="export",
            hint=f"Names are [namespace/]name[:tag] of letters, digits, '.', '_' and '-', at most {MAX_NAME} signs.",
        )
    return requested
