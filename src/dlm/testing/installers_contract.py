"""What everything that installs stores promises, as tests. Needs pytest.

class TestMyInstaller(InstallerContract):
    @pytest.fixture
    def installer(self, tmp_path):
        return MyInstaller(tmp_path)
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.domain.errors import StoreError
from dlm.ports.packs import InstallPort
from dlm.testing.store_contract import ID, OTHER_ID


def fill(folder: Path, text: str) -> None:
    """Write what a store holds at least, and a file in a folder."""
    (folder / "adapter").mkdir()
    for path in (folder / "manifest.json", folder / "adapter" / "current.txt"):
        path.write_text(text)


def texts_in(store: Path) -> set[str]:
    """Give the texts of a store that ``fill`` wrote: one, when it is whole."""
    files = {path.relative_to(store).as_posix(): path.read_text() for path in store.rglob("*") if path.is_file()}
    assert sorted(files) == ["adapter/current.txt", "manifest.json"]
    return set(files.values())


def install(installer: InstallPort, text: str, dlm_id: str = ID, *, replace: bool = False) -> Path:
    """Install a store of this text."""
    staged = installer.stage()
    fill(staged, text)
    return installer.install(dlm_id, staged, replace=replace)


class InstallerContract:
    """Subclass it and give an ``installer`` fixture, empty for each test."""

    @pytest.fixture
    def installer(self) -> InstallPort:
        """Give the installer under test."""
        raise NotImplementedError("override the installer fixture")

    def test_a_store_appears_as_a_whole(self, installer: InstallPort) -> None:
        staged = installer.stage()
        assert list(staged.iterdir()) == []
        store = staged.parent / ID
        fill(staged, "new")
        assert not store.exists()
        assert installer.install(ID, staged, replace=False) == store
        assert texts_in(store) == {"new"}
        assert not staged.exists()

    def test_a_store_that_is_there_stays(self, installer: InstallPort) -> None:
        store = install(installer, "old")
        staged = installer.stage()
        fill(staged, "new")
        with pytest.raises(StoreError) as caught:
            installer.install(ID, staged, replace=False)
        assert caught.value.code == "store.exists"
        assert "--force" in (caught.value.hint or "")
        assert texts_in(store) == {"old"}
        installer.discard(staged)
        assert not staged.exists()
        installer.discard(staged)

    def test_a_store_is_replaced_on_request(self, installer: InstallPort) -> None:
        store = install(installer, "old")
        (store / "more").touch()
        assert install(installer, "new", replace=True) == store
        assert texts_in(store) == {"new"}
        assert not [path for path in store.parent.iterdir() if path.is_dir() and path != store]

    def test_documents_do_not_meet(self, installer: InstallPort) -> None:
        one, other = installer.stage(), installer.stage()
        assert one != other
        fill(one, "one")
        fill(other, "other")
        stores = installer.install(ID, one, replace=False), installer.install(OTHER_ID, other, replace=False)
        assert [texts_in(store) for store in stores] == [{"one"}, {"other"}]

    @pytest.mark.parametrize("dlm_id", ["../x", "/etc/x", "", ID.lower(), f"{ID}\n", f"{ID}/x"])
    def test_ids_that_are_paths(self, installer: InstallPort, dlm_id: str) -> None:
        staged = installer.stage()
        with pytest.raises(StoreError) as caught:
            installer.install(dlm_id, staged, replace=True)
        assert caught.value.code == "store.bad-id"

    def test_links_are_not_installed(self, installer: InstallPort) -> None:
        staged = installer.stage()
        fill(staged, "new")
        (staged / "link").symlink_to(staged / "manifest.json")
        with pytest.raises(StoreError) as caught:
            installer.install(ID, staged, replace=False)
        assert caught.value.code == "store.not-a-file"
        assert not (staged.parent / ID).exists()
