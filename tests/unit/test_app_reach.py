"""What training leaves out is said, or refused."""

from __future__ import annotations

import pytest

from dlm.app.reach import left_out, refuse_other_shapes, refuse_phase
from dlm.domain.corpus import Corpus
from dlm.domain.document import Document
from dlm.domain.errors import ConfigError

HEAD = "---\ndlm_id: 01KATEAR00M0F0RTHE1S1AND00\ndlm_version: 15\nbase_model: smollm2-135m\n"
PREFERENCE = "::preference::\n### Prompt\np\n### Chosen\nc\n### Rejected\nr\n"


def test_preferences_and_media_are_named_with_their_number() -> None:
    body = f'Prose.\n\n{PREFERENCE}\n{PREFERENCE}\n::image path="a.png"::\na picture\n'
    corpus = Corpus(document=Document.parse(f"{HEAD}---\n\n{body}"))
    pictures = "1 pictures are left out: prose and questions with answers are trained"
    assert left_out(corpus, "all") == (
        pictures,
        "2 preference examples are left out: prose and questions with answers are trained",
    )
    assert left_out(corpus, "sft") == (pictures,)


def test_a_plain_document_leaves_nothing_out() -> None:
    document = Document.parse(f"{HEAD}---\n\nProse.\n")
    refuse_other_shapes(document)
    assert left_out(Corpus(document=document), "all") == ()


def test_several_adapters_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_other_shapes(Document.parse(f"{HEAD}training:\n  adapters:\n    tone: {{}}\n---\n\nProse.\n"))
    assert caught.value.code == "config.several-adapters"


@pytest.mark.parametrize(
    ("body", "version", "said"),
    [("Prose.\n", 3, "no ::preference::"), (PREFERENCE, 0, "none yet"), (PREFERENCE, 1, "not part of this version")],
)
def test_preferences_alone_are_refused_with_the_reason(body: str, version: int, said: str) -> None:
    document = Document.parse(f"{HEAD}---\n\n{body}")
    refuse_phase(document, "sft", version)
    refuse_phase(document, "all", version)
    with pytest.raises(ConfigError, match=said) as caught:
        refuse_phase(document, "preference", version)
    assert caught.value.code == "config.phase"
    assert caught.value.hint
