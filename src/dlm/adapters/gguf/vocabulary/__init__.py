"""The vocabulary of a GGUF file, from a folder with a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from dlm.adapters.gguf.vocabulary.byte_level import byte_level_vocabulary
from dlm.adapters.gguf.vocabulary.files import read_files, read_json
from dlm.adapters.gguf.vocabulary.sentencepiece import sentencepiece_vocabulary
from dlm.adapters.gguf.vocabulary.vocabulary import Vocabulary
from dlm.domain.pretokenizers import is_sentencepiece

__all__ = ["Vocabulary", "read_vocabulary"]


def read_vocabulary(folder: Path, *, base: Path) -> Vocabulary:
    """Give the vocabulary of the tokenizer in ``folder``: the adapter's, so that tokens added to it are there.

    Args:
        base: folder of the base, whose settings say which tokens end an answer, and which begins a text where the
            tokenizer names none.

    Raises:
        ExportError: ``export.bad-tokenizer`` or ``export.pretokenizer``: it cannot be written as GGUF.
    """
    files = read_files(folder)
    read = sentencepiece_vocabulary if is_sentencepiece(files.tokenizer) else byte_level_vocabulary
    vocabulary = read(files)
    roles = dict(vocabulary.roles)
    begins, ends = (_ids(base, f"{role}_token_id", len(vocabulary.tokens)) for role in ("bos", "eos"))
    for role, ids in (("bos", begins), ("eos", ends)):
        if ids:
            roles.setdefault(role, ids[0])
    # Runtimes stop at each of these roles; what a second and third end are called makes no difference to them.
    others = [index for index in ends if index != roles.get("eos")]
    roles |= dict(zip(("eot", "eom"), others, strict=False))
    return attrs.evolve(vocabulary, roles=roles)


def _ids(base: Path, key: str, size: int) -> Sequence[int]:
    """Give one id or several from the settings for answering, else from those of the model; only ids that there are."""
    for name in ("generation_config.json", "config.json"):
        value = read_json(base / name).get(key) if (base / name).is_file() else None
        given = value if isinstance(value, list) else [value]
        found = dict.fromkeys(index for index in given if type(index) is int and 0 <= index < size)
        if found:
            return tuple(found)
    return ()
