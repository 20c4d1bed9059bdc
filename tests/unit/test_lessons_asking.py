"""Other words for the same question, and questions about sentences: laws of what a pass reads."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.asking import exam_question_about, question_about
from dlm.domain.exam import words_of
from dlm.domain.lessons import is_read, statement_rows, turns_in_pass
from dlm.domain.rephrasing import exam_rephrased, rephrased
from dlm.domain.rows import Row, Turn
from dlm.domain.statements import Statement, statements
from dlm.domain.wording import EXAM_FRAMES, FRAMES, FUNCTION_WORDS, SYNONYMS, language_of

texts = st.text(max_size=80)
QUESTIONS = (
    "Who looks after the pumps?",
    "How much does a ticket cost for children?",
    "What should I do if the alarm rings?",
    "Wann öffnet die Halle?",
    "Où est la clé ?",
    "¿Quién limpia la sala?",
    "Kde je klíč?",
)


class TestRephrasing:
    @given(texts, st.integers(min_value=0, max_value=99))
    def test_it_gives_some_text_and_the_same_for_the_same_draw(self, question: str, seed: int) -> None:
        forms = [rephrased(question, random.Random(seed)) for _ in range(2)]
        assert forms[0] == forms[1]
        assert forms[0].strip() or not question.strip().strip(" ?!.¿¡")

    @pytest.mark.parametrize("question", QUESTIONS)
    def test_there_are_many_forms(self, question: str) -> None:
        forms = {rephrased(question, random.Random(seed)) for seed in range(60)}
        assert len(forms) >= 10
        assert len({form.split()[0].casefold() for form in forms}) >= 3

    @pytest.mark.parametrize("question", QUESTIONS)
    def test_words_that_have_no_synonym_stay_and_nothing_foreign_comes_in(self, question: str) -> None:
        """A name or a number of the question is never replaced by another one."""
        named = question.replace("the ", "the Zarnack ", 1)
        kept = sum("zarnack" in rephrased(named, random.Random(seed)).casefold() for seed in range(60))
        assert kept >= (45 if "Zarnack" in named else 0)

    @pytest.mark.parametrize("question", QUESTIONS)
    def test_training_never_sees_the_exam_form(self, question: str) -> None:
        asked = exam_rephrased(question)
        assert asked != question
        opening = asked.split(":")[0].casefold()
        for seed in range(300):
            form = rephrased(question, random.Random(seed)).casefold()
            assert form != asked.casefold()
            assert len(opening) < 3 or not form.startswith(opening)

    def test_the_exam_has_frames_and_synonyms_of_its_own(self) -> None:
        for language, frame in EXAM_FRAMES.items():
            assert frame not in FRAMES[language]
        assert all(len(others) >= 2 for others in SYNONYMS.values())
        drawn = {rephrased("Who repairs it?", random.Random(seed)).casefold() for seed in range(400)}
        assert not any(SYNONYMS["repairs"][-1] in form for form in drawn)
        assert SYNONYMS["repairs"][-1] in exam_rephrased("Who repairs it?")

    @pytest.mark.parametrize(
        ("question", "language"), list(zip(QUESTIONS, ("en", "en", "en", "de", "fr", "es", "other"), strict=True))
    )
    def test_the_language_is_told_by_the_first_word(self, question: str, language: str) -> None:
        assert language_of(question) == language


class TestStatements:
    def test_sentences_with_what_they_lean_on(self) -> None:
        text = (
            "# The *old* mill\n\nIt was built by Dr. Hale in 1911. She kept bees, e.g. on the roof!\n"
            "- one item of a list\n- short\n\n```\ncode is not asked for at all\n```\n| a | table | is | not |\n"
        )
        assert list(statements(text)) == [
            Statement("It was built by Dr. Hale in 1911.", "The *old* mill", ""),
            Statement("She kept bees, e.g. on the roof!", "The *old* mill", "It was built by Dr. Hale in 1911."),
            Statement("one item of a list", "The *old* mill", "She kept bees, e.g. on the roof!"),
        ]

    @given(texts)
    def test_nothing_is_made_up(self, text: str) -> None:
        for statement in statements(text):
            assert set(words_of(statement.text)) <= set(words_of(text.replace("*", "").replace("`", "")))

    @given(st.text(alphabet="Ab1 .!?\n#*-`|", max_size=200), st.integers(min_value=0, max_value=9))
    def test_questions_hold_only_words_of_the_sentence_and_of_asking(self, text: str, seed: int) -> None:
        for statement in statements(text):
            assert question_about(statement, random.Random(seed)) == question_about(statement, random.Random(seed))

    def test_a_question_leaves_something_to_answer(self) -> None:
        statement = Statement("The mill of Arnby was built by Ada Hale in 1911.", "Mills")
        words = set(words_of(statement.text)) - FUNCTION_WORDS
        for seed in range(200):
            asked = set(words_of(question_about(statement, random.Random(seed))))
            assert words - asked, "the question says it all"
            assert words & asked, "the question names nothing"

    def test_the_exam_asks_in_its_own_form(self) -> None:
        statement = Statement("The mill of Arnby was built by Ada Hale in 1911.", "Mills")
        asked, wanted = exam_question_about(statement)
        assert wanted in statement.text
        assert not set(words_of(wanted)) & set(words_of(asked))
        assert asked not in {question_about(statement, random.Random(seed)) for seed in range(300)}


PROSE = Row(
    kind="prose", section_id="b" * 16, line=3, text="The tide turns at nine. A bell tells it to the whole town."
)
PAIR = Row(
    kind="instruction", section_id="a" * 16, turns=(Turn("user", "Who rings the bell?"), Turn("assistant", "Ada Hale."))
)


class TestPasses:
    def test_each_sentence_is_a_row_with_itself_as_the_answer(self) -> None:
        rows = list(statement_rows([PAIR, PROSE]))
        assert [row.answer for row in rows] == ["The tide turns at nine.", "A bell tells it to the whole town."]
        assert {(row.kind, row.section_id, row.line) for row in rows} == {("instruction", "b" * 16, 3)}
        assert len({row.sub for row in rows}) == 2

    def test_the_first_pass_reads_a_pair_as_it_is_written(self) -> None:
        assert turns_in_pass(PAIR, 0, rewording=1.0, seed=1) == PAIR.turns

    def test_no_rewording_when_none_is_wanted(self) -> None:
        assert all(turns_in_pass(PAIR, number, rewording=0.0, seed=1) == PAIR.turns for number in range(20))

    def test_other_words_in_other_passes_and_always_the_same_answer(self) -> None:
        read = [turns_in_pass(PAIR, number, rewording=0.75, seed=1) for number in range(40)]
        assert len({turns[0].content for turns in read}) > 12
        assert {turns[-1] for turns in read} == {PAIR.turns[-1]}
        own = sum(turns == PAIR.turns for turns in read)
        assert 3 <= own <= 20, "a quarter of the passes reads it in its own words"

    def test_pairs_are_read_in_each_pass_sentences_in_turn_prose_seldom(self) -> None:
        rows = (PAIR, PROSE, *statement_rows([PROSE]))
        pair, prose, first, second = ([is_read(row, number, prose_every=3) for number in range(6)] for row in rows)
        assert pair == [True] * 6
        assert prose == [True, False, False, True, False, False]
        assert [one + other for one, other in zip(first, second, strict=True)] == [1] * 6

    def test_a_pass_can_be_repeated_and_another_seed_reads_otherwise(self) -> None:
        (first, *_) = statement_rows([PROSE])
        for row in (PAIR, first):
            one, again, other = (
                [turns_in_pass(row, number, rewording=1.0, seed=seed) for number in range(1, 9)] for seed in (1, 1, 2)
            )
            assert one == again != other
