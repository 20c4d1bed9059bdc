"""The chat dialects of text bases: what Ollama is told beside the wording of turns, which comes from the base itself.

How a base opens and closes turns is read off its own chat template (:mod:`dlm.domain.turn_format`): two bases of one
dialect differ in their default system text, in blanks, in dates.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

FIXED_DATE = datetime.date(2024, 7, 26)
"""What bases that write today's date into every prompt are told it is, in training and wherever the model is used.

A date that moved would change the prompt from day to day, away from what was trained. This one is the date that the
Llama 3 templates themselves write when they know none.
"""


@attrs.frozen(kw_only=True)
class Dialect:
    """One way of writing a conversation down.

    Args:
        stops: texts that end an answer, most usual first.
        temperature, top_p: sampling when neither document nor user chose any.
    """

    name: str
    stops: tuple[str, ...]
    temperature: float = 0.7
    top_p: float = 0.9


_CHATML_STOPS = ("<|im_end|>", "<|endoftext|>", "<|im_start|>")
_PHI_STOPS = ("<|end|>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>")

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            Dialect(name="chatml", stops=_CHATML_STOPS),
            Dialect(name="qwen3thinking", stops=_CHATML_STOPS, temperature=0.6, top_p=0.95),
            Dialect(name="gemma2", stops=("<end_of_turn>", "<eos>", "<start_of_turn>")),
            Dialect(
                name="smollm3",
                stops=("<|im_end|>", "<|end_of_text|>", "<|im_start|>"),
                temperature=0.6,
                top_p=0.95,
            ),
            Dialect(name="olmo2", stops=("<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>")),
            Dialect(name="llama3", stops=("<|eot_id|>", "<|end_of_text|>", "<|start_header_id|>", "<|eom_id|>")),
            Dialect(name="phi3", stops=_PHI_STOPS),
            Dialect(name="phi4mini", stops=_PHI_STOPS),
            Dialect(name="mistral", stops=("</s>", "[/INST]", "[INST]")),
        )
    }
)
"""The dialects of text bases by name; a media base has none of these."""


def stop_strings(
    dialect: Dialect, *, end_tokens: Iterable[str] = (), added_tokens: Iterable[str] = ()
) -> tuple[str, ...]:
    """Give the texts at which a runtime ends an answer, each once.

    Args:
        end_tokens: text of the EOS ids in ``generation_config.json``, then of the tokenizer's EOS.
        added_tokens: text of tokens the adapter's tokenizer has beyond the base's vocabulary. Not every special token:
            Llama 3 has hundreds, and each one costs time at each generated token.
    """
    return tuple(dict.fromkeys(text for text in (*dialect.stops, *end_tokens, *added_tokens) if text))


def thinks_aloud(dialect: str) -> bool:
    """Whether a base of this dialect is asked to reason in a ``<think>`` block before it answers.

    Qwen3 bases come as both: as ``qwen3thinking``, and as ``chatml``, which answers at once. Templates that know no
    such choice take no notice.
    """
    return dialect != "chatml"


_DATE_CALL = re.compile(r"""strftime_now\(\s*(['"])([^'"\\{}]*)\1\s*\)""")


_FOLD = """{%- if messages[0].role == 'system' and messages | length > 1 -%}
{%- set led = messages[0].content ~ '\\n\\n' ~ messages[1].content -%}
{%- set messages = [{'role': 'user', 'content': led}] + messages[2:] -%}
{%- endif -%}
"""


def fixed_jinja(template: str, *, thinks: bool = True, has_system_role: bool = True) -> str:
    """Give a base's chat template as it is used everywhere: training, prompting, and every exported form.

    The same conversation is the same text on every day and in every runtime. A call that asks for the date is
    replaced by the date; a runtime that hands the date in, as llama-server does to Llama 3, is not listened to.

    Args:
        thinks: see ``thinks_aloud``.
        has_system_role: False puts a system message before the first question, a blank line between.
    """
    fixed = _DATE_CALL.sub(lambda call: f"{call[1]}{FIXED_DATE.strftime(call[2])}{call[1]}", template)
    lead = ""
    if re.search(r"strftime_now\s*\(", fixed):
        lead += f"{{%- macro strftime_now(form) -%}}{FIXED_DATE:%d %B %Y}{{%- endmacro -%}}\n"
    if re.search(r"date_string is (not )?defined", fixed):
        lead += f'{{%- set date_string = "{FIXED_DATE:%d %b %Y}" -%}}\n'
    if not thinks and "enable_thinking" in fixed:
        lead += "{%- set enable_thinking = false -%}\n"
    return lead + ("" if has_system_role else _FOLD) + fixed


def led_jinja(template: str, system: str) -> str:
    """Give a chat template that writes a system prompt before conversations that bring none of their own.

    Programs that serve a model do not know the document's system prompt; a model that was trained with it needs it.
    """
    return (
        "{%- if messages[0].role != 'system' -%}\n"
        f"{{%- set messages = [{{'role': 'system', 'content': {_jinja_text(system)}}}] + messages -%}}\n"
        "{%- endif -%}\n" + template
    )


_DELIMITER = re.compile(r"(\{(?=[{%#])|[%}#](?=\}))")


def _jinja_text(text: str) -> str:
    """Give an expression for a text. Signs that begin or end a block stand apart: not every reader of templates skips
    strings when it looks for the end of a block."""
    pieces = _DELIMITER.sub("\\1\0", text.replace("\0", "")).split("\0")
    escaped = (piece.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") for piece in pieces)
    return "(" + " ~ ".join(f"'{piece}'" for piece in escaped) + ")"
