"""Draft models: a small model of the same family writes ahead, and the exported one only checks it.

The answer stays the same and comes faster, if both cut text into the same tokens and speak the same dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from dlm.domain.base_models import BaseSpec
from dlm.domain.choice import Choice
from dlm.domain.errors import UsageError
from dlm.domain.ollama_names import is_ollama_name


@attrs.frozen
class Draft:
    """A model that writes ahead: its name in Ollama's library and its key in the registry of bases."""

    tag: str
    base: str


DRAFTS: Mapping[str, Draft] = MappingProxyType(
    {
        "qwen2.5-3b": Draft("qwen2.5:0.5b", "qwen2.5-0.5b"),
        "qwen2.5-coder-1.5b": Draft("qwen2.5:0.5b", "qwen2.5-0.5b"),
        "llama-3.2-3b": Draft("llama3.2:1b", "llama-3.2-1b"),
        "smollm2-1.7b": Draft("smollm2:360m", "smollm2-360m"),
    }
)
"""By key of the base that is exported."""


def resolve_draft(spec: BaseSpec, requested: str | None = None, *, off: bool = False) -> Choice[str | None]:
    """Choose the draft model of an export by its name in Ollama.

    Raises:
        UsageError: ``export.draft``: the requested name is none, or one was requested and forbidden at once.
    """
    if off and requested is not None:
        raise UsageError("export.draft", "--draft and --no-draft cannot go together", subject="export")
    if off:
        return Choice(None, "--no-draft")
    if requested is not None:
        if not is_ollama_name(requested):
            raise UsageError(
                "export.draft",
                f"--draft {requested[:80]!r} is not the name of a model",
                subject="export",
                hint="Give a name of Ollama's library, such as qwen2.5:0.5b, or leave the option out.",
            )
        return Choice(requested, "--draft")
    known = DRAFTS.get(spec.key)
    if known is None:
        return Choice(None, f"no draft model is known for {spec.key}")
    return Choice(known.tag, f"the small sibling of {spec.key}")
