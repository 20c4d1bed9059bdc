"""``sway.yaml``: the document's questions for an evaluation tool.

    version: 1
    dlm_source: notes.dlm
    models:
      base: {kind: hf, base: org/name}
      ft: {kind: gguf, base: base.Q8_0.gguf, adapter: adapter.gguf}
    defaults:
      seed: 0
      coverage_threshold: 0.75
      system_prompt: ...
    suite:
    - name: 0123456789abcdef-0
      kind: question
      prompt: ...
      reworded: ...
      reference: ...

``base`` is the model before training and ``ft`` the exported one; paths are relative to the file. An answer is right
when it holds ``coverage_threshold`` of the reference's key words, as in the exam of ``dlm train``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import attrs

from dlm.domain.exam import KNOWN_SHARE
from dlm.domain.frontmatter_text import value_text
from dlm.domain.rephrasing import exam_rephrased
from dlm.domain.rows import Row

SUITE = "sway.yaml"
VERSION = 1


@attrs.frozen(kw_only=True)
class SuiteModel:
    """A model to be asked.

    Args:
        kind: what reads it.
        base: Hub id, or file of the export.
        adapter: file or folder of the export; None when there is none, or it is inside the base.
    """

    kind: Literal["hf", "gguf", "mlx"]
    base: str
    adapter: str | None = None


def suite_text(
    rows: Iterable[Row], *, source: str, before: SuiteModel, exported: SuiteModel, system_prompt: str | None = None
) -> str:
    """Give the text of ``sway.yaml`` with every question of the document that has an answer, in its order.

    Args:
        rows: of the document; all but pairs of question and answer are passed over.
        source: name of the document's file, without folders.
        before, exported: the base as it was, and what was exported.
    """
    defaults = {"seed": 0, "coverage_threshold": KNOWN_SHARE, "system_prompt": system_prompt}
    lines = [
        "# Questions of a .dlm document with their answers. An answer is right when it holds coverage_threshold of the",
        "# reference's key words. reworded asks the same in words that were not trained.",
        f"version: {VERSION}",
        f"dlm_source: {value_text(source)}",
        "models:",
        "  base:",
        *_entries(attrs.asdict(before), 4),
        "  ft:",
        *_entries(attrs.asdict(exported), 4),
        "defaults:",
        *_entries(defaults, 2),
    ]
    suite = [line for row in rows if row.kind == "instruction" and row.statement is None for line in _question(row)]
    return "\n".join([*lines, *(["suite:", *suite] if suite else ["suite: []"])]) + "\n"


def _question(row: Row) -> Iterator[str]:
    record = {
        "name": f"{row.section_id}-{row.sub}",
        "kind": "question",
        "prompt": row.question,
        "reworded": exam_rephrased(row.question),
        "reference": row.answer,
        "adapter": row.adapter,
    }
    first, *rest = _entries(record, 2)
    yield f"- {first.lstrip()}"
    yield from rest


def _entries(record: Mapping[str, Any], indent: int) -> Iterator[str]:
    """Give a line for each value that is there; texts of several lines take several."""
    for key, value in record.items():
        if value is not None:
            yield f"{' ' * indent}{key}: {value_text(value, indent=indent + 2)}"
