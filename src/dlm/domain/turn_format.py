"""How a base writes turns down, read off its own chat template, and the same as a template for Ollama.

Chat templates are programs; Ollama wants them in another language. So the template is run on conversations of marked
texts, and what stands before, between and behind the marks is taken down. Whatever was learned is then compared with
the template on other conversations: a template that does more than write fixed text around turns is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import attrs

from dlm.domain.errors import ExportError
from dlm.domain.go_text import go_literal, go_string
from dlm.domain.rows import Turn

Render = Callable[[Sequence[Turn]], str]
"""Gives a conversation as the model reads it, with the opening of the answer. The first turn may be of role system."""

_SYSTEM, _ASK, _SAY, _ASK_AGAIN = (f"Qx{name}xQ" for name in ("sys", "ask", "say", "again"))
_EDGE = "\n \n"
"""Blanks put around a text to see which of them a template removes."""

_MARKER = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
"""What the special tokens of chat dialects look like."""

_ANY_BLANK = " \t\n\r"

_NONE = "\0"
"""For ``str.strip``, which takes an empty set for all blanks. No text holds this sign."""


@attrs.frozen
class Trim:
    """Which signs are removed from the start and the end of a text; empty for none."""

    start: str = ""
    end: str = ""

    def of(self, text: str) -> str:
        return text.lstrip(self.start or _NONE).rstrip(self.end or _NONE)


@attrs.frozen(kw_only=True)
class TurnFormat:
    """What stands around the texts of a conversation.

    For a base that opens turns with ``<role>`` and closes them with ``</>``, ``bos`` ``<s>``, default system ``hi``::

        head <s><system>hi</>     without a system message
        system ("<s><system>", "</>")
        user ("<user>", "</>"), assistant ("<assistant>", "</>"), opening "<assistant>"

    Args:
        bos: the token a prompt begins with, as text; empty for none.
        head: written before the first turn when there is no system message, without ``bos``.
        system: written before (without ``bos``) and behind a system message.
        is_folded: the system message stands inside the first user turn, behind what opens it.
        opening: begins the answer.
        led_trim: of the first user turn when there is a system message; else ``user_trim``.
    """

    bos: str
    head: str
    system: tuple[str, str]
    is_folded: bool
    user: tuple[str, str]
    assistant: tuple[str, str]
    opening: str
    system_trim: Trim = Trim()
    user_trim: Trim = Trim()
    led_trim: Trim = Trim()
    assistant_trim: Trim = Trim()

    def text(self, turns: Sequence[Turn], *, default_system: str = "") -> str:
        """Write a conversation down, as the template for Ollama does."""
        system = "\n\n".join(turn.content for turn in turns if turn.role == "system") or default_system
        lead = f"{self.system[0]}{self.system_trim.of(system)}{self.system[1]}" if system else ""
        parts = [self.bos, self.head if self.is_folded or not system else lead]
        fold, trim = (lead if self.is_folded else ""), (self.led_trim if system else self.user_trim)
        for turn in turns:
            if turn.role == "user":
                parts += [self.user[0], fold, trim.of(turn.content), self.user[1]]
                fold, trim = "", self.user_trim
            elif turn.role == "assistant":
                parts += [self.assistant[0], self.assistant_trim.of(turn.content), self.assistant[1]]
        return "".join([*parts, self.opening])

    def go_template(self, *, runtime_adds_bos: bool, default_system: str = "") -> str:
        """Give the Go template.

        Args:
            runtime_adds_bos: whether the GGUF file says that a BOS is put before every prompt.
            default_system: system message of conversations that bring none, for a text that ``SYSTEM`` of a Modelfile
                cannot carry; empty for the base's own.

        Raises:
            ExportError: ``template.bos``: the runtime would add a BOS that the model was not trained with.
        """
        if runtime_adds_bos and not self.bos:
            raise ExportError(
                "template.bos",
                "the exported file puts a start token before every prompt, and the base's chat template writes none",
                subject="template",
                hint="Export again; the file must say that no start token is added.",
            )
        bos = "" if runtime_adds_bos else self.bos
        return _GoTemplate(self, bos, default_system).text()


def learn_turn_format(render: Render, *, bos: str = "", system: str | None = None) -> TurnFormat:
    """Read a base's turn format off its chat template.

    Args:
        bos: text of the tokenizer's BOS; empty when it has none.
        system: the document's system prompt, which has to come out right too.

    Raises:
        ExportError: ``template.unlike``: the template cannot be written as a template for Ollama.
    """
    plain = _gaps(render, (_ASK, _SAY, _ASK_AGAIN))
    led = _gaps(render, (_SYSTEM, _ASK, _SAY, _ASK_AGAIN), system=True)
    if plain[1:] != led[2:]:
        raise _unlike("the turns are written otherwise when there is a system message")
    learned = _composed(plain, led, bos)
    learned = attrs.evolve(
        learned,
        system_trim=_trim(render, (_SYSTEM, _ASK), 0, system=True),
        user_trim=_trim(render, (_ASK,), 0),
        led_trim=_trim(render, (_SYSTEM, _ASK), 1, system=True),
        assistant_trim=_trim(render, (_ASK, _SAY, _ASK_AGAIN), 1),
    )
    if learned.led_trim != learned.user_trim and not learned.is_folded:
        raise _unlike("a system message changes which blanks are kept")
    for turns in _trials(system):
        _require_same(learned.text(turns), render(turns))
    if system is not None:
        ask = _conversation([_ASK])
        _require_same(learned.text(ask, default_system=system), render([Turn("system", system), *ask]))
    return learned


def _gaps(render: Render, texts: Sequence[str], *, system: bool = False) -> tuple[str, ...]:
    """Give what stands before, between and behind the texts, taken as turns of user and assistant by turns."""
    written = render(_conversation(texts, system=system))
    places = [written.find(text) for text in texts]
    if -1 in places or places != sorted(places) or any(written.count(text) != 1 for text in texts):
        raise _unlike("a turn is left out, moved or repeated")
    ends = [0, *(place + len(text) for place, text in zip(places, texts, strict=True))]
    return tuple(written[end:place] for end, place in zip(ends, [*places, len(written)], strict=True))


def _conversation(texts: Sequence[str], *, system: bool = False) -> list[Turn]:
    turns = [Turn("system", texts[0])] if system else []
    for index, text in enumerate(texts[len(turns) :]):
        turns.append(Turn("assistant" if index % 2 else "user", text))
    return turns


def _composed(plain: tuple[str, ...], led: tuple[str, ...], bos: str) -> TurnFormat:
    """Divide the gaps of user, assistant, user into what belongs to which turn."""
    before, to_answer, to_question, end = plain
    user_close, opening = _divided(end)
    if not to_answer.startswith(user_close):
        user_close, opening = "", end
    # Later questions are opened like the first, as far as what stands before both is the same.
    user_open = _shared_end(_divided(to_question)[1], before)
    is_folded = not led[1].endswith(user_open) and led[0] == before
    if not is_folded:
        user_open = _shared_end(user_open, led[1])
    head = before.removesuffix(user_open)
    lead = "" if is_folded else led[0]
    if bos and not (head.startswith(bos) and (is_folded or lead.startswith(bos))):
        bos = ""
    return TurnFormat(
        bos=bos,
        head=head.removeprefix(bos),
        system=(lead.removeprefix(bos), led[1] if is_folded else led[1].removesuffix(user_open)),
        is_folded=is_folded,
        user=(user_open, user_close),
        assistant=(to_answer.removeprefix(user_close), to_question.removesuffix(user_open)),
        opening=opening,
    )


def _divided(gap: str) -> tuple[str, str]:
    """Cut a gap between two turns where the second is opened: before the second marker, or before the first when the
    gap does not begin with one. Where exactly matters to readers only."""
    starts = [marker.start() for marker in _MARKER.finditer(gap)]
    opens = [start for start in starts if start > 0]
    return (gap[: opens[0]], gap[opens[0] :]) if opens else (gap, "")


def _trim(render: Render, texts: Sequence[str], index: int, *, system: bool = False) -> Trim:
    """See what becomes of blanks around one text of a conversation."""
    before, behind = _around(render, texts, index, system=system)
    padded = [*texts]
    padded[index] = f"{_EDGE}{texts[index]}{_EDGE}"
    start, end = _around(render, padded, index, system=system, core=texts[index])
    return Trim(_removed(start, before, _EDGE, at_end=True), _removed(end, behind, _EDGE, at_end=False))


def _around(
    render: Render, texts: Sequence[str], index: int, *, system: bool, core: str | None = None
) -> tuple[str, str]:
    written = render(_conversation(texts, system=system))
    before, _, behind = written.partition(core or texts[index])
    return before, behind


def _removed(found: str, without: str, edge: str, *, at_end: bool) -> str:
    """Tell which of the signs were removed, from what stands beside a padded text and beside a bare one."""
    for signs in ("", "\n", _ANY_BLANK):
        left = Trim(end=signs).of(edge[::-1])[::-1] if at_end else Trim(end=signs).of(edge)
        if found == (without + left if at_end else left + without):
            return signs
    raise _unlike("blanks around a text are changed in an unknown way")


_ODD_TEXTS = (
    ("What?", "So."),
    ("  two  blanks \n", "\n\nline\n two \t"),
    ('"quoted" {{ .System }} {% raw %} \\ $x', "Grüße, 潮 🙂"),
)


def _trials(own: str | None) -> Iterable[list[Turn]]:
    """Conversations that a learned format has to write like the template: of one to five turns, with and without a
    system message."""
    for ask, say in _ODD_TEXTS:
        talks = [[ask], [ask, say, "And?"], [ask, say, "And?", say, ask]]
        for talk in talks:
            yield _conversation(talk)
            for system in filter(None, ("Be brief.", " \nTwo\nlines \n", own)):
                yield _conversation([system, *talk], system=True)


def _require_same(learned: str, written: str) -> None:
    if learned != written:
        at = len(_shared(learned, written))
        raise _unlike(f"near {written[max(0, at - 20) : at + 20]!r} it does more than write fixed text")


def _unlike(what: str) -> ExportError:
    return ExportError(
        "template.unlike",
        f"the base's chat template cannot be written as a template for Ollama: {what}",
        subject="template",
        hint="Export with --target llama-server, which uses the base's own template.",
    )


class _GoTemplate:
    """Writes a format as a Go template, all on one line but for what the format itself breaks."""

    def __init__(self, form: TurnFormat, bos: str, default_system: str) -> None:
        self._form = form
        self._bos = bos
        self._default = default_system
        self._trims: dict[Trim, str] = {}

    def text(self) -> str:
        form = self._form
        body = "".join(
            (
                go_literal(self._bos),
                self._lead(),
                "{{ range .Messages }}",
                '{{ if eq .Role "user" }}',
                go_literal(form.user[0]),
                self._first_question() if form.is_folded else self._content(".Content", form.user_trim),
                go_literal(form.user[1]),
                '{{ else if eq .Role "assistant" }}',
                go_literal(form.assistant[0]),
                self._content(".Content", form.assistant_trim),
                go_literal(form.assistant[1]),
                "{{ end }}{{ end }}",
                go_literal(form.opening),
            )
        )
        return "".join(_trim_definitions(label, trim) for trim, label in self._trims.items()) + body

    def _lead(self) -> str:
        """Give what comes before the first turn. A folded system message waits in ``$system`` until then."""
        form = self._form
        if form.is_folded:
            return "{{ $system := .System }}" + self._folded_default() + go_literal(form.head)
        without = self._led_by(self._default) if self._default else form.head
        shared = _shared(without, form.system[0])
        without, before = without[len(shared) :], form.system[0][len(shared) :]
        end = _shared_end(without, form.system[1])
        without, behind = without.removesuffix(end), form.system[1].removesuffix(end)
        message = go_literal(before) + self._content(".System", form.system_trim) + go_literal(behind)
        otherwise = f"{{{{ else }}}}{go_literal(without)}" if without else ""
        return f"{go_literal(shared)}{{{{ if .System }}}}{message}{otherwise}{{{{ end }}}}{go_literal(end)}"

    def _led_by(self, system: str) -> str:
        form = self._form
        return form.system[0] + form.system_trim.of(system) + form.system[1]

    def _folded_default(self) -> str:
        if not self._default:
            return ""
        return f"{{{{ if not $system }}}}{{{{ $system = {go_string(self._default)} }}}}{{{{ end }}}}"

    def _first_question(self) -> str:
        form = self._form
        message = go_literal(form.system[0]) + self._content("$system", form.system_trim) + go_literal(form.system[1])
        led, plain = (self._content(".Content", trim) for trim in (form.led_trim, form.user_trim))
        if led == plain:
            return f'{{{{ if $system }}}}{message}{{{{ $system = "" }}}}{{{{ end }}}}{plain}'
        return f'{{{{ if $system }}}}{message}{{{{ $system = "" }}}}{led}{{{{ else }}}}{plain}{{{{ end }}}}'

    def _content(self, name: str, trim: Trim) -> str:
        if trim == Trim():
            return f"{{{{ {name} }}}}"
        label = self._trims.setdefault(trim, f"trim{len(self._trims) + 1}")
        return f'{{{{ template "{label}" {name} }}}}'


def _shared(first: str, second: str) -> str:
    """Give what both texts begin with."""
    same = (a == b for a, b in zip(first, second, strict=False))
    return first[: next((index for index, is_same in enumerate(same) if not is_same), min(len(first), len(second)))]


def _shared_end(first: str, second: str) -> str:
    return _shared(first[::-1], second[::-1])[::-1]


def _trim_definitions(label: str, trim: Trim) -> str:
    """Define templates that write a text without blanks at its ends; Ollama has no function that does.

    Each step takes one sign away. ``slice . 1`` is all but the first byte, so its length is the place of the last.
    """
    steps = []
    if trim.start:
        rest = f"{label}end" if trim.end else None
        steps.append(_trim_step(label, "0 1", trim.start, "(slice . 1)", rest))
    if trim.end:
        shorter = "(slice . 0 (len (slice . 1)))"
        steps.append(_trim_step(f"{label}end" if trim.start else label, "(len (slice . 1))", trim.end, shorter, None))
    return "".join(steps)


def _trim_step(label: str, place: str, signs: str, rest: str, then: str | None) -> str:
    done = f'{{{{ template "{then}" . }}}}' if then else "{{ . }}"
    wanted = " ".join(map(go_string, signs))
    return (
        f'{{{{ define "{label}" }}}}{{{{ if . }}}}{{{{ if eq (slice . {place}) {wanted} }}}}'
        f'{{{{ template "{label}" {rest} }}}}{{{{ else }}}}{done}{{{{ end }}}}{{{{ end }}}}{{{{ end }}}}'
    )
