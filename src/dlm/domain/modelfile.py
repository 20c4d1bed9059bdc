"""Modelfiles: what Ollama makes a model from, written and read by the rules of its own parser.

Those rules, as its source has them: a line is a directive and a value; a value that begins with ``"`` or three of
them goes on until a line ends with the same; nothing is escaped; signs that Go does not print are dropped. So no text
may hold three quotes in a row, and a text may hold dropped signs only where another way leads round them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

import attrs

from dlm.domain.errors import ExportError
from dlm.domain.go_text import is_printable
from dlm.domain.turn_format import TurnFormat

_QUOTES = '"""'
_PLAIN_PATH = re.compile(r"\./[A-Za-z0-9._/-]+")


@attrs.frozen(kw_only=True)
class ModelfileParts:
    """What a Modelfile is written from.

    Args:
        source: name of the document's file, without its folder: exports are handed on.
        base: key of the base; ``revision`` its commit, None for a folder of the user's own.
        model, adapter: paths relative to the Modelfile's folder, beginning with ``./``; no adapter in a merged model.
        template: Go template; None leaves the choice to Ollama.
        num_ctx: tokens of context; None leaves it to Ollama.
        draft: name of a small model that may write ahead; mentioned in comments, which every version reads.
        system: the document's system prompt; None when it has none or the template carries it.
    """

    dlm_version: str
    written_at: datetime.datetime
    source: str
    dlm_id: str
    adapter_version: int
    base: str
    revision: str | None
    quant: str
    merged: bool
    model: str
    adapter: str | None = None
    template: str | None = None
    stops: tuple[str, ...] = ()
    temperature: float
    top_p: float
    num_ctx: int | None = None
    draft: str | None = None
    system: str | None = None
    license: str


def modelfile_text(parts: ModelfileParts) -> str:
    """Write a Modelfile.

    Raises:
        ExportError: ``modelfile.text``: a text that Ollama would read otherwise than it is.
    """
    blocks = [_header(parts), [f"FROM {_path(parts.model)}"]]
    if parts.adapter is not None:
        blocks[-1].append(f"ADAPTER {_path(parts.adapter)}")
    if parts.template is not None:
        blocks.append([f"TEMPLATE {_block(parts.template, 'the template')}"])
    blocks.append(_parameters(parts))
    if parts.system is not None:
        blocks.append([f"SYSTEM {_block(parts.system, 'the system prompt')}"])
    blocks.append([f"LICENSE {_block(parts.license, 'the licence')}"])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def carries(text: str) -> bool:
    """Whether ``SYSTEM`` of a Modelfile can hold a text so that Ollama uses exactly it.

    It cannot hold three quotes or signs that Ollama drops, such as the narrow blank of French; and a blank prompt
    counts as none, where a base with a prompt of its own writes that instead.
    """
    return bool(text.strip()) and _QUOTES not in text and all(is_printable(sign) or sign in "\n\r\t" for sign in text)


def template_and_system(form: TurnFormat, system: str | None, *, runtime_adds_bos: bool) -> tuple[str, str | None]:
    """Give the template and the system prompt of a Modelfile, the prompt in the template where ``SYSTEM`` cannot carry
    it. See ``TurnFormat.go_template``."""
    if system is None or carries(system):
        return form.go_template(runtime_adds_bos=runtime_adds_bos), system
    return form.go_template(runtime_adds_bos=runtime_adds_bos, default_system=system), None


def _header(parts: ModelfileParts) -> list[str]:
    return [
        f"# {_flat(line)}"
        for line in (
            f"Written by dlm {parts.dlm_version}, {parts.written_at.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
            f"Source: {parts.source}",
            f"dlm_id: {parts.dlm_id}",
            f"adapter_version: {parts.adapter_version}",
            f"base_model: {parts.base} (revision {parts.revision or 'none'})",
            f"quant: {parts.quant}",
            f"merged: {'true' if parts.merged else 'false'}",
        )
    ]


def _parameters(parts: ModelfileParts) -> list[str]:
    lines = [f"PARAMETER stop {_line(stop)}" for stop in parts.stops]
    lines += [f"PARAMETER temperature {parts.temperature:g}", f"PARAMETER top_p {parts.top_p:g}"]
    if parts.num_ctx is not None:
        lines.append(f"PARAMETER num_ctx {parts.num_ctx}")
    if parts.draft is not None:
        lines.append(_flat(f"# Draft model: ollama pull {parts.draft}"))
        lines.append(_flat(f"# Use it: OLLAMA_DRAFT_MODEL={parts.draft} ollama serve"))
    return lines


