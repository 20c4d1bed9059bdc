"""A stranger's document reads nothing outside its folder before somebody allowed it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from dlm.domain.errors import SourceError
from dlm.domain.foreign_sources import refuse_foreign_sources
from dlm.domain.manifest import manifest_from_json, manifest_to_json
from dlm.testing.clocks import A_MOMENT
from dlm.testing.store_contract import a_manifest
from run_cases import ID, Scene, a_document

FOREIGN = attrs.evolve(a_manifest(), installed_from="a" * 64)


def reading(path: str) -> str:
    return f"sources:\n  - path: '{path}'\n"


@pytest.mark.parametrize(
    "path",
    ["/etc", "~/mail", "~ada", "..", "a/../../b", "C:\\Users", "\\\\server\\share", "c:x", "\\windows", "a\\..\\..\\b"],
)
def test_paths_that_lead_out_are_refused(path: str) -> None:
    document = a_document(training=reading(path))
    with pytest.raises(SourceError) as caught:
        refuse_foreign_sources(document, FOREIGN)
    assert caught.value.code == "sources.foreign"
    assert "--trust-sources" in (caught.value.hint or "")
    refuse_foreign_sources(document, attrs.evolve(FOREIGN, trusts_sources=True))
    refuse_foreign_sources(document, attrs.evolve(FOREIGN, installed_from=None))
    refuse_foreign_sources(document, None)


@pytest.mark.parametrize("path", ["notes", "./notes", "a/../b", "a/b/../../c", "."])
def test_paths_inside_are_read(path: str) -> None:
    refuse_foreign_sources(a_document(training=reading(path)), FOREIGN)


def test_trust_is_remembered(tmp_path: Path) -> None:
    scene = Scene(folder=tmp_path)
    scene.train(a_document())
    with scene.store.writer(ID) as writer:
        writer.save_manifest(attrs.evolve(scene.manifest, installed_from="b" * 64))
    document = a_document(training=reading("/etc"))
    with pytest.raises(SourceError):
        scene.train(document)
    with pytest.raises(SourceError):
        scene.workspace.exam(document)
    assert scene.train(document, trust_sources=True).status == "completed"
    assert scene.train(document).status == "completed"


def test_the_store_remembers_where_it_came_from() -> None:
    manifest = attrs.evolve(FOREIGN, trusts_sources=True, updated_at=A_MOMENT)
    assert manifest_from_json(manifest_to_json(manifest), "m") == manifest
    plain = manifest_to_json(a_manifest())
    assert "installed_from" not in plain
    assert "trusts_sources" not in plain
