"""The families of text bases with their ways of writing conversations down.

The templates in ``chat_templates`` are written for these tests and render what the published ones do, but for long
default system texts, which are shortened.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path

import attrs

from dlm.adapters.torch.chat import ChatTokenizer
from dlm.domain.dialects import thinks_aloud
from dlm.domain.rows import Turn

FOLDER = Path(__file__).parent / "chat_templates"


@attrs.frozen
class Family:
    """One family: its template's file, the dialect it is listed under, its first and last token."""

    name: str
    template: str
    dialect: str
    bos: str
    eos: str

    @property
    def jinja(self) -> str:
        return (FOLDER / f"{self.template}.jinja").read_text(encoding="utf-8")

    @property
    def chat(self) -> ChatTokenizer:
        """A byte tokenizer with the family's special tokens and template."""
        return family_chat(self, self.bos, self.eos)


FAMILIES = tuple(
    Family(*row)
    for row in (
        ("smollm2", "smollm2", "chatml", "<|im_start|>", "<|im_end|>"),
        ("qwen2.5", "qwen2.5", "chatml", "", "<|im_end|>"),
        ("qwen3", "qwen3", "chatml", "", "<|im_end|>"),
        ("qwen3-thinking", "qwen3", "qwen3thinking", "", "<|im_end|>"),
        ("smollm3", "smollm3", "smollm3", "", "<|im_end|>"),
        ("llama3.2", "llama3.2", "llama3", "<|begin_of_text|>", "<|eot_id|>"),
        ("llama3.3", "llama3.3", "llama3", "<|begin_of_text|>", "<|eot_id|>"),
        ("phi3.5", "phi3.5", "phi3", "<s>", "<|endoftext|>"),
        ("phi4mini", "phi4mini", "phi4mini", "<|endoftext|>", "<|endoftext|>"),
        ("olmo2", "olmo2", "olmo2", "<|endoftext|>", "<|endoftext|>"),
        ("gemma2", "gemma2", "gemma2", "<bos>", "<eos>"),
        ("mixtral", "mixtral", "mistral", "<s>", "</s>"),
        ("mistral-small", "mistral-small", "mistral", "<s>", "</s>"),
    )
)

_TOKENS = (
    "<|im_start|> <|im_end|> <|endoftext|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|begin_of_text|> <s> </s> "
    "<bos> <eos> <start_of_turn> <end_of_turn> <|user|> <|assistant|> <|system|> <|end|> [INST] [/INST] "
    "[SYSTEM_PROMPT] [/SYSTEM_PROMPT] <think> </think>"
).split()


@cache
def family_chat(family: Family, bos: str, eos: str) -> ChatTokenizer:
    """Give the family's chat tokenizer with other first and last tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = [*_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(vocabulary)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(_TOKENS)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=eos, bos_token=bos or None)
    tokenizer.chat_template = family.jinja
    return ChatTokenizer(tokenizer, None, thinks=thinks_aloud(family.dialect))


_TALKS = (
    ("When does the ferry leave?",),
    ("When?", "At nine.", "And back?"),
    ("One", "two", "three", "four", "five"),
    ("  blanks before\n", "\n\nand behind \t\n", "\tthe middle\n"),
    ('"quoted" {{ .System }} {% raw %} \\n $x', "Grüße, 潮 🙂\u200d\u00a0!", ""),
    ("Just\r\nthis", "x" * 3000, "<b>bold</b> & [link]"),
)
_SYSTEMS = (None, "Be brief.", ' \nTwo "lines",\n\neach one short. \n')


def conversations() -> list[list[Turn]]:
    """Single turn, several turns, both with and without a system message; plain texts and odd ones."""
    return [conversation(talk, system) for talk, system in product(_TALKS, _SYSTEMS)]


def conversation(talk: tuple[str, ...], system: str | None = None) -> list[Turn]:
    turns = [Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(talk)]
    return turns if system is None else [Turn("system", system), *turns]
