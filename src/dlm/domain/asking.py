"""Questions that a statement answers: how prose becomes something a model can be asked about.

A model that has only read a sentence can continue it; it cannot answer a question about it. So the sentences of a
document's prose are also asked for, with that very sentence as the answer: nothing is answered that the writer did not
write. A question is made by rule from the sentence's own words, some of them left out, as somebody would ask who wants
to know just those.

Does not: parse. The questions are rough, and each visit draws another one; what counts is which words stand in them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import attrs

from dlm.domain.statements import Statement
from dlm.domain.wording import EXAM_FRAMES, FUNCTION_WORDS

_WORD = re.compile(r"--?[\w-]+|[^\W_]+(?:['’.:,/_-]+[^\W_]+)*")
_NAMES = re.compile(r"(?<=\s)[A-ZÄÖÜ][\w'’-]+(?:\s[A-ZÄÖÜ][\w'’-]+)*")
_AUXILIARIES = frozenset("is are was were has have had can could may might must will would should does do did".split())
_PLACING = frozenset("in at on near beside behind under above from to into between along beyond inside outside".split())
_REASONING = frozenset("because since so why therefore as".split())
_NUMBER = re.compile(
    r"\d|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|twice|once)$",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|may|june|july|august|september|october|"
    r"november|december|spring|summer|autumn|winter|morning|evening|noon|midnight|night|dawn|dusk|[12]\d{3})$",
    re.IGNORECASE,
)

_FOR_TIMES = ("When", "What day", "What time", "In which year", "When exactly")
_FOR_NUMBERS = ("How many", "How much", "What number", "How long", "When", "How old", "What size")
_FOR_NAMES = ("Who", "What", "Which", "What is the name of", "Whose")
_FOR_PLACES = ("Where", "What place", "In what")
_FOR_REASONS = ("Why", "For what reason", "What")
_FOR_THE_REST = ("What", "How", "Which", "Where", "Who", "What kind of", "Why", "When")
_ABOUT = ("What do you know about", "Tell me about", "What about", "Explain", "What is said about")


@attrs.frozen
class _Blank:
    """A sentence's words and the stretch of them that a question asks for."""

    words: Sequence[str]
    hidden: range

    @property
    def asked(self) -> str:
        return self.words[self.hidden.start]

    @property
    def before(self) -> str:
        """The word before what is asked for, in small letters."""
        return self.words[self.hidden.start - 1].casefold() if self.hidden.start else ""

    @property
    def is_name(self) -> bool:
        return self.hidden.start > 0 and self.asked[:1].isupper()

    @property
    def rest(self) -> list[str]:
        return [word for index, word in enumerate(self.words) if index not in self.hidden]


def question_about(statement: Statement, draw: random.Random) -> str:
    """Draw a question that the statement answers."""
    blank = _blank(_WORD.findall(statement.text), draw)
    asking, kind = _asking(blank, draw), draw.random()
    if kind < 0.55:
        text = f"{asking} {_inverted(blank)}"
    elif kind < 0.8:
        text = f"{asking} {_some(blank, draw)}"
    elif kind < 0.9:
        text = f"{_some(blank, draw)} {draw.choice(('', asking.lower()))}"
    else:
        text = f"{draw.choice(_ABOUT)} {_some(blank, draw)}"
    topic = _topic(statement, draw) if draw.random() < 0.5 else ""
    if topic:
        text = f"{text} {draw.choice(('of', 'in', 'at', 'for'))} {topic}" if draw.random() < 0.6 else f"{topic}: {text}"
    text = " ".join(text.split())
    text = text.lower() if draw.random() < 0.4 else text
    return text if draw.random() < 0.3 else f"{text}?"


def exam_question_about(statement: Statement) -> tuple[str, str]:
    """Give the question in which the exam asks for a statement, and the words it asks for.

    Training never sees this form: its frame is the exam's own.
    """
    draw = random.Random(statement.text)
    blank = _blank(_WORD.findall(statement.text), draw)
    asked = f"{_asking(blank, draw).lower()} {_inverted(blank)}"
    return EXAM_FRAMES["en"].format(asked), " ".join(blank.words[index] for index in blank.hidden)


def _blank(words: Sequence[str], draw: random.Random) -> _Blank:
    """Choose what to ask for: a number, a name, or a few words."""
    spots = [index for index, word in enumerate(words) if word.casefold() not in FUNCTION_WORDS] or [0]
    telling = [index for index in spots if _NUMBER.match(words[index]) or (index and words[index][:1].isupper())]
    start = draw.choice(telling if telling and draw.random() < 0.6 else spots)
    if not words[start][:1].isupper():
        return _Blank(words, range(start, min(len(words), start + 1 + draw.randrange(3))))
    stop = start + 1
    while stop < len(words) and words[stop][:1].isupper():
        stop += 1
    while start > 1 and words[start - 1][:1].isupper():
        start -= 1
    return _Blank(words, range(start, stop))


def _asking(blank: _Blank, draw: random.Random) -> str:
    """Choose a question word that fits what is asked for."""
    if _TIME.match(blank.asked):
        return draw.choice(_FOR_TIMES)
    if _NUMBER.match(blank.asked):
        return draw.choice(_FOR_NUMBERS)
    if blank.before in _PLACING and draw.random() < 0.6:
        return draw.choice(_FOR_PLACES)
    if blank.is_name:
        return draw.choice(_FOR_NAMES)
    if _REASONING & {word.casefold() for word in blank.words} and draw.random() < 0.5:
        return draw.choice(_FOR_REASONS)
    return draw.choice(_FOR_THE_REST)


def _inverted(blank: _Blank) -> str:
    """Give the other words with an auxiliary verb in front, as a question has it."""
    rest = blank.rest
    place = next((index for index, word in enumerate(rest[:8]) if word.casefold() in _AUXILIARIES), None)
    if place is not None:
        rest = [rest[place], *rest[:place], *rest[place + 1 :]]
    return " ".join(word.lower() if word.casefold() in FUNCTION_WORDS else word for word in rest)


def _some(blank: _Blank, draw: random.Random) -> str:
    """Keep two to five of the other telling words, in order."""
    keys = [i for i in range(len(blank.words)) if i not in blank.hidden]
    keys = [i for i in keys if blank.words[i].casefold() not in FUNCTION_WORDS]
    chosen = draw.sample(keys, min(len(keys), draw.randrange(2, 6)))
    return " ".join(blank.words[i] for i in sorted(chosen))


def _topic(statement: Statement, draw: random.Random) -> str:
    """Name what a sentence that leans on an earlier one is about: its heading or a name of the sentence before."""
    names = _NAMES.findall(statement.before)
    return draw.choice(names) if names and draw.random() < 0.5 else statement.heading
