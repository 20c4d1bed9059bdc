"""The metrics database as a file: its tables, other programs' files, damage, full disks, killed processes."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.sqlite import SqliteMetrics, schema, writer
from dlm.adapters.system_clock import SystemClock
from dlm.domain.errors import MetricsError
from dlm.domain.events import Event, ExamFinished, StepDone
from dlm.domain.metrics import RunFilter
from dlm.domain.store_layout import METRICS
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.metrics_contract import EXAM, ID, a_run, a_step, finished
from tiny_runs import small_disk, tree

SPEC_COLUMNS = {
    "runs": "run_id started_at ended_at adapter_version phase seed status",
    "steps": "run_id step loss lr grad_norm tokens_per_sec peak_vram_mb at",
    "evals": "run_id step val_loss perplexity retention at",
    "exports": "exported_at quant merged ollama_name size_bytes duration_s",
    "tokenization": "run_id total_sections cache_hits cache_misses total_tokenize_seconds cache_bytes_after at",
    "gate_events": "run_id adapter_name mean_weight sample_count mode at",
    "preference_mining": "event_id run_id judge_name sample_count mined_pairs skipped_prompts write_mode at",
}

OTHER_PROGRAM = """
CREATE TABLE runs (run_id INTEGER PRIMARY KEY, started_at TEXT NOT NULL, ended_at TEXT, adapter_version INTEGER,
  phase TEXT, seed INTEGER, status TEXT);
CREATE TABLE steps (run_id INTEGER NOT NULL REFERENCES runs(run_id), step INTEGER NOT NULL, loss REAL, lr REAL,
  grad_norm REAL, at TEXT NOT NULL, PRIMARY KEY (run_id, step));
INSERT INTO runs VALUES (1, '2026-01-02T03:04:05Z', NULL, 1, 'sft', 42, 'running');
INSERT INTO steps VALUES (1, 10, 2.5, 1e-4, 1.0, '2026-01-02T03:05:05Z');
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store" / ID


@pytest.fixture
def metrics(store: Path) -> SqliteMetrics:
    return SqliteMetrics(lambda dlm_id: store.parent / dlm_id, FixedClock())


def observed(metrics: SqliteMetrics, store: Path, *events: Event, run_id: int = 1, **changes: Any) -> list[str]:
    """Observe one run and give its warnings."""
    warnings: list[str] = []
    with metrics.observe(a_run(store, run_id, **changes), warnings.append) as emit:
        for event in events:
            emit(event)
        emit(finished())
    return warnings


def rows(store: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(store / METRICS)) as connection:
        return connection.execute(sql).fetchall()


def execute(store: Path, sql: str) -> None:
    store.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(store / METRICS)) as connection:
        connection.executescript(sql)


