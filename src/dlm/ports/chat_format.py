"""How a trained model wants conversations written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.base_models import ResolvedBase
from dlm.domain.turn_format import Render


@attrs.frozen(kw_only=True)
class ChatFormat:
    """A tokenizer's conversation rules.

    Args:
        jinja: the chat template as training used it, for runtimes that read such templates.
        render: gives a conversation as text, with the opening of the answer.
        encode: gives the token ids of such a text.
        bos: text of the token a prompt begins with; empty when there is none.
        adds_bos: whether runtimes put that token in front of rendered text by themselves.
        end_tokens: texts of the tokens that end an answer.
        added_tokens: texts of special tokens that the base's own tokenizer does not have.
    """

    jinja: str
    render: Render
    encode: Callable[[str], Sequence[int]]
    bos: str = ""
    adds_bos: bool = False
    end_tokens: tuple[str, ...] = ()
    added_tokens: tuple[str, ...] = ()


class ChatFormatPort(Protocol):
    """Reads tokenizer files. Raises ``BaseModelError`` (``base.no-chat-template``) and ``StoreError``."""

    def read(self, base: ResolvedBase, adapter: Path) -> ChatFormat:
        """Give the rules of the tokenizer in the adapter's folder, or of the base's when there is none."""
        ...
