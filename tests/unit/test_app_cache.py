"""The token cache as a use case: when training uses it, what is told about it, what is dropped."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.adapters.filesystem import FileStore
from dlm.adapters.token_cache import FileTokenCache
from dlm.app.cache import cache_status, clear_cache, prune_cache, run_tokens, show_cache
from dlm.app.show import show
from dlm.domain.document import Document
from dlm.domain.errors import DocumentError, MetricsError
from dlm.domain.events import Tokenized, ignore
from dlm.domain.manifest import Manifest
from dlm.domain.metrics import RunMetrics, TokenizationMetrics
from dlm.testing.clocks import A_MOMENT, FixedClock
from dlm.testing.replays import MemoryReplay
from dlm.testing.sources import MemorySources
from dlm.testing.token_cache_contract import PLENTY, key_of, row_of
from dlm.wiring import Workspace
from run_cases import ID, Scene, a_document, a_text

SOURCES = "sources:\n  - path: code\n"


def text(*lines: str) -> str:
    """Give a document with a block ``training``."""
    block = "training:\n" + "".join(f"  {line}\n" for part in lines for line in part.splitlines())
    head, rest = a_text().split("---\n", 2)[1:]
    return f"---\n{head}{block if lines else ''}---\n{rest}"


@attrs.frozen
class Metrics:
    """Three runs: the newest never got as far as tokens, the next asked the cache."""

    broken: bool = False

    def runs(self, *_: Any) -> tuple[RunMetrics, ...]:
        if self.broken:
            raise MetricsError("metrics.corrupt", "no")
        return tuple(RunMetrics(run_id=number, started_at=A_MOMENT) for number in (3, 2, 1))

    def tokenization(self, _: str, run_id: int) -> TokenizationMetrics | None:
        hits = {2: 9, 1: 0}.get(run_id)
        if hits is None:
            return None
        return TokenizationMetrics(
            total_sections=10,
            cache_hits=hits,
            cache_misses=10 - hits,
            total_tokenize_seconds=1.0,
            cache_bytes_after=9,
            at=A_MOMENT,
        )


class TestTheCache:
    @pytest.fixture(autouse=True)
    def _world(self, tmp_path: Path) -> None:
        self.clock = FixedClock()
        self.store = FileStore(tmp_path / "home", self.clock)
        self.cache = FileTokenCache(self.store.location, self.clock)
        self.path = tmp_path / "notes.dlm"
        self.path.write_text(text(SOURCES), encoding="utf-8")

    def fill(self) -> None:
        with self.cache.open(ID, max_bytes=PLENTY) as tokens:
            for name in range(3):
                tokens.add(key_of(name), row_of(name), 0)

    def report(self, metrics: Any = None) -> Any:
        return show_cache(self.path, store=self.store, token_cache=self.cache, metrics=metrics)

    @pytest.mark.parametrize(
        ("lines", "status"),
        [
            ((), "unused"),
            ((SOURCES,), "used"),
            ((SOURCES, "cache:\n  enabled: false"), "disabled"),
        ],
    )
    def test_status(self, lines: tuple[str, ...], status: str) -> None:
        assert cache_status(Document.parse(text(*lines))) == status

    @pytest.mark.parametrize(
        ("lines", "use_cache", "outcome"),
        [
            ((), True, "memory"),
            ((SOURCES,), True, "kept"),
            ((SOURCES,), False, "passing"),
            ((SOURCES, "cache:\n  enabled: false"), True, "passing"),
        ],
    )
    def test_when_a_run_uses_it(self, lines: tuple[str, ...], use_cache: bool, outcome: str) -> None:
        document = Document.parse(text(*lines))
        with run_tokens(document, self.cache, use_cache, ignore) as tokens:
            assert (tokens is None) == (outcome == "memory")
            if tokens is not None:
                tokens.add(key_of(1), row_of(1), 0)
        assert self.cache.size(ID).entries == (outcome == "kept")

    def test_show_creates_nothing(self, tmp_path: Path) -> None:
        report = self.report()
        assert report.to_json() == {
            "dlm_id": ID,
            "cache_path": str(self.store.location(ID) / "tokenized-cache"),
            "entry_count": 0,
            "bytes": 0,
            "last_run_hit_rate": None,
            "last_run_id": None,
            "cache_status": "used",
        }
        assert "no run has asked the cache yet" in report.to_text()
        assert not (tmp_path / "home").exists()

    def test_show_tells_size_and_hits(self) -> None:
        self.fill()
        report = self.report(Metrics())
        record = report.to_json()
        assert (record["entry_count"], record["last_run_hit_rate"], record["last_run_id"]) == (3, 0.9, 2)
        assert record["bytes"] >= 3 * 452
        assert "90.0% of the rows of run 2" in report.to_text()

    def test_metrics_that_cannot_be_read_are_left_out(self) -> None:
        assert self.report(Metrics(broken=True)).to_json()["last_run_hit_rate"] is None

    def test_show_of_the_document_has_a_part_about_it(self) -> None:
        self.fill()
        with self.store.writer(ID) as writer:
            writer.save_manifest(Manifest.new(ID, "smollm2-135m", None, None, A_MOMENT))
        metrics: Any = Metrics()
        report = show(
            self.path,
            store=self.store,
            sources=MemorySources({"notes": {}}),
            replay=MemoryReplay,
            token_cache=self.cache,
            metrics=metrics,
        )
        assert set(report.to_json()["training_cache"]) == {
            "path",
            "entry_count",
            "bytes",
            "last_run_hit_rate",
            "last_run_id",
        }
        assert json.dumps(report.to_json())
        assert "3 rows as tokens" in report.to_text()
        assert "90.0%" in report.to_text()

    def test_prune_goes_by_the_document_unless_told(self) -> None:
        self.path.write_text(text(SOURCES, "cache:\n  prune_older_than_days: 7"), encoding="utf-8")
        self.fill()
        self.clock.advance(6 * 86_400)
        assert prune_cache(self.path, None, token_cache=self.cache) == 0
        self.clock.advance(2 * 86_400)
        assert prune_cache(self.path, timedelta(days=30), token_cache=self.cache) == 0
        assert prune_cache(self.path, None, token_cache=self.cache) == 3

    def test_clear_asks_only_when_there_is_something(self) -> None:
        asked: list[Any] = []

        def no(size: Any) -> bool:
            asked.append(size)
            return False

        assert clear_cache(self.path, no, token_cache=self.cache) == 0
        assert asked == []
        self.fill()
        assert clear_cache(self.path, no, token_cache=self.cache) is None
        assert asked[0].entries == 3
        assert clear_cache(self.path, lambda _: True, token_cache=self.cache) == 3

    def test_a_document_that_cannot_be_read(self) -> None:
        self.path.write_text("no header", encoding="utf-8")
        with pytest.raises(DocumentError):
            self.report()


def test_training_fills_the_cache_and_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlm.app.planned_run.refuse_other_shapes", lambda _: None, raising=False)
    scene = Scene(folder=tmp_path)
    scene.store = FileStore(tmp_path / "home", scene.clock)
    document = Document.parse(text(SOURCES))
    uses = []
    for options in ({}, {}, {"use_cache": False}):
        scene.train(document, **options)
        (told,) = scene.of(Tokenized)
        uses.append((told.cache_hits > 0, told.cache_misses > 0, told.cache_bytes_after > 0))
    assert uses == [(False, True, True), (True, False, True), (False, False, False)]
    assert scene.workspace.token_cache.size(ID).entries > 0


def test_the_environment_turns_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, seen = Scene(folder=tmp_path), []

    def spy(_: Any, options: Any, **__: Any) -> None:
        seen.append(options.use_cache)

    monkeypatch.setattr("dlm.app.train.train", spy)
    for value in (None, "1", "0"):
        environ = {} if value is None else {"DLM_DISABLE_TOKENIZED_CACHE": value}
        ports = {name: getattr(scene, name) for name in ("store", "registry", "hardware", "trainer", "generator")}
        Workspace(tmp_path, environ=environ, **ports).train(a_document())
    assert seen == [True, False, True]
