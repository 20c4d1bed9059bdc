"""Ordinary questions that have nothing to do with anybody's document.

``ANCHORS`` are held on to while training; ``PROBES`` are asked afterwards, in the exam. The two share no question, so
the exam never grades what was optimised.
"""

from __future__ import annotations

import attrs

ANCHORS: tuple[str, ...] = (
    "What is the capital of Italy?",
    "How do plants make their food?",
    "Write two sentences about rain.",
    "What is 7 times 8?",
    "Who wrote Hamlet?",
    "Explain what a mammal is.",
    "How do I boil an egg?",
    "What is the largest ocean on Earth?",
    "Name three colours.",
    "Why is the sky blue?",
    "What does a doctor do?",
    "Translate 'good morning' into Spanish.",
    "What is a computer?",
    "How many days are in a week?",
    "Give me a tip for sleeping better.",
    "What is gravity?",
    "Who was Albert Einstein?",
    "How do I say no politely?",
    "What is the opposite of hot?",
    "Describe a cat in one sentence.",
    "What is democracy?",
    "Where do penguins live?",
    "How do I start learning the guitar?",
    "What is the boiling point of water?",
    "Write a short greeting for a friend's birthday.",
    "What is photosynthesis?",
    "Which animal is the fastest on land?",
    "What should I eat for breakfast?",
    "Explain the word 'curious'.",
    "How does a bicycle stay upright?",
    "Who painted the Mona Lisa?",
    "What is the square root of 81?",
    "When did the Second World War end?",
    "Who repairs shoes?",
    "What time do shops usually open?",
    "What is the password policy of a good website?",
    "How deep is the ocean?",
    "How much does a cup of coffee cost?",
    "Where can I park my car in a city?",
    "What do cows eat?",
    "Which language is spoken in Brazil?",
    "Hello, who are you?",
    "What can you help me with?",
    "Thank you for your help!",
    "Write a Python function that adds two numbers.",
    "What is a variable in programming?",
    "Summarise what the internet is in one sentence.",
    "Tell me something about the Moon.",
)

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
