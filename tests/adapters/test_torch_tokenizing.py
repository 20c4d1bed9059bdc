"""Rows to token ids: names that never mix two rows up, the same adapter with and without a cache, memory that holds."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from dlm.adapters.token_cache import FileTokenCache
from dlm.adapters.torch.bases import TorchBases
from dlm.adapters.torch.chat import ChatTokenizer, Encoded
from dlm.adapters.torch.rows import Reader
from dlm.adapters.torch.tokenizing import Keys
from dlm.adapters.torch.trainer import TorchTrainer
from dlm.domain.base_models import ResolvedBase
from dlm.domain.events import Progress, Tokenized
from dlm.domain.rows import Row, Turn
from dlm.domain.tokens import MemoryTokens
from dlm.testing.clocks import FixedClock
from dlm.testing.token_cache_contract import ID, PLENTY
from dlm.testing.trainers import NoCheckpoints


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    return tiny.tiny_base(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tokenizer(base: ResolvedBase) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base.folder)


def chat_of(tokenizer: Any, system_prompt: str | None = None, template: str | None = None) -> ChatTokenizer:
    import copy

    tokenizer = copy.copy(tokenizer)
    if template is not None:
        tokenizer.chat_template = template
    return ChatTokenizer(tokenizer, system_prompt)


PAIR = Row(kind="instruction", section_id="a" * 16, sub=0, line=9, turns=(Turn("user", "q"), Turn("assistant", "a")))
PROSE = Row(kind="prose", section_id="b" * 16, text="The tide turns at nine.")


class TestKeys:
    @pytest.mark.parametrize(
        "change",
        [
            {"sub": 1},
            {"section_id": "c" * 16},
            {"turns": (Turn("user", "q "), Turn("assistant", "a"))},
            {"turns": (Turn("user", "q"), Turn("assistant", "b"))},
            {"turns": (Turn("user", "qa"), Turn("assistant", ""))},
            {"turns": (Turn("user", ""), Turn("assistant", "qa"))},
            {"kind": "prose", "turns": (), "text": "q"},
        ],
    )
    def test_they_differ_with_the_row(self, tokenizer: Any, change: dict[str, Any]) -> None:
        keys = Keys(chat_of(tokenizer))
        other = attrs.evolve(PAIR, **change)
        assert keys.of(PAIR, "") != keys.of(other, other.text)

    def test_they_differ_with_what_is_around_the_row(self, tokenizer: Any) -> None:
        chats = [
            chat_of(tokenizer),
            chat_of(tokenizer, ""),
            chat_of(tokenizer, "Be brief."),
            chat_of(tokenizer, template=tiny.CHAT_TEMPLATE + " "),
            chat_of(tokenizer, template=tiny.NO_SYSTEM_TEMPLATE),
            chat_of(tokenizer, "Be brief.", tiny.NO_SYSTEM_TEMPLATE),
        ]
        assert len({Keys(chat).of(PAIR, "") for chat in chats}) == len(chats)

    def test_a_template_that_writes_the_date_makes_new_keys_each_day(self, tokenizer: Any) -> None:
        chat = chat_of(tokenizer, template="{{ today }}" + tiny.CHAT_TEMPLATE)
        first = chat.fingerprint
        render = chat.tokenizer.apply_chat_template
        chat.tokenizer.apply_chat_template = lambda *args, **options: render(*args, today="Monday", **options)
        assert chat.fingerprint != first

    def test_they_differ_with_the_tokenizer(self, tokenizer: Any, base: ResolvedBase) -> None:
        from transformers import AutoTokenizer

        other = AutoTokenizer.from_pretrained(base.folder)
        other.add_tokens(["tide"])
        assert Keys(chat_of(tokenizer)).of(PAIR, "") != Keys(ChatTokenizer(other, None)).of(PAIR, "")

    def test_padding_in_between_does_not_change_them(self, tokenizer: Any) -> None:
        chat = chat_of(tokenizer)
        first = chat.fingerprint
        tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=2)
        assert chat.fingerprint == first

    def test_when_a_remembered_section_was_last_seen_does_not_matter(self, tokenizer: Any) -> None:
        keys = Keys(chat_of(tokenizer))
        seen = [attrs.evolve(PROSE, section_id=f"replay:{'b' * 16}:2026-04-{day}T00:00:00") for day in (1, 2)]
        assert keys.of(seen[0], "x") == keys.of(seen[1], "x") == keys.of(PROSE, "x")

    @given(st.lists(st.tuples(st.sampled_from(["prose", "instruction"]), st.integers(0, 3), st.text(), st.text())))
    @settings(max_examples=100, deadline=None)
    def test_no_two_rows_share_one(self, tokenizer: Any, rows: list[tuple[str, int, str, str]]) -> None:
        keys, seen = Keys(chat_of(tokenizer)), {}
        for kind, sub, first, second in rows:
            turns = (Turn("user", first), Turn("assistant", second)) if kind == "instruction" else ()
            row = Row(kind=kind, section_id="a", sub=sub, turns=turns)  # type: ignore[arg-type]
            text = first if kind == "prose" else ""
            content = (kind, sub, text, turns)
            assert seen.setdefault(keys.of(row, text), content) == content


def some_rows(count: int = 5) -> tuple[Row, ...]:
    long = Row(kind="prose", section_id="c" * 16, line=30, text="Long prose about äöü and the tides. " * 40)
    return (*tiny.rows(count), long)


class TestReading:
    @given(
        texts=st.lists(st.text(min_size=1, max_size=200), max_size=6),
        pairs=st.lists(st.tuples(st.text(max_size=60), st.text(max_size=20)), max_size=6),
        window=st.integers(64, 120),
    )
    @settings(max_examples=60, deadline=None)
    def test_the_same_sequences_as_one_by_one(
        self, tokenizer: Any, texts: list[str], pairs: list[tuple[str, str]], window: int
    ) -> None:
        chat = chat_of(tokenizer)
        rows = [Row(kind="prose", section_id=f"p{at}", text=text) for at, text in enumerate(texts)]
        turns = [(Turn("user", question), Turn("assistant", answer)) for question, answer in pairs]
        rows += [Row(kind="instruction", section_id="i", sub=at, turns=pair) for at, pair in enumerate(turns)]
        expected: list[Encoded] = [w for text in texts for w in chat.encode_prose(text.strip(), window)]
        for pair in turns:
            whole = chat.encode_exchange(pair)
            cut = max(0, len(whole) - window)
            if cut and sum(whole.supervised) + 1 > window:
                return
            expected.append(Encoded(whole.ids[cut:], whole.supervised[cut:]))
        (examples,) = Reader(chat, window).examples(rows)
        assert [example.encoded for example in examples] == expected

    def test_text_that_lies_elsewhere_is_read_when_its_turn_comes(self, tokenizer: Any) -> None:
        lazy = [attrs.evolve(row, text="", read=lambda text=row.text: text) for row in some_rows() if row.text]
        (there,) = Reader(chat_of(tokenizer), 64).examples([row for row in some_rows() if row.text])
        (elsewhere,) = Reader(chat_of(tokenizer), 64).examples(lazy)
        assert [example.encoded for example in there] == [example.encoded for example in elsewhere]
        assert there.fingerprint == elsewhere.fingerprint

    @pytest.mark.parametrize(("rows", "characters"), [(1, 10**6), (3, 10**6), (100, 10), (100, 200)])
    def test_the_size_of_batches_does_not_matter(
        self, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, rows: int, characters: int
    ) -> None:
        (whole,) = Reader(chat_of(tokenizer), 64).examples(some_rows(12))
        monkeypatch.setattr("dlm.adapters.torch.tokenizing.BATCH_ROWS", rows)
        monkeypatch.setattr("dlm.adapters.torch.tokenizing.BATCH_CHARACTERS", characters)
        (parts,) = Reader(chat_of(tokenizer), 64).examples(some_rows(12))
        assert [example.encoded for example in whole] == [example.encoded for example in parts]

    def test_progress_ends_with_the_last_row(self, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        events: list[Any] = []
        Reader(chat_of(tokenizer), 64).examples(some_rows(), emit=events.append, total=7)
        assert events == [], "what takes a moment is not worth a line"
        monkeypatch.setattr("dlm.adapters.torch.tokenizing.TELL_EVERY_S", 0)
        Reader(chat_of(tokenizer), 64).examples(some_rows()[:4], some_rows()[4:], emit=events.append, total=7)
        assert events[-1] == Progress(stage="tokenize", done=7, total=7, unit="rows")

    def test_a_slow_tokenizer_gives_the_same(self, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        (fast,) = Reader(chat_of(tokenizer), 64).examples(some_rows())
        monkeypatch.setattr(ChatTokenizer, "_is_plainly_fast", False)
        (slow,) = Reader(chat_of(tokenizer), 64).examples(some_rows())
        assert [example.encoded for example in fast] == [example.encoded for example in slow]

    def test_slices_and_rows(self, tokenizer: Any) -> None:
        (examples,) = Reader(chat_of(tokenizer), 64).examples(some_rows())
        assert [example.row for example in examples[2:9:3]] == [examples.row(at) for at in (2, 5, 8)]
        assert list(examples.row_of_each()) == [example.row for example in examples]
        assert examples.longest == max(len(example.encoded) for example in examples)
        assert all(len(a.row.section_id) == 16 for a, _ in pairwise(examples))


@pytest.fixture
def cache(tmp_path: Path) -> FileTokenCache:
    return FileTokenCache(lambda dlm_id: tmp_path / "store" / dlm_id, FixedClock())


class TestTheCacheInTraining:
    def train(self, base: ResolvedBase, into: Path, tokens: Any = None, **changes: Any) -> tuple[str, Tokenized]:
        into.mkdir()
        events: list[Any] = []
        job = tiny.job(base, train_rows=some_rows(), validation_rows=tiny.rows(8)[5:8], **changes)
        TorchTrainer(TorchBases()).train(
            job, into=into, checkpoints=NoCheckpoints(into / "c"), emit=events.append, stop=lambda: False, tokens=tokens
        )
        (told,) = [event for event in events if isinstance(event, Tokenized)]
        return hashlib.sha256((into / "adapter_model.safetensors").read_bytes()).hexdigest(), told

    def test_cached_and_uncached_runs_give_the_same_adapter(
        self, base: ResolvedBase, cache: FileTokenCache, tmp_path: Path
    ) -> None:
        plain, told = self.train(base, tmp_path / "plain")
        assert (told.total_sections, told.cache_hits, told.cache_misses) == (3, 0, 0)
        runs = {"cold": (0, 10), "warm": (10, 0)}
        for name, (hits, misses) in runs.items():
            with cache.open(ID, max_bytes=PLENTY) as tokens:
                adapter, told = self.train(base, tmp_path / name, tokens)
            assert adapter == plain
            assert (told.cache_hits, told.cache_misses) == (hits, misses)
        assert told.cache_bytes_after > 0
        with cache.open(None, max_bytes=1) as tokens:
            adapter, told = self.train(base, tmp_path / "passing", tokens)
        assert (adapter, told.cache_misses) == (plain, 0)

    def test_another_length_of_windows_uses_the_same_rows(
        self, base: ResolvedBase, cache: FileTokenCache, tmp_path: Path
    ) -> None:
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            self.train(base, tmp_path / "a", tokens)
        short = {"recipe": tiny.recipe(sequence_len=96)}
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            adapter, told = self.train(base, tmp_path / "b", tokens, **short)
        assert told.cache_misses == 0
        assert adapter == self.train(base, tmp_path / "c", **short)[0]

    def test_pairs_of_one_section_stay_apart(self, tokenizer: Any, cache: FileTokenCache) -> None:
        chat, answers = chat_of(tokenizer), set()
        for _ in range(2):
            with cache.open(ID, max_bytes=PLENTY) as tokens:
                (examples,) = Reader(chat, 128, tokens=tokens).examples(tiny.rows(6)[:6])
                answers = {chat.tokenizer.decode(example.encoded.ids[-12:]) for example in examples}
            assert len(answers) == 6

    def test_a_run_that_was_cut_off_goes_on_with_the_cache_as_without(
        self, base: ResolvedBase, cache: FileTokenCache, tmp_path: Path
    ) -> None:
        whole, _ = self.train(base, tmp_path / "whole")
        self.train(base, tmp_path / "half", max_steps=3)
        with cache.open(ID, max_bytes=PLENTY) as tokens:
            rest, _ = self.train(base, tmp_path / "rest", tokens, resume_from=tmp_path / "half")
        assert rest == whole


MEMORY = """
import json, resource, sys, tempfile
from pathlib import Path
from dlm.adapters.system_clock import SystemClock
from dlm.adapters.token_cache import FileTokenCache
from dlm.adapters.torch.chat import ChatTokenizer
from dlm.adapters.torch.rows import Reader
from dlm.domain.rows import Row
from transformers import AutoTokenizer

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def text(number):
    return (f"Row {number} of many says that the tide turns at {number % 24}. " * 400)[:20_000]

