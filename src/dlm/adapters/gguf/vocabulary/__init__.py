"""The vocabulary of a GGUF file, from a folder with a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from dlm.adapters.gguf.vocabulary.byte_level import byte_level
from dlm.adapters.gguf.vocabulary.files import read_files
from dlm.adapters.gguf.vocabulary.sentencepiece import sentencepiece
from dlm.adapters.gguf.vocabulary.vocabulary import Vocabulary
from dlm.domain.pretokenizers import is_sentencepiece

__all__ = ["Vocabulary", "read_vocabulary"]


def read_vocabulary(folder: Path, *, ends: Sequence[int] = (), bos: int | None = None) -> Vocabulary:
    """Give the vocabulary of the tokenizer in ``folder``: the adapter's, so that tokens added to it are there.

    Args:
        ends: ids that end an answer, as the base's ``generation_config.json`` lists them.
        bos: id that begins a text according to the base's ``config.json``, for a tokenizer that names none.

    Raises:
        ExportError: ``export.bad-tokenizer`` or ``export.pretokenizer``: it cannot be written as GGUF.
    """
    files = read_files(folder)
    vocabulary = sentencepiece(files) if is_sentencepiece(files.tokenizer) else byte_level(files)
    roles = dict(vocabulary.roles)
    if bos is not None:
        roles.setdefault("bos", bos)
    known = [index for index in dict.fromkeys(ends) if 0 <= index < len(vocabulary.tokens)]
    if known:
        roles.setdefault("eos", known[0])
    # Runtimes stop at each of these roles; what a second and third end are called makes no difference to them.
    others = [index for index in known if index != roles.get("eos")]
    roles |= dict(zip(("eot", "eom"), others, strict=False))
    return attrs.evolve(vocabulary, roles=roles)
