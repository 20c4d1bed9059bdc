"""Draft models and names in Ollama."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.base_rows import find_base
from dlm.domain.drafts import DRAFTS, resolve_draft
from dlm.domain.errors import UsageError
from dlm.domain.ollama_names import is_ollama_name, ollama_name
from dlm.testing.registries import tiny_base

DLM_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.mark.parametrize("key", DRAFTS)
def test_a_draft_reads_and_speaks_like_its_target(key: str) -> None:
    target, draft = find_base(key), find_base(DRAFTS[key].base)
    assert (target.template, target.tokenizer_pre) == (draft.template, draft.tokenizer_pre)
    assert draft.params < target.params
    assert is_ollama_name(DRAFTS[key].tag)


def test_the_table_is_used_unless_something_else_is_said() -> None:
    target = find_base("smollm2-1.7b")
    assert resolve_draft(target).value == "smollm2:360m"
    assert resolve_draft(target, "me/tiny:1b").value == "me/tiny:1b"
    assert resolve_draft(target, off=True).value is None
    assert resolve_draft(tiny_base()).value is None
    assert "tiny" in resolve_draft(tiny_base()).reason


@pytest.mark.parametrize("tag", ["", " ", "--help", "a b", "x\nFROM y", "../x", "x:", ":x", "a/b/c", "n" * 129, "a..b"])
def test_nonsense_is_refused(tag: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_draft(tiny_base(), tag)
    assert caught.value.code == "export.draft"
    with pytest.raises(UsageError) as caught:
        ollama_name(tag, DLM_ID, 1)
    assert caught.value.code == "ollama.name"


def test_a_draft_cannot_be_wanted_and_not_wanted() -> None:
    with pytest.raises(UsageError):
        resolve_draft(tiny_base(), "x", off=True)


def test_default_names() -> None:
    assert ollama_name(None, DLM_ID, 7) == "dlm-01arz3ndektsv4rrffq69g5fav:v0007"
    assert ollama_name(None, DLM_ID, 12345, "tone") == "dlm-01arz3ndektsv4rrffq69g5fav:v12345-tone"
    assert ollama_name("team/notes:latest", DLM_ID, 1) == "team/notes:latest"


@given(version=st.integers(1, 10**6), adapter=st.none() | st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True))
def test_default_names_are_names(version: int, adapter: str | None) -> None:
    assert is_ollama_name(ollama_name(None, DLM_ID, version, adapter))
