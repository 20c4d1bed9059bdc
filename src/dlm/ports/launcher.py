"""Starting a server from the script an export wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class SmokeJob:
    """A server to start, ask once and stop.

    Args:
        script: takes ``--host`` and ``--port`` as further arguments.
        model: the name to ask for, listed or not; None for the first that the server lists.
        ready_s: how long it may take until it answers.
        environ: variables on top of this process's own.
    """

    script: Path
    question: str = "Hello."
    model: str | None = None
    ready_s: float = 120.0
    answer_s: float = 120.0
    api_key: str | None = None
    environ: Mapping[str, str] = attrs.field(factory=dict)


class LauncherPort(Protocol):
    """Smoke-tests launch scripts.

    ``missing`` says which program a script needs and this machine lacks; None when it can be started here.

    Raises ``ExportError`` ``smoke.…``: the server ended at once, never became ready, did not answer, or answered with
    nothing; with the end of what it printed.
    """

    def missing(self, program: str) -> str | None: ...

    def smoke(self, job: SmokeJob) -> str:
        """Give the first non-blank line of the answer, at most 200 characters. Nothing is left running."""
        ...
