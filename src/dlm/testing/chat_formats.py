"""Conversation rules without a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import BaseModelError
from dlm.domain.rows import Turn
from dlm.ports.chat_format import ChatFormat


def tagged(turns: Sequence[Turn]) -> str:
    """Write a conversation with a tag around each turn and the opening of the answer."""
    return "".join(f"<|{turn.role}|>{turn.content}<|end|>" for turn in turns) + "<|assistant|>"


FORMAT = ChatFormat(
    jinja="{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}<|assistant|>",
    render=tagged,
    encode=lambda text: list(text.encode()),
    end_tokens=("<|end|>",),
)


class FakeChatFormat:
    """Keeps ``ChatFormatPort``'s promises with one fixed format; ``read_from`` lists the folders it was asked for.

    Args:
        changes: fields of the format that are other than in ``FORMAT``.
        has_template: False for bases that know no conversations.
    """

    def __init__(self, *, has_template: bool = True, **changes: object) -> None:
        self._format = attrs.evolve(FORMAT, **changes)  # type: ignore[arg-type]  # evolve checks the names
        self._has_template = has_template
        self.read_from: list[Path] = []

    def read(self, base: ResolvedBase, adapter: Path) -> ChatFormat:
        self.read_from.append(adapter)
        if not self._has_template:
            raise BaseModelError(
                "base.no-chat-template", f"{base.spec.key} does not know conversations", hint="Choose another base."
            )
        return self._format
