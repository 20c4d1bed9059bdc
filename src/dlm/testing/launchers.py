"""Launch scripts tried out without a server."""

from __future__ import annotations

from collections.abc import Mapping

from dlm.domain.errors import ExportError
from dlm.ports.launcher import SmokeJob


class FakeLauncher:
    """Implements ``LauncherPort``: every server answers the same.

    Args:
        answer: what they say.
        error: raised instead of an answer.
        lacking: program → what ``missing`` says of it.
        api_key: the key they want.

    ``jobs`` are those that were tried, in order, with the text of their scripts in ``scripts``.
    """

    def __init__(
        self,
        answer: str = "Hello there.",
        *,
        error: ExportError | None = None,
        lacking: Mapping[str, str] | None = None,
        api_key: str | None = None,
    ) -> None:
        self.jobs: list[SmokeJob] = []
        self.scripts: list[str] = []
        self._answer = answer
        self._error = error
        self._lacking = dict(lacking or {})
        self._api_key = api_key

    def missing(self, program: str) -> str | None:
        return self._lacking.get(program)

    def smoke(self, job: SmokeJob) -> str:
        self.jobs.append(job)
        if not job.script.exists():
            raise _failed("smoke.ended", f"ended: there is no {job.script.name}")
        self.scripts.append(job.script.read_text(encoding="utf-8"))
        if self._error is not None:
            raise self._error
        if self._api_key is not None and job.api_key != self._api_key:
            raise _failed("smoke.refused", "refused: 401")
        line = next((line.strip() for line in self._answer.splitlines() if line.strip()), None)
        if line is None:
            raise _failed("smoke.blank", "answered with nothing")
        return line[:200]


def _failed(code: str, what: str) -> ExportError:
    return ExportError(code, f"the exported server {what}", subject="smoke", hint="Add --no-smoke.")
