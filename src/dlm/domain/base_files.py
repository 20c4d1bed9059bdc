"""Which files of a model folder are used, and which are never touched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from dlm.domain.errors import BaseModelError

BASE_FILE_PATTERNS = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "tokenizer.model",
    "spiece.model",
    "merges.txt",
    "vocab.txt",
    "LICENSE*",
    "NOTICE*",
)
"""Files fetched and read: weights as safetensors, settings, tokenizer, chat template, licence. Never program code or
pickles, which run whatever their author wrote when they are loaded."""

SKIPPED_PATTERNS = ("*/*", "consolidated*.safetensors")
"""Sub-folders (other formats, training states) and a second copy of the same weights that some repositories carry."""

_DIGESTED = BASE_FILE_PATTERNS[:-2]
"""A licence text changes nothing the model computes, and an older cache may lack it."""

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_TOKENIZERS = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
)


def local_folder(selector: str) -> Path:
    """Give the folder that ``path:<folder>`` names, absolute: ``~`` is the home, relative names count from here.

    Raises:
        BaseModelError: it can name no folder.
    """
    given = selector.removeprefix("path:").strip()
    try:
        if not given or "\0" in given:
            raise ValueError("no folder is named")
        return Path(given).expanduser().absolute()
    except (ValueError, RuntimeError, OSError) as exc:
        raise BaseModelError(
            "base.folder-missing",
            f"{selector[:200]!r} names no folder: {exc}",
            hint="Write base_model: path:<folder> with the folder that holds config.json.",
        ) from exc


def is_used(name: str) -> bool:
    """Whether a file of a model folder (path relative to it, ``/`` between parts) is fetched and read."""
    return _matches(name, BASE_FILE_PATTERNS) and not _matches(name, SKIPPED_PATTERNS)


def is_digested(name: str) -> bool:
    """Whether a file counts in the digest of a model folder."""
    return _matches(name, _DIGESTED) and not _matches(name, SKIPPED_PATTERNS)


def has_safetensors(names: Iterable[str]) -> bool:
    """Whether there are weights in the one accepted format, under a name model loaders look for."""
    return not {"model.safetensors", "model.safetensors.index.json"}.isdisjoint(names)


def pickle_names(names: Iterable[str]) -> tuple[str, ...]:
    """Give the weight files in formats that can run code when loaded."""
    return tuple(sorted(name for name in names if name.lower().endswith(_PICKLES)))


def gguf_names(names: Iterable[str]) -> tuple[str, ...]:
    """Give the GGUF files."""
    return tuple(sorted(name for name in names if name.lower().endswith(".gguf")))


def has_tokenizer(names: Iterable[str]) -> bool:
    """Whether the files hold some complete tokenizer."""
    present = set(names)
    return any(present.issuperset(group) for group in _TOKENIZERS)


def folder_sha256(files: Mapping[str, str]) -> str:
    """Combine the sha256 of each file into the digest of a folder: ``path NUL sha256 LF`` per file, sorted by path.

    Args:
        files: path relative to the folder, ``/`` between parts → lowercase hex sha256.
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\n".encode())
    return digest.hexdigest()


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
