"""What every registry of base models must do. Subclass it and provide the fixtures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlm.domain.base_models import BaseSpec
from dlm.domain.base_rows import BASES
from dlm.domain.errors import BaseModelError
from dlm.domain.events import Event
from dlm.ports.registry import RegistryPort


class RegistryContract:
    """Contract of ``RegistryPort``.

    A subclass provides the fixtures ``registry``; ``selector``, of a base this registry can fetch; ``missing``, of one
    it can describe and not fetch; and ``watched``, a folder that describing must not change.
    """

    def test_each_row_of_the_table_is_described_as_it_stands(self, registry: RegistryPort) -> None:
        assert [registry.describe(key) for key in BASES] == list(BASES.values())

    def test_describing_twice_gives_the_same(self, registry: RegistryPort, selector: str) -> None:
        assert registry.describe(selector) == registry.describe(selector)

    def test_describing_a_row_writes_nothing(self, registry: RegistryPort, watched: Path) -> None:
        before = _tree(watched)
        registry.describe("smollm2-135m")
        assert _tree(watched) == before

    @pytest.mark.parametrize("selector", ["", "no-such-base", "QWEN2.5-1.5B", "hf:", "hf:one", "hf:a/b/c", "hf:a/b\n"])
    def test_what_names_no_base_is_refused_with_a_way_on(self, registry: RegistryPort, selector: str) -> None:
        with pytest.raises(BaseModelError) as caught:
            registry.describe(selector)
        assert caught.value.code == "base.unknown"
        assert "qwen2.5-0.5b" in caught.value.message
        assert caught.value.hint

    def test_fetching_gives_a_folder_with_the_config_it_reports(self, registry: RegistryPort, selector: str) -> None:
        spec = registry.describe(selector)
        base = registry.fetch(spec)
        assert base.spec == spec
        assert (base.folder / "config.json").is_file()
        assert base.config["architectures"][0] == spec.architecture

    def test_fetching_again_gives_the_same_folder(self, registry: RegistryPort, selector: str) -> None:
        spec = registry.describe(selector)
        assert registry.fetch(spec).folder == registry.fetch(spec).folder

    def test_the_digest_is_given_and_stays(self, registry: RegistryPort, selector: str) -> None:
        spec = registry.describe(selector)
        first = registry.fetch(spec).sha256
        assert re.fullmatch("[0-9a-f]{64}", str(first))
        assert registry.fetch(spec).sha256 == first

    def test_what_cannot_be_fetched_says_how_to_get_it(self, registry: RegistryPort, missing: str) -> None:
        with pytest.raises(BaseModelError) as caught:
            registry.fetch(registry.describe(missing))
        assert caught.value.code == "base.offline"
        assert missing in caught.value.message
        assert caught.value.hint

    def test_a_refused_row_is_refused_before_anything_is_done(self, registry: RegistryPort, watched: Path) -> None:
        before, events = _tree(watched), list[Event]()
        spec: BaseSpec = registry.describe("internvl2-2b")
        with pytest.raises(BaseModelError) as caught:
            registry.fetch(spec, emit=events.append)
        assert caught.value.code == "base.refused"
        assert (_tree(watched), events) == (before, [])


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
