"""Trying launch scripts out: every way in which a server can fail, and nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from answering_server import answering
from dlm.adapters.servers import launch, launch_client, process
from dlm.adapters.servers.launch import ScriptLauncher
from dlm.domain.errors import ExportError
from dlm.ports.launcher import SmokeJob
from launch_server import asked, write_script
from launched import BASH, tools

pytestmark = pytest.mark.skipif(BASH is None, reason="launch scripts need bash")


def smoke(script: Path, **job: Any) -> str:
    return ScriptLauncher(os.environ).smoke(SmokeJob(**{"script": script, "ready_s": 20.0, "answer_s": 20.0, **job}))


def failure(script: Path, **job: Any) -> ExportError:
    with pytest.raises(ExportError) as caught:
        smoke(script, **job)
    assert caught.value.subject == "smoke"
    assert "--no-smoke" in (caught.value.hint or "")
    return caught.value


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def started(script: Path) -> list[dict[str, Any]]:
    return [line for line in asked(script) if "pids" in line]


def left_running(script: Path) -> list[int]:
    return [pid for line in started(script) for pid in line["pids"] if is_alive(pid)]


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_client, "_POLL_S", 0.02)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / 'it\'s an "export", $HOME' / "launch it.sh"


def test_one_greedy_question_is_asked(script: Path) -> None:
    write_script(script, answer="Good morning.")
    assert smoke(script, question="Hello?") == "Good morning."
    server, question = asked(script)
    assert server["host"] == "127.0.0.1"
    assert question["path"] == "/v1/chat/completions"
    assert question["body"] == {
        "model": "the-model",
        "messages": [{"role": "user", "content": "Hello?"}],
        "max_tokens": 32,
        "temperature": 0,
    }
    assert left_running(script) == []


@pytest.mark.parametrize(
    ("models", "model", "expected"),
    [
        (["base", "adapter"], "adapter", "adapter"),
        (["base", "adapter"], None, "base"),
        (["base"], "adapter", "adapter"),
        ([], None, None),
    ],
)
def test_the_adapter_is_asked_for(models: list[str], model: str | None, expected: str | None, script: Path) -> None:
    smoke(write_script(script, models=models), model=model)
    assert asked(script)[-1]["body"].get("model") == expected


def test_a_slow_start_is_waited_for(script: Path) -> None:
    assert smoke(write_script(script, ready_s=0.6)) == "Hi!"


def test_a_server_that_ends_at_the_start_fails_at_once(script: Path) -> None:
    write_script(script, says=[f"line {number}" for number in range(30)], ends=7)
    begin = time.monotonic()
    error = failure(script, ready_s=60.0)
    assert time.monotonic() - begin < 10
    assert error.code == "smoke.ended"
    assert "status 7" in error.message
    assert error.message.splitlines()[1:] == [f"line {number}" for number in range(10, 30)]
    assert len(started(script)) == 1


def test_a_server_that_is_never_ready_is_given_up(script: Path) -> None:
    error = failure(write_script(script, ready_s=None, says=["loading"]), ready_s=0.5)
    assert error.code == "smoke.not-ready"
    assert error.message.endswith("did not become ready within 0.5 s\nloading")
    assert left_running(script) == []


def test_a_server_that_keeps_loading_is_given_up(script: Path) -> None:
    assert failure(write_script(script, listing=503), ready_s=0.5).code == "smoke.not-ready"


ANOTHER = b'{"data": [{"id": "other"}], "choices": [{"message": {"content": "I am another."}}]}'


@pytest.mark.parametrize(("status", "delay_s"), [(404, 0.0), (200, 0.5)])
def test_a_port_that_was_taken_is_tried_again_elsewhere(
    status: int, delay_s: float, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering((status, ANOTHER), delay_s=delay_s) as other:
        ports = iter([other.port, process.free_port()])
        monkeypatch.setattr(launch, "free_port", lambda: next(ports))
        assert smoke(write_script(script)) == "Hi!"
    assert len(started(script)) == 2


def test_a_port_that_is_always_taken_fails(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering((404, ANOTHER)) as other:
        monkeypatch.setattr(launch, "free_port", lambda: other.port)
        error = failure(write_script(script))
    assert error.code == "smoke.ended"
    assert "Address already in use" in error.message
    assert len(started(script)) == 2


@pytest.mark.parametrize("strict", [True, False])
def test_a_wrong_key_is_refused_at_once(strict: bool, script: Path) -> None:
    error = failure(write_script(script, key="right", strict=strict), api_key="wrong", ready_s=60.0)
    assert error.code == "smoke.refused"
    assert "401" in error.message
    assert "wrong key" in error.message


def test_keys_come_from_the_job_or_the_environment_and_nowhere_else(script: Path) -> None:
    write_script(script, key="right", strict=True)
    assert smoke(script, api_key="right") == "Hi!"
    environ = {**os.environ, "DLM_SERVER_API_KEY": "right", "LLAMA_API_KEY": "another"}
    job = SmokeJob(script=script, environ={"MORE": "1"})
    assert ScriptLauncher(environ).smoke(job) == "Hi!"
    environ = started(script)[-1]["environ"]
    assert environ.pop("DLM_PYTHON") == sys.executable
    assert environ == {"DLM_SERVER_API_KEY": "right", "LLAMA_API_KEY": None, "MORE": "1"}


def test_an_answer_that_never_comes_is_given_up(script: Path) -> None:
    error = failure(write_script(script, hangs=True, says=["thinking"]), answer_s=0.4)
    assert error.code == "smoke.no-answer"
    assert error.message.endswith("did not answer within 0.4 s\nthinking")
    assert left_running(script) == []


def test_a_server_that_dies_of_the_question_shows_why(script: Path) -> None:
    error = failure(write_script(script, crashes=True))
    assert error.code == "smoke.no-answer"
    assert error.message.endswith("segmentation fault, more or less")


def test_a_server_that_does_not_want_to_end_is_killed(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.3)
    assert smoke(write_script(script, stays=True, child=True)) == "Hi!"
    assert left_running(script) == []


def test_what_the_server_started_ends_with_it(script: Path) -> None:
    assert smoke(write_script(script, child=True)) == "Hi!"
    assert len(started(script)[0]["pids"]) == 2
    assert left_running(script) == []


def test_children_of_a_server_that_crashed_end_too(script: Path) -> None:
    assert failure(write_script(script, child=True, ends=1)).code == "smoke.ended"
    assert left_running(script) == []


_SMOKE = """
import os, sys
from pathlib import Path
from dlm.adapters.servers.launch import ScriptLauncher
from dlm.ports.launcher import SmokeJob
ScriptLauncher(os.environ).smoke(SmokeJob(script=Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_dlm(number: int, script: Path) -> None:
    write_script(script, hangs=True, child=True)
    dlm = subprocess.Popen([sys.executable, "-c", _SMOKE, str(script)])
    until(lambda: (script.parent / "asked").exists() and len(asked(script)) == 2)
    assert len(left_running(script)) == 2
    dlm.send_signal(number)
    dlm.wait()
    until(lambda: not left_running(script))


def until(is_so: Any) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_bash_nothing_is_started(script: Path, tmp_path: Path) -> None:
    launcher = ScriptLauncher({"PATH": str(tmp_path)})
    assert "bash" in (launcher.missing("llama-server") or "")
    with pytest.raises(ExportError) as caught:
        launcher.smoke(SmokeJob(script=write_script(script)))
    assert caught.value.code == "smoke.ended"
    assert "bash" in caught.value.message


def test_a_machine_that_starts_no_more_processes(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(launch, "start", refuse)
    assert "Resource temporarily unavailable" in failure(write_script(script)).message


@attrs.frozen
class Packages:
    """Which Python packages there are."""

    present: tuple[str, ...] = ()

    def __call__(self, name: str) -> object | None:
        return name if name in self.present else None


@pytest.mark.parametrize(
    ("program", "present", "programs", "said"),
    [
        ("llama-server", (), (), "dlm[runtime]"),
        ("llama-server", ("xllamacpp",), (), None),
        ("llama-server", (), ("llama-server",), None),
        ("vllm", (), (), "pip install vllm"),
        ("vllm", (), ("vllm",), None),
        ("mlx_lm", ("mlx",), (), "Apple Silicon"),
        ("mlx_lm", ("mlx", "mlx_lm"), (), None),
        ("other", (), (), "other is not on PATH"),
    ],
)
def test_what_is_missing_is_named(
    program: str,
    present: tuple[str, ...],
    programs: tuple[str, ...],
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", Packages(present))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    missing = ScriptLauncher({"PATH": tools(tmp_path / "bin", *programs)}).missing(program)
    assert missing is None if said is None else said in (missing or "")


def test_on_apple_silicon_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", Packages())
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert "dlm[mlx]" in (ScriptLauncher({"PATH": tools(tmp_path / "bin")}).missing("mlx_lm") or "")
