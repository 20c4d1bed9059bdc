"""Tokens with a role: which begin and end a text, which the tokenizer adds by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlm.adapters.gguf.vocabulary.files import TokenizerFiles

_ROLES = ("bos", "eos", "unk", "pad")

_PHI3_TOKENS = ("<unk>", "<s>", "</s>", "<|endoftext|>")
"""llama.cpp asks for these where it drops blanks after special tokens, and spares all but ``</s>``."""


def special_settings(files: TokenizerFiles) -> dict[str, Any]:
    """Give the fields of ``Vocabulary`` that are about special tokens and templates."""
    first, last = _surrounding(files)
    roles = {role: index for role in _ROLES if (index := files.token_of(role)) is not None}
    if first is not None:
        roles["bos"] = first
    if last is not None:
        roles["eos"] = last
    return {
        "roles": roles,
        "add_bos": first is not None,
        "add_eos": last is not None,
        "strips_after_special": _strips_after_special(files),
        "templates": files.templates,
    }


def _surrounding(files: TokenizerFiles) -> tuple[int | None, int | None]:
    """Give the ids that the tokenizer puts before and after a text."""
    for step in _post_processors(files.tokenizer.get("post_processor")):
        single = step.get("single")
        if step.get("type") == "TemplateProcessing" and isinstance(single, list) and len(single) > 1:
            return _special_id(files, single[0]), _special_id(files, single[-1])
    return None, None


def _special_id(files: TokenizerFiles, part: object) -> int | None:
    special = part.get("SpecialToken") if isinstance(part, Mapping) else None
    text = special.get("id") if isinstance(special, Mapping) else None
    return files.id_of(text) if isinstance(text, str) else None


def _post_processors(node: object) -> list[Mapping[str, Any]]:
    if not isinstance(node, Mapping):
        return []
    inner = node.get("processors")
    return [step for step in inner if isinstance(step, Mapping)] if isinstance(inner, list) else [node]


def _strips_after_special(files: TokenizerFiles) -> bool:
    """Whether special tokens swallow what blank follows them, and runtimes can be made to do the same."""
    if any(files.id_of(text) is None for text in _PHI3_TOKENS):
        return False
    spared = [token for token in files.added.values() if token.text not in _PHI3_TOKENS and token.is_special]
    return bool(spared) and all(token.strips_right for token in spared)
