"""A trainer without a model, and the contract every trainer keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlm.domain.errors import ResumeError, TrainingError
from dlm.domain.events import Emit, StepDone, Tokenized, ignore
from dlm.domain.rows import Row
from dlm.domain.training import StopReason, TrainingJob, TrainingOutcome
from dlm.ports.token_cache import TokenStore
from dlm.ports.trainer import CheckpointSink, FillFolder, TrainerPort


class FakeTrainer:
    """Takes steps that only count; the "weights" are a digest of the job and the number of steps."""

    def train(
        self,
        job: TrainingJob,
        *,
        into: Path,
        checkpoints: CheckpointSink,
        emit: Emit,
        stop: Callable[[], bool],
        tokens: TokenStore | None = None,
    ) -> TrainingOutcome:
        """Step through the job's epochs and write a folder of the usual shape."""
        if not job.train_rows:
            raise TrainingError("train.nothing-to-learn", "no rows")
        if tokens is not None:
            emit(_tokenized(job, tokens))
        start = _steps_in(job.resume_from) if job.resume_from else 0
        total = job.recipe.num_epochs.value * -(-len(job.train_rows) // job.recipe.batch_rows.value)
        limit = total if job.max_steps is None else min(total, job.max_steps)
        step, interrupted = start, False
        while step < limit and not interrupted:
            interrupted = stop()
            if not interrupted:
                step += 1
                emit(StepDone(step=step, total_steps=limit, loss=1 / step, lr=0.1, grad_norm=1.0, tokens_per_s=1.0))
        _write(into, job, step)
        return TrainingOutcome(
            steps=step,
            stopped=_reason(step, total, interrupted),
            first_train_loss=1.0,
            final_train_loss=1 / max(1, step),
            tokens=step - start,
            seconds=0.0,
            train_losses={"all": 1 / max(1, step)},
        )


def _tokenized(job: TrainingJob, tokens: TokenStore) -> Tokenized:
    """Put rows into the store, a "token" for each byte, and give the event."""
    rows = [row for row in (*job.train_rows, *job.validation_rows) if row.kind in ("prose", "instruction")]
    for row in rows:
        _put(row, tokens)
    use = tokens.use()
    return Tokenized(
        total_sections=len({row.section_id for row in rows}),
        cache_hits=use.hits,
        cache_misses=use.misses,
        seconds=0.0,
        cache_bytes_after=use.bytes_after,
    )


def _put(row: Row, tokens: TokenStore) -> None:
    words = "".join([row.content, *(turn.content for turn in row.turns)]).encode()
    key = hashlib.sha256(f"{row.kind}:{row.section_id}:{row.sub}:".encode() + words).hexdigest()
    if tokens.find(key) is None:
        tokens.add(key, list(words), 1)


def _reason(step: int, total: int, interrupted: bool) -> StopReason:
    if interrupted:
        return "interrupted"
    return "completed" if step >= total else "max-steps"


def _steps_in(folder: Path) -> int:
    try:
        return int(json.loads((folder / "training_state.json").read_text(encoding="utf-8"))["counters"]["step"])
    except (OSError, ValueError, KeyError) as exc:
        raise ResumeError("resume.no-state", f"{folder}: {exc}") from exc


def _write(into: Path, job: TrainingJob, step: int) -> None:
    learned = hashlib.sha256(f"{job.train_rows!r}{job.recipe!r}{step}".encode()).hexdigest()
    _json(into / "adapter_model.safetensors", {"learned": learned})
    _json(
        into / "adapter_config.json",
        {"peft_type": "LORA", "r": job.recipe.lora_r.value, "base_model_name_or_path": job.base.spec.hf_id},
    )
    _json(into / "training_state.json", {"counters": {"step": step}})
    _json(into / "training_run.json", {"use_qlora": job.plan.use_qlora.value})


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, sort_keys=True) + "\n", encoding="utf-8")


