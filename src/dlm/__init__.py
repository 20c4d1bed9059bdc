"""A document becomes a local language model.

    import dlm
    doc = dlm.Document.load("tutor.dlm")
    run = dlm.train(doc)
    print(dlm.prompt(doc, "What is a decorator?"))

The functions here work on the default home; a :class:`Workspace` does the same on another one, or with other parts.
Importing dlm does no work: everything is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlm.api import (
        doctor,
        exam,
        export,
        forget,
        history,
        init,
        metrics,
        migrate,
        pack,
        prompt,
        pull,
        push,
        scaffold,
        serve,
        show,
        train,
        unpack,
        verify,
    )
    from dlm.domain.choice import Choice
    from dlm.domain.document import Document
    from dlm.domain.errors import DlmError
    from dlm.domain.exam import Exam
    from dlm.domain.export_report import ExportReport
    from dlm.domain.history import History
    from dlm.domain.report import RunReport
    from dlm.wiring import Workspace

__version__ = "0.1.0"

_HOMES = {
    "Document": "dlm.domain.document",
    "train": "dlm.api",
    "prompt": "dlm.api",
    "exam": "dlm.api",
    "export": "dlm.api",
    "pack": "dlm.api",
    "unpack": "dlm.api",
    "verify": "dlm.api",
    "push": "dlm.api",
    "pull": "dlm.api",
    "serve": "dlm.api",
    "forget": "dlm.api",
    "init": "dlm.api",
    "scaffold": "dlm.api",
    "show": "dlm.api",
    "metrics": "dlm.api",
    "history": "dlm.api",
    "doctor": "dlm.api",
    "migrate": "dlm.api",
    "Workspace": "dlm.wiring",
    "RunReport": "dlm.domain.report",
    "Exam": "dlm.domain.exam",
    "ExportReport": "dlm.domain.export_report",
    "History": "dlm.domain.history",
    "Choice": "dlm.domain.choice",
    "DlmError": "dlm.domain.errors",
}

__all__ = [
    "Document",
    "train",
    "prompt",
    "exam",
    "export",
    "pack",
    "unpack",
    "verify",
    "push",
    "pull",
    "serve",
    "forget",
    "init",
    "scaffold",
    "show",
    "metrics",
    "history",
    "doctor",
    "migrate",
    "Workspace",
    "RunReport",
    "Exam",
    "ExportReport",
    "History",
    "Choice",
    "DlmError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'dlm' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
