"""Vocabularies read from tokenizer files: kinds of tokens, roles, templates, and what cannot be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlm.adapters.gguf import vocabulary as vocabularies
from dlm.adapters.gguf.checking import read_head
from dlm.adapters.gguf.vocabulary import Vocabulary, byte_level
from dlm.adapters.gguf.vocabulary.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from dlm.domain.errors import ExportError
from dlm.domain.pretokenizers import PROBE, fingerprint
from gguf_made import write_base
from llama_child import LlamaChild
from tiny_architectures import tiny_architecture


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read a base's own tokenizer."""
    return vocabularies.read_vocabulary(folder, base=folder)


def _edit(folder: Path, change: Callable[[dict[str, Any]], object], name: str = "tokenizer.json") -> Path:
    data = json.loads((folder / name).read_bytes())
    change(data)
    (folder / name).write_text(json.dumps(data), encoding="utf-8")
    return folder


def test_a_byte_level_vocabulary_lists_every_token_by_id(tmp_path: Path) -> None:
    folder = tiny_architecture("llama3", tmp_path / "base").folder
    vocabulary = read_vocabulary(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
    for text, index in tokenizer["model"]["vocab"].items():
        assert vocabulary.tokens[index] == text
    assert vocabulary.kinds[vocabulary.tokens.index("<|eot_id|>")] == CONTROL
    assert vocabulary.kinds[0] == NORMAL
    assert len(vocabulary.merges) == len(tokenizer["model"]["merges"])
    assert (vocabulary.model, vocabulary.pre, vocabulary.add_bos, vocabulary.add_eos) == (
        "gpt2",
        "llama-bpe",
        True,
        False,
    )
    assert vocabulary.tokens[vocabulary.roles["bos"]] == "<|begin_of_text|>"
    assert vocabulary.tokens[vocabulary.roles["eos"]] == "<|eot_id|>"
    assert vocabulary.scores == ()


def test_a_sentencepiece_vocabulary_has_scores_that_fall_from_merge_to_merge(tmp_path: Path) -> None:
    folder = tiny_architecture("mistral", tmp_path / "base").folder
    vocabulary = read_vocabulary(folder)
    by_text = dict(zip(vocabulary.tokens, zip(vocabulary.kinds, vocabulary.scores, strict=True), strict=True))
    assert by_text["<unk>"][0] == UNKNOWN
    assert by_text["</s>"][0] == CONTROL
    assert by_text["<0x0A>"][0] == BYTE
    assert by_text["▁▁"][1] > by_text["▁▁▁"][1] > by_text["▁"][1]
    assert (vocabulary.model, vocabulary.pre, vocabulary.add_space_prefix) == ("llama", "default", True)
    assert vocabulary.merges == ()


def test_placeholders_fill_up_to_the_rows_of_the_table(tmp_path: Path) -> None:
    vocabulary = read_vocabulary(tiny_architecture("mistral", tmp_path / "base").folder)
    size = len(vocabulary.tokens)
    padded = vocabulary.padded(size + 2)
    assert padded.tokens[-2:] == (f"[PAD{size}]", f"[PAD{size + 1}]")
    assert padded.kinds[-1] == UNUSED
    assert len(padded.scores) == size + 2
    assert vocabulary.padded(size) is vocabulary


def test_tokens_that_training_added_are_there_and_read_by_llama_cpp(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    base = tiny_architecture("qwen2", tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    size = len(tokenizer)
    tokenizer.add_tokens([AddedToken("<|marker|>", special=True), AddedToken("gizmo", normalized=False)])
    tokenizer.save_pretrained(str(base.folder))
    vocabulary = read_vocabulary(base.folder)
    assert vocabulary.tokens[size:] == ("<|marker|>", "gizmo")
    assert vocabulary.kinds[size:] == (CONTROL, USER_DEFINED)
    text = "a gizmo<|marker|>\nof gizmos"
    with LlamaChild(write_base(base, tmp_path / "model.gguf")) as child:
        ids = child.token_ids(text)
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert {size, size + 1} < set(ids)


def test_ends_of_answers_get_roles(tmp_path: Path) -> None:
    gemma = tiny_architecture("gemma2", tmp_path / "base").folder
    roles = read_vocabulary(gemma).roles
    assert {role: roles[role] for role in ("bos", "eos", "eot")} == {"bos": 2, "eos": 1, "eot": 5}
    assert "eom" not in roles
    qwen = tiny_architecture("qwen2", tmp_path / "qwen").folder
    _edit(qwen, lambda config: config.pop("eos_token"), "tokenizer_config.json")
    _edit(qwen, lambda config: config.update(bos_token_id=9, eos_token_id=9), "config.json")
    _edit(qwen, lambda config: config.update(bos_token_id=3, eos_token_id=7), "generation_config.json")
    assert (read_vocabulary(qwen).roles["bos"], read_vocabulary(qwen).roles["eos"]) == (3, 7)
    _edit(qwen, lambda config: config.update(bos_token_id="3", eos_token_id=[99999, None]), "generation_config.json")
    assert (read_vocabulary(qwen).roles["bos"], read_vocabulary(qwen).roles["eos"]) == (9, 9)
    (qwen / "generation_config.json").unlink()
    assert read_vocabulary(qwen).roles["eos"] == 9


def test_chat_templates_come_from_their_own_files_first(tmp_path: Path) -> None:
    folder = tiny_architecture("qwen2", tmp_path / "base").folder
    (folder / "chat_template.jinja").write_text("own", encoding="utf-8")
    stated = [
        {"name": "default", "template": "x"},
        {"name": "tool_use", "template": "t"},
        {"name": "../x", "template": "y"},
    ]
    _edit(folder, lambda config: config.update(chat_template=stated), "tokenizer_config.json")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("r", encoding="utf-8")
    vocabulary = read_vocabulary(folder)
    assert vocabulary.templates == {"default": "own", "tool_use": "t", "rag": "r"}
    entries = {entry.key: entry.value for entry in vocabulary.entries()}
    assert entries["tokenizer.chat_template"] == "own"
    assert entries["tokenizer.chat_templates"] == ("rag", "tool_use")
    assert entries["tokenizer.chat_template.rag"] == "r"
    (folder / "chat_template.jinja").unlink()
    _edit(folder, lambda config: config.update(chat_template="plain"), "tokenizer_config.json")
    assert read_vocabulary(folder).templates["default"] == "plain"


def test_the_older_form_of_merges_is_read(tmp_path: Path) -> None:
    folder = tiny_architecture("qwen2", tmp_path / "base").folder
    expected = read_vocabulary(folder)
    _edit(folder, lambda data: data["model"].update(merges=[" ".join(pair) for pair in data["model"]["merges"]]))
    assert read_vocabulary(folder) == expected


def test_a_piece_with_the_text_of_an_added_token_makes_way(tmp_path: Path) -> None:
    folder = tiny_architecture("qwen2", tmp_path / "base").folder
    size = len(read_vocabulary(folder).tokens)
    _edit(folder, lambda data: data["model"]["vocab"].update({"twice": size, "gap": size + 3}))
    added = {"id": size + 1, "content": "twice", "special": False}
    _edit(folder, lambda data: data["added_tokens"].append(added))
    vocabulary = read_vocabulary(folder)
    assert vocabulary.tokens[size:] == (f"[PAD{size}]", "twice", f"[PAD{size + 2}]", "gap")
    assert vocabulary.kinds[size:] == (UNUSED, USER_DEFINED, UNUSED, NORMAL)


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def test_a_cutting_rule_without_a_label_is_refused(tmp_path: Path) -> None:
    folder = tiny_architecture("qwen2", tmp_path / "base").folder
    _edit(folder, lambda data: data["pre_tokenizer"]["pretokenizers"].__setitem__(0, _split(r"\p{N}{1,7}|\D+")))
    with pytest.raises(ExportError, match="no name for") as caught:
        read_vocabulary(folder)
    assert caught.value.code == "export.pretokenizer"
    assert caught.value.subject == "preflight[pretokenizer_fingerprint]"
    assert "--target vllm" in str(caught.value.hint)


def test_a_known_tokenizer_is_recognised_by_its_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenizers import Tokenizer

    folder = tiny_architecture("qwen2", tmp_path / "base").folder
    _edit(folder, lambda data: data["pre_tokenizer"]["pretokenizers"].__setitem__(0, _split(r"\p{N}{1,7}|\D+")))
    known = fingerprint(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(PROBE).ids)
    monkeypatch.setattr(byte_level, "FINGERPRINTS", {known: "smaug-bpe"})
    assert read_vocabulary(folder).pre == "smaug-bpe"


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], object]:
    *parts, last = path.split(".")

    def change(data: dict[str, Any]) -> None:
        for part in parts:
            data = data[part]
        data[last] = value

    return change


_UNIGRAM = {"type": "Unigram", "vocab": [["a", -1.0]]}
_METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}


