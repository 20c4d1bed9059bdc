"""How far training reaches: one adapter, fitted to the prose and the questions that stand in the document itself."""

from __future__ import annotations

from collections import Counter

from dlm.domain.document import Document
from dlm.domain.errors import ConfigError

_PLURALS = {"preference": "preference examples", "image": "pictures", "audio": "recordings"}


def refuse_other_shapes(document: Document) -> None:
    """Refuse a document whose result would differ from what it asks for.

    Raises:
        ConfigError: it declares several adapters, or text outside the file.
    """
    training = document.frontmatter.training
    if training.adapters:
        raise ConfigError(
            "config.several-adapters",
            f"training.adapters declares {', '.join(training.adapters)}; training fits one adapter to a document",
            hint="Remove training.adapters and the #name suffixes, or keep one document per adapter.",
        )
    if training.sources:
        raise ConfigError(
            "config.sources",
            "training.sources names text outside the document; training reads the document itself",
            hint="Paste what matters into the document and remove training.sources.",
        )


def left_out(document: Document) -> tuple[str, ...]:
    """Name what stands in the document and is not trained, one sentence a kind."""
    counts = Counter(row.kind for row in document.rows() if row.kind in _PLURALS)
    return tuple(
        f"{count} {_PLURALS[kind]} are left out: prose and questions with answers are trained"
        for kind, count in sorted(counts.items())
    )
