"""What every reader of chat formats promises, as tests. Needs pytest."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.domain.base_models import ResolvedBase
from dlm.domain.rows import Turn
from dlm.ports.chat_format import ChatFormatPort

ASK = (Turn("user", "Who keeps the light?"),)
TALK = (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"))


class ChatFormatContract:
    """Subclass it and give ``formats``, a ``base`` and an ``adapter`` folder that it can read."""

    @pytest.fixture
    def formats(self) -> ChatFormatPort:
        """Give the reader under test."""
        raise NotImplementedError("override the formats fixture")

    @pytest.fixture
    def base(self) -> ResolvedBase:
        """Give a base."""
        raise NotImplementedError("override the base fixture")

    @pytest.fixture
    def adapter(self, tmp_path: Path) -> Path:
        """Give an adapter's folder; without tokenizer files the base's count."""
        return tmp_path

    def test_a_conversation_is_written_with_every_text_in_order(
        self, formats: ChatFormatPort, base: ResolvedBase, adapter: Path
    ) -> None:
        text = formats.read(base, adapter).render(TALK)
        places = [text.find(turn.content) for turn in TALK]
        assert -1 not in places
        assert places == sorted(places)

    def test_the_answer_is_opened(self, formats: ChatFormatPort, base: ResolvedBase, adapter: Path) -> None:
        render = formats.read(base, adapter).render
        answered = render([*ASK, Turn("assistant", "Ada."), Turn("user", "Why?")])
        assert answered.startswith(render(ASK) + "Ada.")

    def test_text_becomes_ids_piece_by_piece(self, formats: ChatFormatPort, base: ResolvedBase, adapter: Path) -> None:
        chat = formats.read(base, adapter)
        ids = chat.encode(chat.render(ASK))
        assert len(ids) > len(chat.encode(""))
        assert list(chat.encode(chat.render(ASK))) == list(ids)

    def test_what_ends_an_answer_is_no_empty_text(
        self, formats: ChatFormatPort, base: ResolvedBase, adapter: Path
    ) -> None:
        chat = formats.read(base, adapter)
        assert chat.end_tokens
        assert all(chat.end_tokens)
        assert chat.added_tokens == ()
        assert chat.bos or not chat.adds_bos
        assert "messages" in chat.jinja
