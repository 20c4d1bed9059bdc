"""What every collector of importance matrices promises, as tests. Needs pytest and gguf.

class TestMyImatrix(ImatrixContract):
    @pytest.fixture
    def imatrix(self):
        return MyImatrix()

    @pytest.fixture
    def base(self):
        return …
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.domain.base_models import ResolvedBase
from dlm.domain.events import Event, Progress
from dlm.ports.imatrix import ImatrixPort

SIZE = 16
"""Tokens of a piece."""


class ImatrixContract:
    """Subclass it and give an ``imatrix`` and a ``base`` for which a plain character is a token."""

    @pytest.fixture
    def imatrix(self) -> ImatrixPort:
        """Give the collector under test."""
        raise NotImplementedError("override the imatrix fixture")

    @pytest.fixture
    def base(self) -> ResolvedBase:
        """Give the base that is measured."""
        raise NotImplementedError("override the base fixture")

    def collect(
        self, imatrix: ImatrixPort, base: ResolvedBase, texts: list[str], into: Path, chunks: int = 9
    ) -> tuple[int, list[Event]]:
        """Collect a matrix; gives the pieces and the events."""
        events: list[Event] = []
        made = imatrix.collect(base, iter(texts), into, chunks=chunks, chunk_size=SIZE, emit=events.append)
        return made, events

    def test_a_matrix_is_written_and_nothing_else(
        self, imatrix: ImatrixPort, base: ResolvedBase, tmp_path: Path
    ) -> None:
        import gguf

        into = tmp_path / "new" / "m.gguf"
        into.parent.mkdir()
        made, events = self.collect(imatrix, base, ["a" * 40, "b" * 40], into)
        assert made == 5
        assert [event for event in events if isinstance(event, Progress)][-1].done == 5
        assert list(into.parent.iterdir()) == [into]
        reader = gguf.GGUFReader(into)
        assert reader.get_field("general.type").contents() == "imatrix"
        tokens = {t.name: float(t.data.reshape(-1)[0]) for t in reader.tensors if t.name.endswith(".counts")}
        assert tokens["blk.0.attn_q.weight.counts"] == 5 * SIZE

    def test_no_more_pieces_than_asked_for(self, imatrix: ImatrixPort, base: ResolvedBase, tmp_path: Path) -> None:
        assert self.collect(imatrix, base, ["a" * 999], tmp_path / "m.gguf", chunks=3)[0] == 3

    @pytest.mark.parametrize("texts", [[], [""], ["a" * SIZE], ["a" * SIZE, "b" * (SIZE - 1)]])
    def test_too_little_text_writes_nothing(
        self, imatrix: ImatrixPort, base: ResolvedBase, tmp_path: Path, texts: list[str]
    ) -> None:
        into = tmp_path / "new" / "m.gguf"
        into.parent.mkdir()
        made, events = self.collect(imatrix, base, texts, into)
        assert made == len("".join(texts)) // SIZE
        assert events == []
        assert list(into.parent.iterdir()) == []

    def test_an_older_matrix_is_replaced(self, imatrix: ImatrixPort, base: ResolvedBase, tmp_path: Path) -> None:
        into = tmp_path / "m.gguf"
        into.write_bytes(b"old")
        self.collect(imatrix, base, ["a" * 40], into)
        assert into.read_bytes()[:4] == b"GGUF"

    def test_an_observer_that_fails_leaves_no_file(
        self, imatrix: ImatrixPort, base: ResolvedBase, tmp_path: Path
    ) -> None:
        def failing(_: Event) -> None:
            raise ValueError("enough")

        into = tmp_path / "new" / "m.gguf"
        into.parent.mkdir()
        with pytest.raises(ValueError, match="enough"):
            imatrix.collect(base, ["a" * 99], into, chunks=9, chunk_size=SIZE, emit=failing)
        assert list(into.parent.iterdir()) == []
