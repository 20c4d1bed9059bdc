"""The tokens of a model as a GGUF file lists them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import attrs

from dlm.adapters.gguf.entries import Entry

NORMAL: Final = 1
UNKNOWN: Final = 2
CONTROL: Final = 3
USER_DEFINED: Final = 4
UNUSED: Final = 5
BYTE: Final = 6
"""Kinds of tokens, as the format numbers them. Control tokens are read only where special tokens are, and not shown;
user-defined ones are cut out of any text before the rest is tokenised."""

_UNREACHABLE: Final = -1e9
"""Score of a placeholder: no merge is worse."""

_ROLE_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "bos": "tokenizer.ggml.bos_token_id",
        "eos": "tokenizer.ggml.eos_token_id",
        "eot": "tokenizer.ggml.eot_token_id",
        "eom": "tokenizer.ggml.eom_token_id",
        "unk": "tokenizer.ggml.unknown_token_id",
        "pad": "tokenizer.ggml.padding_token_id",
    }
)
"""Token roles by our name, in the order in which they are written."""


@attrs.frozen(kw_only=True)
class Vocabulary:
    """All tokens, by id, and how text becomes tokens.

    Args:
        model: ``gpt2`` for byte-level pairs, ``llama`` for SentencePiece's manner.
        pre: label of the rule that cuts text before merging.
        kinds: of each token, one of the numbers above.
        scores: how early a token is merged, with ``llama`` only.
        merges: pairs in their order, ``left right``, with ``gpt2`` only.
        roles: id by role.
        add_bos: the tokenizer begins a text with the bos token.
        add_space_prefix: it puts a blank before a text.
        strips_after_special: blanks and newlines after special tokens are dropped, as Phi-3's tokenizer does.
        templates: chat templates by name; the one used is ``default``.
    """

    model: Literal["gpt2", "llama"]
    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[str, ...] = ()
    roles: Mapping[str, int] = attrs.field(factory=lambda: MappingProxyType({}))
    add_bos: bool = False
    add_eos: bool = False
    add_space_prefix: bool = False
    strips_after_special: bool = False
    templates: Mapping[str, str] = attrs.field(factory=lambda: MappingProxyType({}))

    def padded(self, rows: int) -> Vocabulary:
        """Give the vocabulary with placeholders up to ``rows``, the rows of the embedding table."""
        missing = rows - len(self.tokens)
        if missing <= 0:
            return self
        return attrs.evolve(
            self,
            tokens=(*self.tokens, *(placeholder(index) for index in range(len(self.tokens), rows))),
            kinds=(*self.kinds, *(UNUSED,) * missing),
            scores=(*self.scores, *(_UNREACHABLE,) * missing) if self.scores else (),
        )

    def entries(self) -> tuple[Entry, ...]:
        """Give everything a GGUF file says about tokens."""
        ids = [Entry(key, "u32", self.roles[role]) for role, key in _ROLE_KEYS.items() if role in self.roles]
        return (
            Entry("tokenizer.ggml.model", "str", self.model),
            Entry("tokenizer.ggml.pre", "str", self.pre),
            Entry("tokenizer.ggml.tokens", "str", self.tokens),
            Entry("tokenizer.ggml.scores", "f32", self.scores),
            Entry("tokenizer.ggml.token_type", "i32", self.kinds),
            Entry("tokenizer.ggml.merges", "str", self.merges),
            *ids,
            Entry("tokenizer.ggml.add_bos_token", "bool", self.add_bos),
            Entry("tokenizer.ggml.add_eos_token", "bool", self.add_eos),
            Entry("tokenizer.ggml.add_space_prefix", "bool", self.add_space_prefix),
            *self._template_entries(),
        )

    def _template_entries(self) -> tuple[Entry, ...]:
        others = tuple(sorted(name for name in self.templates if name != "default"))
        named = tuple(Entry(f"tokenizer.chat_template.{name}", "str", self.templates[name]) for name in others)
        entries = (Entry("tokenizer.chat_templates", "str", others), *named)
        if "default" in self.templates:
            return (*entries, Entry("tokenizer.chat_template", "str", self.templates["default"]))
        return entries


def placeholder(index: int) -> str:
    """Give the text of an id that no text becomes. Runtimes want each text once."""
    return f"[PAD{index}]"