class TestTheFile:
    def test_its_tables_are_those_of_the_format(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store)
        found = {name: " ".join(row[1] for row in rows(store, f"PRAGMA table_info({name})")) for name in SPEC_COLUMNS}

        assert found == SPEC_COLUMNS
        assert rows(store, "PRAGMA user_version") == [(1,)]
        assert rows(store, "PRAGMA journal_mode") == [("wal",)]
        assert rows(store, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL") == [(0,)]
        assert rows(store, "PRAGMA foreign_key_check") == []

    def test_times_end_in_z(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store, a_step(1))

        assert rows(store, "SELECT started_at, ended_at FROM runs") == [("2026-04-23T18:42:11Z",) * 2]
        assert rows(store, "SELECT at FROM steps") == [("2026-04-23T18:42:11Z",)]

    def test_the_exam_can_be_asked_for_by_column(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store, ExamFinished(exam=EXAM))

        sql = "SELECT own_right, own_asked, kept_right, kept_asked, leaks, drift FROM exams"
        assert rows(store, sql) == [(3, 4, 11, 12, 1, 0.0421)]

    def test_reading_leaves_no_trace(self, metrics: SqliteMetrics, store: Path) -> None:
        assert metrics.runs(ID, RunFilter()) == ()
        assert not store.parent.exists()
        observed(metrics, store, a_step(1))
        before = tree(store)
        assert sorted(before) == [METRICS]
        assert metrics.history(ID, 1) is not None
        assert tree(store) == before

    def test_a_folder_of_its_name_is_no_database(self, metrics: SqliteMetrics, store: Path) -> None:
        (store / METRICS).mkdir(parents=True)
        with pytest.raises(MetricsError) as caught:
            metrics.runs(ID, RunFilter())
        assert caught.value.code == "metrics.unreadable"
        with pytest.raises(MetricsError) as caught:
            observed(metrics, store)
        assert caught.value.code == "metrics.unwritable"

    def test_a_number_that_comes_again_replaces_a_lost_history(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store, a_step(1), a_step(2), ExamFinished(exam=EXAM))
        (warning,) = observed(metrics, store, a_step(9))

        assert "run 1" in warning
        assert [step.step for step in metrics.steps(ID, 1)] == [9]
        assert metrics.exam(ID, 1) is None


class TestOtherPrograms:
    def test_their_file_is_read(self, metrics: SqliteMetrics, store: Path) -> None:
        execute(store, OTHER_PROGRAM)
        item = metrics.history(ID, 1)

        assert item is not None
        assert (item.run.status, item.run.phase, item.run.steps, item.exam) == ("running", "sft", None, None)
        assert [(step.step, step.loss, step.tokens_per_sec) for step in item.steps] == [(10, 2.5, None)]
        assert item.evals == ()

    def test_their_file_is_continued(self, metrics: SqliteMetrics, store: Path) -> None:
        execute(store, OTHER_PROGRAM)
        assert observed(metrics, store, a_step(1), run_id=2) == []

        new, old = metrics.runs(ID, RunFilter())
        assert (new.status, old.status, old.steps) == ("ok", "failed", 10)
        assert old.message
        assert f"{old.ended_at:%H:%M:%S}" == "03:05:05"
        assert metrics.steps(ID, 2)[0].tokens_per_sec == 200.0

    def test_mined_preferences_are_read(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store)
        execute(
            store, "INSERT INTO preference_mining VALUES (NULL, 1, 'sway', 12, 5, 2, 'staged', '2026-01-02T03:04:05Z')"
        )
        item = metrics.history(ID, 1)
        assert item is not None
        assert [(event.judge_name, event.mined_pairs) for event in item.preference_mining] == [("sway", 5)]

    def test_a_newer_dlms_file_is_refused(self, metrics: SqliteMetrics, store: Path) -> None:
        execute(store, "PRAGMA user_version = 2")
        before = tree(store)
        for use in (lambda: metrics.runs(ID, RunFilter()), lambda: observed(metrics, store)):
            with pytest.raises(MetricsError) as caught:
                use()
            assert caught.value.code == "metrics.newer"
            assert "Update dlm" in (caught.value.hint or "")
        assert tree(store) == before

    def test_columns_that_hold_anything(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store, a_step(1))
        execute(
            store,
            "INSERT INTO runs VALUES (7, X'00FF', 'yesterday', 'two', 'magic', 1.5, 12);"
            "INSERT INTO run_details (run_id, steps, seconds, message) VALUES (7, 'x', 9e999, CAST(X'FFFE' AS TEXT));"
            "INSERT INTO steps VALUES (7, 'third', 1, 1, 1, 1, 1, 'now'), (7, 4, 'high', X'01', -9e999, '', 1.5, 7);"
            "INSERT INTO evals VALUES (7, 4, 'low', NULL, X'', X'');"
            "INSERT INTO exams (run_id, record) VALUES (7, '[[');"
            "INSERT INTO tokenization VALUES (7, 'a', 'b', 'c', 'd', 'e', 'f');",
        )
        item = metrics.history(ID, 7)

        assert item is not None
        run = item.run
        assert (run.started_at.year, run.ended_at, run.adapter_version, run.phase) == (1970, None, None, None)
        assert (run.seed, run.status, run.steps, run.seconds) == (None, None, None, None)
        assert [(step.step, step.loss, step.lr, step.grad_norm, step.peak_vram_mb) for step in item.steps] == [
            (4, None, None, None, None)
        ]
        assert [(look.val_loss, look.retention) for look in item.evals] == [(None, None)]
        assert item.exam is None
        assert item.tokenization is not None
        assert item.tokenization.hit_rate is None

    @pytest.mark.parametrize("record", ["[" * 100_000, "3", '"text"', "{", ""], ids=len)
    def test_an_exam_that_is_none(self, record: str, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store)
        with closing(sqlite3.connect(store / METRICS)) as connection, connection:
            connection.execute("INSERT INTO exams (run_id, record) VALUES (1, ?)", (record,))
        assert metrics.exam(ID, 1) is None

    @pytest.mark.parametrize(
        "tables",
        ["CREATE VIEW runs AS SELECT 1 AS run_id", "CREATE TABLE runs (a, b)", "CREATE TABLE steps (loss TEXT)"],
    )
    def test_tables_that_are_other_things(self, tables: str, metrics: SqliteMetrics, store: Path) -> None:
        execute(store, tables)
        try:
            assert metrics.runs(ID, RunFilter()) == ()
            assert metrics.steps(ID, 1) == ()
        except MetricsError as exc:
            assert exc.code == "metrics.corrupt"  # noqa: PT017 - both are allowed, a foreign exception is not


class TestDamage:
    def _damaged(self, metrics: SqliteMetrics, store: Path, where: str) -> bytes:
        observed(metrics, store, *map(a_step, range(1, 2000)))
        path = store / METRICS
        data = bytearray(path.read_bytes())
        start = {"header": 0, "schema": 100, "middle": len(data) // 2, "end": len(data) - 8192}[where]
        data[start : start + 4096 * 2] = os.urandom(4096 * 2)
        data = data[:4096] if where == "cut" else data
        path.write_bytes(data)
        return bytes(data)

    @pytest.mark.parametrize("where", ["header", "schema", "middle", "end"])
    def test_it_is_moved_aside_and_training_goes_on(self, where: str, metrics: SqliteMetrics, store: Path) -> None:
        data = self._damaged(metrics, store, where)
        (warning,) = observed(metrics, store, a_step(1), run_id=2)

        assert "metrics.sqlite.damaged-1" in warning
        assert (store / "metrics.sqlite.damaged-1").read_bytes() == data
        assert [run.run_id for run in metrics.runs(ID, RunFilter())] == [2]
        assert len(metrics.steps(ID, 2)) == 1

    @pytest.mark.parametrize("where", ["header", "schema"])
    def test_reading_it_names_the_file_and_a_way_on(self, where: str, metrics: SqliteMetrics, store: Path) -> None:
        self._damaged(metrics, store, where)
        with pytest.raises(MetricsError) as caught:
            metrics.runs(ID, RunFilter())
        assert caught.value.code == "metrics.corrupt"
        assert str(store / METRICS) in caught.value.message
        assert "Move it aside" in (caught.value.hint or "")

    def test_reading_a_broken_middle_gives_what_is_whole_or_refuses(self, metrics: SqliteMetrics, store: Path) -> None:
        self._damaged(metrics, store, "middle")
        with pytest.raises(MetricsError) as caught:
            metrics.steps(ID, 1)
        assert caught.value.code == "metrics.corrupt"

    def test_strict_refuses_and_leaves_it(self, metrics: SqliteMetrics, store: Path) -> None:
        self._damaged(metrics, store, "header")
        before = tree(store)
        with pytest.raises(MetricsError) as caught:
            observed(metrics, store, run_id=2, strict=True)
        assert caught.value.code == "metrics.corrupt"
        assert tree(store) == before

    def test_every_damaged_one_is_kept(self, metrics: SqliteMetrics, store: Path) -> None:
        for _ in range(3):
            store.mkdir(parents=True, exist_ok=True)
            (store / METRICS).write_text("not a database at all, but long enough to be looked at" * 100)
            observed(metrics, store)
        assert sorted(path.name for path in store.iterdir())[1:] == [f"metrics.sqlite.damaged-{n}" for n in (1, 2, 3)]

    def test_an_empty_file_is_an_empty_database(self, metrics: SqliteMetrics, store: Path) -> None:
        store.mkdir(parents=True)
        (store / METRICS).touch()
        assert metrics.runs(ID, RunFilter()) == ()
        assert observed(metrics, store) == []


class TestTrouble:
    """Steps may be lost, with a word; the start and the end may not."""

    @pytest.fixture
    def no_steps(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store)
        execute(store, "CREATE TRIGGER no BEFORE INSERT ON steps BEGIN SELECT RAISE(ABORT, 'no room for steps'); END")

    @pytest.mark.usefixtures("no_steps")
    def test_a_stream_that_fails_is_told_once(self, metrics: SqliteMetrics, store: Path) -> None:
        warnings = observed(metrics, store, *map(a_step, range(200)), ExamFinished(exam=EXAM), run_id=2)

        assert len(warnings) == 1
        assert warnings[0].startswith("steps: ")
        assert "no room for steps" in warnings[0]
        assert metrics.steps(ID, 2) == ()
        assert metrics.exam(ID, 2) == EXAM
        assert metrics.runs(ID, RunFilter())[0].status == "ok"

    @pytest.mark.usefixtures("no_steps")
    def test_the_word_is_said_in_the_thread_that_emits(self, metrics: SqliteMetrics, store: Path) -> None:
        threads: list[threading.Thread] = []
        with metrics.observe(a_run(store, 2), lambda _: threads.append(threading.current_thread())) as emit:
            emit(a_step(1))
        assert threads == [threading.current_thread()]

    @pytest.mark.usefixtures("no_steps")
    def test_strict_ends_the_run_at_a_later_event(self, metrics: SqliteMetrics, store: Path) -> None:
        told: list[Event] = []

        def run_on() -> None:
            with metrics.observe(a_run(store, 2, strict=True), pytest.fail) as emit:
                for step in range(100):
                    told.append(a_step(step))
                    emit(told[-1])
                    time.sleep(0.05)

        with pytest.raises(MetricsError) as caught:
            run_on()
        assert caught.value.code == "metrics.unwritable"
        assert len(told) < 100

    @pytest.mark.usefixtures("no_steps")
    def test_strict_fails_at_the_end_at_the_latest(self, metrics: SqliteMetrics, store: Path) -> None:
        with pytest.raises(MetricsError):
            observed(metrics, store, a_step(1), run_id=2, strict=True)
        assert metrics.runs(ID, RunFilter())[0].status == "ok"

    @pytest.mark.usefixtures("no_steps")
    def test_strict_does_not_hide_the_runs_own_error(self, metrics: SqliteMetrics, store: Path) -> None:
        error = RuntimeError("the story")

        def break_off() -> None:
            with metrics.observe(a_run(store, 2, strict=True), print) as emit:
                emit(a_step(1))
                raise error

        with pytest.raises(RuntimeError) as caught:
            break_off()
        assert caught.value is error
        assert "could not be recorded" in error.__notes__[0]

    def test_an_event_that_cannot_be_written_takes_no_others_along(self, metrics: SqliteMetrics, store: Path) -> None:
        odd: dict[str, Any] = {"own": object()}
        warnings = observed(metrics, store, a_step(1), ExamFinished(exam=odd), a_step(2))
        assert [step.step for step in metrics.steps(ID, 1)] == [1, 2]
        assert [warning.split(":")[0] for warning in warnings] == ["ExamFinished"]

    @pytest.mark.parametrize("loss", [10**400, "half \ud800"])
    def test_values_sqlite_cannot_hold(self, loss: Any, metrics: SqliteMetrics, store: Path) -> None:
        assert observed(metrics, store, a_step(1, loss)) == []
        assert metrics.steps(ID, 1)[0].loss is None

    def test_a_failing_start_is_an_error(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store)
        execute(store, "CREATE TRIGGER no BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(MetricsError) as caught:
            observed(metrics, store, run_id=2)
        assert caught.value.code == "metrics.unwritable"

    def test_a_failing_end_is_an_error_and_a_note_beside_another(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store)
        execute(store, "CREATE TRIGGER no BEFORE UPDATE OF ended_at ON runs BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(MetricsError):
            observed(metrics, store, run_id=2)
        execute(store, "UPDATE runs SET status = 'failed'")
        with pytest.raises(ZeroDivisionError) as caught, metrics.observe(a_run(store, 3), print):
            raise ZeroDivisionError
        assert "could not be recorded" in caught.value.__notes__[0]

    def test_a_full_database(self, metrics: SqliteMetrics, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        prepare = schema.prepare

        def small(connection: sqlite3.Connection) -> None:
            prepare(connection)
            connection.execute("PRAGMA max_page_count = 30")

        monkeypatch.setattr("dlm.adapters.sqlite.files.prepare", small)
        warnings = observed(metrics, store, *map(a_step, range(5000)))
        assert len(warnings) == 1
        assert "full" in warnings[0]
        assert metrics.runs(ID, RunFilter())[0].status == "ok"
        assert 0 < len(metrics.steps(ID, 1)) < 5000

    def test_a_really_full_disk(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", "1m") as disk:
            store = disk / "store" / ID
            metrics = SqliteMetrics(lambda dlm_id: store.parent / dlm_id, FixedClock())
            observed(metrics, store, *map(a_step, range(10)))
            (disk / "ballast").write_bytes(b"x" * shutil.disk_usage(disk).free)
            with pytest.raises(MetricsError) as caught:
                observed(metrics, store, *map(a_step, range(10)), run_id=2)
            assert caught.value.code == "metrics.unwritable"
            assert len(metrics.steps(ID, 1)) == 10
            (disk / "ballast").unlink()
            observed(metrics, store, *map(a_step, range(20)), run_id=2)
            assert len(metrics.steps(ID, 2)) == 20

    def test_a_read_only_disk_is_read_and_not_written(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", "1m") as disk:
            store = disk / "store" / ID
            metrics = SqliteMetrics(lambda dlm_id: store.parent / dlm_id, FixedClock())
            observed(metrics, store, *map(a_step, range(10)))
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            before = tree(disk)
            assert len(metrics.steps(ID, 1)) == 10
            with pytest.raises(MetricsError) as caught:
                observed(metrics, store, run_id=2)
            assert caught.value.code == "metrics.unwritable"
            assert caught.value.hint
            assert tree(disk) == before


CHILD = """
import sys, time
from pathlib import Path
from dlm.adapters.sqlite import SqliteMetrics
from dlm.adapters.system_clock import SystemClock
from dlm.testing.metrics_contract import a_run, a_step
store = Path(sys.argv[1])
metrics = SqliteMetrics(lambda dlm_id: store.parent / dlm_id, SystemClock())
with metrics.observe(a_run(store, 1), print) as emit:
    for step in range(1, 10**9):
        emit(a_step(step))
        time.sleep(0.0005)
"""


@pytest.fixture
def child(store: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes steps without end."""
    source = str(Path(__file__).parents[2] / "src")
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(store)], env={**os.environ, "PYTHONPATH": source}
    ) as process:
        yield process
        process.kill()


def wait_for_steps(metrics: SqliteMetrics, more_than: int) -> int:
    deadline = time.monotonic() + 30
    while (count := len(metrics.steps(ID, 1))) <= more_than:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return count


class TestProcesses:
    def test_others_read_while_one_writes(
        self, child: subprocess.Popen[bytes], metrics: SqliteMetrics, store: Path
    ) -> None:
        seen = wait_for_steps(metrics, 0)
        threads = [threading.Thread(target=wait_for_steps, args=(metrics, seen + 200)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(metrics.steps(ID, 1)) > seen + 200
        assert child.poll() is None

    @pytest.mark.parametrize("more_than", [0, 150, 400])
    def test_a_killed_process_loses_what_was_not_flushed_and_no_more(
        self, more_than: int, child: subprocess.Popen[bytes], metrics: SqliteMetrics, store: Path
    ) -> None:
        seen = wait_for_steps(metrics, more_than)
        child.send_signal(signal.SIGKILL)
        child.wait()

        steps = [step.step for step in metrics.steps(ID, 1)]
        assert len(steps) >= seen
        assert steps == list(range(1, len(steps) + 1))
        assert metrics.runs(ID, RunFilter())[0].status == "running"

        assert observed(metrics, store, a_step(1), run_id=2) == []
        new, old = metrics.runs(ID, RunFilter())
        assert (new.status, old.status, old.steps) == ("ok", "failed", len(steps))
        assert rows(store, "PRAGMA integrity_check") == [("ok",)]


class TestSpeed:
    def test_observing_costs_the_training_thread_next_to_nothing(
        self, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its own time counts, since other work shares the machine; it takes about two microseconds."""
        made: list[writer.BatchWriter] = []
        begin = writer.BatchWriter.__init__

        def remembered(self: writer.BatchWriter, *args: Any) -> None:
            begin(self, *args)
            made.append(self)

        monkeypatch.setattr(writer.BatchWriter, "__init__", remembered)
        metrics = SqliteMetrics(lambda dlm_id: store.parent / dlm_id, SystemClock())
        costs, events = [], [a_step(step) for step in range(2000)]
        for run_id in range(1, 6):
            with metrics.observe(a_run(store, run_id), pytest.fail) as emit:
                began = time.thread_time()
                for event in events:
                    emit(event)
                costs.append((time.thread_time() - began) / 2000)
        assert min(costs) < 50e-6
        assert all(one.transactions < 2000 / 5 for one in made)
        assert len(metrics.steps(ID, 5)) == 2000

    def test_what_waits_is_written_within_about_a_second(self, metrics: SqliteMetrics, store: Path) -> None:
        with metrics.observe(a_run(store), pytest.fail) as emit:
            emit(a_step(1))
            began = time.monotonic()
            wait_for_steps(metrics, 0)
            assert time.monotonic() - began < 10 * writer.BATCH_S
            emit(finished())

    def test_a_thousand_runs_are_listed_in_less_than_a_second(self, metrics: SqliteMetrics, store: Path) -> None:
        observed(metrics, store)
        with closing(sqlite3.connect(store / METRICS)) as connection, connection:
            runs = [(run_id, "2026-01-02T03:04:05Z", "sft", 42, "ok") for run_id in range(2, 1001)]
            connection.executemany(
                "INSERT INTO runs (run_id, started_at, phase, seed, status) VALUES (?, ?, ?, ?, ?)", runs
            )
            steps = ((run[0], step, 1.0, "2026-01-02T03:04:05Z") for run in runs for step in range(200))
            connection.executemany("INSERT INTO steps (run_id, step, loss, at) VALUES (?, ?, ?, ?)", steps)
            connection.executemany("INSERT INTO exams (run_id, record) VALUES (?, '{}')", [(run[0],) for run in runs])

        began = time.perf_counter()
        found = metrics.runs(ID, RunFilter(limit=None))
        exams = [metrics.exam(ID, run.run_id) for run in found[:20]]
        took = time.perf_counter() - began
        assert (len(found), exams) == (1000, [{}] * 20)
        assert took < 1

        began = time.perf_counter()
        observed(metrics, store, a_step(1), run_id=1001)
        assert time.perf_counter() - began < 2


def test_two_stores_are_written_at_once(tmp_path: Path) -> None:
    metrics = SqliteMetrics(lambda dlm_id: tmp_path / dlm_id, SystemClock())
    ids = [f"01KPXZ000000000000000000{n:02d}" for n in range(4)]
    failures: list[BaseException] = []

    def work(dlm_id: str, offset: int) -> None:
        try:
            events = [
                StepDone(step=n, total_steps=9, loss=offset, lr=0, grad_norm=0, tokens_per_s=0) for n in range(500)
            ]
            assert observed(metrics, tmp_path / dlm_id, *events, dlm_id=dlm_id) == []
        except BaseException as exc:  # noqa: BLE001 - shown in the main thread
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(dlm_id, offset)) for offset, dlm_id in enumerate(ids)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for offset, dlm_id in enumerate(ids):
        assert [step.loss for step in metrics.steps(dlm_id, 1)] == [offset] * 500
        assert metrics.runs(dlm_id, RunFilter())[0].started_at == A_MOMENT
