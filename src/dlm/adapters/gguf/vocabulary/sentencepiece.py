"""Vocabularies in SentencePiece's manner: blanks become ``▁``, unknown signs become tokens of single bytes.

Runtimes merge the neighbours that form the token of the highest score. In ``tokenizer.json`` the same stands as an
ordered list of pairs, in which a token stands once for each way of cutting it in two; so the score of a token is minus
the place of its first pair. ``tokenizer.model``, where it is still there, is not read: training did not read it either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dlm.adapters.gguf.vocabulary.files import TokenizerFiles, bad_tokenizer
from dlm.adapters.gguf.vocabulary.listing import list_tokens
from dlm.adapters.gguf.vocabulary.special import special_settings
from dlm.adapters.gguf.vocabulary.vocabulary import BYTE, NORMAL, UNKNOWN, Vocabulary
from dlm.domain.pretokenizers import DEFAULT_PRE

_BLANK = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_NEVER_MERGED = -1e9


def sentencepiece_vocabulary(files: TokenizerFiles) -> Vocabulary:
    """Give the vocabulary of a tokenizer with byte fallback.

    Raises:
        ExportError: ``export.bad-tokenizer``: it treats text otherwise than runtimes can.
    """
    unknown = files.model.get("unk_token")

    def kind(piece: str) -> int:
        if piece == unknown:
            return UNKNOWN
        return BYTE if _BYTE.fullmatch(piece) else NORMAL

    tokens, kinds = list_tokens(files, kind)
    places: dict[str, int] = {}
    for place, (left, right) in enumerate(files.pairs()):
        places.setdefault(left + right, place)
    return Vocabulary(
        model="llama",
        pre=DEFAULT_PRE,
        tokens=tokens,
        kinds=kinds,
        scores=tuple(-float(places[token]) if token in places else _NEVER_MERGED for token in tokens),
        add_space_prefix=_puts_blank_before(files),
        **special_settings(files),
    )


def _puts_blank_before(files: TokenizerFiles) -> bool:
    """Whether a text, and what follows a special token, is taken as if a blank stood before it.

    ``Metaspace`` with ``first`` does so only at the very beginning. Runtimes know always or never; never is right for
    all text that begins with a special token, as conversations do.
    """
    steps = [
        *_steps(files.tokenizer.get("normalizer"), "normalizers"),
        *_steps(files.tokenizer.get("pre_tokenizer"), "pretokenizers"),
    ]
    found = [_effect(step) for step in steps]
    if None in found or not any(step.get("type") in ("Replace", "Metaspace") for step in steps):
        raise bad_tokenizer(files.folder, "it prepares text in a way that runtimes do not know (normalizer)")
    return any(found)


def _effect(step: Mapping[str, Any]) -> bool | None:
    """Give whether a step puts a blank before the text; None for a step that runtimes do not do."""
    kind = step.get("type")
    if kind == "Prepend" and step.get("prepend") == _BLANK:
        return True
    if kind == "Replace" and step.get("pattern") == {"String": " "} and step.get("content") == _BLANK:
        return False
    if kind == "Metaspace" and step.get("replacement") == _BLANK and step.get("split") is not True:
        return bool(step.get("prepend_scheme", "always") == "always")
    if kind == "Split" and step.get("pattern") == {"String": " "}:
        return False  # there are no blanks left to cut at
    return None


def _steps(node: object, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(node, Mapping):
        return []
    inner = node.get(name)
    if node.get("type") == "Sequence" and isinstance(inner, list):
        return [step for step in inner if isinstance(step, Mapping)]
    return [node]
