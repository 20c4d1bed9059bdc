"""Which GGUF pre-tokenizer label a ``tokenizer.json`` has: how text is cut into pieces before pieces become tokens.

A GGUF file names this rule by a label; with the wrong one the runtime cuts numbers or words differently from training
and answers get subtly worse. The rule stands in ``tokenizer.json`` in full, so it is compared, not guessed: equal
patterns cut equally, whatever vocabulary a fine-tune added.

Where the rule is written in a way not seen before, the ids of one difficult text tell a known tokenizer apart, as
llama.cpp's converter does it (``PROBE``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

DEFAULT_PRE = "default"

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# The same rule as OpenAI's tiktoken writes it since 2024: "++" takes what it can and gives nothing back, which changes
# no cut here.
_WORDS_2024 = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|"
_REST_2024 = r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"

_FIRST, _UPPER, _LOWER = r"[^\r\n\p{L}\p{N}]?", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASE_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _by_case(ending: str, numbers: str) -> str:
    """Words cut where small letters turn into capitals."""
    capitalised = rf"{_FIRST}{_UPPER}*{_LOWER}+{ending}"
    capitals = rf"{_FIRST}{_UPPER}+{_LOWER}*{ending}"
    return f"{capitalised}|{capitals}|{numbers}{_CASE_REST}"


# Published with the tokenizers of Qwen2, OLMo 2 and Llama 3 (one rule, OpenAI's cl100k), Phi-4-mini and Mistral Nemo.
# The labels are those of the GGUF format. Two labels of one rule differ in ``ignore_merges``: whether a piece that is
# a token as it stands is taken without merging.
_BY_PATTERN: Mapping[str, Mapping[bool, str]] = MappingProxyType(
    {
        _WORDS + r"\p{N}" + _REST: {False: "qwen2"},
        _WORDS + r"\p{N}{1,3}" + _REST: {False: "dbrx", True: "llama-bpe"},
        _WORDS_2024 + r"\p{N}{1,3}" + _REST_2024: {False: "dbrx", True: "llama-bpe"},
        _by_case(_CONTRACTION + "?", r"\p{N}{1,3}"): {False: "gpt-4o"},
        _by_case("", r"\p{N}"): {True: "tekken"},
    }
)

PROBE = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n🚀 (normal) 😶\u200d🌫️ (multiple emojis concatenated) ✅ 🦙🦙 "
    "3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 កាន់តែពិសេសអាច😁 ?我想在apple工作1314151天～ "
    "------======= нещо на Български ''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? "
    "'M not sure I'll make it, 'D you like some tea? We'Ve a'lL"
)
"""Source: the text by which llama.cpp's converter tells tokenizers apart."""

FINGERPRINTS: Mapping[str, str] = MappingProxyType(
    {
        "e636dc30a262dcc0d8c323492e32ae2b70728f4df7dfe9737d9f920a282b8aea": "qwen2",
        "0ef9807a4087ebef797fc749390439009c3b9eda9ad1a097abbe738f486c01e5": "llama-bpe",
        "c136ed14d01c2745d4f60a9596ae66800e2b61fa45643e72436041855ad4089d": "smaug-bpe",
        "855059429035d75a914d1eda9f10a876752e281a054a7a3d421ef0533e5b6249": "smollm",
        "a8594e3edff7c29c003940395316294b2c623e09894deebbc65f33f1515df79e": "dbrx",
        "ccc2ef013c104be7bae2965776d611e1d7a8a2a9c547dd93a682c9a9fc80352e": "gpt-4o",
        "3ce83efda5659b07b1ad37ca97ca5797ea4285d9b9ab0dc679e4a720c9da7454": "gpt-2",
        "63b97e4253352e6f357cc59ea5b583e3a680eaeaf2632188c2b952de2588485e": "tekken",
    }
)
"""Label by fingerprint, for the tokenizers of the registry's bases: Qwen2, Qwen2.5 and Qwen3; Llama 3, with its start
token and without; SmolLM2; OLMo 2; Phi-4-mini; GPT-2; Mistral Small. Bases with a SentencePiece vocabulary need none.
Source: the table of llama.cpp's converter."""


def fingerprint(ids: Sequence[int]) -> str:
    """Give the sha256 of the token ids of ``PROBE``, written ``[1, 2, 3]``."""
    return hashlib.sha256(str(list(ids)).encode()).hexdigest()


def infer_pretokenizer(tokenizer: Mapping[str, Any] | None) -> tuple[str, str | None]:
    """Give the label and, when it could not be told for sure, a note saying so.

    Args:
        tokenizer: parsed ``tokenizer.json``; None when the model has none.
    """
    if tokenizer is None:
        return DEFAULT_PRE, "there is no tokenizer.json, so the pre-tokenizer label of an exported file is a guess"
    if is_sentencepiece(tokenizer):
        return DEFAULT_PRE, None  # runtimes have one rule for all of them
    label = pretokenizer_label(tokenizer)
    if label is None:
        return (
            DEFAULT_PRE,
            "the tokenizer cuts text by a rule without a known label; an exported file may differ slightly",
        )
    return label, None


def is_sentencepiece(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a ``tokenizer.json`` holds a vocabulary in SentencePiece's manner: text stands in it as it is, unknown
    signs become tokens of single bytes."""
    return _model(tokenizer).get("byte_fallback") is True


def pretokenizer_label(tokenizer: Mapping[str, Any]) -> str | None:
    """Give the label of a byte-level ``tokenizer.json``; None for a rule that is not known."""
    ignores_merges = _model(tokenizer).get("ignore_merges") is True
    steps = list(_steps(tokenizer.get("pre_tokenizer")))
    kinds = [step.get("type") for step in steps]
    labels: Mapping[bool, str] = {}
    if any(step.get("add_prefix_space") is True for step in steps):
        return None  # runtimes put no blank before a text
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and _cuts_words(steps[1]):
        labels = {False: "smollm"}
    if kinds == ["ByteLevel"] and _cuts_words(steps[0]):
        labels = {False: "gpt-2"}
    if kinds == ["Split", "ByteLevel"] and not _cuts_words(steps[1]):
        pattern = steps[0].get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, Mapping) else None
        labels = _BY_PATTERN.get(regex, {}) if isinstance(regex, str) else {}
    return labels.get(ignores_merges)


def _model(tokenizer: Mapping[str, Any]) -> Mapping[str, Any]:
    model = tokenizer.get("model")
    return model if isinstance(model, Mapping) else {}


def _cuts_words(step: Mapping[str, Any]) -> bool:
    # Absent means true: the field is younger than the first files.
    return step.get("use_regex", True) is True


def _steps(node: object) -> Iterator[Mapping[str, Any]]:
    if not isinstance(node, Mapping):
        return
    inner = node.get("pretokenizers")
    if node.get("type") == "Sequence" and isinstance(inner, list):
        for step in inner:
            yield from (item for item in [step] if isinstance(item, Mapping))
    else:
        yield node