def row(number):
    return Row(kind="prose", section_id=f"{number:016x}", read=lambda: text(number))

chat = ChatTokenizer(AutoTokenizer.from_pretrained(sys.argv[1]), None)
figures = []
with tempfile.TemporaryDirectory() as home:
    cache = FileTokenCache(lambda dlm_id: Path(home) / dlm_id, SystemClock())
    for count in map(int, sys.argv[2:]):
        for _ in range(2):
            with cache.open("X", max_bytes=2**40) as tokens:
                (examples,) = Reader(chat, 2048, tokens=tokens).examples(row(number) for number in range(count))
                figures.append({"peak_mb": peak(), "rows": len(examples.rows), "misses": tokens.use().misses})
print(json.dumps(figures))
"""


def test_memory_does_not_grow_with_the_corpus(base: ResolvedBase) -> None:
    """From 6 to 40 MB of text the ids alone, one a byte here, grow by 136 MB. What stays in memory is rows and bounds:
    10,000 such rows, 200 MB, were measured to take 40 MB."""
    command = [sys.executable, "-c", MEMORY, str(base.folder), "300", "2000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, small, _, large = json.loads(done.stdout)
    assert (large["misses"], large["rows"]) == (0, 2000)
    assert large["peak_mb"] - small["peak_mb"] < 20


def test_tokens_in_memory() -> None:
    tokens = MemoryTokens()
    handle = tokens.add("a", range(5), 2)
    assert tokens.find("a") == handle == tokens.add("a", (9,), 0)
    assert (tokens.length(handle), tokens.read(handle, 1, 3)[0].tolist()) == (5, [1, 2])
    assert tokens.find("b") is None
