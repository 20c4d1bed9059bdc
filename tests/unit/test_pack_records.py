"""The small files of a pack: round trips, the exact bytes of the format, what is refused."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.domain.errors import PackError, UsageError
from dlm.domain.pack import PackHeader, PackManifest
from dlm.domain.pack_checks import check_checksums
from dlm.domain.pack_records import (
    checksum_lines,
    checksums_text,
    header_from_json,
    header_to_json,
    manifest_from_json,
    manifest_to_json,
    pack_time,
    rollup,
)
from dlm.testing.clocks import A_MOMENT
from dlm.testing.store_contract import ID

DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
PATHS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=20)
HEADER = PackHeader(created_at=A_MOMENT, tool_version="0.1.0", content_type="minimal", platform_hint="linux-cuda")
MANIFEST = PackManifest(
    dlm_id=ID,
    base_model="smollm2-135m",
    base_model_revision="a" * 40,
    base_model_sha256=None,
    adapter_version=3,
    entries={"b": 1, "a": 2},
    content_sha256="0" * 64,
)


@given(st.dictionaries(PATHS, DIGESTS))
def test_checksums_come_back(checksums: dict[str, str]) -> None:
    text = checksums_text(checksums)
    assert list(checksum_lines(text)) == sorted(checksums.items())
    assert [line[66:] for line in text.split("\n")[:-1]] == sorted(checksums)


def test_the_rollup_is_that_of_the_format() -> None:
    one, two = "1" * 64, "2" * 64
    expected = hashlib.sha256(f"a\n{one}\nb\n{two}\n".encode()).hexdigest()
    assert rollup({"b": two, "a": one, "PACK_HEADER.json": "3" * 64}) == expected


@pytest.mark.parametrize(
    "text", ["x", "\n", "0" * 64 + " a\n", "0" * 64 + "  a", "G" * 64 + "  a\n", "A" * 64 + "  a\n"]
)
def test_bad_checksums(text: str) -> None:
    with pytest.raises(PackError, match="line 1"):
        list(checksum_lines(text))


def test_a_path_listed_twice() -> None:
    with pytest.raises(PackError, match="twice"):
        check_checksums(("0" * 64 + "  a\n") * 2, {"a": "0" * 64})


def test_records_come_back_in_the_order_of_the_format() -> None:
    full = attrs.evolve(HEADER, executables=("store/exports/vllm/vllm_launch.sh",), licensee_acceptance_url="https://x")
    for header in (HEADER, full):
        assert attrs.evolve(header_from_json(header_to_json(header)), created_at=A_MOMENT) == header
    assert list(json.loads(header_to_json(HEADER))) == [
        "pack_format_version", "created_at", "tool_version", "content_type", "platform_hint", "licensee_acceptance_url"
    ]  # fmt: skip
    text = manifest_to_json(MANIFEST)
    assert manifest_from_json(text) == MANIFEST
    assert list(json.loads(text)) == [field.name for field in attrs.fields(PackManifest)]
    assert list(json.loads(text)["entries"]) == ["a", "b"]
    assert text.startswith('{\n  "dlm_id"')
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pack_format_version": 2, "news": []}, "pack.newer"),
        ({"pack_format_version": 0}, "pack.damaged"),
        ({"pack_format_version": True}, "pack.damaged"),
        ({"pack_format_version": "1"}, "pack.damaged"),
        ({"content_type": "everything"}, "pack.damaged"),
        ({"created_at": "yesterday"}, "pack.damaged"),
        ({"surprise": 1}, "pack.damaged"),
    ],
)
def test_bad_headers(change: dict[str, Any], code: str) -> None:
    with pytest.raises(PackError) as caught:
        header_from_json(json.dumps(json.loads(header_to_json(HEADER)) | change))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"dlm_id": "../../x"}, "pack.unsafe"),
        ({"dlm_id": "/tmp/x"}, "pack.unsafe"),
        ({"dlm_id": ID + "\n"}, "pack.unsafe"),
        ({"dlm_id": ID.lower()}, "pack.unsafe"),
        ({"entries": {"a": "1"}}, "pack.damaged"),
        ({"content_sha256": "0" * 63}, "pack.damaged"),
        ({"surprise": 1}, "pack.damaged"),
    ],
)
def test_bad_manifests(change: dict[str, Any], code: str) -> None:
    with pytest.raises(PackError) as caught:
        manifest_from_json(json.dumps(json.loads(manifest_to_json(MANIFEST)) | change))
    assert caught.value.code == code


def test_the_time_of_a_pack() -> None:
    assert pack_time("0", A_MOMENT) == datetime(1970, 1, 1, tzinfo=UTC)
    for unset in (None, ""):
        assert pack_time(unset, A_MOMENT + timedelta(microseconds=5)) == A_MOMENT.replace(microsecond=0)
    for wrong in ("soon", "1.5", "9" * 30):
        with pytest.raises(UsageError):
            pack_time(wrong, A_MOMENT)
