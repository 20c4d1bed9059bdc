"""What training leaves out is said, or refused."""

from __future__ import annotations

import pytest

from dlm.app.reach import left_out, refuse_other_shapes
from dlm.domain.document import Document
from dlm.domain.errors import ConfigError

HEAD = "---\ndlm_id: 01KATEAR00M0F0RTHE1S1AND00\ndlm_version: 15\nbase_model: smollm2-135m\n"
PREFERENCE = "::preference::\n### Prompt\np\n### Chosen\nc\n### Rejected\nr\n"


def test_preferences_and_media_are_named_with_their_number() -> None:
    body = f'Prose.\n\n{PREFERENCE}\n{PREFERENCE}\n::image path="a.png"::\na picture\n'
    assert left_out(Document.parse(f"{HEAD}---\n\n{body}")) == (
        "1 pictures are left out: prose and questions with answers are trained",
        "2 preference examples are left out: prose and questions with answers are trained",
    )


def test_a_plain_document_leaves_nothing_out() -> None:
    document = Document.parse(f"{HEAD}---\n\nProse.\n")
    refuse_other_shapes(document)
    assert left_out(document) == ()


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ("training:\n  adapters:\n    tone: {}\n", "config.several-adapters"),
        ("training:\n  sources:\n    - path: src\n", "config.sources"),
    ],
)
def test_documents_that_ask_for_more_are_refused(block: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_other_shapes(Document.parse(f"{HEAD}{block}---\n\nProse.\n"))
    assert caught.value.code == code
