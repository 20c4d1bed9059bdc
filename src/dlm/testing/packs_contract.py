"""What everything that writes and opens packs promises, as tests. Needs pytest.

class TestMyPacks(PacksContract):
    @pytest.fixture
    def packs(self):
        return MyPacks()
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.domain.errors import DlmError, PackError
from dlm.domain.events import Event, Progress, ignore
from dlm.domain.manifest import manifest_to_json
from dlm.domain.pack import PackHeader
from dlm.ports.packs import PackJob, PackPort
from dlm.testing.clocks import A_MOMENT
from dlm.testing.store_contract import ID, OTHER_ID, a_manifest

DOCUMENT = f"---\ndlm_id: {ID}\nbase_model: smollm2-135m\n---\nThe sky over Lisbon is bright.\n"
SETTINGS = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"}
VERSION = "store/adapter/versions/v0001"


def a_header(**changes: Any) -> PackHeader:
    """Give a header of a pack without base and exports."""
    fields: dict[str, Any] = {"created_at": A_MOMENT, "tool_version": "0.1.0", "content_type": "minimal"}
    return PackHeader(**fields | {"platform_hint": "linux-cpu"} | changes)


def store_texts() -> dict[str, bytes]:
    """Give the small members of a pack whose store has one adapter version."""
    manifest = attrs.evolve(a_manifest(), adapter_version=1, source_path=None)
    return {
        "dlm/notes.dlm": DOCUMENT.encode(),
        "store/manifest.json": manifest_to_json(manifest).encode(),
        "store/adapter/current.txt": b"adapter/versions/v0001\n",
        f"{VERSION}/adapter_config.json": json.dumps(SETTINGS).encode(),
        f"{VERSION}/adapter_model.safetensors": b"numbers" * 1000,
        "store/replay/index.json": b"[]\n",
    }


def a_job(files: dict[str, Path] | None = None, *, texts: dict[str, bytes] | None = None, **changes: Any) -> PackJob:
    """Give a job that can be packed; ``texts`` are added, ``changes`` are fields of the job."""
    fields: dict[str, Any] = {
        "header": a_header(),
        "dlm_id": ID,
        "base_model": "smollm2-135m",
        "base_model_revision": None,
        "base_model_sha256": None,
        "adapter_version": 1,
        "texts": store_texts() | (texts or {}),
        "files": files or {},
    }
    return PackJob(**fields | changes)


def code_of(packs: PackPort, pack: Path) -> str:
    """Give the code with which a pack is refused, the same for checking and unpacking."""
    with pytest.raises(PackError) as checked:
        packs.check(pack, emit=ignore)
    into = pack.with_name(f"{pack.name}.out")
    into.mkdir()
    with pytest.raises(PackError) as extracted:
        packs.extract(pack, into, emit=ignore)
    assert extracted.value.code == checked.value.code
    assert checked.value.subject == "unpack"
    return checked.value.code


class PacksContract:
    """Subclass it and give a ``packs`` fixture."""

    @pytest.fixture
    def packs(self) -> PackPort:
        """Give what is under test."""
        raise NotImplementedError("override the packs fixture")

    def test_what_was_packed_comes_back(self, packs: PackPort, tmp_path: Path) -> None:
        (tmp_path / "blob").write_bytes(b"\0\xff" * 300)
        texts = {"provenance.json": b"{}\n"}
        job = a_job({"store/blobs/ab/abcd.png": tmp_path / "blob"}, texts=texts)
        pack, into = tmp_path / "notes.dlm.pack", tmp_path / "into"
        into.mkdir()
        written = packs.write(job, pack, emit=ignore)
        checked, extracted = packs.check(pack, emit=ignore), packs.extract(pack, into, emit=ignore)
        assert checked == extracted
        assert (written.path, written.sha256, written.size_bytes) == (pack, checked.sha256, pack.stat().st_size)
        assert (written.manifest, written.checksums) == (checked.manifest, checked.checksums)
        assert (checked.document_name, checked.document) == ("notes.dlm", DOCUMENT)
        assert (checked.header, checked.provenance, checked.notes) == (job.header, "{}\n", ())
        assert checked.store_manifest.encode() == job.texts["store/manifest.json"]
        found = {f"store/{p.relative_to(into).as_posix()}": p.read_bytes() for p in into.rglob("*") if p.is_file()}
        expected = {name: data for name, data in job.texts.items() if name.startswith("store/")}
        assert found == expected | {"store/blobs/ab/abcd.png": b"\0\xff" * 300}

    def test_provenance_knows_every_other_member(self, packs: PackPort, tmp_path: Path) -> None:
        asked: list[dict[str, str]] = []

        def provenance(checksums: Mapping[str, str]) -> bytes:
            asked.append(dict(checksums))
            return b"{}"

        written = packs.write(a_job(provenance=provenance), tmp_path / "a.pack", emit=ignore)
        contents = packs.check(written.path, emit=ignore)
        assert contents.provenance == "{}"
        assert asked == [{name: digest for name, digest in contents.checksums.items() if name != "provenance.json"}]

    def test_equal_jobs_give_equal_bytes(self, packs: PackPort, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        job = a_job()
        packs.write(job, one, emit=ignore)
        backwards = attrs.evolve(job, texts={name: job.texts[name] for name in sorted(job.texts, reverse=True)})
        written = packs.write(backwards, two, emit=ignore)
        assert one.read_bytes() == two.read_bytes()
        later = attrs.evolve(job, header=a_header(tool_version="9"))
        assert packs.write(later, two, emit=ignore).manifest.content_sha256 == written.manifest.content_sha256
        assert one.read_bytes() != two.read_bytes()

    def test_progress_counts_up_to_the_end(self, packs: PackPort, tmp_path: Path) -> None:
        for work in (
            lambda emit: packs.write(a_job(), tmp_path / "pack", emit=emit),
            lambda emit: packs.check(tmp_path / "pack", emit=emit),
        ):
            seen: list[Event] = []
            work(seen.append)
            last = seen[-1]
            assert isinstance(last, Progress)
            assert last.unit == "bytes"
            assert last.done == last.total

    def test_caches_plans_and_pickles_stay_outside(self, packs: PackPort, tmp_path: Path) -> None:
        names = (
            "tokenized-cache/x",
            "preference/pending.json",
            "cache/merged/x",
            "provenance.json",
            "metrics.sqlite-wal",
        )
        packs.write(a_job(texts={f"store/{name}": b"x" for name in names}), tmp_path / "pack", emit=ignore)
        (tmp_path / "into").mkdir()
        contents = packs.extract(tmp_path / "pack", tmp_path / "into", emit=ignore)
        assert contents.notes
        assert sorted(path.name for path in (tmp_path / "into").iterdir()) == ["adapter", "manifest.json", "replay"]

    @pytest.mark.skipif(os.name == "nt", reason="there is no such bit on Windows")
    def test_only_listed_launch_scripts_may_be_started(self, packs: PackPort, tmp_path: Path) -> None:
        script = "store/exports/vllm/vllm_launch.sh"
        header = a_header(content_type="no-base", executables=(script,))
        texts = {script: b"#!/bin/sh\n", "store/exports/vllm/other_launch.sh": b"#!/bin/sh\n"}
        packs.write(a_job(texts=texts, header=header), tmp_path / "pack", emit=ignore)
        (tmp_path / "into").mkdir()
        packs.extract(tmp_path / "pack", tmp_path / "into", emit=ignore)
        modes = {p.name: bool(p.stat().st_mode & 0o111) for p in (tmp_path / "into").rglob("*") if p.is_file()}
        assert modes.pop("vllm_launch.sh")
        assert not any(modes.values())

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"dlm_id": OTHER_ID}, "pack.inconsistent"),
            ({"dlm_id": "../../x"}, "pack.unsafe"),
            ({"adapter_version": 7}, "pack.inconsistent"),
            ({"base_model": "qwen2.5-0.5b"}, "pack.inconsistent"),
            ({"header": a_header(pack_format_version=2)}, "pack.newer"),
            ({"texts": {"dlm/notes.dlm": b"no document"}}, "pack.bad-document"),
            ({"texts": {"store/manifest.json": b"{}"}}, "pack.damaged"),
            ({"texts": {"store/adapter/current.txt": b"adapter/versions/v0002\n"}}, "pack.inconsistent"),
            ({"texts": {"store/adapter/current.txt": b"../../other/adapter/versions/v0001\n"}}, "pack.unsafe"),
        ],
    )
    def test_contradictions(self, packs: PackPort, tmp_path: Path, changes: dict[str, Any], code: str) -> None:
        packs.write(a_job(**changes), tmp_path / "pack", emit=ignore)
        assert code_of(packs, tmp_path / "pack") == code

    @pytest.mark.parametrize(
        "texts",
        [
            {"dlm/second.dlm": DOCUMENT.encode()},
            {"store/../x": b""},
            {"store/Manifest.json": b""},
            {"elsewhere/x": b""},
            {f"{VERSION}/adapter_model.bin": b""},
            {"store/exports/Q8_0/x": b""},
            {"store/cache/base/abc/model.safetensors": b""},
        ],
    )
    def test_what_could_not_be_read_back_is_not_written(
        self, packs: PackPort, tmp_path: Path, texts: dict[str, bytes]
    ) -> None:
        with pytest.raises(PackError):
            packs.write(a_job(texts=texts), tmp_path / "pack", emit=ignore)
        assert not (tmp_path / "pack").exists()

    def test_a_failed_writing_leaves_the_pack_before(self, packs: PackPort, tmp_path: Path) -> None:
        packs.write(a_job(), tmp_path / "pack", emit=ignore)
        before = (tmp_path / "pack").read_bytes()
        with pytest.raises(PackError):
            packs.write(a_job(texts={"store/a\nb": b""}), tmp_path / "pack", emit=ignore)
        assert (tmp_path / "pack").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["pack"]

    def test_what_is_no_pack(self, packs: PackPort, tmp_path: Path) -> None:
        packs.write(a_job(), tmp_path / "pack", emit=ignore)
        whole = (tmp_path / "pack").read_bytes()
        for number, data in enumerate([b"", b"hello", whole[: len(whole) // 2], whole[:-1], whole + b"x"]):
            pack = tmp_path / f"bad{number}"
            pack.write_bytes(data)
            assert code_of(packs, pack) == "pack.damaged"
        with pytest.raises(PackError) as caught:
            packs.check(tmp_path / "missing", emit=ignore)
        assert caught.value.code == "pack.unreadable"
        with pytest.raises(DlmError):
            packs.check(tmp_path, emit=ignore)
