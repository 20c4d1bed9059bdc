"""The arithmetic of the parity check, and what is said about it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.errors import ExportError
from dlm.domain.json_record import RecordError, dump_object, parse_object
from dlm.domain.parity import Parity, PositionParity, compare, first_difference, first_other_token

scores = st.lists(st.floats(min_value=-30.0, max_value=30.0), min_size=2, max_size=40)
texts = st.text(max_size=60)


def logprobs(values: Sequence[float]) -> list[float]:
    total = math.log(math.fsum(map(math.exp, values)))
    return [value - total for value in values]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    one = draw(scores)
    other = draw(st.lists(st.floats(min_value=-30.0, max_value=30.0), min_size=len(one), max_size=len(one)))
    return logprobs(one), logprobs(other)


class TestCompare:
    def test_two_coins(self) -> None:
        found = compare([math.log(0.5), math.log(0.5)], [math.log(0.9), math.log(0.1)])
        assert found.kl == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1))
        assert compare([math.log(0.9), math.log(0.1)], [math.log(0.5), math.log(0.5)]).kl != pytest.approx(found.kl)

    @given(scores)
    def test_a_model_is_like_itself(self, values: list[float]) -> None:
        assert compare(logprobs(values), logprobs(values)) == PositionParity(pytest.approx(0.0, abs=1e-12), True)

    @given(pairs())
    def test_divergence_is_never_negative_and_is_the_plain_formula(self, pair: tuple[list[float], list[float]]) -> None:
        trained, exported = pair
        plain = sum(math.exp(p) * (p - q) for p, q in zip(trained, exported, strict=True))
        assert compare(trained, exported).kl == pytest.approx(max(0.0, plain), abs=1e-9)

    @given(pairs(), st.floats(min_value=-0.01, max_value=0.01))
    def test_a_sum_that_is_not_quite_1_does_no_harm(self, pair: tuple[list[float], list[float]], shift: float) -> None:
        trained, exported = pair
        moved = compare([p - shift for p in trained], [q + shift for q in exported])
        assert moved.kl == pytest.approx(compare(trained, exported).kl, abs=1e-9)

    @given(pairs())
    def test_the_order_of_tokens_does_not_matter(self, pair: tuple[list[float], list[float]]) -> None:
        trained, exported = pair
        assert compare(trained[::-1], exported[::-1]).kl == pytest.approx(compare(trained, exported).kl, abs=1e-9)

    @pytest.mark.parametrize(
        ("trained", "exported", "agrees"),
        [
            ([-0.5, -1.0, -9.0], [-0.6, -0.9, -9.0], True),
            ([-0.5, -1.0, -9.0], [-1.0, -0.5, -9.0], False),
            ([-0.700, -0.705, -9.0], [-0.705, -0.700, -9.0], True),  # a tie within rounding
            ([-0.70, -0.72, -9.0], [-0.72, -0.70, -9.0], False),
        ],
    )
    def test_likeliest_tokens(self, trained: list[float], exported: list[float], agrees: bool) -> None:
        assert compare(trained, exported).agrees is agrees

    @pytest.mark.parametrize("nothing", [-math.inf, -3.4e38, -1e5])
    def test_what_is_too_unlikely_for_a_number_counts_as_that(self, nothing: float) -> None:
        certain = [0.0, -math.inf]
        assert compare(certain, [0.0, nothing]).kl == pytest.approx(0.0, abs=1e-12)
        half = [math.log(0.5)] * 2
        assert 50.0 < compare(half, [0.0, nothing]).kl < 60.0  # far outside of every bound, and a number

    @pytest.mark.parametrize(
        ("trained", "exported", "why"),
        [
            ([-0.7, -0.7], [-0.7, -0.7, -9.0], "3 tokens, the trained model 2"),
            ([], [], "0 tokens"),
            ([math.nan, -0.7], [-0.7, -0.7], "not a number"),
            ([-0.7, math.nan], [-0.7, -0.7], "not a number"),
            ([-0.7, -0.7], [-0.7, math.nan], "not a number"),
            ([-0.7, -0.7], [math.inf, -0.7], "not a number"),
        ],
    )
    def test_what_cannot_be_compared_is_told(self, trained: list[float], exported: list[float], why: str) -> None:
        with pytest.raises(ExportError, match=why) as caught:
            compare(trained, exported)
        assert (caught.value.code, caught.value.subject) == ("export.parity", "parity")


class TestDifferences:
    @given(texts)
    def test_equal_texts_have_none(self, text: str) -> None:
        assert first_difference(text, text) is None
        assert first_other_token(text, [1, 2], (1, 2)) is None

    @given(texts, texts)
    def test_others_have_one_at_the_first_place(self, one: str, other: str) -> None:
        told = first_difference(one, other)
        if one != other:
            assert told is not None
            at = int(told.split()[2])
            assert one[:at] == other[:at]
            assert one[at : at + 1] != other[at : at + 1]

    def test_both_sides_are_shown(self) -> None:
        told = first_difference("<|im_start|>user\nHi", "<|im_start|>User\nHi, " + "long " * 20)
        assert told == (
            "from character 12 on '…im_start|>User\\nHi, long long long long l…' instead of '…im_start|>user\\nHi'"
        )

    @pytest.mark.parametrize(
        ("trained", "exported", "words"),
        [([1, 2, 3], [1, 9, 3], "token 1 of 'a\\nb' is 9 instead of 2"), ([1], [1, 2], "is 2 instead of none")],
    )
    def test_tokens(self, trained: list[int], exported: list[int], words: str) -> None:
        assert words in str(first_other_token("a\nb", trained, exported))


def parity(**changes: object) -> Parity:
    good = Parity.measured(
        [PositionParity(0.002, True), PositionParity(0.006, False)], runtime="xllamacpp", bound=0.01, questions=1
    )
    return attrs.evolve(good, **changes)


class TestParity:
    def test_the_figures_are_summed_up(self) -> None:
        found = parity()
        assert (found.mean_kl, found.max_kl, found.top1_agreement) == (pytest.approx(0.004), 0.006, 0.5)
        assert (found.positions, found.questions) == (2, 1)
        assert found.is_within
        assert (found.reasons, found.cause, found.is_rounding) == ((), None, False)
        assert str(found) == (
            "mean KL 0.004 nats (at most 0.01), largest 0.006, same likeliest token at 50% of 2 places in xllamacpp"
        )

    def test_the_bound_itself_is_within(self) -> None:
        assert parity(mean_kl=0.01).is_within
        assert not parity(mean_kl=math.nextafter(0.01, 1.0)).is_within

    @pytest.mark.parametrize(
        ("changes", "reason", "cause", "is_rounding"),
        [
            ({"mean_kl": 0.02}, "0.02 nats from the trained ones on average, more than 0.01", "more bits", True),
            ({"mean_kl": 2.0}, "2 nats", "another adapter", False),
            ({"prompts_alike": False, "differences": ("from character 3",)}, "(from character 3)", "template", False),
            ({"tokenizers_alike": False}, "other tokens", "tokenizer", False),
            ({"prompts_alike": False, "tokenizers_alike": False, "mean_kl": 2.0}, "other tokens", "tokenizer", False),
            ({"positions": 0}, "no distribution", None, False),
            ({"mean_kl": None}, "no distribution", None, False),
        ],
    )
    def test_what_is_outside_is_said(
        self, changes: dict[str, object], reason: str, cause: str | None, is_rounding: bool
    ) -> None:
        found = parity(**changes)
        assert not found.is_within
        assert reason in "; ".join(found.reasons)
        assert cause is None or cause in str(found.cause)
        assert found.is_rounding is is_rounding

    def test_nothing_compared_proves_nothing(self) -> None:
        assert not Parity.measured([], runtime="x", bound=0.01, questions=0).is_within

    def test_conversations_alone_are_judged_where_nothing_else_can_be(self) -> None:
        found = Parity.measured([], runtime="x", bound=0.01, questions=3, wording_only="no memory")
        assert found.is_within
        assert "no memory" in str(found)
        other = Parity.measured([], runtime="x", bound=0.01, questions=3, wording_only="x", other_tokens="here")
        assert not other.is_within

    @given(
        st.lists(st.tuples(st.floats(min_value=0.0, max_value=300.0), st.booleans()), max_size=9),
        st.floats(min_value=0.0, max_value=1.0),
        st.none() | texts,
        st.none() | texts,
    )
    def test_a_record_reads_back_as_it_was(
        self, found: list[tuple[float, bool]], bound: float, prompt: str | None, tokens: str | None
    ) -> None:
        whole = Parity.measured(
            [PositionParity(*item) for item in found],
            runtime="x",
            bound=bound,
            questions=3,
            other_prompt=prompt,
            other_tokens=tokens,
        )
        text = dump_object(whole.to_record(), ascii_only=False)
        assert Parity.from_record(parse_object(text)) == whole
        if not found:
            assert whole.mean_kl is whole.max_kl is whole.top1_agreement is None
            return
        assert whole.mean_kl is not None
        assert whole.max_kl is not None
        assert whole.top1_agreement is not None
        assert 0.0 <= whole.top1_agreement <= 1.0
        assert whole.mean_kl <= whole.max_kl * (1 + 1e-12)

    @pytest.mark.parametrize(
        "changes",
        [
            {"mean_kl": -1.0},
            {"mean_kl": "0.1"},
            {"top1_agreement": 1.5},
            {"questions": "3"},
            {"extra": 1},
            {"bound": 1e999},
        ],
    )
    def test_a_bad_record_is_refused(self, changes: dict[str, object]) -> None:
        with pytest.raises(RecordError):
            Parity.from_record(json.loads(json.dumps({**parity().to_record(), **changes})))
