"""TensorBoard and Weights & Biases, with the real packages and no network."""

from __future__ import annotations

import builtins
import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.tensorboard import TensorBoardSink
from dlm.adapters.wandb import WandbSink
from dlm.domain.errors import MissingExtra
from dlm.domain.events import EvalDone, ExamFinished, Note
from dlm.ports.metrics import RunSink
from dlm.testing.clocks import FixedClock
from dlm.testing.metrics_contract import EXAM, a_run, a_step, finished

LOOK = EvalDone(step=2, val_loss=1.25, perplexity=3.49)
TOLD = (Note(subject="x", message="y"), a_step(1, 2.0), a_step(2, 1.0), LOOK, ExamFinished(exam=EXAM), finished())

STEP_TAGS = {"train/loss", "train/lr", "train/grad_norm"}
EVAL_TAGS = {"eval/val_loss", "eval/perplexity"}
EXAM_TAGS = {"exam/own", "exam/reworded", "exam/kept", "exam/leaks", "exam/drift"}


def keep(sink: RunSink, store: Path, *told: Any, run_id: int = 3) -> list[str]:
    """Observe one run and give its warnings."""
    said: list[str] = []
    with sink.observe(a_run(store, run_id), said.append) as emit:
        for event in told or TOLD:
            emit(event)
    return said


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``without("wandb")`` makes a package look as if it were not installed."""

    def hide(package: str) -> None:
        real = builtins.__import__

        def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
            if name.partition(".")[0] == package:
                raise ImportError(f"No module named {name!r}")
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read event files back with TensorBoard's own reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it imports is not up to us
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        reader = EventAccumulator(str(folder))
        reader.Reload()
    return {tag: [(one.step, one.value) for one in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


class TestTensorBoard:
    @pytest.fixture
    def sink(self) -> TensorBoardSink:
        return TensorBoardSink(FixedClock())

    def test_its_own_reader_finds_every_number(self, sink: TensorBoardSink, tmp_path: Path) -> None:
        assert keep(sink, tmp_path) == []
        found = scalars(tmp_path / "tensorboard" / "run_0003")

        assert set(found) == STEP_TAGS | EVAL_TAGS | EXAM_TAGS
        assert found["train/loss"] == [(1, 2.0), (2, 1.0)]
        assert found["eval/val_loss"] == [(2, 1.25)]
        assert found["exam/own"] == [(2, 0.75)]
        assert found["exam/leaks"] == [(2, 1.0)]

    def test_runs_have_folders_of_their_own(self, sink: TensorBoardSink, tmp_path: Path) -> None:
        keep(sink, tmp_path, run_id=3)
        keep(sink, tmp_path, run_id=12345)
        assert sorted(path.name for path in (tmp_path / "tensorboard").iterdir()) == ["run_0003", "run_12345"]

    def test_numbers_that_are_none_are_left_out(self, sink: TensorBoardSink, tmp_path: Path) -> None:
        keep(sink, tmp_path, a_step(1, float("nan")), a_step(2, 1.0))
        assert scalars(tmp_path / "tensorboard" / "run_0003")["train/loss"] == [(2, 1.0)]

    def test_points_are_seen_while_the_run_goes_on(self, tmp_path: Path) -> None:
        clock = FixedClock()
        with TensorBoardSink(clock).observe(a_run(tmp_path, 3), pytest.fail) as emit:
            emit(a_step(1))
            clock.advance(6)
            emit(a_step(2))
            assert len(scalars(tmp_path / "tensorboard" / "run_0003")["train/loss"]) == 2

    def test_a_run_that_breaks_off_leaves_a_readable_file(self, sink: TensorBoardSink, tmp_path: Path) -> None:
        def break_off() -> None:
            with sink.observe(a_run(tmp_path, 3), pytest.fail) as emit:
                emit(a_step(1))
                raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match="broken"):
            break_off()
        assert scalars(tmp_path / "tensorboard" / "run_0003")["train/loss"] == [(1, 1.0)]

    def test_a_place_that_cannot_be_written_is_told_once(self, sink: TensorBoardSink, tmp_path: Path) -> None:
        (tmp_path / "tensorboard").write_text("in the way")
        (warning,) = keep(sink, tmp_path)
        assert warning.startswith("tensorboard gets no more of this run: ")

    def test_trouble_half_way_is_told_once(
        self, sink: TensorBoardSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise OSError("no room")

        said: list[str] = []
        with sink.observe(a_run(tmp_path, 3), said.append) as emit:
            emit(a_step(1))
            monkeypatch.setattr("dlm.adapters.tensorboard.sink._EventFile.log", refuse)
            monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", refuse)
            emit(a_step(2))
            emit(a_step(3))
        assert said == ["tensorboard gets no more of this run: no room"]

    def test_without_the_package_it_says_what_to_install(
        self, sink: TensorBoardSink, tmp_path: Path, without: Callable[[str], None]
    ) -> None:
        without("tensorboard")
        with pytest.raises(MissingExtra) as caught:
            keep(sink, tmp_path)
        assert 'pip install "dlm[observability]"' in (caught.value.hint or "")
        assert list(tmp_path.iterdir()) == []

    def test_neither_torch_nor_tensorflow_is_loaded(self, tmp_path: Path) -> None:
        code = (
            "import sys\nfrom pathlib import Path\n"
            "from dlm.adapters.tensorboard import TensorBoardSink\nfrom dlm.adapters.system_clock import SystemClock\n"
            "from dlm.testing.metrics_contract import a_run, a_step\n"
            f"with TensorBoardSink(SystemClock()).observe(a_run(Path({str(tmp_path)!r})), print) as emit:\n"
            "    emit(a_step(1))\n"
            "print(*[name for name in ('torch', 'tensorflow') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == ""


WANDB = """
import json, socket, sys, threading
from pathlib import Path

