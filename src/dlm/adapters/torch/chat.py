"""The one place where turns become token ids: training, prompting and the exam all render here.

Does not: add a second BOS. A rendered chat template is the whole text, so it is tokenised without special tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs

from dlm.domain.dialects import fixed_jinja
from dlm.domain.errors import BaseModelError
from dlm.domain.rows import Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@attrs.frozen
class Encoded:
    """One sequence of token ids and, for each, whether predicting it is trained.

    Example: a chat ``<u>hi</u><a>yes</a>`` gives ids for all of it and ``supervised`` true for ``yes</a>`` only.
    ``supervised[0]`` is never true: nothing comes before the first token to predict it from.
    """

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]

    @classmethod
    def answered(cls, prompt: Sequence[int], answer: Sequence[int]) -> Encoded:
        """Give a prompt with its answer, of which only the answer counts."""
        return cls((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer))

    def __len__(self) -> int:
        return len(self.ids)


class ChatTokenizer:
    """A tokenizer together with the conversation rules of its base and the document's system prompt.

    Args:
        thinks: False asks the base to answer without reasoning in a ``<think>`` block first, where it has the choice.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, system_prompt: str | None, *, thinks: bool = True) -> None:
        if not tokenizer.chat_template:
            raise BaseModelError(
                "base.no-chat-template",
                f"the tokenizer in {tokenizer.name_or_path} has no chat template",
                hint="Choose an instruction-tuned base; raw pretrained bases cannot hold a conversation.",
            )
        self.tokenizer = tokenizer
        self.system_prompt = system_prompt
        self._thinks = thinks

    def messages(self, turns: Sequence[Turn]) -> list[dict[str, str]]:
        """Give the conversation, led by its own system turn or else by the system prompt."""
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        if self.system_prompt is None or (messages and messages[0]["role"] == "system"):
            return messages
        return [{"role": "system", "content": self.system_prompt}, *messages]

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        """Give the text of a conversation as the base saw conversations in its own training; dates are fixed.

        Raises:
            BaseModelError: ``base.chat-template``: the template refuses the conversation.
        """
        from jinja2.exceptions import TemplateError

        try:
            text: str = self.tokenizer.apply_chat_template(
                self.messages(turns),
                chat_template=self.jinja,
                tokenize=False,
                add_generation_prompt=generation_prompt,
            )
        except TemplateError as exc:
            raise BaseModelError(
                "base.chat-template",
                f"the chat template of the base refuses a conversation: {exc}",
                hint="Most bases want the user and the assistant to take turns, and the user to begin.",
            ) from exc
        return text

    @cached_property
    def jinja(self) -> str:
        """The base's chat template as it is used here; runtimes that read such templates get the same."""
        template = self.tokenizer.get_chat_template()
        plain = fixed_jinja(template, thinks=self._thinks)
        if _accepts_system(self.tokenizer, plain):
            return plain
        return fixed_jinja(template, thinks=self._thinks, has_system_role=False)

    def ids_of(self, text: str) -> list[int]:
        """Tokenise rendered text as it stands."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def many_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise rendered texts, on all cores where the tokenizer can; each as ``ids_of`` would."""
        if not texts:
            return []
        if self._is_plainly_fast:
            fast = self.tokenizer.backend_tokenizer
            fast.no_truncation()
            fast.no_padding()
            return [encoding.ids for encoding in fast.encode_batch_fast(list(texts), add_special_tokens=False)]
        many: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=False, padding=False, truncation=False, verbose=False
        )["input_ids"]
        return many

    def prompt_ids(self, turns: Sequence[Turn]) -> list[int]:
        """Give the ids after which the model is to answer."""
        return self.ids_of(self.render(turns, generation_prompt=True))

    def encode_exchange(self, turns: Sequence[Turn]) -> Encoded:
        """Encode a conversation whose last turn, with its end-of-turn token, is to be learned.

        The answer is tokenised apart from its prompt, exactly as it is generated later.
        """
        prompt_text, answer_text = self.exchange_texts(turns)
        return Encoded.answered(self.ids_of(prompt_text), self.closed_answer(self.ids_of(answer_text)))

    def exchange_texts(self, turns: Sequence[Turn]) -> tuple[str, str]:
        """Give a conversation up to its last turn, and what the model is to write then, as rendered text."""
        prompt = self.render(turns[:-1], generation_prompt=True)
        full = self.render(turns, generation_prompt=False)
        # Some templates add or drop text around the generation prompt; the answer then stands alone.
        return prompt, full[len(prompt) :] if full.startswith(prompt) else turns[-1].content

    def closed_answer(self, ids: list[int]) -> list[int]:
        """Cut what a template writes after its end-of-turn token; add EOS when it writes none."""
        for index in range(len(ids) - 1, -1, -1):
            if ids[index] in self._special_ids:
                return ids[: index + 1]
        return [*ids, self.eos_id]

    def encode_prose(self, text: str, window: int) -> tuple[Encoded, ...]:
        """Cut a text into the windows that are trained; see ``prose_windows``."""
        ids = self.closed_prose(self.ids_of(text))
        return tuple(
            Encoded(tuple(ids[start:stop]), (False,) + (True,) * (stop - start - 1))
            for start, stop in prose_windows(len(ids), window)
        )

    def closed_prose(self, ids: list[int]) -> list[int]:
        """Put a text's ids between the base's document separator and EOS."""
        return [self.separator_id, *ids, self.eos_id]

    @property
    def fingerprint(self) -> str:
        """Digest everything but its text that the ids of a row depend on: tokenizer, chat template, system prompt.

        The template takes part as it is used and as it renders.
        """
        trial = [Turn("user", "u"), Turn("assistant", "a")]
        rendered = [self.exchange_texts(trial), self.render(trial[:1], generation_prompt=True)]
        parts = [tokenizer_sha256(self.tokenizer), self.jinja, rendered]
        record = json.dumps([*parts, self.system_prompt, self.separator_id, self.eos_id], default=str)
        return hashlib.sha256(record.encode()).hexdigest()

    @cached_property
    def _is_plainly_fast(self) -> bool:
        """Whether the tokenizer's own call does nothing but ask its Rust half."""
        from transformers import PreTrainedTokenizerFast as Fast

        kind = type(self.tokenizer)
        return bool(kind.__call__ is Fast.__call__ and kind._encode_plus is Fast._encode_plus)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset([*self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder])

    @property
    def eos_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def pad_id(self) -> int:
        """A token to fill with; it is masked everywhere, so one that means something else does no harm."""
        pad = self.tokenizer.pad_token_id
        return int(self.eos_id if pad is None else pad)

    @cached_property
    def separator_id(self) -> int:
        """The token a document began with in the base's own training: its BOS when the tokenizer adds one itself, else
        ``<|endoftext|>``, else EOS."""
        first = self.tokenizer("a")["input_ids"][0]
        if first == self.tokenizer.bos_token_id:
            return int(first)
        added = {token.content: index for index, token in self.tokenizer.added_tokens_decoder.items()}
        return int(added.get("<|endoftext|>", self.eos_id))


