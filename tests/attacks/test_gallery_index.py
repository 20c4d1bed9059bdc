"""Hostile gallery indexes: every limit, every field, and rubbish."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.adapters.gallery.index import MAX_TEMPLATES, needs_newer, parse_index
from dlm.domain.json_record import RecordError
from gallery_site import entry, index, pair

ENTRY = entry("a", pair("a"))


def parse(catalogue: Any) -> Any:
    return parse_index(json.dumps(catalogue).encode())


def with_file(**changes: Any) -> dict[str, Any]:
    return index([{**ENTRY, "dlm": {**ENTRY["dlm"], **changes}}])


def test_a_good_index_parses() -> None:
    parsed = parse(index([ENTRY], serial=7))
    assert (parsed.serial, parsed.templates[0].name) == (7, "a")


@pytest.mark.parametrize(
    "path",
    [
        "../a.dlm",
        "/etc/passwd",
        "a/b.dlm",
        "a\\b.dlm",
        "C:a.dlm",
        ".hidden",
        "..",
        "",
        "a%2fb",
        "a?b",
        "a b",
        "a\n",
        "a..b",
        "x" * 200,
        "https:a",
    ],
)
def test_a_path_must_be_a_plain_file_name(path: str) -> None:
    with pytest.raises(RecordError, match="plain file name"):
        parse(with_file(path=path))


@pytest.mark.parametrize("name", ["../a", "A", "-a", "a_b", "", "a" * 65, "a\n", "á", "a.b", "a/b"])
def test_a_name_must_be_a_template_name(name: str) -> None:
    with pytest.raises(RecordError, match="name must be"):
        parse(index([{**ENTRY, "name": name}]))


@pytest.mark.parametrize(
    "changes",
    [{"size": 0}, {"size": -1}, {"size": (256 << 10) + 1}, {"size": True}, {"size": 1.0}, {"size": "9"},
     {"size": 10**400}, {"sha256": "A" * 64}, {"sha256": "a" * 63}, {"sha256": None}, {"extra": 1}],
)  # fmt: skip
def test_sizes_and_digests_are_strict(changes: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        parse(with_file(**changes))


@pytest.mark.parametrize(
    "changes",
    [{"schema": 2}, {"schema": True}, {"schema": "1"}, {"serial": -1}, {"serial": True}, {"serial": 1.5}, {"extra": 0},
     {"expires_at": "tomorrow"}, {"expires_at": 9}, {"templates": {}}, {"templates": [1]}, {"templates": None}],
)  # fmt: skip
def test_the_frame_is_strict(changes: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        parse({**index([ENTRY]), **changes})


@pytest.mark.parametrize("version", ["", "1.x", "1..2", "9" * 50, "1.2.3.4.5", "v1", "1.0\n"])
def test_versions_are_strict(version: str) -> None:
    with pytest.raises(RecordError):
        parse(index([{**ENTRY, "min_dlm_version": version}]))


def test_too_many_templates_too_many_bytes_and_twins_are_refused() -> None:
    many = [{**ENTRY, "name": f"a{number}"} for number in range(MAX_TEMPLATES + 1)]
    with pytest.raises(RecordError, match="at most 500"):
        parse(index(many))
    large = {**ENTRY["dlm"], "size": 256 << 10}
    heavy = [{**each, "dlm": large, "meta": large} for each in many[:70]]
    with pytest.raises(RecordError, match="bytes in all"):
        parse(index(heavy))
    with pytest.raises(RecordError, match="twice"):
        parse(index([ENTRY, ENTRY]))


def test_repeated_keys_do_not_hide_anything() -> None:
    text = json.dumps(index([ENTRY]))
    with pytest.raises(RecordError, match="twice"):
        parse_index(text.replace('"serial": 1', '"serial": 1, "serial": 2').encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        parse_index(data)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000, b'{"schema": 1e999}', b'{"serial": ' + b"9" * 9999 + b"}"]
)
def test_bombs_are_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        parse_index(data)


@pytest.mark.parametrize(
    ("asks", "ours", "newer"),
    [("0.1.0", "0.1.0", False), ("0.1", "0.1.0.dev3+abc", False), ("0.2", "0.1.9", True), ("0.10", "0.9", True),
     ("1", "0.99.99", True), ("0.1.0.1", "0.1.0", True), ("0.0", "unknown", False), ("0.1", "unknown", True)],
)  # fmt: skip
def test_versions_compare_by_number(asks: str, ours: str, newer: bool) -> None:
    catalogue = parse(index([{**ENTRY, "min_dlm_version": asks}]))
    assert needs_newer(catalogue.templates[0], ours) is newer
