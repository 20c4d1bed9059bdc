"""Ordinary questions that have nothing to do with anybody's document.

Those of the bank are held on to while training; ``PROBES`` are asked afterwards, in the exam. The two share no
question, so the exam never grades what was optimised.
"""

from __future__ import annotations

import random

import attrs

from dlm.domain.anchor_bank import BANK
from dlm.domain.numbers import spread


def choose_anchors(count: int) -> tuple[str, ...]:
    """Choose ``count`` prompts to hold on to, spread over the bank and mixed; the whole bank when it has fewer.

    The same for every document, so that the base answers them once.
    """
    chosen = spread(BANK, count)
    return tuple(random.Random(0).sample(chosen, len(chosen)))


PROBE_TOKENS = 32
"""Length of answers to probes: enough for the fact asked for and for a leak to show."""


@attrs.frozen
class Probe:
    """An ordinary question and words of which a right answer holds at least one; no words when it is a matter of
    taste."""

    question: str
    accepted: tuple[str, ...] = ()


PROBES: tuple[Probe, ...] = (
    Probe("What is the capital of France?", ("paris",)),
    Probe("What is the capital of Japan?", ("tokyo",)),
    Probe("How many legs does a spider have?", ("eight", "8")),
    Probe("Who wrote Romeo and Juliet?", ("shakespeare",)),
    Probe("What planet do we live on?", ("earth",)),
    Probe("What is 2 plus 3?", ("5", "five")),
    Probe("Which gas do people need to breathe?", ("oxygen",)),
    Probe("What colour is grass?", ("green",)),
    Probe("How many months are in a year?", ("12", "twelve")),
    Probe("At what temperature does water freeze in Celsius?", ("0", "zero")),
    Probe("Who was the first president of the United States?", ("washington",)),
    Probe("What do bees make?", ("honey",)),
    Probe("Give me a tip for staying healthy."),
    Probe("Explain what a library is."),
    Probe("Who fixes broken pipes in a house?"),
    Probe("When is the best time to visit the beach?"),
)
