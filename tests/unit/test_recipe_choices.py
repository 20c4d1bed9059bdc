"""The recipe: what the document sets is obeyed, the rest is chosen with a reason."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.choice import Choice
from dlm.domain.errors import ConfigError
from dlm.domain.recipe import (
    MAX_PASSES,
    MIN_PASSES,
    PROSE_PASSES,
    SET,
    Material,
    choose_recipe,
    held_out_fraction,
    recipe_json,
)
from dlm.domain.training import Recipe
from dlm.testing.registries import tiny_base
from run_cases import a_document

SOME = Material(n_prose=2, n_instruction=10)


def recipe(training: str = "", material: Material = SOME, seed: int | None = None, **spec: Any) -> Recipe:
    return choose_recipe(a_document(training=training).frontmatter, material, tiny_base(**spec), seed=seed)


EXPLICIT: dict[str, tuple[str, Any]] = {
    "adapter": ("dora", "dora"),
    "lora_r": ("3", 3),
    "lora_alpha": ("5", 5),
    "lora_dropout": ("0.25", 0.25),
    "target_modules": ("[q_proj]", ("q_proj",)),
    "sequence_len": ("128", 128),
    "learning_rate": ("7.0e-5", 7e-5),
    "num_epochs": ("11", 11),
    "optimizer": ("adamw_bnb_8bit", "adamw_bnb_8bit"),
    "lr_scheduler": ("linear", "linear"),
    "warmup_ratio": ("0.4", 0.4),
}
CHOSEN_HERE = {
    "stop_loss", "batch_rows", "rewording", "prose_every", "replay_every", "anchor_weight", "anchor_rows", "anchor_bank"
}  # fmt: skip


@pytest.mark.parametrize("knob", EXPLICIT)
def test_what_the_document_sets_wins(knob: str) -> None:
    text, value = EXPLICIT[knob]
    choice = getattr(recipe(f"{knob}: {text}"), knob)
    assert choice == Choice(value, SET)


def test_every_knob_of_the_document_has_its_line_above() -> None:
    """A knob added to the recipe has to be added to the test of obedience."""
    knobs = {field.name for field in attrs.fields(Recipe)}
    assert knobs - CHOSEN_HERE - {"seed"} == set(EXPLICIT)


def test_all_at_once() -> None:
    whole = recipe("\n".join(f"{knob}: {text}" for knob, (text, _) in EXPLICIT.items()), context_length=4096)
    assert {knob: getattr(whole, knob).value for knob in EXPLICIT} == {
        knob: value for knob, (_, value) in EXPLICIT.items()
    }


@pytest.mark.parametrize("knob", [name for name in EXPLICIT if name not in ("target_modules", "optimizer", "adapter")])
def test_even_the_default_counts_when_it_is_written_down(knob: str) -> None:
    default = getattr(a_document().frontmatter.training, knob)
    choice = getattr(recipe(f"{knob}: {default}", context_length=4096), knob)
    assert (choice.value, choice.reason) == (default, SET)


@pytest.mark.parametrize("training", ["", "num_epochs: 2", "cpt:\n    schedule: dapt", "grad_accum: 2"])
@pytest.mark.parametrize(
    "material", [SOME, Material(n_prose=1, n_instruction=0), Material(n_prose=0, n_instruction=500)]
)
@pytest.mark.parametrize("params", [1000, 5_000_000_000])
def test_every_choice_has_a_reason(training: str, material: Material, params: int) -> None:
    chosen = recipe(training, material, params=params)
    reasons = [item.reason for item in attrs.asdict(chosen, recurse=False).values() if isinstance(item, Choice)]
    assert len(reasons) == len(EXPLICIT) + len(CHOSEN_HERE)
    assert all(reason.strip() for reason in reasons)


def test_the_seed_of_the_call_wins_over_the_documents() -> None:
    assert recipe().seed == 42
    assert recipe("seed: 3").seed == 3
    assert recipe("seed: 3", seed=0).seed == 0


@pytest.mark.parametrize("optimizer", ["galore_adamw", "galore_adamw_8bit"])
def test_galore_is_refused_with_a_way_out(optimizer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe(f"optimizer: {optimizer}")
    assert caught.value.code == "config.galore-adapter"
    assert optimizer in caught.value.message
    assert "adamw_torch" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("training", "rows"),
    [
        ("", 9),
        ("micro_batch_size: auto\ngrad_accum: auto", 9),
        ("micro_batch_size: 4", 4),
        ("micro_batch_size: 2\ngrad_accum: 3", 6),
        ("grad_accum: 2", 18),
    ],
)
def test_rows_per_step(training: str, rows: int) -> None:
    assert recipe(training).batch_rows.value == rows


class TestPasses:
    @given(st.integers(min_value=1, max_value=100_000))
    def test_short_documents_get_many_passes_long_ones_few(self, rows: int) -> None:
        few, more = (recipe(material=Material(n_prose=0, n_instruction=count)) for count in (rows, rows + 8))
        assert MIN_PASSES <= more.num_epochs.value <= few.num_epochs.value <= MAX_PASSES

    def test_set_epochs_are_all_trained(self) -> None:
        assert recipe().stop_loss.value is not None
        assert recipe("num_epochs: 3").stop_loss.value is None

    @given(st.integers(min_value=1, max_value=1_000_000))
    def test_a_code_base_is_read_a_few_times_only(self, files: int) -> None:
        chosen = recipe(material=Material(n_prose=files, n_instruction=0)).num_epochs.value
        assert PROSE_PASSES <= chosen <= MAX_PASSES
        assert chosen == PROSE_PASSES or files < 5_000

    def test_sentences_count_as_questions_do(self) -> None:
        pairs, both = (recipe(material=Material(n_prose=1, n_instruction=10, n_statements=count)) for count in (0, 500))
        assert both.num_epochs.value < pairs.num_epochs.value

    def test_a_thousand_questions_take_less_than_twenty_times_as_long_as_ten(self) -> None:
        """Time grows more slowly than the document."""
        ten, thousand = (
            recipe(material=Material(n_prose=0, n_instruction=rows)).num_epochs.value * rows for rows in (10, 1000)
        )
        assert thousand < 40 * ten


class TestRetention:
    def test_it_can_be_set_and_turned_off(self) -> None:
        assert recipe("retention: 0.25").anchor_weight == Choice(0.25, SET)
        assert recipe("retention: 0").anchor_weight == Choice(0.0, SET)
        assert recipe("retention: 0").step_rows == recipe().batch_rows.value
        assert recipe("retention: auto").anchor_weight == recipe().anchor_weight

    def test_it_is_on_when_nothing_is_said(self) -> None:
        chosen = recipe()
        assert chosen.anchor_weight.value > 0
        assert chosen.step_rows == chosen.batch_rows.value + chosen.anchor_rows.value


def test_prose_is_read_as_it_stands_in_each_pass_only_when_nothing_in_it_can_be_asked_for() -> None:
    assert recipe(material=Material(n_prose=1, n_instruction=0)).prose_every.value == 1
    assert recipe(material=Material(n_prose=1, n_instruction=0, n_statements=5)).prose_every.value > 1


def test_rank_and_strength_go_together() -> None:
    assert recipe("lora_r: 4").lora_alpha.value == 8


def test_a_small_base_takes_larger_steps() -> None:
    small, large = recipe(params=135_000_000), recipe(params=1_500_000_000)
    assert small.learning_rate.value > large.learning_rate.value


def test_rows_are_cut_to_what_the_base_reads() -> None:
    clipped = recipe("sequence_len: 4096", context_length=512).sequence_len
    assert clipped.value == 512
    assert "512" in clipped.reason
    effective = recipe("sequence_len: 4096", context_length=8192, context_length_effective=1024).sequence_len
    assert effective.value == 1024


class TestLongProse:
    BOOK = Material(n_prose=8, n_instruction=2)

    def test_mostly_prose_rises_slowly_and_never_stops_learning(self) -> None:
        chosen = recipe(material=self.BOOK)
        assert (chosen.lr_scheduler.value, chosen.warmup_ratio.value) == ("cosine_with_min_lr", 0.2)
        assert "80%" in chosen.lr_scheduler.reason

    def test_seven_in_ten_is_not_yet_mostly(self) -> None:
        assert recipe(material=Material(n_prose=7, n_instruction=3)).lr_scheduler.value == "cosine"

    def test_sft_turns_it_off_and_dapt_on(self) -> None:
        off = recipe("cpt:\n    schedule: sft", material=self.BOOK)
        assert (off.lr_scheduler.value, off.warmup_ratio.value) == ("cosine", 0.05)
        on = recipe("cpt:\n    schedule: dapt", material=Material(n_prose=0, n_instruction=10))
        assert (on.lr_scheduler.value, on.warmup_ratio.value) == ("cosine_with_min_lr", 0.2)
        assert "set in the document" in on.lr_scheduler.reason

    def test_a_set_scheduler_or_warm_up_is_kept(self) -> None:
        chosen = recipe("lr_scheduler: constant\nwarmup_ratio: 0.01", material=self.BOOK)
        assert (chosen.lr_scheduler.value, chosen.warmup_ratio.value) == ("constant", 0.01)


def test_few_rows_are_all_learned() -> None:
    assert held_out_fraction(Material(n_prose=0, n_instruction=99)).value == 0.0
    assert held_out_fraction(Material(n_prose=1, n_instruction=99)).value == 0.1
    assert Material(n_prose=0, n_instruction=0).prose_share == 0.0


def test_the_recipe_as_data() -> None:
    record = json.loads(json.dumps(recipe_json(recipe("target_modules: [q_proj]"))))
    assert record["seed"] == 42
    assert record["lora_r"] == {"value": 16, "reason": recipe().lora_r.reason}
    assert set(record) == {field.name for field in attrs.fields(Recipe)}