reached = []
connect = socket.socket.connect

def only_here(self, address):
    host = address[0] if isinstance(address, tuple) else "local"
    reached.append(host)
    if host not in ("127.0.0.1", "::1", "localhost", "local"):
        raise OSError("no network")
    return connect(self, address)

socket.socket.connect = only_here
from dlm.adapters.wandb import WandbSink
from dlm.domain.events import EvalDone, ExamFinished
from dlm.testing.metrics_contract import EXAM, a_run, a_step, finished

store, said = Path(sys.argv[1]), []
for run_id in (3, 4):
    with WandbSink("harbour").observe(a_run(store, run_id), said.append) as emit:
        emit(a_step(1, 2.0))
        emit(a_step(2, 1.0))
        emit(EvalDone(step=2, val_loss=1.25, perplexity=3.49))
        emit(ExamFinished(exam=EXAM))
        emit(finished())
print(json.dumps({"said": said, "away": sorted(set(reached) - {"127.0.0.1", "::1", "localhost", "local"})}))
"""
"""In a process of its own: the package starts a helper that lives as long as the process."""


def offline_records(path: Path) -> list[Any]:
    """Read a run's file back: seven bytes, then a log of protocol buffers in LevelDB's format, where a record is
    checksum (4 bytes), length (2), kind (1: whole, 2: first, 3: middle, 4: last) and data in blocks of 32 KiB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from wandb.proto import wandb_internal_pb2
    data, at, records, parts = path.read_bytes(), 7, [], b""
    assert data.startswith(b":W&B")
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            records.append(record)
            parts = b""
    return records


class TestWandb:
    def test_a_run_is_kept_offline_and_can_be_read(self, tmp_path: Path) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")} | {
            "WANDB_BASE_URL": "http://127.0.0.1:9",
            "HOME": str(tmp_path / "user"),
        }
        (tmp_path / "user").mkdir()
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", WANDB, str(tmp_path / "store")],
            capture_output=True,
            text=True,
            check=False,
            env=environ,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == '{"said": [], "away": []}\n'
        assert done.stderr == ""

        folders = sorted((tmp_path / "store" / "wandb").iterdir())
        assert [path.name.startswith("offline-run-") for path in folders] == [True, True]
        records = offline_records(next(folders[0].glob("*.wandb")))
        (run,) = [record.run for record in records if record.HasField("run")]
        assert (run.project, run.display_name) == ("harbour", "run_0003")
        names = {
            item.key or "/".join(item.nested_key)
            for record in records
            if record.HasField("history")
            for item in record.history.item
        }
        assert names >= STEP_TAGS | EVAL_TAGS | EXAM_TAGS
        assert not any(record.HasField("output") or record.HasField("output_raw") for record in records)
        assert not any(record.HasField("stats") for record in records)

    def test_without_the_package_it_says_what_to_install(self, tmp_path: Path, without: Callable[[str], None]) -> None:
        without("wandb")
        with pytest.raises(MissingExtra) as caught:
            keep(WandbSink("harbour"), tmp_path)
        assert 'pip install "dlm[observability]"' in (caught.value.hint or "")

    def test_a_folder_of_its_name_is_no_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "wandb").mkdir()
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        for name in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
            monkeypatch.delitem(sys.modules, name)
        with pytest.raises(MissingExtra):
            keep(WandbSink("harbour"), tmp_path)
        sys.modules.pop("wandb", None)

    @pytest.mark.parametrize("at", ["init", "log", "finish"])
    def test_its_trouble_is_told_once_and_is_not_the_runs(
        self, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake = FakeWandb(at)
        monkeypatch.setitem(sys.modules, "wandb", fake)
        said = keep(WandbSink("harbour"), tmp_path)
        assert said == [f"wandb gets no more of this run: {at} broke"]
        assert fake.ended == (at != "init")

    @pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1)])
    def test_the_end_carries_the_outcome(
        self, status: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake = FakeWandb("")
        monkeypatch.setitem(sys.modules, "wandb", fake)
        assert keep(WandbSink("harbour"), tmp_path, a_step(1), finished(status)) == []
        assert fake.code == code
        assert fake.options["mode"] == "offline"
        assert fake.options["dir"] == str(tmp_path)


class FakeWandb:
    """Breaks at one of its calls."""

    __file__ = "wandb/__init__.py"

    def __init__(self, breaks_at: str) -> None:
        self.breaks_at = breaks_at
        self.ended = False
        self.code: int | None = None
        self.options: dict[str, Any] = {}

    def Settings(self, **options: Any) -> dict[str, Any]:  # noqa: N802 - as in the package
        return options

    def init(self, **options: Any) -> FakeWandb:
        self.options = options
        return self._call("init")

    def log(self, _numbers: Any, *, step: int) -> FakeWandb:
        return self._call("log")

    def finish(self, *, exit_code: int) -> FakeWandb:
        self.ended, self.code = True, exit_code
        return self._call("finish")

    def _call(self, name: str) -> FakeWandb:
        if name == self.breaks_at:
            raise RuntimeError(f"{name} broke")
        return self
