"""Turns and prose as token ids."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from dlm.adapters.torch.chat import ChatTokenizer, Encoded
from dlm.adapters.torch.rows import Reader
from dlm.domain.errors import BaseModelError, TrainingError
from dlm.domain.rows import Row, Turn


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _tokenizer(tmp_path_factory.mktemp("tok"))


def _tokenizer(folder: Path, template: str = tiny.CHAT_TEMPLATE) -> Any:
    from transformers import AutoTokenizer

    tiny.tiny_base(folder, template=template)
    return AutoTokenizer.from_pretrained(folder)


def _shown(chat: ChatTokenizer, encoded: Encoded) -> tuple[str, str]:
    """Give the context and the supervised text."""
    decode = chat.tokenizer.decode
    split = encoded.supervised.index(True)
    return decode(encoded.ids[:split]), decode(encoded.ids[split:])


def test_only_the_answer_and_its_end_are_supervised(tokenizer: Any) -> None:
    chat = ChatTokenizer(tokenizer, None)
    encoded = chat.encode_exchange([Turn("user", "hi"), Turn("assistant", "yes")])
    context, answer = _shown(chat, encoded)
    assert context == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert answer == "yes<|im_end|>"


def test_the_context_is_what_prompting_sends(tokenizer: Any) -> None:
    chat = ChatTokenizer(tokenizer, "Be brief.")
    encoded = chat.encode_exchange([Turn("user", "hi"), Turn("assistant", "yes")])
    prompt = chat.prompt_ids([Turn("user", "hi")])
    assert list(encoded.ids[: len(prompt)]) == prompt
    assert not any(encoded.supervised[: len(prompt)])


def test_the_system_prompt_leads(tokenizer: Any) -> None:
    chat = ChatTokenizer(tokenizer, "Be brief.")
    text = chat.render([Turn("user", "hi")], generation_prompt=True)
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>")


def test_a_template_without_a_system_role_gets_it_in_the_first_turn(tmp_path: Path) -> None:
    chat = ChatTokenizer(_tokenizer(tmp_path, tiny.NO_SYSTEM_TEMPLATE), "Be brief.")
    text = chat.render([Turn("user", "hi"), Turn("assistant", "a"), Turn("user", "b")], generation_prompt=True)
    assert text.count("Be brief.") == 1
    assert "user\nBe brief.\n\nhi<|im_end|>" in text


def test_a_tokenizer_without_a_template_is_refused(tmp_path: Path) -> None:
    tokenizer = _tokenizer(tmp_path)
    tokenizer.chat_template = None
    with pytest.raises(BaseModelError, match="no chat template"):
        ChatTokenizer(tokenizer, None)


@given(text=st.text(min_size=1, max_size=300), window=st.integers(2, 70))
@settings(max_examples=60, deadline=None)
def test_prose_windows_predict_every_token_once(tokenizer: Any, text: str, window: int) -> None:
    chat = ChatTokenizer(tokenizer, None)
    windows = chat.encode_prose(text, window)
    predicted = [token for w in windows for token, wanted in zip(w.ids, w.supervised, strict=True) if wanted]
    assert predicted == [*chat.ids_of(text), chat.eos_id]
    assert all(2 <= len(w) <= window for w in windows)
    assert max(len(w) for w in windows) - min(len(w) for w in windows) <= 1
    assert windows[0].ids[0] == chat.separator_id
    assert all(after.ids[0] == before.ids[-1] for before, after in pairwise(windows))


def test_a_long_question_is_cut_at_its_beginning_and_the_answer_stays_whole(tokenizer: Any) -> None:
    chat = ChatTokenizer(tokenizer, None)
    row = Row(kind="instruction", section_id="x", line=7, turns=(Turn("user", "q" * 200), Turn("assistant", "yes")))
    ((example,),) = Reader(chat, 64).examples([row])
    assert example.shortened
    assert len(example.encoded) == 64
    assert _shown(chat, example.encoded)[1] == "yes<|im_end|>"


def test_an_answer_that_does_not_fit_names_its_line(tokenizer: Any) -> None:
    chat = ChatTokenizer(tokenizer, None)
    row = Row(kind="instruction", section_id="x", line=7, turns=(Turn("user", "q"), Turn("assistant", "y" * 200)))
    with pytest.raises(TrainingError, match="line 7"):
        Reader(chat, 64).examples([row])


def test_preference_rows_are_left_to_their_own_phase(tokenizer: Any) -> None:
    row = Row(kind="preference", section_id="x", prompt="p", chosen="c", rejected="r")
    assert len(Reader(ChatTokenizer(tokenizer, None), 64).examples([row])[0]) == 0
