"""What every keeper of exports promises, as tests. Needs pytest.

class TestMyExports(ExportsContract):
    @pytest.fixture
    def exports(self, tmp_path):
        return MyExports(tmp_path)
"""

from __future__ import annotations

import pytest

from dlm.domain.errors import ExportError, StoreError
from dlm.ports.exports import ExportsPort
from dlm.testing.store_contract import ID, OTHER_ID


class ExportsContract:
    """Subclass it and give an ``exports`` fixture, empty for each test."""

    @pytest.fixture
    def exports(self) -> ExportsPort:
        """Give the keeper under test."""
        raise NotImplementedError("override the exports fixture")

    def test_looking_makes_nothing(self, exports: ExportsPort) -> None:
        assert not exports.location(ID, "Q8_0").exists()
        assert not exports.location(ID, "Q8_0").parent.exists()

    def test_what_was_committed_is_there_as_it_was_written(self, exports: ExportsPort) -> None:
        with exports.stage(ID, "Q8_0") as staged:
            assert list(staged.folder.iterdir()) == []
            (staged.folder / "adapters").mkdir()
            (staged.folder / "adapters" / "a.gguf").write_bytes(b"a")
            assert not exports.location(ID, "Q8_0").exists()
            place = staged.commit()
        assert place == exports.location(ID, "Q8_0")
        assert [path.relative_to(place).as_posix() for path in place.rglob("*")] == ["adapters", "adapters/a.gguf"]
        assert (place / "adapters" / "a.gguf").read_bytes() == b"a"

    def test_a_commit_replaces_the_whole_export(self, exports: ExportsPort) -> None:
        for name in ("old", "new"):
            with exports.stage(ID, "Q8_0") as staged:
                (staged.folder / name).touch()
                place = staged.commit()
        assert [path.name for path in place.iterdir()] == ["new"]

    @pytest.mark.parametrize("fails", [True, False])
    def test_without_a_commit_the_export_before_stays(self, exports: ExportsPort, *, fails: bool) -> None:
        with exports.stage(ID, "Q8_0") as staged:
            (staged.folder / "old").touch()
            place = staged.commit()
        try:
            with exports.stage(ID, "Q8_0") as staged:
                (staged.folder / "half").touch()
                left = staged.folder
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            assert fails
        assert [path.name for path in place.iterdir()] == ["old"]
        assert not left.exists()

    def test_two_exports_side_by_side(self, exports: ExportsPort) -> None:
        with (
            exports.stage(ID, "Q8_0") as one,
            exports.stage(ID, "vllm") as two,
            exports.stage(OTHER_ID, "vllm") as other,
        ):
            for staged in (one, two, other):
                (staged.folder / "file").touch()
                assert (staged.commit() / "file").exists()

    def test_one_export_is_written_by_one_at_a_time(self, exports: ExportsPort) -> None:
        with (
            exports.stage(ID, "Q8_0"),
            pytest.raises(ExportError) as caught,
            exports.stage(ID, "Q8_0", wait_s=0.0),
        ):
            pass
        assert caught.value.code == "export.busy"
        with exports.stage(ID, "Q8_0", wait_s=0.0) as staged:
            assert staged.folder.is_dir()

    @pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", ".hidden", "a" * 101, "a\0b", "é"])
    def test_names_that_could_lead_elsewhere(self, exports: ExportsPort, name: str) -> None:
        with pytest.raises(StoreError) as caught:
            exports.location(ID, name)
        assert caught.value.code == "store.bad-export-name"
        with pytest.raises(StoreError):
            exports.location("../../etc", "Q8_0")
