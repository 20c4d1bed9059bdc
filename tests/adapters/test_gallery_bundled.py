"""The templates that come with dlm: complete, in agreement with their descriptions, small enough to train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dlm.adapters.gallery.folder import BUNDLED, TemplateFolder
from dlm.adapters.gallery.gallery import SHIPPED_KEYS
from dlm.domain.base_rows import BASES
from dlm.domain.document import Document
from dlm.domain.minisign import parse_public_key
from dlm.domain.templates import Template, apply_template

BASES_OF = {
    "changelog": ("smollm2-360m", 300),
    "coding-tutor": ("qwen2.5-coder-1.5b", 800),
    "domain-kb": ("qwen2.5-3b", 1200),
    "meeting-notes-summarizer": ("qwen2.5-3b", 800),
    "personal-assistant": ("qwen2.5-1.5b", 900),
    "regex-buddy": ("qwen2.5-coder-1.5b", 500),
    "shell-one-liner": ("qwen2.5-coder-1.5b", 500),
    "tool-use-example": ("qwen2.5-coder-1.5b", 600),
    "writing-partner": ("llama-3.2-3b", 1000),
}
FOLDER = TemplateFolder(BUNDLED, "bundled")


@pytest.fixture(params=sorted(BASES_OF))
def template(request: pytest.FixtureRequest) -> Template:
    return FOLDER.load(request.param)


def test_exactly_these_nine() -> None:
    assert FOLDER.names() == tuple(sorted(BASES_OF))
    assert len(list(BUNDLED.iterdir())) == 2 * len(BASES_OF)


def test_the_description_is_complete(template: Template) -> None:
    meta = template.meta
    assert (meta.recommended_base, meta.expected_steps) == BASES_OF[meta.name]
    assert meta.recommended_base in BASES
    assert set(meta.expected_duration) == {"cuda", "mps", "cpu"}
    assert meta.domain_tags
    assert len(meta.sample_prompts) >= 2
    assert set(meta.to_json()) == {
        "name", "title", "domain_tags", "recommended_base", "expected_steps", "expected_duration", "summary",
        "sample_prompts", "source",
    }  # fmt: skip


def test_the_document_agrees_and_leaves_the_recipe_its_choices(template: Template) -> None:
    document = Document.parse(template.document_text)
    assert document.base_model == template.meta.recommended_base
    assert document.warnings == ()
    for knob in ("learning_rate", "num_epochs", "lora_r"):
        assert not document.frontmatter.is_explicit(f"training.{knob}")


def test_the_document_is_an_example_and_short(template: Template) -> None:
    document = Document.parse(template.document_text)
    pairs = [pair for section in document.sections for pair in section.pairs]
    assert len(pairs) >= 4 or template.meta.name == "writing-partner"
    assert len({pair.question for pair in pairs}) == len(pairs)
    assert 1000 < len(template.document_text) < 3000
    assert "<!--" not in template.document_text


def test_applying_changes_the_id_and_nothing_else_here(template: Template) -> None:
    fresh = "01KPXZ0000000000000000000A"
    applied = apply_template(template, fresh)
    former = Document.parse(template.document_text).dlm_id
    assert applied.render() == template.document_text.replace(former, fresh)


def test_listing_loads_nothing_heavy_and_is_quick() -> None:
    code = """
import sys, time
from pathlib import Path
from dlm.adapters.gallery.gallery import Gallery
from dlm.adapters.http.client import HttpxClient
from dlm.adapters.minisign.verifier import NaclVerifier
from dlm.adapters.system_clock import SystemClock
ports = dict(http=HttpxClient(), verifier=NaclVerifier(), clock=SystemClock())
gallery = Gallery(home=Path("nowhere"), dlm_version="1", **ports)
start = time.process_time()
assert len(gallery.entries()) == 9
print(time.process_time() - start)
heavy = {"httpx", "nacl", "torch", "numpy", "transformers", "rich", "ssl", "cattrs"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    # Measured 0.05 s on a laptop; the bound leaves room for a busy machine and catches an import of a heavy package.
    assert float(done.stdout) < 0.5


def test_every_shipped_key_is_a_key() -> None:
    for path in SHIPPED_KEYS.glob("*.pub"):
        parse_public_key(path.read_bytes())
    assert (SHIPPED_KEYS / "README.txt").is_file()


def test_the_guide_names_every_template() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "templates.md").read_text(encoding="utf-8")
    for name, (base, _) in BASES_OF.items():
        line = next(line for line in guide.splitlines() if line.startswith(f"| `{name}`"))
        assert f"`{base}`" in line
