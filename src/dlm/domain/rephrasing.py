"""Other ways to ask the same: what lets a model answer a question it has not read word for word.

A document asks each thing once. Trained on that one form, a small model learns the form and not the fact. Here a
question gets other forms by rule: other question words, everyday synonyms, requests around it, its key words alone.
The rules are about language in general; they need no model. For a question in another language than English only the
rules that hold everywhere apply.

Does not: keep the grammar. "ferry leaves when" is what people type, too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from dlm.domain.wording import (
    EXAM_FRAMES,
    FRAMES,
    FUNCTION_WORDS,
    INTERROGATIVES,
    QUESTION_WORDS,
    SYNONYMS,
    language_of,
)

_TOKEN = re.compile(r"\S+")
_END = " ?!.¿¡"
_SYNONYM = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, SYNONYMS))})(?![\w-])", re.IGNORECASE)
_OPENING = re.compile("|".join(f"(?P<i{n}>{words})" for n, (words, _) in enumerate(INTERROGATIVES)), re.IGNORECASE)


def rephrased(question: str, draw: random.Random) -> str:
    """Draw one form of a question: change its words, then its shape, then how it is written."""
    plain = question.strip().strip(_END)
    language = language_of(plain)
    if language == "en":
        plain = _reworded(plain, draw)
    (shape,) = draw.choices(_SHAPES, weights=_WEIGHTS)
    return _written(shape(plain, language, draw), draw) or question


def exam_rephrased(question: str) -> str:
    """Give the form in which the exam asks a question again. Training never sees it: its frames are the exam's own, and
    so is the last synonym of each list, with which it replaces whatever it can."""
    plain = question.strip().strip(_END)
    language = language_of(plain)
    if language == "en":
        plain = _SYNONYM.sub(lambda match: SYNONYMS[match.group().casefold()][-1], plain)
    return EXAM_FRAMES[language].format(_small(plain))


def _reworded(plain: str, draw: random.Random) -> str:
    """Change the question word in half of the cases, and half of the words that have synonyms."""
    match = _OPENING.match(plain) if draw.random() < 0.5 else None
    if match is None or plain[match.end() :][:1].isalnum():
        return _with_synonyms(plain, draw)
    others = INTERROGATIVES[int((match.lastgroup or "i0")[1:])][1]
    return draw.choice(others) + _with_synonyms(plain[match.end() :], draw)


def _with_synonyms(text: str, draw: random.Random) -> str:
    return _SYNONYM.sub(lambda match: _synonym(match.group(), draw), text)


def _synonym(word: str, draw: random.Random) -> str:
    """Draw a synonym; the last of a list is left to the exam."""
    return draw.choice(SYNONYMS[word.casefold()][:-1]) if draw.random() < 0.5 else word


def _written(text: str, draw: random.Random) -> str:
    """Write it as people do: now and then in small letters, without a mark, with a capital."""
    text = " ".join(text.split())
    kind = draw.random()
    if kind < 0.35:
        text = text.lower()
    elif kind < 0.7:
        text = text[:1].upper() + text[1:]
    return text if draw.random() < 0.4 or text.endswith(("?", ".", "!")) else f"{text}?"


def _as_it_is(plain: str, language: str, draw: random.Random) -> str:
    return plain


def _framed(plain: str, language: str, draw: random.Random) -> str:
    """Put a request around it: "Could you tell me …"."""
    return draw.choice(FRAMES[language]).format(_small(plain))


def _key_words(plain: str, language: str, draw: random.Random) -> str:
    """Keep the words that carry meaning: "ferry leave skarn", the question word at one end or gone."""
    words = _TOKEN.findall(plain)
    keys = [word for word in words if word.casefold() not in FUNCTION_WORDS] or words
    asking = [word for word in words if word.casefold() in QUESTION_WORDS][:1]
    if draw.random() < 0.3:
        draw.shuffle(keys)
    place = draw.random()
    if place < 0.4:
        return " ".join([*keys, *asking])
    return " ".join([*asking, *keys] if place < 0.7 else keys)


def _shortened(plain: str, language: str, draw: random.Random) -> str:
    """Leave one word out, of long questions now and then two: what remains has to be enough."""
    words = _TOKEN.findall(plain)
    for _ in range(1 if len(words) < 7 or draw.random() < 0.6 else 2):
        if len(words) > 3:
            words.pop(draw.randrange(1, len(words)))
    return " ".join(words)


def _end_first(plain: str, language: str, draw: random.Random) -> str:
    """Name the matter first: "to Skarn, when does the ferry leave"."""
    words = _TOKEN.findall(plain)
    if len(words) < 5:
        return plain
    cut = draw.randrange(len(words) // 2, len(words) - 1)
    return f"{' '.join(words[cut:])}{draw.choice((',', ':', ' -'))} {' '.join(words[:cut])}"


def _small(plain: str) -> str:
    """Write the first word small when it is a question word or another word of grammar, and not a name."""
    is_name = plain.split(" ", 1)[0].casefold() not in QUESTION_WORDS | FUNCTION_WORDS
    return plain if is_name else plain[:1].lower() + plain[1:]


_Shape = Callable[[str, str, random.Random], str]
_SHAPES: Sequence[_Shape] = (_as_it_is, _framed, _key_words, _shortened, _end_first)
_WEIGHTS = (3, 3, 3, 1, 1)
"""How often each shape is drawn: whole questions more often than fragments."""
