"""What every cache of importance matrices promises, as tests. Needs pytest.

class TestMyCache(ImportanceCacheContract):
    @pytest.fixture
    def cache(self, tmp_path, clock):
        return MyCache(tmp_path, clock)
"""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import attrs
import pytest

from dlm.domain.importance import ImportanceKey
from dlm.ports.importance_cache import ImportanceCachePort, KeptImportance
from dlm.testing.clocks import FixedClock


def key_of(name: str, **changes: int) -> ImportanceKey:
    """Give a key; names give different texts."""
    text = hashlib.sha256(name.encode()).hexdigest()
    return ImportanceKey(base_sha256="ab" * 32, corpus_sha256=text, **changes)


@attrs.define
class Builder:
    """Writes ``content`` and counts how often it was asked to."""

    content: bytes = b"a matrix"
    chunks: int = 5
    built: int = 0

    def __call__(self, into: Path) -> int:
        self.built += 1
        if self.chunks >= 2:
            into.write_bytes(self.content)
        return self.chunks


def is_whole(kept: KeptImportance | None, content: bytes = b"a matrix", chunks: int = 5) -> bool:
    """Tell whether what was given is what was built."""
    assert kept is not None
    assert (kept.path.read_bytes(), kept.chunks) == (content, chunks)
    return kept.sha256 == hashlib.sha256(content).hexdigest()


class ImportanceCacheContract:
    """Subclass it and give the fixture ``cache``."""

    @pytest.fixture
    def clock(self) -> FixedClock:
        return FixedClock()

    def test_a_matrix_is_built_once(self, cache: ImportanceCachePort) -> None:
        build = Builder()
        first = cache.get(key_of("a"), build)
        assert is_whole(first)
        assert cache.get(key_of("a"), build) == first
        assert build.built == 1

    @pytest.mark.parametrize(
        "other",
        [
            key_of("b"),
            key_of("a", chunks=7),
            key_of("a", chunk_size=7),
            key_of("a", collector=7),
            attrs.evolve(key_of("a"), base_sha256="cd" * 32),
        ],
    )
    def test_another_key_is_another_matrix(self, cache: ImportanceCachePort, other: ImportanceKey) -> None:
        first = cache.get(key_of("a"), Builder(b"first"))
        second = cache.get(other, Builder(b"second", 9))
        assert is_whole(first, b"first")
        assert is_whole(second, b"second", 9)
        assert cache.get(key_of("a"), Builder(b"never")) == first

    @pytest.mark.parametrize("chunks", [0, 1])
    def test_too_little_text_keeps_nothing(self, cache: ImportanceCachePort, chunks: int) -> None:
        build = Builder(chunks=chunks)
        assert cache.get(key_of("a"), build) is None
        assert cache.get(key_of("a"), build) is None
        assert build.built == 2
        assert is_whole(cache.get(key_of("a"), Builder()))

    def test_what_a_failing_build_raises_passes_and_nothing_is_kept(self, cache: ImportanceCachePort) -> None:
        def fail(into: Path) -> int:
            into.write_bytes(b"half")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            cache.get(key_of("a"), fail)
        kept = cache.get(key_of("a"), Builder())
        assert is_whole(kept)
        assert kept is not None
        assert not [path for path in kept.path.parent.iterdir() if path.read_bytes() == b"half"]

    def test_nothing_is_built_into_a_file_that_is_kept(self, cache: ImportanceCachePort) -> None:
        kept = cache.get(key_of("a"), Builder())
        seen = []

        def build(into: Path) -> int:
            seen.append(into.exists())
            into.write_bytes(b"other")
            return 2

        cache.get(key_of("b"), build)
        assert seen == [False]
        assert is_whole(kept)

    @pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
    def test_a_damaged_matrix_is_built_again(self, cache: ImportanceCachePort, damage: str) -> None:
        kept = cache.get(key_of("a"), Builder())
        assert kept is not None
        if damage == "gone":
            kept.path.unlink()
        else:
            kept.path.write_bytes(b"a matriy" if damage == "changed" else b"")
        build = Builder(b"anew")
        assert is_whole(cache.get(key_of("a"), build), b"anew")
        assert is_whole(cache.get(key_of("a"), build), b"anew")
        assert build.built == 1

    def test_of_several_at_once_one_builds(self, cache: ImportanceCachePort) -> None:
        build = Builder()
        found: list[KeptImportance | None] = []

        def slowly(into: Path) -> int:
            time.sleep(0.2)
            return build(into)

        threads = [threading.Thread(target=lambda: found.append(cache.get(key_of("a"), slowly))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert build.built == 1
        assert len(found) == 4
        assert all(is_whole(kept) for kept in found)