class NoCheckpoints:
    """A sink that runs the writer into a folder nobody keeps; counts how often."""

    def __init__(self, scratch: Path) -> None:
        self.saved = 0
        self._scratch = scratch

    def save(self, fill: FillFolder) -> None:
        """Fill a fresh folder."""
        self.saved += 1
        folder = self._scratch / f"checkpoint-{self.saved}"
        folder.mkdir(parents=True)
        fill(folder)


class TrainerContract:
    """What every trainer does. Subclass it, give the two factories, and run it with pytest."""

    def make_trainer(self) -> TrainerPort:
        """Give the trainer under test."""
        raise TypeError(f"{type(self).__name__} must give a trainer")

    def make_job(self, **changes: Any) -> TrainingJob:
        """Give a small job of at least four steps without a stop rule; ``changes`` replace fields."""
        raise TypeError(f"{type(self).__name__} must give a job")

    def run(self, into: Path, stop: Callable[[], bool] = lambda: False, emit: Emit = ignore, **changes: Any) -> Any:
        """Train a job into a fresh folder."""
        into.mkdir()
        return self.make_trainer().train(
            self.make_job(**changes), into=into, checkpoints=NoCheckpoints(into.parent / "ck"), emit=emit, stop=stop
        )

    def test_writes_an_adapter_and_reports_its_steps(self, tmp_path: Path) -> None:
        events: list[Any] = []
        outcome = self.run(tmp_path / "a", emit=events.append)
        steps = [event for event in events if isinstance(event, StepDone)]
        assert {"adapter_config.json", "adapter_model.safetensors"} <= {p.name for p in (tmp_path / "a").iterdir()}
        assert outcome.stopped == "completed"
        assert [event.step for event in steps] == list(range(1, outcome.steps + 1))
        assert all(event.total_steps == outcome.steps for event in steps)

    def test_the_same_job_gives_the_same_bytes(self, tmp_path: Path) -> None:
        self.run(tmp_path / "a")
        self.run(tmp_path / "b")
        assert _adapter_bytes(tmp_path / "a") == _adapter_bytes(tmp_path / "b")

    def test_a_cap_gives_a_prefix_and_resuming_gives_the_whole(self, tmp_path: Path) -> None:
        whole = self.run(tmp_path / "whole")
        capped = self.run(tmp_path / "capped", max_steps=2)
        assert (capped.steps, capped.stopped) == (2, "max-steps")
        rest = self.run(tmp_path / "rest", resume_from=tmp_path / "capped")
        assert rest.steps == whole.steps
        assert _adapter_bytes(tmp_path / "rest") == _adapter_bytes(tmp_path / "whole")

    def test_stopping_keeps_a_state_that_can_be_resumed(self, tmp_path: Path) -> None:
        taken: list[Any] = []
        outcome = self.run(tmp_path / "a", stop=lambda: len(taken) >= 1, emit=_only_steps(taken))
        assert outcome.stopped == "interrupted"
        whole = self.run(tmp_path / "whole")
        self.run(tmp_path / "rest", resume_from=tmp_path / "a")
        assert outcome.steps < whole.steps
        assert _adapter_bytes(tmp_path / "rest") == _adapter_bytes(tmp_path / "whole")

    def test_resuming_a_finished_run_takes_no_step(self, tmp_path: Path) -> None:
        whole = self.run(tmp_path / "a")
        again = self.run(tmp_path / "b", resume_from=tmp_path / "a")
        assert (again.steps, again.tokens) == (whole.steps, 0)

    def test_nothing_to_learn_is_refused(self, tmp_path: Path) -> None:
        import pytest

        with pytest.raises(TrainingError):
            self.run(tmp_path / "a", train_rows=())

    def test_resuming_from_garbage_is_refused(self, tmp_path: Path) -> None:
        import pytest

        garbage = tmp_path / "garbage"
        garbage.mkdir()
        (garbage / "training_state.json").write_text("{", encoding="utf-8")
        with pytest.raises(ResumeError):
            self.run(tmp_path / "a", resume_from=garbage)


def _only_steps(taken: list[Any]) -> Emit:
    return lambda event: taken.append(event) if isinstance(event, StepDone) else None


def _adapter_bytes(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "adapter_model.safetensors").read_bytes(), (folder / "adapter_config.json").read_bytes()
