"""What training does to a real, tiny model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny
from dlm.adapters.torch.anchors import AnchorCache
from dlm.adapters.torch.bases import TorchBases
from dlm.adapters.torch.batches import IGNORED, Order, collate, length_groups
from dlm.adapters.torch.chat import Encoded
from dlm.adapters.torch.trainer import TorchTrainer
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import ConfigError, ResumeError, TrainingError
from dlm.domain.events import EvalDone, Note, Progress, StepDone
from dlm.domain.lessons import statement_rows
from dlm.domain.rows import Row, Turn
from dlm.testing.trainers import NoCheckpoints
from tiny_plans import inference_plan


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    return tiny.tiny_base(tmp_path_factory.mktemp("tiny"))


def train(base: ResolvedBase, into: Path, events: list[Any] | None = None, **changes: Any) -> Any:
    into.mkdir(exist_ok=True)
    return TorchTrainer(TorchBases()).train(
        tiny.job(base, **changes),
        into=into,
        checkpoints=NoCheckpoints(into / "ck"),
        emit=(events if events is not None else []).append,
        stop=lambda: False,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def test_it_learns(base: ResolvedBase, tmp_path: Path) -> None:
    outcome = train(base, tmp_path / "a", recipe=tiny.recipe(num_epochs=40))
    assert outcome.train_losses["all"] < 0.5 * outcome.first_train_loss
    assert set(outcome.train_losses) == {"all", "prose", "instruction"}


def test_it_stops_once_the_document_is_known(base: ResolvedBase, tmp_path: Path) -> None:
    outcome = train(base, tmp_path / "a", recipe=tiny.recipe(num_epochs=200, stop_loss=3.0))
    assert outcome.stopped == "converged"
    assert outcome.steps < 200 * 3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("adapter", ["lora", "dora"])
def test_every_kind_of_adapter_loads_with_plain_peft(
    base: ResolvedBase, tmp_path: Path, adapter: str, precision: str
) -> None:
    train(base, tmp_path / "a", recipe=tiny.recipe(adapter=adapter), plan=tiny.plan(precision=precision))
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["use_dora"] is (adapter == "dora")
    assert config["target_modules"] == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    ]  # fmt: skip
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / "a").values())
    adapted = _plain_peft(base, tmp_path / "a")
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad(), adapted.disable_adapter():
        before = adapted(ids).logits
    with torch.no_grad():
        assert not torch.allclose(before, adapted(ids).logits)


def _plain_peft(base: ResolvedBase, folder: Path) -> Any:
    import warnings

    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.folder), folder).eval()


def test_listed_targets_are_obeyed_and_unknown_ones_refused(base: ResolvedBase, tmp_path: Path) -> None:
    train(base, tmp_path / "a", recipe=tiny.recipe(target_modules=("q_proj", "v_proj")))
    assert {name.split(".")[-3] for name in weights(tmp_path / "a")} == {"q_proj", "v_proj"}
    with pytest.raises(ConfigError, match="nonsense"):
        train(base, tmp_path / "b", recipe=tiny.recipe(target_modules=("nonsense",)))


def test_the_seed_changes_the_adapter(base: ResolvedBase, tmp_path: Path) -> None:
    train(base, tmp_path / "a", recipe=tiny.recipe(seed=1))
    train(base, tmp_path / "b", recipe=tiny.recipe(seed=2))
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert any(not torch.equal(a[name], b[name]) for name in a)


def test_resume_is_exact_with_dropout_and_dora(base: ResolvedBase, tmp_path: Path) -> None:
    recipe = tiny.recipe(adapter="dora", lora_dropout=0.3, num_epochs=4)
    train(base, tmp_path / "whole", recipe=recipe)
    train(base, tmp_path / "part", recipe=recipe, max_steps=5)
    train(base, tmp_path / "rest", recipe=recipe, resume_from=tmp_path / "part")
    whole, rest = weights(tmp_path / "whole"), weights(tmp_path / "rest")
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_an_edited_document_goes_on_from_the_adapter_with_a_new_schedule(base: ResolvedBase, tmp_path: Path) -> None:
    first = train(base, tmp_path / "a")
    events: list[Any] = []
    second = train(base, tmp_path / "b", events, resume_from=tmp_path / "a", train_rows=tiny.rows(6))
    steps = [event for event in events if isinstance(event, StepDone)]
    assert steps[0].step == first.steps + 1
    assert second.steps > first.steps
    assert steps[0].total_steps == second.steps


def test_another_shape_cannot_be_resumed(base: ResolvedBase, tmp_path: Path) -> None:
    train(base, tmp_path / "a", max_steps=1)
    with pytest.raises(ResumeError, match="r: 4 → 8"):
        train(base, tmp_path / "b", resume_from=tmp_path / "a", recipe=tiny.recipe(lora_r=8))


def test_an_altered_state_is_refused(base: ResolvedBase, tmp_path: Path) -> None:
    train(base, tmp_path / "a", max_steps=1)
    path = tmp_path / "a" / "training_state.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ResumeError, match="damaged"):
        train(base, tmp_path / "b", resume_from=tmp_path / "a")


def test_a_diverging_run_is_given_up(base: ResolvedBase, tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        train(base, tmp_path / "a", recipe=tiny.recipe(learning_rate=1e30, num_epochs=20))
    assert caught.value.code in ("train.diverged", "train.non-finite-weights")


def test_held_out_rows_are_evaluated(base: ResolvedBase, tmp_path: Path) -> None:
    events: list[Any] = []
    rows = tiny.rows(8)
    outcome = train(base, tmp_path / "a", events, train_rows=rows[:6], validation_rows=rows[6:], max_steps=8)
    evaluations = [event for event in events if isinstance(event, EvalDone)]
    assert [event.step for event in evaluations] == [2, 4, 6, 8]
    assert outcome.val_losses["all"] > 0


def test_early_stopping_ends_a_run_that_only_memorises(base: ResolvedBase, tmp_path: Path) -> None:
    rows = tiny.rows(8)
    outcome = train(
        base,
        tmp_path / "a",
        train_rows=rows[:2],
        validation_rows=rows[6:],
        recipe=tiny.recipe(num_epochs=1000, learning_rate=0.02, lora_r=16),
    )
    assert outcome.stopped == "early-stopped"


def test_gradient_checkpointing_changes_memory_not_results(base: ResolvedBase, tmp_path: Path) -> None:
    train(base, tmp_path / "a", max_steps=3)
    train(base, tmp_path / "b", max_steps=3, plan=tiny.plan(gradient_checkpointing=True))
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5)


def test_micro_batches_add_up_to_the_same_step(base: ResolvedBase, tmp_path: Path) -> None:
    for name, width in (("one", 1), ("two", 2)):
        train(base, tmp_path / name, max_steps=3, plan=tiny.plan(micro_batch_size=width))
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)


def test_rows_in_one_batch_do_not_see_one_another(base: ResolvedBase) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder).eval()
    short, long = Encoded((5, 6, 7), (False, True, True)), Encoded(tuple(range(10, 30)), (False,) + (True,) * 19)
    both, alone = collate([long, short], 2), collate([short], 2)
    with torch.no_grad():
        together = model(input_ids=both.ids, attention_mask=both.mask).logits[1, :3]
        single = model(input_ids=alone.ids, attention_mask=alone.mask).logits[0]
    torch.testing.assert_close(together, single, rtol=1e-4, atol=1e-5)


def test_collate_shifts_labels_and_masks_padding() -> None:
    batch = collate([Encoded((5, 6, 7), (False, True, True)), Encoded((8, 9), (False, True))], pad_id=0)
    assert batch.ids.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.labels.tolist() == [[6, 7, IGNORED], [9, IGNORED, IGNORED]]
    assert batch.n_tokens == 5


def _all(rows: int) -> Callable[[int], Sequence[int]]:
    return lambda number: range(rows)


def test_a_pass_takes_each_row_once_in_an_order_of_its_own() -> None:
    order = Order(_all(10), batch_rows=4, passes=2, seed=1)
    passes = [[order.examples_of(step) for step in steps] for steps in (range(3), range(3, 6))]
    assert all(sorted(row for step in steps for row in step) == list(range(10)) for steps in passes)
    assert passes[0] != passes[1]
    assert [len(step) for step in passes[0]] == [3, 3, 4]
    assert order.total == 6
    assert [order.ends_after(steps) for steps in range(7)] == [False, False, False, True, False, False, True]


def test_steps_are_even() -> None:
    assert [len(Order(_all(14), batch_rows=9, passes=1).examples_of(step)) for step in (0, 1)] == [7, 7]


def test_steps_can_be_asked_for_in_any_order() -> None:
    order = Order(lambda number: range(3 + number), batch_rows=2, passes=3, seed=1)
    forth = [order.examples_of(step) for step in range(order.total)]
    assert [order.examples_of(step) for step in reversed(range(order.total))] == forth[::-1]


@given(st.lists(st.integers(min_value=0, max_value=40), min_size=1, max_size=9), st.integers(min_value=1, max_value=9))
def test_every_member_of_every_pass_is_read_once(sizes: list[int], batch_rows: int) -> None:
    order = Order(lambda number: range(sizes[number]), batch_rows=batch_rows, passes=len(sizes))
    read = [(order.pass_of(step), row) for step in range(order.total) for row in order.examples_of(step)]
    assert sorted(read) == [(number, row) for number, size in enumerate(sizes) for row in range(size)]
    assert all(0 < len(order.examples_of(step)) <= batch_rows for step in range(order.total))
    assert order.total == 0 or order.ends_after(order.total)


def test_prose_and_sentences_are_left_out_now_and_then(base: ResolvedBase, tmp_path: Path) -> None:
    """Five rows and three sentences; prose only in every other pass, half of the sentences in each."""
    rows = (*tiny.rows(), *statement_rows(tiny.rows()))
    recipe = tiny.recipe(num_epochs=2, batch_rows=1, prose_every=2)
    outcome = train(base, tmp_path / "a", recipe=recipe, train_rows=rows)
    assert outcome.steps == (4 + 1 + 2) + (4 + 1)
    assert set(outcome.section_losses) == {"a" * 16, "b" * 16}
    assert all(after < before for before, after in outcome.section_losses.values())


def test_other_wordings_are_read_in_later_passes(base: ResolvedBase, tmp_path: Path) -> None:
    for name, rewording in (("own", 0.0), ("other", 1.0), ("again", 1.0)):
        train(base, tmp_path / name, recipe=tiny.recipe(num_epochs=2, rewording=rewording))
    own, other, again = (weights(tmp_path / name) for name in ("own", "other", "again"))
    assert all(torch.equal(other[name], again[name]) for name in other)
    assert any(not torch.equal(own[name], other[name]) for name in own)


class TestAnchorCache:
    def fit(self, base: ResolvedBase, tmp_path: Path, name: str, cache: Path | None) -> tuple[Any, list[Any]]:
        events: list[Any] = []
        (tmp_path / name).mkdir()
        TorchTrainer(TorchBases(), AnchorCache(cache)).train(
            tiny.job(base, anchors=("hello", "rain?"), max_steps=2),
            into=tmp_path / name,
            checkpoints=NoCheckpoints(tmp_path / "ck"),
            emit=events.append,
            stop=lambda: False,
        )
        return weights(tmp_path / name), events

    def test_kept_or_new_they_give_the_same_bytes(self, base: ResolvedBase, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        new, first = self.fit(base, tmp_path, "new", cache)
        kept, second = self.fit(base, tmp_path, "kept", cache)
        alone, _ = self.fit(base, tmp_path, "alone", None)
        assert all(torch.equal(new[name], kept[name]) and torch.equal(new[name], alone[name]) for name in new)
        stages = [[event.stage for event in events if isinstance(event, Progress)] for events in (first, second)]
        assert "anchors" in stages[0]
        assert "anchors" not in stages[1]

    @pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"junk" * 99])
    def test_a_damaged_file_is_told_and_made_anew(self, base: ResolvedBase, tmp_path: Path, damage: bytes) -> None:
        cache = tmp_path / "cache"
        new, _ = self.fit(base, tmp_path, "new", cache)
        (file,) = cache.iterdir()
        whole = file.read_bytes()
        file.write_bytes(damage)
        again, events = self.fit(base, tmp_path, "again", cache)
        assert all(torch.equal(new[name], again[name]) for name in new)
        assert any(isinstance(event, Note) and "damaged" in event.message for event in events)
        assert file.read_bytes() == whole

    def test_a_cache_that_cannot_be_written_is_told_and_not_needed(self, base: ResolvedBase, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file stands in its place", encoding="utf-8")
        _, events = self.fit(base, tmp_path, "new", tmp_path / "cache")
        assert any(isinstance(event, Note) and "could not be kept" in event.message for event in events)

    def test_old_files_make_room(self, base: ResolvedBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dlm.adapters.torch.anchors.KEPT_FILES", 2)
        cache = tmp_path / "cache"
        cache.mkdir()
        for name in ("one", "two"):
            (cache / f"{name}.safetensors").write_bytes(b"old")
        os.utime(cache / "one.safetensors", (1, 1))
        self.fit(base, tmp_path, "new", cache)
        assert len(list(cache.iterdir())) == 2
        assert not (cache / "one.safetensors").exists()


def test_rows_of_like_length_share_a_batch() -> None:
    assert length_groups([50, 400, 48, 52], max_rows=None, max_tokens=None) == [[1], [3, 0, 2]]
    assert length_groups([10] * 5, max_rows=2, max_tokens=None) == [[0, 1], [2, 3], [4]]
    assert length_groups([10] * 5, max_rows=None, max_tokens=30) == [[0, 1, 2], [3, 4]]
    assert length_groups([99, 10], max_rows=None, max_tokens=30) == [[0], [1]]
    assert length_groups([], max_rows=4, max_tokens=4) == []


def test_anchors_hold_unrelated_answers(base: ResolvedBase, tmp_path: Path) -> None:
    recipe = tiny.recipe(num_epochs=30)
    anchors = ("hello", "rain?", "sun?", "name three")
    events: list[Any] = []
    train(base, tmp_path / "held", events, recipe=recipe, anchors=anchors)
    held = [event.anchor_loss for event in events if isinstance(event, StepDone)]
    free_recipe = attrs.evolve(recipe, anchor_weight=tiny.because(0.0))
    outcome = train(base, tmp_path / "free", recipe=free_recipe, anchors=())
    assert outcome.anchor_seconds == 0.0
    assert held[-1] is not None
    assert _drift(base, tmp_path / "held") < 0.5 * _drift(base, tmp_path / "free")


def _drift(base: ResolvedBase, folder: Path) -> float:
    from dlm.adapters.torch.generator import TorchGenerator

    with TorchGenerator(TorchBases()).load(base, folder, inference_plan()) as model:
        return model.drift([[Turn("user", text)] for text in ("who?", "what now", "tell me")], max_new_tokens=8)


def test_the_system_prompt_takes_part(base: ResolvedBase, tmp_path: Path) -> None:
    train(base, tmp_path / "a", max_steps=2)
    train(base, tmp_path / "b", max_steps=2, system_prompt="Be brief.")
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert any(not torch.equal(a[name], b[name]) for name in a)


def test_the_base_comes_back_as_it_was(base: ResolvedBase, tmp_path: Path) -> None:
    from dlm.adapters.torch.trainer import load_spec

    bases = TorchBases()
    job = tiny.job(base, max_steps=1)
    with bases.lend(base, load_spec(job)) as loaded:
        before = {name: p.clone() for name, p in loaded.model.named_parameters()}
    (tmp_path / "a").mkdir()
    TorchTrainer(bases).train(
        job, into=tmp_path / "a", checkpoints=NoCheckpoints(tmp_path), emit=lambda e: None, stop=lambda: False
    )
    with bases.lend(base, load_spec(job)) as loaded:
        after = dict(loaded.model.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_is_written_in_time(base: ResolvedBase, tmp_path: Path) -> None:
    sink = NoCheckpoints(tmp_path / "ck")
    (tmp_path / "a").mkdir()
    TorchTrainer(TorchBases()).train(
        tiny.job(base, checkpoint_every_s=0.0, max_steps=3),
        into=tmp_path / "a",
        checkpoints=sink,
        emit=lambda e: None,
        stop=lambda: False,
    )
    assert sink.saved == 3


def test_a_row_without_words_is_refused(base: ResolvedBase, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no prose and no question"):
        train(base, tmp_path / "a", train_rows=(Row(kind="preference", section_id="x"),))
