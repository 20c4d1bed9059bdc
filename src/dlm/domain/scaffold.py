"""The document a person starts from when no template is asked for: short, and an example of how to write one.

Everything in a body is learned, so the text explains by being what it explains and holds nothing to be removed but
itself.
"""

from __future__ import annotations

from typing import Literal

from dlm.domain.base_models import BaseSpec, Modality
from dlm.domain.document import Document
from dlm.domain.frontmatter import TrainingConfig

Kind = Literal["text", "multimodal", "audio"]

DEFAULT_MEDIA_BASES: dict[Kind, str] = {
    "multimodal": "paligemma-3b-mix-224",
    "audio": "qwen2-audio-7b-instruct",
}
"""The base of a picture or sound document when none is named."""

_MODALITIES: dict[Kind, tuple[Modality, ...]] = {
    "text": ("text", "text-moe"),
    "multimodal": ("vision-language",),
    "audio": ("audio-language",),
}

_HEAD = """\
# My document

Write what the model should know here, in plain sentences. It learns this text: keep what is true, remove the rest.
"""

_TEXT = """
::instruction::
### Q
What is this document for?
### A
It teaches a language model on this computer what I know about my subject.

### Q
How do I add to it?
### A
Write a question below a line with ### Q and its answer below a line with ### A, then run dlm train again.

### Q
How should an answer look?
### A
As I would give it myself: the facts first, in my own words, and no longer than it needs to be.
"""

_MULTIMODAL = """
::image path="figures/replace-me.png" alt="A red bicycle leaning against a white wall"::
My bicycle, photographed in front of the house.

::instruction::
### Q
What does the picture of the bicycle show?
### A
It shows a red bicycle that leans against a white wall.

### Q
Where was the picture of the bicycle taken?
### A
In front of the house.
"""

_AUDIO = """
::audio path="clips/replace-me.wav" transcript="Good morning, this is the voice of the harbour radio."::

::instruction::
### Q
Who is speaking in the recording?
### A
The voice of the harbour radio.

### Q
What is said at the start of the recording?
### A
Good morning.
"""

_BODIES: dict[Kind, str] = {"text": _TEXT, "multimodal": _MULTIMODAL, "audio": _AUDIO}


def fits(kind: Kind, modality: Modality) -> bool:
    """Tell whether a base of this modality can learn a document of this kind."""
    return modality in _MODALITIES[kind]


def scaffold(kind: Kind, *, dlm_id: str, base: BaseSpec) -> Document:
    """Give a new document for ``base``. The media files it names do not exist: replacing them is the first edit.

    Settings are left to the recipe, except the length of rows where the base works best with another than usual.
    """
    length = base.recommended_seq_len
    training = {} if length == TrainingConfig().sequence_len else {"sequence_len": length}
    return Document.new(dlm_id, base.key, _HEAD + _BODIES[kind], **training)
