"""How far training reaches: one adapter, fitted to prose and to questions with answers."""

from __future__ import annotations

from collections import Counter

from dlm.domain.corpus import Corpus
from dlm.domain.document import Document
from dlm.domain.errors import ConfigError

_PLURALS = {"preference": "preference examples", "image": "pictures", "audio": "recordings"}


def refuse_other_shapes(document: Document) -> None:
    """Refuse a document whose result would differ from what it asks for.

    Raises:
        ConfigError: it declares several adapters.
    """
    training = document.frontmatter.training
    if training.adapters:
        raise ConfigError(
            "config.several-adapters",
            f"training.adapters declares {', '.join(training.adapters)}; training fits one adapter to a document",
            hint="Remove training.adapters and the #name suffixes, or keep one document per adapter.",
        )


def left_out(corpus: Corpus, phase: str) -> tuple[str, ...]:
    """Name what is there and is not trained, one sentence a kind; preferences only when their phase was asked for."""
    counts = Counter(row.kind for row in corpus.rows if row.kind in _PLURALS)
    if phase == "sft":
        counts.pop("preference", None)
    return tuple(
        f"{count} {_PLURALS[kind]} are left out: prose and questions with answers are trained"
        for kind, count in sorted(counts.items())
    )


def refuse_phase(document: Document, phase: str, adapter_version: int) -> None:
    """Refuse a phase that cannot run.

    Raises:
        ConfigError: preference training was asked for.
    """
    if phase != "preference":
        return
    if not any(section.type == "preference" for section in document.sections):
        message, hint = "the document has no ::preference:: section", "Write one, or leave --phase out."
    elif adapter_version == 0:
        message, hint = "preferences refine an adapter, and there is none yet", "Train once without --phase first."
    else:
        message = "learning from preferences alone is not part of this version of dlm"
        hint = "Train with --phase sft; the preferences stay in the document."
    raise ConfigError("config.phase", message, hint=hint)
