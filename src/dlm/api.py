"""The functions people call: each is one method of a :class:`~dlm.wiring.Workspace` on the default home.

The loaded base is kept between calls, so a notebook that trains and then asks loads it once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from dlm.domain.home import resolve_home
from dlm.wiring import Workspace

if TYPE_CHECKING:
    from dlm.app.doctor import DoctorReport
    from dlm.app.init import InitResult
    from dlm.app.metrics_report import MetricsReport
    from dlm.app.migrate import MigrationResult
    from dlm.app.pack import PackReport
    from dlm.app.share import PullReport, PushReport
    from dlm.app.show import ShowReport
    from dlm.app.unpack import UnpackReport
    from dlm.app.verify import VerifyReport
    from dlm.domain.document import Document
    from dlm.domain.exam import Exam
    from dlm.domain.export_report import ExportReport
    from dlm.domain.history import History
    from dlm.domain.report import RunReport
    from dlm.ports.peer_server import RunningPeer


def _workspace() -> Workspace:
    return _workspace_of(resolve_home(None, os.environ))


@lru_cache(maxsize=1)
def _workspace_of(home: Path) -> Workspace:
    return Workspace(home)


def init(path: str | Path, **options: Any) -> InitResult:
    """Write a new document and make its store; options as :meth:`dlm.Workspace.init`."""
    return _workspace().init(path, **options)


def scaffold(folder: str | Path, **options: Any) -> Path:
    """Give the document that a folder of files is trained with, written now if there is none; options as
    :meth:`dlm.Workspace.scaffold_folder`."""
    return _workspace().scaffold_folder(folder, **options).path


def train(document: Document, **options: Any) -> RunReport:
    """Train a document; options as :meth:`dlm.Workspace.train`."""
    return _workspace().train(document, **options)


@overload
def prompt(document: Document, query: str, *, stream: Literal[True], **options: Any) -> Iterator[str]: ...
@overload
def prompt(document: Document, query: str, *, stream: Literal[False] = False, **options: Any) -> str: ...
def prompt(document: Document, query: str, *, stream: bool = False, **options: Any) -> str | Iterator[str]:
    """Ask a trained document; gives the answer, or its pieces as they come with ``stream=True``. Other options as
    :meth:`dlm.Workspace.prompt`."""
    pieces = _workspace().prompt(document, query, stream=True, **options)
    return pieces if stream else "".join(pieces)


def export(document: Document, **options: Any) -> ExportReport:
    """Write a trained document for Ollama, llama-server, vLLM or MLX; options as :meth:`dlm.Workspace.export`."""
    return _workspace().export(document, **options)


def exam(document: Document, **options: Any) -> Exam:
    """Examine a trained document: what it knows now, and what became of everything else."""
    return _workspace().exam(document, **options)


def pack(document: Document, **options: Any) -> PackReport:
    """Write a trained document into one file; options as :meth:`dlm.Workspace.pack`."""
    return _workspace().pack(document, **options)


def unpack(path: str | Path, **options: Any) -> UnpackReport:
    """Install a pack; options as :meth:`dlm.Workspace.unpack`."""
    return _workspace().unpack(path, **options)


def verify(path: str | Path, **options: Any) -> VerifyReport:
    """Check who signed a pack; options as :meth:`dlm.Workspace.verify`."""
    return _workspace().verify(path, **options)


def push(source: Document | str | Path, to: str, **options: Any) -> PushReport:
    """Send a document or pack somewhere; options as :meth:`dlm.Workspace.push`."""
    return _workspace().push(source, to, **options)


def pull(source: str, **options: Any) -> PullReport:
    """Fetch a pack and install it; options as :meth:`dlm.Workspace.pull`."""
    return _workspace().pull(source, **options)


def serve(document: Document, **options: Any) -> AbstractContextManager[RunningPeer]:
    """Serve a document's pack for the length of a ``with`` block; options as :meth:`dlm.Workspace.serve`."""
    return _workspace().serve(document, **options)


def forget(document: Document) -> int:
    """Let go of sections that left a document, so that they are not read again; gives how many went."""
    return _workspace().forget(document)


def show(path: str | Path) -> ShowReport:
    """Tell what is known about a document: runs, versions, sizes."""
    return _workspace().show(path)


def metrics(path: str | Path, **options: Any) -> MetricsReport:
    """Tell about a document's runs, or everything about one of them; options as :meth:`dlm.Workspace.metrics`."""
    return _workspace().metrics(path, **options)


def history(document: Document | str | Path, **options: Any) -> History:
    """Give everything measured in a document's runs, with ``.runs``, ``.to_frame()`` and ``.steps_frame()``; options
    as :meth:`dlm.Workspace.history`."""
    return _workspace().history(document, **options)


def doctor() -> DoctorReport:
    """Look at this machine and say what dlm would do on it."""
    return _workspace().doctor()


def migrate(path: str | Path, *, dry_run: bool = False, backup: bool = True) -> MigrationResult:
    """Bring a document's frontmatter to the current version."""
    return _workspace().migrate(path, dry_run=dry_run, backup=backup)
