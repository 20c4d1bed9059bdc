"""What a model reads is the same wherever it runs: in training, in Ollama, in llama-server."""

from __future__ import annotations

import datetime
import importlib.util
from pathlib import Path

import pytest

from base_gguf import write_gguf
from chat_families import FAMILIES, Family, conversation, conversations, family_chat
from dlm.adapters.torch.chat import ChatTokenizer
from dlm.domain.base_models import TEMPLATES
from dlm.domain.dialects import DIALECTS, FIXED_DATE, led_jinja, thinks_aloud
from dlm.domain.errors import BaseModelError, ExportError
from dlm.domain.modelfile import template_and_system
from dlm.domain.rows import Turn
from dlm.domain.turn_format import TurnFormat, learn_turn_format
from go_templates import go_rendered
from llama_jinja import llama_rendered

each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def rendered(chat: ChatTokenizer, turns: list[Turn]) -> str:
    return chat.render(turns, generation_prompt=True)


def learned(family: Family) -> TurnFormat:
    return learn_turn_format(lambda turns: rendered(family.chat, list(turns)), bos=family.bos)


def as_ollama_trims(talks: list[list[Turn]], form: TurnFormat) -> list[list[Turn]]:
    """Leave out what Ollama cannot do: take away blanks that are not ASCII."""
    trims = any((form.user_trim.end, form.system_trim.end, form.assistant_trim.end))
    return [talk for talk in talks if not trims or not any(turn.content.endswith("\u00a0") for turn in talk)]


def test_every_dialect_of_text_bases_has_a_family() -> None:
    media = {"paligemma", "qwen2-audio", "qwen2-vl", "internvl2"}
    assert set(DIALECTS) == set(TEMPLATES) - media == {family.dialect for family in FAMILIES}


@each_family
def test_ollamas_prompt_is_the_trained_one(family: Family) -> None:
    form = learned(family)
    talks = as_ollama_trims(conversations(), form)
    assert len(talks) >= 12
    own = go_rendered([(form.go_template(runtime_adds_bos=False), talk) for talk in talks])
    assert own == [rendered(family.chat, talk) for talk in talks]
    ids = family.chat.ids_of
    assert [ids(text) for text in own] == [family.chat.prompt_ids(talk) for talk in talks]


@each_family
def test_a_first_token_that_the_runtime_adds_comes_once(family: Family) -> None:
    form, talks = learned(family), conversations()[:6]
    if not form.bos:
        with pytest.raises(ExportError, match="start token"):
            form.go_template(runtime_adds_bos=True)
        return
    first = family.chat.ids_of(form.bos)
    own = go_rendered([(form.go_template(runtime_adds_bos=True), talk) for talk in talks])
    assert [first + family.chat.ids_of(text) for text in own] == [family.chat.prompt_ids(talk) for talk in talks]


@each_family
@pytest.mark.parametrize("prompt", ["Réponds\u202f: «\u00a0oui\u00a0» {{ .Prompt }}.", 'Say """yes""".'])
def test_a_system_prompt_in_the_template_is_the_trained_one(family: Family, prompt: str) -> None:
    chat = ChatTokenizer(family.chat.tokenizer, prompt, thinks=thinks_aloud(family.dialect))
    form = learn_turn_format(lambda turns: rendered(family.chat, list(turns)), bos=family.bos, system=prompt)
    template, system = template_and_system(form, prompt, runtime_adds_bos=False)
    assert system is None
    assert '"""' not in template
    talks = [conversation(("Hi", "yes", "And?")), conversation(("Hi",), "Another one.")]
    assert go_rendered([(template, talk) for talk in talks]) == [rendered(chat, talk) for talk in talks]


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
def test_llama_servers_prompt_is_the_trained_one(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "tiny.gguf")
    talks = [talk for talk in conversations() if not any("\u00a0" in turn.content for turn in talk)]
    chats = {family.name: family_chat(family, "<|im_start|>", "<|im_end|>") for family in FAMILIES}
    served = llama_rendered(model, [(chat.jinja, talks) for chat in chats.values()])
    wanted = [[rendered(chat, talk) for talk in talks] for chat in chats.values()]
    for name, own, trained in zip(chats, served, wanted, strict=True):
        assert own == trained, name


NASTY = "It's {{ \"x\" }} {% if y %} #} \\n \\' {# z #}\n\ttab  and é 🦙 }}}}{{{%"


@each_family
def test_a_system_prompt_of_the_document_is_written_where_a_conversation_brings_none(family: Family) -> None:
    led = led_jinja(family.chat.jinja, NASTY)
    served = family_chat(family, family.bos, family.eos)
    served.tokenizer.chat_template = led
    own = ChatTokenizer(served.tokenizer, None, thinks=thinks_aloud(family.dialect))
    trained = ChatTokenizer(family.chat.tokenizer, NASTY, thinks=thinks_aloud(family.dialect))
    for talk in [conversation(("Hi", "yes", "And?")), conversation(("Hi",), "Another one.")]:
        assert rendered(own, talk) == rendered(trained, talk)


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
def test_llama_server_reads_such_a_prompt_alike(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "tiny.gguf")
    talk = conversation(("Hi", "yes", "And?"))
    chats = [family_chat(family, "<|im_start|>", "<|im_end|>") for family in FAMILIES]
    served = llama_rendered(model, [(led_jinja(chat.jinja, NASTY), [talk]) for chat in chats])
    for family, (own,), chat in zip(FAMILIES, served, chats, strict=True):
        trained = ChatTokenizer(chat.tokenizer, NASTY, thinks=thinks_aloud(family.dialect))
        assert own == rendered(trained, talk), family.name


class _LaterDay(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _LaterDay:
        return cls(2031, 2, 3)


@each_family
def test_a_prompt_is_the_same_on_every_day(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    today = rendered(family.chat, conversations()[0])
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", _LaterDay)
    assert rendered(family.chat, conversations()[0]) == today
    has_date = family.dialect in ("llama3", "smollm3") or family.name == "mistral-small"
    assert any(f"{FIXED_DATE:{form}}" in today for form in ("%d %b %Y", "%d %B %Y", "%Y-%m-%d")) == has_date


def test_qwen3_thinks_aloud_only_where_it_is_asked_to() -> None:
    plain, thinking = (family for family in FAMILIES if family.template == "qwen3")
    turns = [Turn("user", "Hi"), Turn("assistant", "Yes.")]
    prompt, answer = plain.chat.exchange_texts(turns)
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert answer == "Yes.<|im_end|>\n"
    assert thinking.chat.exchange_texts(turns)[0].endswith("<|im_start|>assistant\n")


def test_a_conversation_that_the_template_refuses_is_told() -> None:
    gemma = next(family for family in FAMILIES if family.name == "gemma2")
    with pytest.raises(BaseModelError, match="take turns"):
        gemma.chat.render([Turn("assistant", "Hi")], generation_prompt=True)
