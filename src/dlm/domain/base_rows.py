"""The base-model registry: look a selector up, list the rows, print them as a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from dlm.domain.base_models import BaseSpec
from dlm.domain.base_rows_data import ROWS
from dlm.domain.errors import BaseModelError

DEFAULT_BASE = "qwen2.5-1.5b"
"""Base of a new document when none is named: no licence to accept, and small enough for a laptop."""

BASES: Mapping[str, BaseSpec] = MappingProxyType({row.key: row for row in ROWS})
"""Key → row, in registry order."""

_LISTED = 5


def find_base(selector: str) -> BaseSpec:
    """Give the row of a registry key; the match is exact.

    Raises:
        BaseModelError: ``base.unknown``, with close keys, the first keys and how to name any other model.
    """
    if selector in BASES:
        return BASES[selector]
    raise unknown_base(selector)


def row_of_hub_id(hf_id: str) -> BaseSpec | None:
    """Give the first row whose weights come from this Hub repository; ids are compared without regard to case."""
    return next((row for row in ROWS if row.hf_id.lower() == hf_id.lower()), None)


def describe_listed(hf_id: str, *, revision: str | None = None) -> BaseSpec | None:
    """Give the description of ``hf:<hf_id>`` when the registry lists that repository, else None.

    The row's labels, licence and pin are used: they were checked, so no probe and no network is needed, and a licence
    that must be accepted stays so when a gated model is named by its Hub id.

    Args:
        revision: a commit pinned earlier; wins over the row's.
    """
    row = row_of_hub_id(hf_id)
    if row is None:
        return None
    return attrs.evolve(row, key=f"hf:{hf_id}", revision=revision or row.revision)


def refuse_unusable(spec: BaseSpec) -> None:
    """Raise when a base can never be used, from its row alone.

    Raises:
        BaseModelError: ``base.refused``.
    """
    if spec.refusal is not None:
        raise BaseModelError(
            "base.refused",
            f"{spec.key}: {spec.refusal}",
            hint="Change base_model in the document to another base.",
        )


def unknown_base(selector: str) -> BaseModelError:
    """Build the error for a selector that names no base."""
    first = list(BASES)[:_LISTED]
    close = _close_keys(selector)
    guess = f" Did you mean {' or '.join(close)}?" if close else ""
    return BaseModelError(
        "base.unknown",
        f"no base model is called {_shown(selector)}.{guess} "
        f"Known bases: {', '.join(first)} and {len(BASES) - len(first)} more",
        hint="Use a key of the list, hf:<org>/<name> for any text model on the Hub, or path:<folder> for a local one.",
        details={"selector": selector, "close": close},
    )


def bases_markdown() -> str:
    """Give the table of all bases for the reference documentation, as Markdown."""
    head = ["| Key | Size (GB) | Licence | Must accept | Context (tokens) | Notes |", "|---|---:|---|---|---:|---|"]
    return "\n".join(head + [_markdown_row(row) for row in ROWS]) + "\n"


def _shown(selector: str) -> str:
    return repr(selector if len(selector) <= 80 else selector[:77] + "…")


def _close_keys(selector: str) -> list[str]:
    from difflib import get_close_matches

    # Long input is cut: comparing is quadratic and a selector is typed by hand.
    return get_close_matches(selector[:80].lower(), list(BASES), n=3, cutoff=0.6)


def _markdown_row(row: BaseSpec) -> str:
    licence = f"[{row.license_spdx}]({row.license_url})" if row.license_url else row.license_spdx
    context = f"{row.context_length:,}"
    if row.context_length_effective:
        context += f" ({row.context_length_effective:,} used)"
    cells = (f"`{row.key}`", f"{row.size_gb_fp16:g}", licence, "yes" if row.requires_acceptance else "no", context)
    return f"| {' | '.join((*cells, '; '.join(_remarks(row)) or '–'))} |"


def _remarks(row: BaseSpec) -> list[str]:
    remarks = []
    if row.key == DEFAULT_BASE:
        remarks.append("the default")
    if row.modality != "text":
        remarks.append(
            {"text-moe": "mixture of experts", "vision-language": "pictures", "audio-language": "sound"}[row.modality]
        )
    if row.reasoning_tuned:
        remarks.append("thinks before it answers")
    if row.capability_warning:
        remarks.append("for trying things out")
    if row.redistributable_conditions:
        remarks.append("conditions on passing it on")
    elif not row.redistributable:
        remarks.append("may not be bundled without the licence")
    if row.refusal:
        remarks.append("listed but refused")
    return remarks
