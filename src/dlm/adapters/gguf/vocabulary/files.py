"""The tokenizer files of a folder, read without trusting them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from dlm.domain.errors import ExportError

_LARGEST = 200_000_000
"""Bytes of a file. The largest real tokenizer files have about 35 MB."""

_MOST_IDS = 1 << 24
"""Ids: a hundred times as many as the largest vocabularies have."""

_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class AddedToken(NamedTuple):
    """A token that is cut out of the text before the rest is tokenised."""

    token_id: int
    text: str
    is_special: bool
    strips_right: bool


@attrs.frozen(kw_only=True)
class TokenizerFiles:
    """What the files say.

    Args:
        tokenizer: ``tokenizer.json``.
        config: ``tokenizer_config.json``; empty without one.
        pieces: id of each piece of the model's own vocabulary.
        added: the added tokens, by id.
        templates: chat templates by name.
    """

    folder: Path
    tokenizer: Mapping[str, Any]
    config: Mapping[str, Any]
    pieces: Mapping[str, int]
    added: Mapping[int, AddedToken]
    templates: Mapping[str, str]

    @property
    def model(self) -> Mapping[str, Any]:
        """The part with vocabulary and merges."""
        model: Mapping[str, Any] = self.tokenizer["model"]
        return model

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Give the merges in their order; both forms in use are read.

        Raises:
            ExportError: a merge is not a pair.
        """
        merges = self.model.get("merges", [])
        for merge in merges if isinstance(merges, list) else [merges]:
            pair = merge.split(" ") if isinstance(merge, str) else merge
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
                raise bad_tokenizer(self.folder, f"a merge is no pair: {str(merge)[:60]!r}")
            yield pair[0], pair[1]

    def id_of(self, text: str) -> int | None:
        """Give the id of an exact token; None when there is none."""
        added = (token.token_id for token in self.added.values() if token.text == text)
        return next(added, self.pieces.get(text))

    def token_of(self, role: str) -> int | None:
        """Give the id that ``<role>_token`` of the configuration names; None when it names none."""
        value = self.config.get(f"{role}_token")
        text = value.get("content") if isinstance(value, Mapping) else value
        return self.id_of(text) if isinstance(text, str) else None


def read_files(folder: Path) -> TokenizerFiles:
    """Read a tokenizer's folder.

    Raises:
        ExportError: ``export.bad-tokenizer``: no ``tokenizer.json``, or one that cannot be read.
    """
    tokenizer = read_json(folder / "tokenizer.json")
    config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    model = tokenizer.get("model")
    if not isinstance(model, Mapping) or model.get("type", "BPE") != "BPE" or not isinstance(model.get("vocab"), dict):
        raise bad_tokenizer(folder, "its vocabulary is not of byte pairs (BPE)")
    return TokenizerFiles(
        folder=folder,
        tokenizer=tokenizer,
        config=config,
        pieces={str(text): _index(folder, index) for text, index in model["vocab"].items()},
        added=_added(folder, tokenizer),
        templates=_templates(folder, config),
    )


def bad_tokenizer(folder: Path, why: str) -> ExportError:
    """Give the refusal of a tokenizer that cannot be written as GGUF."""
    return ExportError(
        "export.bad-tokenizer",
        f"the tokenizer in {folder} cannot be written as GGUF: {why}",
        hint="Export with --target vllm or --target hf-adapter, which use the tokenizer as it is.",
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ExportError: ``export.bad-tokenizer``.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise bad_tokenizer(path.parent, f"{path.name} is far too large")
        value = json.loads(path.read_bytes())
    except OSError as exc:
        raise bad_tokenizer(path.parent, f"{path.name}: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise bad_tokenizer(path.parent, f"{path.name} is not valid JSON") from exc
    if not isinstance(value, dict):
        raise bad_tokenizer(path.parent, f"{path.name} holds no JSON object")
    return value


def _index(folder: Path, value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST_IDS:
        raise bad_tokenizer(folder, f"a token has the id {str(value)[:40]}")
    return value


def _added(folder: Path, tokenizer: Mapping[str, Any]) -> dict[int, AddedToken]:
    found = {}
    given = tokenizer.get("added_tokens") or []
    for item in given if isinstance(given, list) else [given]:
        if not isinstance(item, Mapping) or not isinstance(item.get("content"), str):
            raise bad_tokenizer(folder, "an added token has no text")
        index = _index(folder, item.get("id"))
        found[index] = AddedToken(index, item["content"], item.get("special") is True, item.get("rstrip") is True)
    return found


def _templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Give the chat templates: from files of their own, else from the configuration, as the model library does."""
    named = {"default": folder / "chat_template.jinja"}
    named |= {path.stem: path for path in sorted(folder.glob("additional_chat_templates/*.jinja"))}
    try:
        found = {name: path.read_text(encoding="utf-8") for name, path in named.items() if path.is_file()}
    except (OSError, ValueError) as exc:
        raise bad_tokenizer(folder, f"a chat template cannot be read: {exc}") from exc
    stated = config.get("chat_template")
    if isinstance(stated, str):
        stated = [{"name": "default", "template": stated}]
    for item in stated if isinstance(stated, list) else ():
        if isinstance(item, Mapping) and isinstance(item.get("template"), str):
            found.setdefault(str(item.get("name")), item["template"])
    return {name: text for name, text in found.items() if _TEMPLATE_NAME.fullmatch(name)}