def prose_windows(length: int, window: int) -> list[tuple[int, int]]:
    """Cut so many ids into windows ``[start, stop)`` so that each but the first is predicted exactly once.

    Neighbouring windows share one token: the last of a window is the context the next begins with. Windows are as
    even as possible, so none is a crumb. For 7 tokens ``abcdefg`` and window 5, ``|`` marking what is trained::

        S |a b c d        (S = the base's document separator)
        d |e f g EOS
    """
    predicted = length - 1
    count = -(-predicted // (window - 1))
    cuts = [round(index * predicted / count) for index in range(count + 1)]
    return [(start, end + 1) for start, end in pairwise(cuts)]


def tokenizer_sha256(tokenizer: Any) -> str:
    """Digest a tokenizer: the serialised JSON of a fast one, what identifies a slow one."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        text = tokenizer.backend_tokenizer.to_str()
    else:
        facts = {
            "vocab_size": tokenizer.vocab_size,
            "model_max_length": tokenizer.model_max_length,
            "special_tokens": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
            "added_tokens": len(tokenizer.get_added_vocab()),
            "class": type(tokenizer).__name__,
        }
        text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _accepts_system(tokenizer: Any, template: str) -> bool:
    """Try the template: those without a system role raise, or leave the text out."""
    from jinja2.exceptions import TemplateError

    probe = "sysprobe"
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "system", "content": probe}, {"role": "user", "content": "x"}],
            chat_template=template,
            tokenize=False,
        )
    except TemplateError:
        return False
    return probe in text
