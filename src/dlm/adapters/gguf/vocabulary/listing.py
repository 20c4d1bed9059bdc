"""Listing tokens by id."""

from __future__ import annotations

from collections.abc import Callable

from dlm.adapters.gguf.vocabulary.files import TokenizerFiles, bad_tokenizer
from dlm.adapters.gguf.vocabulary.vocabulary import CONTROL, UNKNOWN, UNUSED, USER_DEFINED, placeholder

_MOST_HOLES = 100_000


def list_tokens(files: TokenizerFiles, kind_of: Callable[[str], int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Give texts and kinds of all tokens, from id 0 to the highest.

    Ids without a token get a placeholder, and so does a piece with the same text as an added token: the added one is
    what the text becomes, and runtimes want each text once.

    Args:
        kind_of: kind of a piece that was not added.
    """
    size = max([*files.pieces.values(), *files.added], default=-1) + 1
    if size > len(files.pieces) + len(files.added) + _MOST_HOLES:
        raise bad_tokenizer(files.folder, f"it has ids up to {size - 1} and only {len(files.pieces)} pieces")
    tokens = [placeholder(index) for index in range(size)]
    kinds = [UNUSED] * size
    taken = {token.text for token in files.added.values()}
    for text, index in files.pieces.items():
        if text not in taken and text:
            tokens[index], kinds[index] = text, kind_of(text)
    for index, token in files.added.items():
        if token.text:
            tokens[index] = token.text
            kinds[index] = CONTROL if token.is_special else USER_DEFINED
            if kind_of(token.text) == UNKNOWN:
                kinds[index] = UNKNOWN
    if len(set(tokens)) != size:
        raise bad_tokenizer(files.folder, "two ids have the same text")
    if not all(map(_is_text, (*tokens, *files.templates.values()))):
        raise bad_tokenizer(files.folder, "a token or a chat template is not valid text")
    return tuple(tokens), tuple(kinds)


def _is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: JSON can hold halves of characters."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)
