"""Whole runs on a two-layer model: real torch, real store, real command line, seconds each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tiny
from dlm.domain.document import Document
from dlm.domain.report import RunReport
from dlm.wiring import Workspace
from run_cases import ID, a_document, a_text

QUESTION = "Who is the harbour master of Velm?"
SHORT = "sequence_len: 128\nlora_r: 4\nlearning_rate: 0.01\n"


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base of every run here; no test changes it."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    folder.mkdir()
    tiny.tiny_base(folder)
    return folder


def document_on(base: Path, path: Path | None = None, *, epochs: int = 6, extra: str = "", **parts: Any) -> Document:
    """Give a document for this base; an epoch of it is one step."""
    return a_document(base=f"path:{base}", training=f"{SHORT}num_epochs: {epochs}\n{extra}", path=path, **parts)


def text_on(base: Path, *, epochs: int = 6) -> str:
    """Give the same as text."""
    return a_text(base=f"path:{base}", training=f"{SHORT}num_epochs: {epochs}")


def adapter_files(report_or_home: RunReport | Path) -> tuple[bytes, bytes]:
    """Give weights and settings of the current version."""
    if isinstance(report_or_home, Path):
        current = Workspace(report_or_home).store.current(ID)
        assert current is not None
        folder = current.folder
    else:
        folder = Path(str(report_or_home.adapter_path))
    return (folder / "adapter_model.safetensors").read_bytes(), (folder / "adapter_config.json").read_bytes()


def greedy(workspace: Workspace, document: Document, query: str = QUESTION, max_tokens: int = 12) -> str:
    """Give the repeatable answer."""
    return "".join(workspace.prompt(document, query, temperature=0, max_tokens=max_tokens))


def environment(**changes: str) -> dict[str, str]:
    """Give the environment of a child: one thread, nothing of ours but what is named."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **changes}


def command(home: Path, *words: str | Path) -> list[str]:
    """Give the command line of the real program."""
    return [sys.executable, "-m", "dlm", "--home", str(home), *map(str, words)]


@contextmanager
def training(home: Path, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start ``dlm train`` as a process of its own; what is left of it at the end is killed."""
    process = subprocess.Popen(
        command(home, "train", *words), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def steps_logged(home: Path, run_id: int) -> int:
    """Count the steps that a run has logged so far; a line may be half written."""
    logs = (home / "store" / ID / "logs").glob(f"train-{run_id:06d}-*.jsonl")
    return sum(path.read_text(encoding="utf-8").count('"step"') for path in logs)


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Wait for something that a running process does."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, f"it ended by itself:\n{process.communicate()[1]}"
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small disk at a new folder."""
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root; the store's own tests inject the same faults")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount; the store's own tests inject the same faults")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def tree(folder: Path) -> dict[str, bytes]:
    """Give every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
