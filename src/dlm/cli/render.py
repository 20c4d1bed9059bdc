"""The one place that prints: data on stdout, talk on stderr, ``<subject>: <message>`` with a hint below."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from dlm.cli.terminal import Colour, ControlFilter, has_colour, is_terminal, paint, printable
from dlm.domain.errors import DlmError, DocumentError, Fault


class Output:
    """Writes for a person or a program.

    Args:
        stdout: answers, reports, JSON.
        stderr: everything else.

    ``quiet`` silences notes and "done" lines, never errors, warnings or data. ``verbose`` adds reasons, ``traces``
    tracebacks. Text is literal: no markup, no wrapping; on a terminal control sequences are removed from it.
    """

    def __init__(self, stdout: TextIO | None, stderr: TextIO | None) -> None:
        # A process started with a closed stream has None here.
        self.stdout = io.StringIO() if stdout is None else stdout
        self.stderr = io.StringIO() if stderr is None else stderr
        self.quiet = False
        self.verbose = False
        self.traces = False
        self.answers_to_terminal = is_terminal(self.stdout)

    @classmethod
    def standard(cls) -> Output:
        """Give the process's own streams, as they are at this moment."""
        return cls(sys.stdout, sys.stderr)

    def data(self, text: str, *, colour: Colour | None = None) -> None:
        """Print a payload and one line feed on stdout, highlighted where the terminal has colours."""
        shown = printable(text) if self.answers_to_terminal else text
        _write(self.stdout, (paint(shown, colour) if colour and has_colour(self.stdout) else shown) + "\n")

    def json(self, value: Any) -> None:
        """Print one JSON document and a line feed on stdout; numbers JSON cannot write become null."""
        text = json.dumps(_finite(value), ensure_ascii=False, indent=2)
        _write(self.stdout, (printable(text) if self.answers_to_terminal else text) + "\n")

    def pieces(self) -> PieceWriter:
        """Give a writer for an answer that arrives in pieces."""
        return PieceWriter(self)

    def note(self, subject: str, message: str) -> None:
        """Say something useful to know."""
        if not self.quiet:
            self._line(subject, message, None)

    def done(self, subject: str, message: str) -> None:
        """Say that something succeeded."""
        if not self.quiet:
            self._line(subject, message, "green")

    def detail(self, subject: str, message: str) -> None:
        """Say something only ``--verbose`` asks for."""
        if self.verbose:
            self._line(subject, message, None)

    def talk(self, text: str) -> None:
        """Print plain lines on stderr."""
        if not self.quiet:
            self._raw(printable(text) if is_terminal(self.stderr) else text)

    def trace(self, text: str) -> None:
        """Print a traceback."""
        self._raw(printable(text) if is_terminal(self.stderr) else text)

    def warning(self, subject: str, message: str, hint: str | None = None) -> None:
        """Warn; not silenced by ``quiet``."""
        self._line(subject, message, "yellow", hint)

    def fault(self, fault: Fault, path: str | None) -> None:
        """Warn about a questionable place of a document."""
        self.warning("doc", fault.render(path), fault.hint)

    def error(self, subject: str | None, message: str, hint: str | None = None) -> None:
        """Report a failure; not silenced by ``quiet``."""
        self._line(subject, message, "red", hint)

    def failure(self, error: DlmError) -> None:
        """Report an error of dlm; a document's faults one by one, each with its own hint."""
        if isinstance(error, DocumentError):
            for fault in error.faults:
                self.error(error.subject, fault.render(error.path), fault.hint)
        else:
            self.error(error.subject, str(error), error.hint)

    def question(self, text: str) -> None:
        """Print a question on stderr and leave the cursor behind it."""
        _write(self.stderr, printable(text))

    def flush(self) -> None:
        """Push out what is buffered, so that a reader that went away is noticed here."""
        self.stdout.flush()
        self.stderr.flush()

    def _line(self, subject: str | None, message: str, colour: Colour | None, hint: str | None = None) -> None:
        safe = printable if is_terminal(self.stderr) else str
        # Further lines are indented, so that each line at the margin starts with a subject.
        body = safe(message).replace("\n", "\n  ")
        head = "" if subject is None else f"{subject}:"
        if colour is not None and has_colour(self.stderr):
            head, body = (paint(head, colour), body) if head else (head, paint(body, colour))
        self._raw(" ".join(part for part in (head, body) if part))
        if hint:
            self._raw("  " + safe(hint).replace("\n", "\n  "))

    def _raw(self, text: str) -> None:
        _write(self.stderr, text + "\n")


class PieceWriter:
    """Prints an answer: piece by piece on a terminal, whole otherwise, so that a pipe never sees half an answer."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._filter = ControlFilter()
        self._held: list[str] = []
        self._at_line_start = True

    def write(self, piece: str) -> None:
        """Take the next piece."""
        if not self._out.answers_to_terminal:
            self._held.append(piece)
            return
        shown = self._filter.feed(piece)
        if shown:
            _write(self._out.stdout, shown)
            self._out.stdout.flush()
            self._at_line_start = False

    def finish(self) -> None:
        """End the answer with a line feed."""
        _write(self._out.stdout, "".join(self._held) + "\n")

    def abandon(self) -> None:
        """End an answer that broke off: start a new line where a part of it was shown."""
        if not self._at_line_start:
            _write(self._out.stdout, "\n")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # A terminal or pipe with a small character set: show the code of what it cannot show.
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
