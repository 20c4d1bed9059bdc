"""Reading a turn format off a template, whatever the template is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dlm.domain.errors import ExportError
from dlm.domain.go_text import go_literal, go_string, is_printable
from dlm.domain.rows import Turn
from dlm.domain.turn_format import Trim, TurnFormat, learn_turn_format
from go_templates import go_rendered

MARKERS = st.sampled_from(
    ["<|im_start|>user\n", "<|im_end|>\n", "[INST] ", " [/INST]", "</s>", "<a>", "\n", "{", '"""']
)
PIECES = st.lists(MARKERS, min_size=1, max_size=3).map("".join)
TRIMS = st.builds(Trim, st.sampled_from(["", "\n", " \t\n\r"]), st.sampled_from(["", "\n", " \t\n\r"]))
TEXTS = st.text(st.sampled_from("ab \n\t\r\"{}\\$é潮\u00a0'<|>"), max_size=12)


@st.composite
def formats(draw: st.DrawFn) -> TurnFormat:
    user_trim = draw(TRIMS)
    is_folded = draw(st.booleans())
    return TurnFormat(
        bos=draw(st.sampled_from(["", "<s>"])),
        head=draw(PIECES),
        # A folded message is told from one that has a turn to itself by what comes behind it.
        system=("", "\n\n~") if is_folded else (draw(PIECES), draw(PIECES)),
        is_folded=is_folded,
        user=("<user>" + draw(PIECES), draw(PIECES)),
        assistant=(draw(PIECES), draw(PIECES)),
        opening=draw(PIECES),
        system_trim=draw(TRIMS),
        user_trim=user_trim,
        led_trim=draw(TRIMS) if is_folded else user_trim,
        assistant_trim=draw(TRIMS),
    )


@st.composite
def talks(draw: st.DrawFn) -> list[Turn]:
    system = draw(st.none() | TEXTS.filter(bool))
    texts = draw(st.lists(TEXTS, min_size=1, max_size=5).filter(lambda texts: len(texts) % 2))
    turns = [Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts)]
    return turns if system is None else [Turn("system", system), *turns]


@given(form=formats(), some=st.lists(talks(), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_what_is_learned_writes_like_what_it_was_learned_from(form: TurnFormat, some: list[list[Turn]]) -> None:
    learned = learn_turn_format(form.text, bos=form.bos)
    assert [learned.text(talk) for talk in some] == [form.text(talk) for talk in some]
    assert learned.bos == form.bos


@given(form=formats(), some=st.lists(talks(), min_size=3, max_size=8))
@settings(max_examples=25, deadline=None)
def test_the_go_template_writes_like_the_format(form: TurnFormat, some: list[list[Turn]]) -> None:
    template = form.go_template(runtime_adds_bos=False)
    assert go_rendered([(template, talk) for talk in some]) == [form.text(talk) for talk in some]


@given(text=st.text(max_size=40))
@example('{{ x }} { {{{ """"" \'\u00a0\u200d\r\n')
@settings(max_examples=40, deadline=None)
def test_any_text_can_stand_in_a_go_template(text: str) -> None:
    written = go_literal(text)
    assert '"""' not in written
    assert all(is_printable(sign) or sign in "\n\t" for sign in written)
    assert go_rendered([(written, []), (f"{{{{ {go_string(text)} }}}}", [])]) == [text, text]


def chatml(turns: Sequence[Turn]) -> str:
    return "".join(f"<{turn.role}>{turn.content}</>" for turn in turns) + "<assistant>"


def system_last(turns: Sequence[Turn]) -> str:
    """As Mistral Nemo does: the system message stands in the last question."""
    system = "".join(turn.content for turn in turns if turn.role == "system")
    rest = [turn for turn in turns if turn.role != "system"]
    return chatml([*rest[:-1], Turn("user", f"{system}{rest[-1].content}")])


REFUSED: dict[str, Callable[[Sequence[Turn]], str]] = {
    "moves the system message": system_last,
    "counts the turns": lambda turns: f"{len(turns)}{chatml(turns)}",
    "shouts": lambda turns: chatml([Turn(turn.role, turn.content.upper()) for turn in turns]),
    "leaves answers out": lambda turns: chatml([turn for turn in turns if turn.role != "assistant"]),
    "writes a turn twice": lambda turns: chatml([*turns, turns[-1]]),
    "looks at the words": lambda turns: ("!" if "brief" in turns[0].content else "") + chatml(turns),
    "looks at the system message": lambda turns: chatml(turns) + ("x" if turns[0].role == "system" else ""),
    "keeps one of three blanks": lambda turns: chatml([Turn(t.role, t.content.replace("\n \n", " ")) for t in turns]),
}


@pytest.mark.parametrize("render", REFUSED.values(), ids=REFUSED.keys())
def test_a_template_that_does_more_is_refused(render: Callable[[Sequence[Turn]], str]) -> None:
    with pytest.raises(ExportError) as caught:
        learn_turn_format(render)
    assert (caught.value.code, caught.value.subject) == ("template.unlike", "template")
    assert "llama-server" in str(caught.value.hint)


def test_the_documents_own_system_prompt_is_tried() -> None:
    def render(turns: Sequence[Turn]) -> str:
        return chatml(turns).replace("/no_think", "")

    assert learn_turn_format(render)
    with pytest.raises(ExportError, match="more than write fixed text"):
        learn_turn_format(render, system="Be quick. /no_think")


def test_a_blank_system_prompt_is_tried_too() -> None:
    def own_words(turns: Sequence[Turn]) -> str:
        return chatml(turns if turns[0].role == "system" else [Turn("system", "I am Bot."), *turns])

    with pytest.raises(ExportError, match="more than write fixed text"):
        learn_turn_format(
            own_words, system=""
        )  # Ollama takes an empty one for none, and the base would introduce itself
    blank = learn_turn_format(own_words, system=" \n").go_template(runtime_adds_bos=False, default_system=" \n")
    assert go_rendered([(blank, [Turn("user", "Hi")])]) == [own_words([Turn("system", " \n"), Turn("user", "Hi")])]


def test_the_template_is_readable() -> None:
    template = learn_turn_format(chatml).go_template(runtime_adds_bos=False)
    assert template == (
        "{{ if .System }}<system>{{ .System }}</>{{ end }}{{ range .Messages }}"
        '{{ if eq .Role "user" }}<user>{{ .Content }}</>'
        '{{ else if eq .Role "assistant" }}<assistant>{{ .Content }}</>{{ end }}{{ end }}<assistant>'
    )