@pytest.mark.parametrize(
    ("family", "change", "why"),
    [
        ("qwen2", _set("model", _UNIGRAM), "byte pairs"),
        ("qwen2", _set("model", 3), "byte pairs"),
        ("qwen2", _set("model.vocab", {"a": -1}), "id -1"),
        ("qwen2", _set("model.vocab", {"a": 10**12}), "id 1000000000000"),
        ("qwen2", _set("model.vocab", {"a": 900_000}), "ids up to"),
        ("qwen2", _set("model.vocab", {"a": True}), "id True"),
        ("qwen2", _set("model.vocab", {"a": 0, "\ud800": 1}), "not valid text"),
        ("qwen2", _set("model.vocab", {"[PAD1]": 0}), "same text"),
        ("qwen2", _set("model.merges", ["a b c"]), "no pair"),
        ("qwen2", _set("model.merges", [[1, 2]]), "no pair"),
        ("qwen2", _set("added_tokens", [{"id": 3}]), "no text"),
        ("qwen2", _set("normalizer", {"type": "Lowercase"}), "normalizer"),
        ("mistral", _set("normalizer", {"type": "NFKC"}), "normalizer"),
        ("mistral", _set("normalizer", None), "normalizer"),
        ("mistral", _set("pre_tokenizer", {**_METASPACE, "split": True}), "normalizer"),
    ],
)  # fmt: skip
def test_what_runtimes_do_otherwise_or_is_damaged_is_refused(
    family: str, change: Callable[[dict[str, Any]], object], why: str, tmp_path: Path
) -> None:
    folder = _edit(tiny_architecture(family, tmp_path / "base").folder, change)
    with pytest.raises(ExportError, match=why) as caught:
        read_vocabulary(folder)
    assert caught.value.code == "export.bad-tokenizer"


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b'{"model": ' + b"[" * 100_000])
def test_a_damaged_tokenizer_file_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(text)
    with pytest.raises(ExportError) as caught:
        read_vocabulary(tmp_path)
    assert caught.value.code == "export.bad-tokenizer"


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"tokenizer\.json"):
        read_vocabulary(tmp_path)


@pytest.mark.parametrize(
    ("pre_tokenizer", "blank"),
    [(_METASPACE, True), ({**_METASPACE, "prepend_scheme": "first"}, False), ({**_METASPACE, "split": False}, True)],
)
def test_a_blank_before_a_text_is_known(pre_tokenizer: dict[str, Any], blank: bool, tmp_path: Path) -> None:
    folder = tiny_architecture("gemma2", tmp_path / "base").folder
    _edit(folder, lambda data: data.update(normalizer=None, pre_tokenizer=pre_tokenizer))
    assert read_vocabulary(folder).add_space_prefix is blank


def test_phi3s_special_tokens_swallow_the_blanks_after_them(tmp_path: Path) -> None:
    assert read_vocabulary(tiny_architecture("phi3", tmp_path / "phi3").folder).strips_after_special
    for family in ("phi4mini", "mistral", "qwen2"):
        assert not read_vocabulary(tiny_architecture(family, tmp_path / family).folder).strips_after_special
    path = write_base(tiny_architecture("phi3", tmp_path / "phi3"), tmp_path / "model.gguf")
    assert "phi" in read_head(path).values["general.name"]
