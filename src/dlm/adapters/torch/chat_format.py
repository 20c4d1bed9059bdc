"""Conversation rules for exports, from tokenizer files; no model is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dlm.adapters.torch.chat import ChatTokenizer
from dlm.adapters.torch.foreign import translated
from dlm.domain.base_models import ResolvedBase
from dlm.domain.dialects import thinks_aloud
from dlm.ports.chat_format import ChatFormat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SUBJECT = "the tokenizer"


class TorchChatFormat:
    """Implements ``ChatFormatPort`` with transformers' tokenizers."""

    def read(self, base: ResolvedBase, adapter: Path) -> ChatFormat:
        """Give the rules of the tokenizer in the adapter's folder, or of the base's when there is none."""
        with translated(_SUBJECT):
            own = _tokenizer(base.folder)
            tokenizer = _tokenizer(adapter) if (adapter / "tokenizer_config.json").is_file() else own
            chat = ChatTokenizer(tokenizer, None, thinks=thinks_aloud(base.spec.template))
            start = tokenizer("", verbose=False)["input_ids"]
            return ChatFormat(
                jinja=chat.jinja,
                render=lambda turns: chat.render(turns, generation_prompt=True),
                encode=chat.ids_of,
                bos=tokenizer.bos_token or "",
                adds_bos=tokenizer.bos_token_id is not None and start[:1] == [tokenizer.bos_token_id],
                end_tokens=_texts(tokenizer, [*_generation_ends(base.folder), tokenizer.eos_token_id]),
                added_tokens=_texts(tokenizer, [i for i in tokenizer.all_special_ids if i >= len(own)]),
            )


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer


def _generation_ends(folder: Path) -> list[int]:
    """Give the ids at which the base's makers end an answer; often more than the tokenizer's one."""
    from transformers import GenerationConfig

    if not (folder / "generation_config.json").is_file():
        return []
    ends = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
    return ends if isinstance(ends, list) else [] if ends is None else [ends]


def _texts(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int | None]) -> tuple[str, ...]:
    found = tokenizer.convert_ids_to_tokens([index for index in ids if index is not None])
    return tuple(dict.fromkeys(text for text in found if text))
