"""Which GGUF pre-tokenizer label a ``tokenizer.json`` has: how text is cut into pieces before pieces become tokens.

A GGUF file names this rule by a label; with the wrong one the runtime cuts numbers or words differently from training
and answers get subtly worse. The rule stands in ``tokenizer.json`` in full, so it is compared, not guessed: equal
patterns cut equally, whatever vocabulary a fine-tune added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

DEFAULT_PRE = "default"

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# Published with the tokenizers of Qwen2 and Llama 3; the labels are those of the GGUF format.
_BY_PATTERN = {
    _WORDS + r"\p{N}" + _REST: "qwen2",
    _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe",
}


def infer_pretokenizer(tokenizer: Mapping[str, Any] | None) -> tuple[str, str | None]:
    """Give the label and, when it could not be told for sure, a note saying so.

    Args:
        tokenizer: parsed ``tokenizer.json``; None when the model has none.
    """
    if tokenizer is None:
        return DEFAULT_PRE, "there is no tokenizer.json, so the pre-tokenizer label of an exported file is a guess"
    model = tokenizer.get("model")
    if isinstance(model, Mapping) and model.get("byte_fallback") is True:
        return DEFAULT_PRE, None  # a SentencePiece vocabulary: runtimes have one rule for all of them
    label = _label_of(list(_steps(tokenizer.get("pre_tokenizer"))))
    if label is None:
        return (
            DEFAULT_PRE,
            "the tokenizer cuts text by a rule without a known label; an exported file may differ slightly",
        )
    return label, None


def _label_of(steps: list[Mapping[str, Any]]) -> str | None:
    kinds = [step.get("type") for step in steps]
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and _cuts_words(steps[1]):
        return "smollm"
    if kinds == ["ByteLevel"] and _cuts_words(steps[0]):
        return "gpt-2"
    if kinds == ["Split", "ByteLevel"] and not _cuts_words(steps[1]):
        pattern = steps[0].get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, Mapping) else None
        return _BY_PATTERN.get(regex) if isinstance(regex, str) else None
    return None


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
