"""Home, ids, version numbers and pointers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlm.adapters.system_clock import SystemClock
from dlm.domain.errors import UsageError
from dlm.domain.home import resolve_home
from dlm.domain.manifest import DLM_ID
from dlm.domain.store_layout import (
    checked_dlm_id,
    committed_versions,
    leaves_store,
    next_version,
    pointed_version,
    pointer_to,
    version_name,
)
from dlm.domain.ulid import ulid
from dlm.testing.clocks import FixedClock

names = st.none() | st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True).filter(
    lambda name: name not in ("versions", "default")
)


@pytest.mark.parametrize(
    ("override", "environ", "windows", "expected"),
    [
        ("/x", {"DLM_HOME": "/y", "HOME": "/h"}, False, "/x"),
        (Path("/x"), {}, False, "/x"),
        ("~/x", {"HOME": "/h"}, False, "/h/x"),
        ("~", {"HOME": "/h"}, False, "/h"),
        (None, {"DLM_HOME": "/y", "HOME": "/h", "APPDATA": "/a"}, True, "/y"),
        (None, {"DLM_HOME": "~/y", "HOME": "/h"}, False, "/h/y"),
        (None, {"DLM_HOME": "", "HOME": "/h"}, False, "/h/.dlm"),
        (None, {"HOME": "/h", "APPDATA": "/a"}, False, "/h/.dlm"),
        (None, {"HOME": "/h", "APPDATA": "/a"}, True, "/a/dlm"),
        (None, {"USERPROFILE": "/u"}, True, "/u/.dlm"),
    ],
)
def test_the_home_is_the_first_that_applies(
    override: str | Path | None, environ: dict[str, str], windows: bool, expected: str
) -> None:
    assert resolve_home(override, environ, windows=windows) == Path(expected).absolute()


def test_a_relative_home_becomes_absolute_and_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_home("store", {}) == tmp_path / "store"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_home_is_not_taken_for_none() -> None:
    for empty in ("", "  "):
        with pytest.raises(UsageError) as caught:
            resolve_home(empty, {"HOME": "/h"})
        assert caught.value.code == "home.empty"


@given(st.lists(st.integers(1, 20_000), max_size=6), names)
def test_the_next_version_is_above_all_others(numbers: list[int], adapter: str | None) -> None:
    folders = [version_name(number) for number in numbers]
    assert committed_versions(folders) == tuple(sorted(numbers))
    spent = [f"{folder}-rejected" for folder in folders]
    assert committed_versions(spent) == ()
    assert next_version(folders) == next_version(spent) == max(numbers, default=0) + 1
    version = next_version(folders)
    pointer = pointer_to(adapter, version)
    assert not leaves_store(pointer)
    assert pointed_version(pointer, adapter) == version


@pytest.mark.parametrize("pointer", ["adapter/versions/v001", "adapter/versions/v00001", "adapter/versions/v0001/"])
def test_pointers_have_one_spelling(pointer: str) -> None:
    assert pointed_version(pointer, None) is None


def test_a_pointer_of_one_adapter_is_none_of_another() -> None:
    assert pointed_version("adapter/code/versions/v0001", None) is None
    assert pointed_version("adapter/versions/v0001", "code") is None


@given(
    st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.binary(min_size=10, max_size=10),
)
def test_ids_are_well_formed(moment: datetime, randomness: bytes) -> None:
    assert checked_dlm_id(ulid(moment, randomness))


def test_ids_sort_by_time_and_match_the_known_example() -> None:
    # The example of the ULID specification: 1469918176385 ms is 01ARYZ6S41.
    moment = datetime.fromtimestamp(1469918176.385, UTC)
    assert ulid(moment, bytes(10)) == "01ARYZ6S41" + "0" * 16
    assert ulid(moment, b"\xff" * 10) == "01ARYZ6S41" + "Z" * 16
    assert ulid(moment, b"\xff" * 10) < ulid(moment + timedelta(milliseconds=1), bytes(10))


def test_clocks_tell_utc_and_never_repeat_an_id() -> None:
    for clock in (SystemClock(), FixedClock()):
        assert clock.now().tzinfo is UTC
        ids = [clock.ulid() for _ in range(100)]
        assert len(set(ids)) == 100
        assert all(DLM_ID.fullmatch(made) for made in ids)


def test_a_fixed_clock_moves_when_told() -> None:
    clock, again = FixedClock(), FixedClock()
    assert clock.ulid() == again.ulid()
    before = clock.now()
    clock.advance(90)
    assert clock.now() - before == timedelta(seconds=90)
    assert re.fullmatch(DLM_ID, clock.ulid())
