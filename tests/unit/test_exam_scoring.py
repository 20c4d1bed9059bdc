"""Scoring: what counts as known, as leaked, as kept. No model takes part."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dlm.domain.anchor_bank import BANK
from dlm.domain.exam import (
    KNOWN_SHARE,
    MAX_OWN_QUESTIONS,
    MAX_PROSE_QUESTIONS,
    Exam,
    Graded,
    Question,
    QuestionKind,
    Score,
    exam_from_json,
    exam_questions,
    kept,
    key_words,
    leaked,
    names_of,
    share_known,
    words_of,
)
from dlm.domain.ordinary import PROBES, Probe, choose_anchors
from dlm.domain.rephrasing import exam_rephrased
from dlm.domain.rows import Row, Turn

texts = st.text(max_size=60)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("!!! …", ()),
        ("It closes at 6:40.", ("it", "closes", "at", "6:40")),
        ("v1.2, snake_case and kebab-case", ("v1.2", "snake", "case", "and", "kebab-case")),
        ("Don’t, don't", ("don’t", "don't")),
        ("1,000.5 kg", ("1,000.5", "kg")),
        ("Große STRASSE", ("grosse", "strasse")),
        ("Ёлка и ΣΟΦΟΣ", ("ёлка", "и", "σοφοσ")),
        ("灯台は六時に閉まる", ("灯台は六時に閉まる",)),
        ("end.", ("end",)),
        ("- 'quoted' -", ("quoted",)),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


@given(texts)
def test_words_hold_no_blanks_and_are_folded(text: str) -> None:
    for word in words_of(text):
        assert word == word.casefold()
        assert not any(character.isspace() for character in word)


def test_key_words_are_what_the_answer_adds() -> None:
    keys = key_words("The harbour master of Velm is Ada Quint.", "Who is the harbour master of Velm?")
    assert keys == {"ada", "quint"}


def test_an_answer_that_adds_nothing_counts_as_a_whole() -> None:
    assert key_words("Yes, it is.", "Is it yes?") == {"yes", "it", "is"}


@given(texts, texts)
def test_an_answer_always_knows_itself(answer: str, question: str) -> None:
    assert share_known(answer, answer, question) == 1.0


@given(texts, texts, texts, texts)
def test_saying_more_never_scores_less(given_: str, more: str, wanted: str, question: str) -> None:
    assert share_known(f"{given_} {more}", wanted, question) >= share_known(given_, wanted, question)


@given(texts, texts, texts)
def test_the_share_is_a_share(given_: str, wanted: str, question: str) -> None:
    assert 0.0 <= share_known(given_, wanted, question) <= 1.0


def test_saying_nothing_knows_nothing() -> None:
    assert share_known("", "Ada Quint", "Who?") == 0.0
    assert share_known("", "☂", "Which sign?") == 0.0
    assert share_known("☀", "☂", "Which sign?") == 0.0
    assert share_known("the sign is ☂", "☂", "Which sign?") == 1.0


def a_question(wanted: str = "red green blue white", text: str = "Which?", kind: QuestionKind = "own") -> Question:
    return Question(text=text, wanted=wanted, section_id="a" * 16, line=4, kind=kind, room=4)


@pytest.mark.parametrize(
    ("said", "known"), [("red green blue", True), ("red green", False), ("RED, green; Blue!", True)]
)
def test_three_of_four_key_words_are_enough(said: str, known: bool) -> None:
    assert KNOWN_SHARE == 0.75
    assert Graded(question=a_question(), given=said).known is known


class TestQuestions:
    def pairs(self, count: int, marked: tuple[int, ...] = ()) -> list[Row]:
        return [
            Row(
                kind="instruction",
                section_id="a" * 16,
                sub=sub,
                line=sub,
                is_probe=sub in marked,
                turns=(Turn("user", f"q{sub}?"), Turn("assistant", f"a{sub}")),
            )
            for sub in range(count)
        ]

    def own(self, rows: list[Row]) -> list[str]:
        return [question.text for question in exam_questions(rows) if question.kind == "own"]

    def test_each_pair_is_asked_twice_marked_ones_first(self) -> None:
        rows = [*self.pairs(3, marked=(2,)), Row(kind="prose", section_id="b" * 16, text="x")]
        asked = exam_questions(rows)
        assert [(question.text, question.kind) for question in asked] == [
            (text, kind)
            for name in ("q2?", "q0?", "q1?")
            for text, kind in ((name, "own"), (exam_rephrased(name), "reworded"))
        ]
        assert [question.line for question in asked] == [2, 2, 0, 0, 1, 1]
        assert {question.wanted for question in asked[:2]} == {"a2"}

    @given(st.integers(min_value=0, max_value=400), st.integers(min_value=0, max_value=100))
    def test_a_large_document_is_asked_here_and_there(self, count: int, n_marked: int) -> None:
        marked = tuple(range(min(n_marked, count)))
        asked = self.own(self.pairs(count, marked))
        assert len(asked) == min(count, MAX_OWN_QUESTIONS)
        assert len(set(asked)) == len(asked)
        assert asked[: min(len(marked), MAX_OWN_QUESTIONS)] == [f"q{sub}?" for sub in marked][:MAX_OWN_QUESTIONS]

    def test_spread_evenly(self) -> None:
        numbers = [int(text[1:-1]) for text in self.own(self.pairs(640))]
        assert numbers == list(range(0, 640, 10))

    def test_none(self) -> None:
        assert exam_questions([]) == ()

    def test_sentences_of_the_prose_are_asked_for(self) -> None:
        prose = Row(kind="prose", section_id="b" * 16, line=3, text="The tower of Velm was built by Ada Quint in 1911.")
        (asked,) = exam_questions([prose])
        assert (asked.kind, asked.section_id, asked.line) == ("prose", "b" * 16, 3)
        assert set(words_of(asked.wanted)) <= set(words_of(prose.text))
        assert not set(words_of(asked.wanted)) & set(words_of(asked.text)), "the question gives the answer away"

    def test_of_a_book_some_sentences_are_asked_for(self) -> None:
        text = " ".join(f"Page number {page} tells of a lamp." for page in range(100))
        asked = exam_questions([Row(kind="prose", section_id="b" * 16, text=text)])
        assert len(set(asked)) == len(asked) == MAX_PROSE_QUESTIONS


class TestLeaks:
    def test_names_are_capitalised_inside_sentences_and_long_numbers(self) -> None:
        texts = ["# Title\n\nThe keeper Ada Quint has 42 lamps and 7 cats. Lamps burn. She asked Ada.", "- Item one"]
        assert names_of(texts) == {"ada", "quint", "42"}

    def test_a_word_that_is_also_written_small_is_no_name(self) -> None:
        assert names_of(["I saw the Harbour. The harbour is old."]) == frozenset()

    def test_fillers_are_no_names(self) -> None:
        assert names_of(["and then He said You"]) == frozenset()

    def test_only_what_the_base_did_not_say_and_was_not_asked_for_counts(self) -> None:
        names = frozenset({"ada", "velm"})
        questions = ["Who fixes pipes?", "Where is Velm?", "What is rain?"]
        now = ["Ada Quint does.", "Velm is here.", "Water. Ada says so."]
        before = ["A plumber.", "I do not know.", "Ada says water."]
        assert leaked(names, questions, now, before) == ("Who fixes pipes?",)

    @given(st.lists(texts, max_size=4))
    def test_an_unchanged_model_leaks_nothing(self, answers: list[str]) -> None:
        names = names_of(answers) | frozenset(word for answer in answers for word in words_of(answer))
        assert leaked(names, ["q"] * len(answers), answers, answers) == ()


class TestKept:
    PROBES = (Probe("2+3?", ("5", "five")), Probe("Capital?", ("paris",)), Probe("A tip?"))

    def test_only_what_the_base_knew_is_counted(self) -> None:
        assert kept(self.PROBES, ["It is five.", "Velm", "x"], ["5.", "Paris!", "y"]) == Score(1, 2)
        assert kept(self.PROBES, ["5", "Paris", "x"], ["no", "no", "y"]) == Score(0, 0)

    def test_lists_of_different_length_are_a_mistake_of_ours(self) -> None:
        with pytest.raises(ValueError):
            kept(self.PROBES, ["5"], ["5", "x", "y"])


def test_a_score_with_nothing_asked() -> None:
    assert (Score(0, 0).share, str(Score(0, 0))) == (None, "none asked")
    assert (Score(1, 2).share, str(Score(1, 2))) == (0.5, "1 of 2")


def an_exam() -> Exam:
    return Exam(
        graded=(
            Graded(question=a_question(), given="red green blue white"),
            Graded(question=a_question(text="<b>Where?</b>"), given="no idea"),
            Graded(question=a_question(kind="reworded"), given="red"),
        ),
        leaks=("Who fixes pipes?",),
        probes=16,
        kept=Score(11, 12),
        drift=0.12345,
        loss_before=3.0,
        loss_after=0.01,
        sections={"a" * 16: (3.0, 0.01)},
        seconds=1.234,
    )


def test_the_exam_as_data_and_as_text() -> None:
    exam = an_exam()
    record = json.loads(json.dumps(exam.to_json()))
    assert record["own"] == {"right": 1, "asked": 2}
    assert record["reworded"] == {"right": 0, "asked": 1}
    assert (record["leaks"], record["probes"], record["drift"]) == (1, 16, 0.1235)
    assert [missed["question"] for missed in record["missed"]] == ["<b>Where?</b>", "Which?"]
    text = str(exam)
    assert "1 of 2" in text
    assert "not yet known, line 4: <b>Where?</b>" in text
    assert text.count("not yet known") == 1
    assert record["sections"] == {"a" * 16: {"before": 3.0, "after": 0.01}}
    assert exam_from_json(record) == "own 1/2, reworded 0/1, prose 0/0, kept 11/12, leaks 1/16, drift 0.123 nats/token"
    del record["prose"]
    assert exam_from_json(record) == "own 1/2, reworded 0/1, kept 11/12, leaks 1/16, drift 0.123 nats/token"


def test_ordinary_questions_are_never_both_held_on_to_and_asked() -> None:
    fold = {question.casefold() for question in BANK}
    assert len(fold) == len(BANK) > 400
    assert not fold & {probe.question.casefold() for probe in PROBES}
    assert len({probe.question for probe in PROBES}) == len(PROBES)
    for probe in PROBES:
        assert all(words_of(word) == (word,) for word in probe.accepted), "an accepted word that no answer can hold"


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_a_model_that_recites_its_document_knows_all_of_it(pairs: list[tuple[str, str]]) -> None:
    assume(all(answer for _, answer in pairs))
    rows = [
        Row(kind="instruction", section_id="a" * 16, turns=(Turn("user", question), Turn("assistant", answer)))
        for question, answer in pairs
    ]
    assert all(Graded(question=question, given=question.wanted).known for question in exam_questions(rows))


@given(st.integers(min_value=1, max_value=600))
def test_anchors_are_spread_over_the_bank(count: int) -> None:
    chosen = choose_anchors(count)
    assert len(set(chosen)) == len(chosen) == min(count, len(BANK))
    assert set(chosen) <= set(BANK)
    assert choose_anchors(count) == chosen
