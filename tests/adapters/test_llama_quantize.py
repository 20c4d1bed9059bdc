"""Running llama.cpp's program: finding it, failing, being stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlm.adapters.llama_quantize import LlamaQuantizeProgram
from dlm.domain.errors import ExportError
from stand_in_programs import llama_quantize

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the program that stands in is a script with a #! line")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "-model F16.gguf"
    path.write_bytes(b"GGUF and so on")
    return path


@pytest.mark.parametrize(
    ("variable", "value", "inside"),
    [
        ("DLM_LLAMA_CPP_BUILD", "", ""),
        ("DLM_LLAMA_CPP_BUILD", "", "bin"),
        ("DLM_LLAMA_CPP_ROOT", "", "build"),
        ("DLM_LLAMA_CPP_ROOT", "", "build/bin"),
        ("PATH", "/nowhere:", ""),
    ],
)
def test_the_program_is_found(tmp_path: Path, variable: str, value: str, inside: str) -> None:
    llama_quantize(tmp_path / inside)
    assert LlamaQuantizeProgram({variable: value + str(tmp_path)}).missing() is None


@pytest.mark.parametrize("environ", [{}, {"PATH": ""}, {"PATH": ":"}, {"DLM_LLAMA_CPP_BUILD": ""}])
def test_a_program_in_the_working_folder_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], source: Path
) -> None:
    monkeypatch.chdir(llama_quantize(tmp_path))
    quantizer = LlamaQuantizeProgram(environ)
    assert "llama-quantize is neither" in (quantizer.missing() or "")
    with pytest.raises(ExportError) as caught:
        quantizer.quantize_file(source, tmp_path / "out.gguf", quant="Q6_K", importance=None)
    assert caught.value.code == "export.no-quantizer"


def test_the_matrix_is_handed_over(tmp_path: Path, source: Path) -> None:
    matrix = tmp_path / "my matrix.gguf"
    folder = llama_quantize(tmp_path / "a")
    quantizer = LlamaQuantizeProgram({"PATH": str(folder)})
    with pytest.raises(ExportError, match="No such file"):  # it is read, so it was handed over
        quantizer.quantize_file(source, tmp_path / "out.gguf", quant="Q6_K", importance=matrix)
    matrix.write_bytes(b"")
    quantizer.quantize_file(source, tmp_path / "out.gguf", quant="Q6_K", importance=matrix)
    assert (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print('x' * 9000 + ' the end'); raise SystemExit(3)", "the end"),
        ("raise SystemExit(3)", "(nothing)"),
        ("pass", "status 0"),
        ("import sys; open(sys.argv[2], 'wb').write(bytes(99))", "without a usable file"),
        ("import os; os.kill(os.getpid(), 9)", "status -9"),
    ],
)
def test_what_it_said_last_is_in_the_error(tmp_path: Path, source: Path, body: str, said: str) -> None:
    folder = llama_quantize(tmp_path / "programs", body)
    with pytest.raises(ExportError) as caught:
        LlamaQuantizeProgram({"PATH": str(folder)}).quantize_file(
            source, tmp_path / "out.gguf", quant="Q6_K", importance=None
        )
    assert caught.value.code == "export.quantizer-failed"
    assert said in caught.value.message
    assert len(caught.value.message) < 4300
    assert not list(tmp_path.glob("out.gguf*"))


def test_a_program_that_cannot_be_started_is_said(tmp_path: Path, source: Path) -> None:
    (llama_quantize(tmp_path / "programs") / "llama-quantize").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(ExportError, match="cannot be started"):
        LlamaQuantizeProgram({"PATH": str(tmp_path / "programs")}).quantize_file(
            source, tmp_path / "out.gguf", quant="Q6_K", importance=None
        )


def test_a_full_disk_is_said(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlm.domain.errors import DiskError

    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    folder = llama_quantize(tmp_path / "programs", "raise SystemExit('iostream error')")
    with pytest.raises(DiskError):
        LlamaQuantizeProgram({"PATH": str(folder)}).quantize_file(
            source, tmp_path / "out.gguf", quant="Q6_K", importance=None
        )


def test_an_interrupt_ends_the_program(tmp_path: Path, source: Path) -> None:
    body = f"""
import os, pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
time.sleep(60)
"""
    folder = llama_quantize(tmp_path / "programs", body)
    script = f"""
from pathlib import Path
from dlm.adapters.llama_quantize import LlamaQuantizeProgram
quantizer = LlamaQuantizeProgram({{"PATH": {str(folder)!r}}})
quantizer.quantize_file(Path({str(source)!r}), Path({str(tmp_path / "out.gguf")!r}), quant="Q6_K", importance=None)
"""
    ours = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    pid_file = tmp_path / "pid"
    while not (pid_file.exists() and pid_file.read_text(encoding="utf-8")):
        assert ours.poll() is None
        time.sleep(0.02)
    ours.send_signal(signal.SIGINT)
    _, said = ours.communicate(timeout=30)
    assert b"KeyboardInterrupt" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text(encoding="utf-8")), 0)
    assert not list(tmp_path.glob("out.gguf*"))
