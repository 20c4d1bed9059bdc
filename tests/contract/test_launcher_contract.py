"""Trying scripts out with a real server and without one keeps the same promises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dlm.adapters.servers.launch import ScriptLauncher
from dlm.ports.launcher import LauncherPort
from dlm.testing.launcher_contract import LauncherContract
from dlm.testing.launchers import FakeLauncher
from launch_server import write_script
from launched import BASH


@pytest.mark.skipif(BASH is None, reason="launch scripts need bash")
class TestScriptLauncher(LauncherContract):
    def stage(self, folder: Path, *, answer: str, api_key: str | None = None) -> tuple[LauncherPort, Path]:
        return ScriptLauncher(os.environ), write_script(folder / "launch.sh", answer=answer, key=api_key)


class TestFakeLauncher(LauncherContract):
    def stage(self, folder: Path, *, answer: str, api_key: str | None = None) -> tuple[LauncherPort, Path]:
        script = folder / "launch.sh"
        script.write_text("exit", encoding="utf-8")
        return FakeLauncher(answer, api_key=api_key), script
