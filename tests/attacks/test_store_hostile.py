"""Stores that somebody prepared: pointers that lead out, records that are not what they seem."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlm.adapters.filesystem import FileStore
from dlm.domain.errors import StoreError
from dlm.domain.lock import lock_from_json
from dlm.domain.manifest import manifest_from_json, manifest_to_json
from dlm.testing.clocks import FixedClock
from dlm.testing.store_contract import ID, OTHER_ID, a_manifest, commit


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    made = FileStore(tmp_path / "home", FixedClock())
    with made.writer(ID) as writer:
        writer.save_manifest(a_manifest())
        commit(writer, "one")
        commit(writer, "two")
    (tmp_path / "outside" / "v0001").mkdir(parents=True)
    return made


def pointed_at(store: FileStore, pointer: bytes) -> StoreError:
    (store.location(ID) / "adapter" / "current.txt").write_bytes(pointer)
    with pytest.raises(StoreError) as caught:
        store.current(ID)
    assert "v0002" in (caught.value.hint or ""), "the hint names the way back"
    return caught.value


@pytest.mark.parametrize(
    "pointer",
    [
        "/etc",
        "//server/share",
        "../../../outside/v0001",
        "adapter/versions/../../../../outside/v0001",
        "adapter/versions/..",
        "C:\\Windows",
        "C:adapter/versions/v0001",
        "\\\\server\\share\\v0001",
        "adapter\\..\\..\\v0001",
        "adapter/versions/v0001\0",
    ],
)
def test_pointers_that_leave_the_store_are_refused(store: FileStore, pointer: str) -> None:
    assert pointed_at(store, pointer.encode()).code == "store.pointer-escape"


@pytest.mark.parametrize(
    "pointer",
    [
        b"",
        b"\n",
        b".",
        b"adapter/versions/v0003\n",
        b"adapter/versions/v0001-rejected\n",
        b"adapter/versions/v0001\nadapter/versions/v0002\n",
        b" adapter/versions/v0001",
        b"adapter/versions/v" + b"9" * 5000,
        b"replay",
        b"adapter//versions/v0001",
        "adapter/versions/v０００１".encode(),
    ],
)
def test_pointers_that_name_no_version_are_refused(store: FileStore, pointer: bytes) -> None:
    assert pointed_at(store, pointer).code == "store.pointer-broken"


def test_a_pointer_that_is_not_text_is_refused(store: FileStore) -> None:
    (store.location(ID) / "adapter" / "current.txt").write_bytes(b"adapter/\xff")
    with pytest.raises(StoreError) as caught:
        store.current(ID)
    assert caught.value.code == "store.not-text"
    assert "byte 8" in caught.value.message


def test_a_link_in_place_of_a_version_is_refused(store: FileStore, tmp_path: Path) -> None:
    link = store.location(ID) / "adapter" / "versions" / "v0003"
    link.symlink_to(tmp_path / "outside" / "v0001", target_is_directory=True)
    assert pointed_at(store, b"adapter/versions/v0003\n").code == "store.pointer-escape"
    link.unlink()
    link.symlink_to(link)
    assert pointed_at(store, b"adapter/versions/v0003\n").code.startswith("store.pointer-")


def test_a_link_in_place_of_the_versions_folder_is_refused(store: FileStore, tmp_path: Path) -> None:
    code = store.location(ID) / "adapter" / "code"
    code.mkdir()
    (code / "versions").symlink_to(tmp_path / "outside", target_is_directory=True)
    (code / "current.txt").write_text("adapter/code/versions/v0001\n")
    with pytest.raises(StoreError) as caught:
        store.current(ID, "code")
    assert caught.value.code == "store.pointer-escape"


def test_a_pointer_with_no_version_left_says_so(store: FileStore) -> None:
    code = store.location(ID) / "adapter" / "code"
    code.mkdir()
    (code / "current.txt").write_text("adapter/code/versions/v0001\n")
    with pytest.raises(StoreError) as caught:
        store.current(ID, "code")
    assert "no adapter version to go back to" in (caught.value.hint or "")


def test_a_manifest_of_another_document_is_not_believed(store: FileStore) -> None:
    path = store.location(ID) / "manifest.json"
    path.write_text(manifest_to_json(a_manifest(OTHER_ID)))
    with pytest.raises(StoreError) as caught:
        store.manifest(ID)
    assert caught.value.code == "store.manifest-corrupt"
    assert OTHER_ID in caught.value.message


def test_a_byte_order_mark_does_no_harm(store: FileStore) -> None:
    path = store.location(ID) / "manifest.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert store.manifest(ID) == a_manifest()


HOSTILE = [
    "",
    "null",
    "[]",
    "{",
    "[" * 200_000,
    '{"a":' * 100_000,
    '{"dlm_id": "x", "dlm_id": "y"}',
    '{"adapter_version": ' + "9" * 5000 + "}",
    '{"adapter_version": NaN}',
    '{"adapter_version": -Infinity}',
    '{"__class__": "os.system"}',
    '\ufeff{"a": 1}',
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_records_are_refused_in_our_words(text: str) -> None:
    for read, code in ((manifest_from_json, "store.manifest-corrupt"), (lock_from_json, "lock.unreadable")):
        with pytest.raises(StoreError) as caught:
            read(text, "file")
        assert caught.value.code == code
        assert len(caught.value.message) < 2000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(json.loads(manifest_to_json(a_manifest())))), json_values)
def test_any_value_in_any_key_is_read_or_refused(key: str, value: object) -> None:
    text = json.dumps(json.loads(manifest_to_json(a_manifest())) | {key: value})
    try:
        manifest = manifest_from_json(text, "file")
    except StoreError:
        return
    assert manifest_from_json(manifest_to_json(manifest), "file") == manifest


def _refusal_of(read: Callable[[str], object]) -> StoreError | None:
    try:
        read(ID)
    except StoreError as error:
        return error
    return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.binary(max_size=80))
def test_any_bytes_in_any_file_raise_store_errors_only(store: FileStore, data: bytes) -> None:
    root = store.location(ID)
    for name in ("manifest.json", "dlm.lock", "adapter/current.txt", "logs/x.summary.json", "logs/x.jsonl"):
        (root / name).write_bytes(data)
    for read in (store.manifest, store.lock, store.current, lambda dlm_id: store.read_summary(dlm_id, "x")):
        refusal = _refusal_of(read)
        assert refusal is None or refusal.hint, "every refusal says what to do"
    assert isinstance(store.read_log(ID, "x"), tuple)
