"""Learning-rate schedules: never zero at the start, never rising after the warm-up, ending where they should."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.schedule import Schedule

KINDS = ("cosine", "linear", "constant", "cosine_with_min_lr")


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    total = draw(st.integers(min_value=1, max_value=2000))
    warmup = draw(st.integers(min_value=0, max_value=total // 2))
    floor = draw(st.floats(min_value=0, max_value=0.5))
    return Schedule(kind=draw(st.sampled_from(KINDS)), total=total, warmup=warmup, floor=floor)


@given(schedules())
def test_the_first_step_moves(schedule: Schedule) -> None:
    assert schedule.factor(0) > 0


@given(schedules())
def test_it_rises_to_the_peak_and_then_never_rises_again(schedule: Schedule) -> None:
    factors = [schedule.factor(step) for step in range(schedule.total + 3)]
    warm, rest = factors[: schedule.warmup], factors[schedule.warmup :]
    assert all(early < late for early, late in itertools.pairwise(warm))
    assert rest[0] == 1.0
    assert all(early >= late for early, late in itertools.pairwise(rest))
    assert all(0.0 <= factor <= 1.0 for factor in factors)


@given(schedules())
def test_it_stays_at_its_end(schedule: Schedule) -> None:
    end = {"constant": 1.0, "cosine_with_min_lr": schedule.floor}.get(schedule.kind, 0.0)
    for beyond in (0, 1, 1000):
        assert schedule.factor(schedule.total + beyond) == pytest.approx(end, abs=1e-12)


@pytest.mark.parametrize(("kind", "half"), [("cosine", 0.5), ("linear", 0.5), ("cosine_with_min_lr", 0.55)])
def test_half_way(kind: str, half: float) -> None:
    assert Schedule(kind=kind, total=100, warmup=0, floor=0.1).factor(50) == pytest.approx(half)


def test_warm_up_is_a_straight_line() -> None:
    schedule = Schedule(kind="cosine", total=100, warmup=4)
    assert [schedule.factor(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
