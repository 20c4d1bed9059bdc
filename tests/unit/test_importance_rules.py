"""The text an importance matrix is measured over, and its key."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.importance import (
    MAX_CHARACTERS,
    ImportanceKey,
    calibration_text,
    is_surely_too_short,
    text_sha256,
    too_little_text,
)

KEY = ImportanceKey(base_sha256="a" * 64, corpus_sha256="b" * 64)
CONTENTS = st.lists(st.text(alphabet="ab \n\t\u2003é", max_size=12), max_size=8)


class TestText:
    def test_an_example(self) -> None:
        assert calibration_text(["  one\n", "", " \n\t", "two\n\nthree\n"]) == "one\n\ntwo\n\nthree"

    def test_the_limit_is_that_of_the_format(self) -> None:
        assert MAX_CHARACTERS == 524_288
        assert len(calibration_text(["x" * 600_000])) == 524_288

    @given(CONTENTS, st.integers(0, 40))
    def test_it_is_the_joined_text_cut(self, contents: list[str], limit: int) -> None:
        joined = "\n\n".join(content.strip() for content in contents if content.strip())
        assert calibration_text(contents, limit=limit) == joined[:limit]

    @given(CONTENTS)
    def test_laying_out_twice_changes_nothing(self, contents: list[str]) -> None:
        once = calibration_text(contents)
        assert calibration_text([once]) == once

    def test_no_more_is_read_than_fits(self) -> None:
        def endless() -> Iterator[str]:
            yield from ["abc", "def"]
            raise AssertionError("read on")

        assert calibration_text(endless(), limit=8) == "abc\n\ndef"

    @pytest.mark.parametrize(
        ("text", "short"), [("", True), ("x" * 1023, True), ("x" * 1024, False), ("é" * 511, True), ("é" * 512, False)]
    )
    def test_a_token_is_at_least_a_byte(self, text: str, short: bool) -> None:
        assert is_surely_too_short(text) == short

    def test_half_a_pair_of_surrogates_has_a_digest(self) -> None:
        assert text_sha256("\ud800") != text_sha256("?")
        assert is_surely_too_short("\ud800")

    @pytest.mark.parametrize(("chunks", "said"), [(0, "less than one"), (1, "only one")])
    def test_it_is_said_why_there_is_no_matrix(self, chunks: int, said: str) -> None:
        message = too_little_text(chunks)
        assert "static quantisation" in message
        assert said in message
        assert "512 tokens" in message


class TestKey:
    def test_the_digest_stays_what_it_is(self) -> None:
        """A change of it throws every kept matrix away; let it be a wanted one."""
        assert KEY.digest == "70eee315df62243fabbbbae99f079e50f68196a08b88166a4682819b4658c18b"
        assert KEY.digest == ImportanceKey(base_sha256="a" * 64, corpus_sha256="b" * 64).digest

    @pytest.mark.parametrize(
        "change",
        [{"base_sha256": "c" * 64}, {"corpus_sha256": "c" * 64}, {"chunks": 1}, {"chunk_size": 1}, {"collector": 9}],
    )
    def test_every_part_counts(self, change: dict[str, object]) -> None:
        assert attrs.evolve(KEY, **change).digest != KEY.digest

    def test_the_two_digests_are_not_interchangeable(self) -> None:
        assert ImportanceKey(base_sha256="b" * 64, corpus_sha256="a" * 64).digest != KEY.digest

    @pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "g" * 64, "../" + "a" * 61])
    def test_a_digest_is_one(self, digest: str) -> None:
        with pytest.raises(ValueError, match="64 hex digits"):
            attrs.evolve(KEY, corpus_sha256=digest)
        with pytest.raises(ValueError, match="64 hex digits"):
            attrs.evolve(KEY, base_sha256=digest)

    @pytest.mark.parametrize("name", ["chunks", "chunk_size", "collector"])
    def test_counts_are_above_0(self, name: str) -> None:
        with pytest.raises(ValueError, match="above 0"):
            attrs.evolve(KEY, **{name: 0})
