"""The tokenizer beside an adapter: how many ids it can give, whether it knows how to write a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dlm.adapters.peft_files.reading import damaged, read_object
from dlm.domain.json_record import dump_object
from dlm.domain.text_files import write_atomic

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
)
"""Every file that a tokenizer of the model library is kept in."""

_LARGEST = 200_000_000
"""Bytes. The largest real tokenizer files have about 35 MB."""

_LARGEST_TEMPLATE = 4_000_000
_MOST_IDS = 1 << 31


def read_vocabulary_size(folder: Path) -> int | None:
    """Give the highest token id + 1, over the vocabulary and the tokens added to it; None without a tokenizer.

    Raises:
        ExportError: a file cannot be read, or an id is no number.
    """
    path = folder / "tokenizer.json"
    tokenizer = read_object(path, probe="tokenizer_vocab", largest=_LARGEST)
    config = read_object(folder / "tokenizer_config.json", probe="tokenizer_vocab", largest=_LARGEST)
    try:
        ids = [*_vocabulary_ids(tokenizer or {}), *_added_ids(config or {})]
        size = (config or {}).get("vocab_size")
        if not ids and size is not None:
            return _checked_id(size)
    except ValueError as exc:
        raise damaged(path, str(exc), probe="tokenizer_vocab") from exc
    return max(ids) + 1 if ids else None


def read_chat_template(folder: Path) -> str | None:
    """Give the template that writes conversations, from its own file or else from the configuration; None without.

    Raises:
        ExportError: a file cannot be read.
    """
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            if path.stat().st_size > _LARGEST_TEMPLATE:
                raise damaged(path, f"it has {path.stat().st_size} bytes", probe="chat_template")
            return path.read_text(encoding="utf-8") or None
        except (OSError, ValueError) as exc:
            raise damaged(path, str(exc)[:200], probe="chat_template") from exc
    config = read_object(folder / "tokenizer_config.json", probe="chat_template", largest=_LARGEST) or {}
    template = config.get("chat_template")
    if isinstance(template, list):  # several named ones; the one called default is used
        named = {str(item.get("name")): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    return template if isinstance(template, str) and template else None


def copy_tokenizer(source: Path, into: Path) -> None:
    """Copy the tokenizer's files, each whole or not at all."""
    for name in TOKENIZER_FILES:
        path = source / name
        if path.is_file():
            try:
                data = path.read_bytes()
            except OSError as exc:
                raise damaged(path, exc.strerror or str(exc), probe="tokenizer_vocab") from exc
            write_atomic(into / name, data)


def tokenizer_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give the tokenizer's files by name, without notes of where it came from and of code that it would load.

    Raises:
        ExportError: a file cannot be read.
    """
    for name in TOKENIZER_FILES:
        path = folder / name
        try:
            if path.is_file():
                yield name, _without_places(path) if name == "tokenizer_config.json" else path.read_bytes()
        except OSError as exc:
            raise damaged(path, exc.strerror or str(exc), probe="tokenizer_vocab") from exc


_PLACES = ("auto_map", "is_local", "local_files_only", "name_or_path", "special_tokens_map_file", "tokenizer_file")
"""Keys of ``tokenizer_config.json`` that hold paths of the machine it was saved on, or name Python code."""


def _without_places(path: Path) -> bytes:
    record = read_object(path, probe="tokenizer_vocab", largest=_LARGEST) or {}
    if not record.keys() & set(_PLACES):
        return path.read_bytes()
    kept = {key: value for key, value in record.items() if key not in _PLACES}
    return dump_object(kept, ascii_only=False).encode()


def _vocabulary_ids(tokenizer: dict[str, Any]) -> Iterator[int]:
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield from _highest(vocabulary.values())
    elif isinstance(vocabulary, list) and vocabulary:  # pieces with scores, in the order of their ids
        yield len(vocabulary) - 1
    added = tokenizer.get("added_tokens")
    yield from _highest(token.get("id") if isinstance(token, dict) else token for token in _list(added))


def _added_ids(config: dict[str, Any]) -> Iterator[int]:
    added = config.get("added_tokens_decoder")
    names = added if isinstance(added, dict) else {}
    yield from _highest(int(name) if name.isascii() and name.isdigit() else name for name in names)


def _highest(ids: Iterable[object]) -> Iterator[int]:
    highest = max(map(_checked_id, ids), default=None)
    if highest is not None:
        yield highest


def _checked_id(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST_IDS:
        raise ValueError(f"{str(value)[:40]!r} is not the id of a token")
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
