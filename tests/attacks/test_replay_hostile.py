"""Damaged and hostile replay folders: what is whole is used, nothing outside is touched, nothing explodes."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from dlm.adapters.replay import FileReplay
from dlm.adapters.replay.frames import zstd
from dlm.domain.errors import ReplayError
from dlm.domain.replay import Snapshot
from dlm.testing.clocks import A_MOMENT
from dlm.testing.replay_contract import ID, a_snapshot, ids, some

NUMBERS = range(5)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    replay_in(tmp_path).record(ID, some(NUMBERS), run_id=1, now=A_MOMENT)
    return tmp_path


def replay_in(home: Path) -> FileReplay:
    return FileReplay(lambda dlm_id: home / dlm_id)


def folder(home: Path) -> Path:
    return home / ID / "replay"


def memory(replay: FileReplay) -> dict[str, Snapshot]:
    return {s.section_id: s for s in replay.sample(ID, current=(), count=100, seed=0, now=A_MOMENT)}


def entries(home: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((folder(home) / "index.json").read_text())
    return found


def write_entries(home: Path, value: object) -> None:
    (folder(home) / "index.json").write_text(json.dumps(value))


def check_goes_on(home: Path) -> None:
    """A writer gets along with what is there, and so does everyone after it."""
    replay = replay_in(home)
    replay.record(ID, some(NUMBERS), run_id=2, now=A_MOMENT + timedelta(days=1))
    replay.problems(ID)
    found = memory(replay)
    assert {key: item.content for key, item in found.items()} == {
        item.section_id: item.content for item in some(NUMBERS)
    }
    assert replay.problems(ID) == ()
    replay.forget(ID, keep=ids(some([0])))
    assert list(memory(replay_in(home))) == ids(some([0]))


def test_a_corpus_cut_off_anywhere_keeps_what_is_before(home: Path) -> None:
    whole = (folder(home) / "corpus.zst").read_bytes()
    ends = {str(e["section_id"]): int(str(e["byte_offset"])) + int(str(e["length"])) for e in entries(home)}
    for size in range(len(whole)):
        (folder(home) / "corpus.zst").write_bytes(whole[:size])
        replay = replay_in(home)
        assert set(memory(replay)) == {key for key, end in ends.items() if end <= size}
        (problem,) = replay.problems(ID)
        assert problem.code == "replay.corrupt"
        assert str(folder(home) / "corpus.zst") in problem.message
        assert problem.hint
    check_goes_on(home)


def test_a_cut_off_corpus_without_an_index_keeps_what_is_whole(home: Path) -> None:
    whole = (folder(home) / "corpus.zst").read_bytes()
    ends = {str(e["section_id"]): int(str(e["byte_offset"])) + int(str(e["length"])) for e in entries(home)}
    (folder(home) / "index.json").unlink()
    for size in range(0, len(whole), 3):
        (folder(home) / "corpus.zst").write_bytes(whole[:size])
        assert set(memory(replay_in(home))) == {key for key, end in ends.items() if end <= size}
    check_goes_on(home)


def test_a_flipped_byte_costs_one_section_at_most(home: Path) -> None:
    whole = (folder(home) / "corpus.zst").read_bytes()
    right = memory(replay_in(home))
    for at in range(len(whole)):
        (folder(home) / "corpus.zst").write_bytes(whole[:at] + bytes([whole[at] ^ 0x81]) + whole[at + 1 :])
        replay = replay_in(home)
        found = memory(replay)
        assert found.items() <= right.items()
        assert len(found) >= len(right) - 1
        assert len(replay.problems(ID)) == len(right) - len(found)
    check_goes_on(home)


def test_a_damaged_frame_goes_when_the_corpus_is_tidied(home: Path) -> None:
    path = folder(home) / "corpus.zst"
    entry = entries(home)[2]
    data = bytearray(path.read_bytes())
    data[int(str(entry["byte_offset"])) + 40] ^= 1
    path.write_bytes(data)
    replay = replay_in(home)
    assert replay.evict(ID, current=(), max_sections=5, max_bytes=len(data) - 1) == 1
    replay.forget(ID, keep=[str(e["section_id"]) for e in entries(home)][:3])
    replay.problems(ID)
    assert str(entry["section_id"]) not in memory(replay)
    assert replay.problems(ID) == ()


def test_a_flipped_byte_in_the_index_costs_nothing(home: Path) -> None:
    index = folder(home) / "index.json"
    whole = index.read_bytes()
    right = memory(replay_in(home))
    for at in range(0, len(whole), 2):
        index.write_bytes(whole[:at] + bytes([whole[at] ^ 0x02]) + whole[at + 1 :])
        found = memory(replay_in(home))
        assert found.items() <= right.items(), at
        assert len(found) >= len(right) - 1, at  # an id that became another one is not in the corpus
    check_goes_on(home)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "null",
        "{}",
        "[1]",
        "[{}]",
        "[" * 100_000,
        '[{"a":' * 50_000,
        "[" + " " * 3_000_000,
        "\ud800".encode("utf-8", "surrogatepass"),
        b"\xff\xfe[\x00]\x00",
        b"\0" * 5000,
        '[{"section_id": "0000000000000000", "byte_offset": ' + "9" * 5000 + "}]",
        '[{"section_id": "' + "0" * 1_000_000 + '"}]',
        '[{"section_id":"0000000000000001","byte_offset":-1,"length":9,"added_at":"2026-01-01T00:00:00"}]',
        '[{"section_id":"0000000000000001","byte_offset":0,"length":9,"added_at":"2026-01-01T00:00:00","weight":NaN}]',
        '[{"section_id":"0000000000000001","byte_offset":0,"length":9,"added_at":"2026-01-01T00:00:00","weight":-1}]',
        '[{"section_id":"0000000000000001","byte_offset":0,"length":true,"added_at":"2026-01-01T00:00:00"}]',
        '[{"section_id":"0000000000000001","byte_offset":0,"length":9,"added_at":7}]',
        '[{"section_id":"../../../../etc/","byte_offset":0,"length":9,"added_at":"2026-01-01T00:00:00"}]',
        "[] []",
    ],
    ids=lambda text: repr(text[:40]),
)
def test_a_hostile_index_is_set_aside_and_made_anew(home: Path, text: str | bytes) -> None:
    right = memory(replay_in(home))
    data = text if isinstance(text, bytes) else text.encode()
    (folder(home) / "index.json").write_bytes(data)
    before = sorted(path.name for path in folder(home).iterdir())
    reader = replay_in(home)
    assert memory(reader) == right
    (problem,) = reader.problems(ID)
    assert (problem.code, str(folder(home) / "index.json") in problem.message) == ("replay.corrupt", True)
    assert sorted(path.name for path in folder(home).iterdir()) == before, "a reader mends nothing"
    assert (folder(home) / "index.json").read_bytes() == data
    replay_in(home).record(ID, some([0]), run_id=2, now=A_MOMENT)
    assert (folder(home) / "index.json.damaged").read_bytes() == data
    assert set(memory(replay_in(home))) == set(right)
    check_goes_on(home)


def test_places_outside_the_corpus_and_enormous_lengths(home: Path) -> None:
    right = memory(replay_in(home))
    for key in ("byte_offset", "length"):
        for value in (0, 1, 10**6, 2**31, 2**40, 2**61):
            write_entries(home, [{**entry, key: value} if at == 1 else entry for at, entry in enumerate(entries(home))])
            assert memory(replay_in(home)) == right, (key, value)
    check_goes_on(home)


def test_an_index_that_swaps_two_sections_is_seen_through(home: Path) -> None:
    first, second, *others = entries(home)
    right = memory(replay_in(home))
    first["section_id"], second["section_id"] = second["section_id"], first["section_id"]
    write_entries(home, [first, second, *others])
    assert memory(replay_in(home)) == right
    check_goes_on(home)


def test_an_index_of_other_tools_is_read(home: Path) -> None:
    """In one line, unsorted, a section named twice, times with a zone, whole-number weights, a byte order mark."""
    found = entries(home)
    twice = {**found[0], "byte_offset": 0, "length": 5}
    changed = [{**entry, "weight": 1, "added_at": f"{entry['added_at']}+00:00"} for entry in reversed(found)]
    (folder(home) / "index.json").write_text("\ufeff" + json.dumps([twice, *changed]))
    right = memory(replay_in(home))
    assert len(right) == len(found)
    check_goes_on(home)


def test_a_table_that_does_not_fit_is_not_believed(home: Path) -> None:
    table = folder(home) / "index.bin"
    whole = table.read_bytes()
    right = memory(replay_in(home))
    for at in range(0, len(whole), 5):
        table.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert memory(replay_in(home)) == right, at
    for data in (b"", whole[:10], whole[:-1], whole + b"\0", bytes(100)):
        table.write_bytes(data)
        assert memory(replay_in(home)) == right
    check_goes_on(home)


def test_a_lost_corpus_leaves_nothing_and_stops_nothing(home: Path) -> None:
    (folder(home) / "corpus.zst").unlink()
    replay = replay_in(home)
    assert memory(replay) == {}
    assert [problem.code for problem in replay.problems(ID)] == ["replay.corrupt"]
    check_goes_on(home)


@pytest.mark.parametrize("name", ["", "corpus.zst", "index.json", "index.bin"])
def test_links_are_not_followed(home: Path, tmp_path: Path, name: str) -> None:
    target = folder(home) / name if name else folder(home)
    outside = tmp_path / "outside"
    shutil.move(target, outside)
    target.symlink_to(outside)
    before = {path: path.read_bytes() for path in [outside, *outside.rglob("*")] if path.is_file()}
    replay = replay_in(home)
    actions = [
        lambda: replay.sample(ID, current=(), count=1, seed=1, now=A_MOMENT),
        lambda: replay.slice(ID, current=(), seed=1),
        lambda: replay.size(ID, current=()),
        lambda: replay.record(ID, some([9]), run_id=2, now=A_MOMENT),
        lambda: replay.evict(ID, current=(), max_sections=0, max_bytes=0),
        lambda: replay.forget(ID, keep=()),
    ]
    for action in actions:
        with pytest.raises(ReplayError) as caught:
            action()
        assert caught.value.code == "replay.not-a-file"
        assert str(target) in caught.value.message
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_does_not_make_anyone_wait(home: Path) -> None:
    (folder(home) / "index.json").unlink()
    os.mkfifo(folder(home) / "index.json")
    with pytest.raises(ReplayError):
        memory(replay_in(home))


def test_leftovers_that_are_links_are_cleared_and_not_followed(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (folder(home) / "corpus.zst.new").symlink_to(outside)
    (folder(home) / "index.json.tmp.1.00000000").symlink_to(outside)
    check_goes_on(home)
    assert outside.read_text() == "mine"
    assert not os.path.lexists(folder(home) / "index.json.tmp.1.00000000")


def test_bombs_in_the_corpus_are_passed_over(home: Path) -> None:
    path = folder(home) / "corpus.zst"
    bomb = zstd().compress(bytes(80 << 20))
    right = memory(replay_in(home))
    path.write_bytes(bomb * 3 + path.read_bytes())
    (folder(home) / "index.json").unlink()
    assert memory(replay_in(home)) == right
    write_entries(home, [{**entries_of(bomb), "section_id": a_snapshot(1).section_id}])
    replay = replay_in(home)
    assert list(memory(replay)) == ids(some([1])), "found further back, whole"


def entries_of(frame: bytes) -> dict[str, object]:
    return {"added_at": "2026-01-01T00:00:00", "byte_offset": 0, "length": len(frame), "weight": 1.0}


def test_a_tail_that_no_index_names_is_cut_off_by_the_next_writer_only(home: Path) -> None:
    path = folder(home) / "corpus.zst"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"torn")
    right = memory(replay_in(home))
    assert len(right) == len(NUMBERS)
    assert path.stat().st_size == size + 4
    assert replay_in(home).evict(ID, current=(), max_sections=99, max_bytes=1 << 30) == 0
    assert path.stat().st_size == size


def test_what_is_forgotten_leaves_no_trace_on_disk(home: Path) -> None:
    replay = replay_in(home)
    secret = a_snapshot(77, "correct horse battery staple")
    replay.record(ID, [secret], run_id=2, now=A_MOMENT)
    (folder(home) / "index.json").write_text("[{")
    replay.record(ID, some([0]), run_id=3, now=A_MOMENT)
    replay.forget(ID, keep=ids(some(NUMBERS)))
    data = b"".join(path.read_bytes() for path in folder(home).iterdir())
    assert secret.section_id.encode() not in data
    assert b"battery" not in data
    assert len(memory(replay)) == len(NUMBERS)