def _flat(text: str) -> str:
    """Give a text that cannot leave its comment line."""
    return "".join(sign if is_printable(sign) else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _path(path: str) -> str:
    if _PLAIN_PATH.fullmatch(path):
        return path
    if not path.startswith("./") or not carries(path) or any(sign in path for sign in "\n\r\t"):
        raise _refused("a file name", path)
    return f'"{path}"'


def _line(text: str) -> str:
    return f'"{text}"' if '"' not in text and "\n" not in text and carries(text) else _block(text, "a stop text")


def _block(text: str, what: str) -> str:
    if not carries(text):
        raise _refused(what, text)
    return f"{_QUOTES}{text}{_QUOTES}"


def _refused(what: str, text: str) -> ExportError:
    return ExportError(
        "modelfile.text",
        f"{what} cannot be written into a Modelfile: {text[:60]!r}",
        subject="ollama",
        hint="Ollama reads no three quotes in a row and no invisible signs there, and nothing blank. Change the text.",
    )


@attrs.frozen
class Directive:
    """One instruction of a Modelfile: its name in small letters (``from``, ``system``; a parameter's own name) and its
    value as Ollama takes it."""

    name: str
    value: str
    is_parameter: bool = False


_COMMANDS = frozenset("from license template system adapter draft renderer parser parameter message requires".split())
_LINE_ENDS = "\r\n"
_BLANKS = " \t"


def read_modelfile(text: str) -> tuple[Directive, ...]:
    """Read a Modelfile as Ollama does, sign by sign.

    Raises:
        ExportError: ``modelfile.unreadable``: Ollama would refuse it.
    """
    directives, place = [], 0
    while place < len(text):
        if text[place] in _LINE_ENDS + _BLANKS:
            place += 1
        elif text[place] == "#":
            place = _line_end(text, place)
        else:
            directive, place = _directive(text, place)
            directives.append(directive)
    if not any(directive.name == "from" for directive in directives):
        raise _unreadable("it names no model")
    return tuple(directives)


def _line_end(text: str, place: int) -> int:
    return next((index for index in range(place, len(text)) if text[index] in _LINE_ENDS), len(text))


def _directive(text: str, place: int) -> tuple[Directive, int]:
    name, place = _word(text, place)
    command = name.lower()
    if command not in _COMMANDS:
        raise _unreadable(f"{name[:40]!r} is no instruction")
    if command == "parameter":
        name, place = _word(text, place)
    value, place = _value(text, place)
    return Directive(name if command == "parameter" else command, value, command == "parameter"), place


def _word(text: str, place: int) -> tuple[str, int]:
    """Read a name and the one blank behind it."""
    match = re.compile(r"([A-Za-z0-9_]+)[ \t]").match(text, place)
    if match is None:
        raise _unreadable("an instruction has no value")
    return match[1], match.end()


def _value(text: str, place: int) -> tuple[str, int]:
    """Read a value up to the line end at which all its quotes are closed."""
    kept: list[str] = []
    for index in range(place, len(text)):
        if text[index] in _LINE_ENDS:
            value = _unquoted("".join(kept).strip())
            if value is not None:
                return value, index
        if is_printable(text[index]) or text[index] in _LINE_ENDS + _BLANKS:
            kept.append(text[index])
    value = _unquoted("".join(kept).strip())
    if value is None:
        raise _unreadable("a quote is never closed")
    return value, len(text)


def _unquoted(text: str) -> str | None:
    for quotes in (_QUOTES, '"'):
        if text.startswith(quotes):
            closed = len(text) >= 2 * len(quotes) and text.endswith(quotes)
            return text[len(quotes) : -len(quotes)] if closed else None
    return text


def _unreadable(why: str) -> ExportError:
    return ExportError("modelfile.unreadable", f"the Modelfile cannot be read: {why}", subject="ollama")


def parameters_of(directives: Sequence[Directive]) -> dict[str, object]:
    """Give the parameters as Ollama's HTTP interface takes them: a list of stops, numbers."""
    values: dict[str, object] = {}
    stops = [directive.value for directive in directives if directive.is_parameter and directive.name == "stop"]
    for directive in directives:
        if directive.is_parameter and directive.name != "stop":
            number = float(directive.value)
            values[directive.name] = int(number) if directive.name.startswith("num_") else number
    return {**values, "stop": stops} if stops else values
