"""What everything that tries launch scripts out promises, as tests. Needs pytest.

class TestMyLauncher(LauncherContract):
    def stage(self, folder, *, answer, api_key=None):
        return MyLauncher(), folder / "launch.sh"
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.domain.errors import ExportError
from dlm.ports.launcher import LauncherPort, SmokeJob


class LauncherContract:
    """Subclass it and write ``stage``."""

    def stage(self, folder: Path, *, answer: str, api_key: str | None = None) -> tuple[LauncherPort, Path]:
        """Give the launcher under test and, written into ``folder``, a script whose server answers so.

        With ``api_key`` it refuses whoever does not send it.
        """
        raise NotImplementedError("override stage")

    def ask(self, folder: Path, answer: str, *, key: str | None = None, **job: str) -> str:
        launcher, script = self.stage(folder, answer=answer, api_key=key)
        return launcher.smoke(SmokeJob(script=script, ready_s=20.0, answer_s=20.0, **job))  # type: ignore[arg-type]

    def code(self, folder: Path, answer: str, *, key: str | None = None, **job: str) -> str:
        with pytest.raises(ExportError) as caught:
            self.ask(folder, answer, key=key, **job)
        assert caught.value.subject == "smoke"
        assert "--no-smoke" in (caught.value.hint or "")
        return caught.value.code

    def test_the_first_line_that_is_not_blank_is_given(self, tmp_path: Path) -> None:
        assert self.ask(tmp_path, "\n \t\n  It leaves at nine. \nAnd at ten.\n") == "It leaves at nine."

    def test_a_long_line_is_cut(self, tmp_path: Path) -> None:
        assert self.ask(tmp_path, "é" * 300) == "é" * 200

    @pytest.mark.parametrize("answer", ["", " \n\t\n "])
    def test_an_answer_of_nothing_fails(self, answer: str, tmp_path: Path) -> None:
        assert self.code(tmp_path, answer) == "smoke.blank"

    def test_a_key_is_sent(self, tmp_path: Path) -> None:
        assert self.ask(tmp_path, "Hi.", key="k", api_key="k") == "Hi."

    @pytest.mark.parametrize("job", [{}, {"api_key": "other"}])
    def test_a_wrong_key_is_refused(self, job: dict[str, str], tmp_path: Path) -> None:
        assert self.code(tmp_path, "Hi.", key="k", **job) == "smoke.refused"

    def test_a_script_that_is_not_there_fails(self, tmp_path: Path) -> None:
        launcher, script = self.stage(tmp_path, answer="Hi.")
        with pytest.raises(ExportError) as caught:
            launcher.smoke(SmokeJob(script=script.with_name("other.sh"), ready_s=20.0))
        assert caught.value.code == "smoke.ended"

    def test_folders_may_be_called_anything(self, tmp_path: Path) -> None:
        folder = tmp_path / 'it\'s a "folder", $HOME & ü'
        folder.mkdir()
        assert self.ask(folder, "Hi.") == "Hi."
