"""What every exporter promises, as tests. Needs pytest.

class TestMyExporter(ExporterContract):
    @pytest.fixture
    def exporter(self):
        return MyExporter()

    @pytest.fixture
    def job(self, tmp_path):
        return WeightsJob(base=..., adapter=tmp_path / "adapter", facts=...)  # one that can be written
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import get_args

import attrs
import pytest

from dlm.domain.errors import DiskError, ExportError
from dlm.domain.events import Event, ignore
from dlm.domain.export_targets import WeightsFormat
from dlm.ports.exporter import ExporterPort, FileRole, WeightsJob, WrittenFile

_HEADERS_BYTES = 1 << 20
"""What small models' names, vocabularies and padding take beside their numbers."""


class ExporterContract:
    """Subclass it; give an ``exporter`` that works on this machine and a ``job`` below ``tmp_path`` for it."""

    @pytest.fixture
    def exporter(self) -> ExporterPort:
        """Give the exporter under test."""
        raise NotImplementedError("override the exporter fixture")

    @pytest.fixture
    def job(self, tmp_path: Path) -> WeightsJob:
        """Give a job that can be done."""
        raise NotImplementedError("override the job fixture")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Give an empty folder with a name that scripts stumble over."""
        path = tmp_path / "out" / """it's a "folder" $HOME ü"""
        path.mkdir(parents=True)
        return path

    def test_it_names_its_form(self, exporter: ExporterPort) -> None:
        assert exporter.weights in get_args(WeightsFormat)

    def test_check_changes_nothing(self, exporter: ExporterPort, job: WeightsJob, tmp_path: Path) -> None:
        before = snapshot(tmp_path)
        exporter.check(job)
        exporter.check(job)
        assert snapshot(tmp_path) == before

    def test_the_room_it_asks_for_is_enough(self, exporter: ExporterPort, job: WeightsJob, folder: Path) -> None:
        asked = exporter.check(job)
        written = exporter.write(job, folder, emit=ignore)
        weights = sum(file.size_bytes for file in written if file.role in ("base", "adapter", "merged"))
        assert 0 < weights <= asked + _HEADERS_BYTES

    def test_the_folder_holds_what_is_listed(self, exporter: ExporterPort, job: WeightsJob, folder: Path) -> None:
        files = exporter.write(job, folder, emit=ignore)
        assert files
        assert listed(files) == snapshot(folder)
        assert len({file.path for file in files}) == len(files)
        for file in files:
            assert file.role in get_args(FileRole)
            assert file.size_bytes == (folder / file.path).stat().st_size
            assert str(PurePosixPath(file.path)) == file.path
            assert ".." not in PurePosixPath(file.path).parts
        assert {file.role for file in files} & {"adapter", "merged"}

    def test_equal_jobs_give_equal_bytes(self, exporter: ExporterPort, job: WeightsJob, folder: Path) -> None:
        again = folder.parent / "again"
        again.mkdir()
        assert exporter.write(job, folder, emit=ignore) == exporter.write(job, again, emit=ignore)
        assert snapshot(folder) == snapshot(again)

    def test_sources_stay_as_they_are(self, exporter: ExporterPort, job: WeightsJob, folder: Path) -> None:
        before = snapshot(job.adapter), snapshot(job.base.folder)
        exporter.write(job, folder, emit=ignore)
        assert (snapshot(job.adapter), snapshot(job.base.folder)) == before

    def test_nothing_tells_where_it_was_made(self, exporter: ExporterPort, job: WeightsJob, folder: Path) -> None:
        exporter.write(job, folder, emit=ignore)
        for path in snapshot(folder):
            assert not Path(path).name.startswith("training")
            data = (folder / path).read_bytes()
            for place in (job.adapter, job.base.folder, folder):
                assert str(place).encode() not in data, path

    def test_an_adapter_that_is_gone_is_refused(
        self, exporter: ExporterPort, job: WeightsJob, folder: Path, tmp_path: Path
    ) -> None:
        gone = attrs.evolve(job, adapter=tmp_path / "gone")
        with pytest.raises(ExportError) as caught:
            exporter.check(gone)
        assert caught.value.hint
        with pytest.raises(ExportError):
            exporter.write(gone, folder, emit=ignore)
        assert snapshot(folder) == {}

    def test_a_full_disk_is_told(
        self, exporter: ExporterPort, job: WeightsJob, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was whole before may stay; the file that did not fit does not, under no name."""

        def no_room(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", no_room)
        with pytest.raises(DiskError) as caught:
            exporter.write(job, folder, emit=ignore)
        assert caught.value.code == "disk.full"
        assert snapshot(folder) == {}

    def test_what_an_observer_raises_ends_the_work(self, exporter: ExporterPort, job: WeightsJob, folder: Path) -> None:
        class Enough(Exception):  # noqa: N818  # a request, not a fault
            pass

        def stop(_: Event) -> None:
            raise Enough

        with pytest.raises(Enough):
            exporter.write(job, folder, emit=stop)


def snapshot(folder: Path) -> dict[str, str]:
    """Give the digest of each file below a folder, by its path in POSIX form."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def listed(files: tuple[WrittenFile, ...]) -> dict[str, str]:
    """Give what an exporter says it wrote, in the form of :func:`snapshot`."""
    return {file.path: file.sha256 for file in files}
