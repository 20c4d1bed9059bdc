"""What can go wrong between dlm and Ollama, and what is sent when nothing does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlm.adapters.ollama.ollama import Ollama
from dlm.adapters.ollama.program import find_program, version_in
from dlm.adapters.ollama.server import server_address
from dlm.domain.errors import DlmError, ExportError
from dlm.domain.rows import Turn
from ollama_peer import OllamaPeer, running_ollama

MODELFILE = (
    'FROM ./base.gguf\nADAPTER ./adapter.gguf\nTEMPLATE """{{ .System }}\n"""\nPARAMETER stop "a"\n'
    'PARAMETER stop "b"\nPARAMETER temperature 0.7\nPARAMETER num_ctx 512\nSYSTEM """Be brief.\n"""\n'
    'LICENSE """MIT"""\n'
)
ASK = [Turn("user", "Hello?")]


@pytest.fixture
def peer() -> Iterator[OllamaPeer]:
    with running_ollama() as peer:
        yield peer


@pytest.fixture(params=["program", "http"])
def ollama(request: pytest.FixtureRequest, peer: OllamaPeer, home: Path, tmp_path: Path) -> Ollama:
    return made(request.param, peer, home, tmp_path)


def made(route: str, peer: OllamaPeer, home: Path, tmp_path: Path, **limits: float) -> Ollama:
    if route == "http":
        return Ollama(home, peer.environ(), **limits)
    peer.program(tmp_path / "bin")
    return Ollama(home, peer.environ(tmp_path / "bin"), **limits)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "base.gguf").write_bytes(b"base")
    (folder / "adapter.gguf").write_bytes(b"adapter")
    (folder / "Modelfile").write_text(MODELFILE, encoding="utf-8")
    return folder


def failure(action: Callable[[], object]) -> tuple[str, str, str]:
    with pytest.raises(ExportError) as caught:
        action()
    return caught.value.code, caught.value.subject, caught.value.message


def test_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlm.adapters.ollama.program._USUAL_FOLDERS", ())
    monkeypatch.setattr("dlm.adapters.ollama.server._PORT", 9)  # nobody listens there
    code, subject, _ = failure(Ollama(home, {"PATH": "/nowhere"}).require)
    assert (code, subject) == ("ollama.missing", "ollama")


@pytest.mark.parametrize("route", ["program", "http"])
def test_not_running(home: Path, tmp_path: Path, route: str) -> None:
    with running_ollama() as peer:
        ollama = made(route, peer, home, tmp_path)
    code, subject, message = failure(ollama.require)
    assert (code, subject) == ("ollama.not-running", "ollama")
    assert peer.address in message
    assert failure(lambda: ollama.prompt_tokens("x", ASK))[0] == "ollama.not-running"


@pytest.mark.parametrize(
    ("route", "server", "program"),
    [("program", "0.4.1", "0.4.1"), ("program", "0.9.0", "0.3.14"), ("program", "0.9.0", "?"), ("http", "0.5.4", "")],
)
def test_too_old(peer: OllamaPeer, home: Path, tmp_path: Path, route: str, server: str, program: str) -> None:
    ollama = made(route, peer, home, tmp_path)
    peer.version = server
    if program:
        peer.program(tmp_path / "bin", version=program)
    assert failure(ollama.require)[:2] == ("ollama.too-old", "ollama")


def test_the_oldest_that_will_do(peer: OllamaPeer, home: Path, tmp_path: Path) -> None:
    ollama = made("program", peer, home, tmp_path)
    peer.version = "0.4.2"
    peer.program(tmp_path / "bin", version="0.4.2-rc1")
    assert ollama.require() == "0.4.2"


def test_refusing(peer: OllamaPeer, ollama: Ollama, export: Path) -> None:
    peer.fault = "refusing"
    code, subject, message = failure(lambda: ollama.create("dlm-x", export))
    assert (code, subject) == ("ollama.create-failed", "ollama create")
    assert "unsupported architecture" in message
    assert "\x1b" not in message
    assert "gathering" not in message


@pytest.mark.parametrize("route", ["program", "http"])
def test_a_smoke_that_times_out(peer: OllamaPeer, home: Path, tmp_path: Path, export: Path, route: str) -> None:
    ollama = made(route, peer, home, tmp_path, answer_s=0.5)
    ollama.create("dlm-x", export)
    peer.fault = "slow"
    assert failure(lambda: ollama.smoke("dlm-x"))[:2] == ("ollama.no-answer", "smoke")
    assert failure(lambda: ollama.prompt_tokens("dlm-x", ASK))[:2] == ("ollama.no-answer", "smoke")


def test_an_empty_answer_fails(peer: OllamaPeer, ollama: Ollama, export: Path) -> None:
    ollama.create("dlm-x", export)
    peer.fault = "silent"
    assert failure(lambda: ollama.smoke("dlm-x"))[:2] == ("ollama.no-answer", "smoke")


@pytest.mark.parametrize("fault", ["countless", "garbled"])
def test_an_answer_that_cannot_be_read(peer: OllamaPeer, ollama: Ollama, export: Path, fault: str) -> None:
    ollama.create("dlm-x", export)
    peer.fault = fault  # type: ignore[assignment]
    assert failure(lambda: ollama.prompt_tokens("dlm-x", ASK))[0] == "ollama.failed"


def test_only_one_registers_at_a_time(peer: OllamaPeer, home: Path, tmp_path: Path, export: Path) -> None:
    ollama = made("http", peer, home, tmp_path, lock_s=0.3)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home / "ollama.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder:
        holder.stdout.readline()
        assert failure(lambda: ollama.create("dlm-x", export))[:2] == ("ollama.busy", "ollama")
        holder.kill()
    ollama.create("dlm-x", export)
    assert "dlm-x" in peer.models


HOLDER = """
import sys
from pathlib import Path
from dlm.adapters.ollama.lock import only_registration
with only_registration(Path(sys.argv[1]), 5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_everything_of_a_modelfile_arrives(peer: OllamaPeer, ollama: Ollama, export: Path) -> None:
    ollama.create("team/dlm-x:v0001", export, quantize="Q4_K_M")
    model = peer.models["team/dlm-x:v0001"]
    assert model["template"] == "{{ .System }}\n"
    assert model["system"] == "Be brief.\n"
    assert model["parameters"] == {"stop": ["a", "b"], "temperature": 0.7, "num_ctx": 512}
    assert model["quantize"].upper() == "Q4_K_M"
    assert json.dumps(model["license"]) in ('["MIT"]', '"MIT"')


def test_a_file_that_ollama_has_is_not_sent_again(peer: OllamaPeer, home: Path, tmp_path: Path, export: Path) -> None:
    ollama = made("http", peer, home, tmp_path)
    ollama.create("dlm-x", export)
    (export / "adapter.gguf").write_bytes(b"another adapter")
    ollama.create("dlm-x", export)
    assert peer.uploads == 3
    assert peer.models["dlm-x"]["files"].keys() == {"base.gguf"}
    assert peer.models["dlm-x"]["adapters"].keys() == {"adapter.gguf"}


def test_a_file_that_is_gone_is_told(ollama: Ollama, export: Path) -> None:
    (export / "base.gguf").unlink()
    with pytest.raises(DlmError):
        ollama.create("dlm-x", export)


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("box", "http://box:11434"),
        ('"box:1234"', "http://box:1234"),
        ("[::1]:5", "http://[::1]:5"),
        ("https://ollama.example", "https://ollama.example:443"),
        ("http://box:1/way/", "http://box:1/way"),
    ],
)
def test_addresses(named: str, address: str) -> None:
    assert server_address({"OLLAMA_HOST": named}) == address


def test_an_address_that_is_none() -> None:
    assert failure(lambda: server_address({"OLLAMA_HOST": "box:port"}))[0] == "ollama.not-running"


def test_versions_are_found_in_what_a_program_says() -> None:
    assert version_in("Warning: client version is 0.5.12") == "0.5.12"
    assert version_in("hello") == "0.0.0"


def test_the_program_is_looked_for_where_installers_put_it(
    peer: OllamaPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = peer.program(tmp_path / "usual")
    monkeypatch.setattr("dlm.adapters.ollama.program._USUAL_FOLDERS", (str(tmp_path / "usual"),))
    found = find_program({"PATH": "/nowhere"})
    assert found is not None
    assert found.path == str(path)
