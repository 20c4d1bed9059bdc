"""What every reader of adapter folders promises, as tests. Needs pytest.

class TestMyFiles(AdapterFilesContract):
    @pytest.fixture
    def files(self):
        return MyFiles()

    def make(self, folder, *, rank=4, base_name="example/tiny", use_qlora=False, use_dora=False):
        ...  # writes an adapter this reader can read
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlm.domain.errors import ExportError
from dlm.ports.adapter_files import AdapterFilesPort, MixMethod, MixPart


class AdapterFilesContract:
    """Subclass it; give a ``files`` fixture and ``make``."""

    @pytest.fixture
    def files(self) -> AdapterFilesPort:
        """Give the reader under test."""
        raise NotImplementedError("override the files fixture")

    def make(
        self,
        folder: Path,
        *,
        rank: int = 4,
        base_name: str = "example/tiny",
        use_qlora: bool = False,
        use_dora: bool = False,
    ) -> Path:
        """Write an adapter and give its folder."""
        raise NotImplementedError("override make")

    def mixed(self, files: AdapterFilesPort, tmp_path: Path, method: MixMethod, *parts: MixPart) -> Path:
        """Mix into a fresh folder."""
        into = tmp_path / "mixed"
        into.mkdir()
        files.mix(parts, method, into)
        return into

    def test_facts_tell_what_the_folder_holds(self, files: AdapterFilesPort, tmp_path: Path) -> None:
        facts = files.facts(self.make(tmp_path / "a", rank=4, base_name="example/Tiny"))
        assert (facts.base_name, facts.kind, facts.highest_rank) == ("example/Tiny", "LORA", 4)
        assert facts.ranks.keys() == facts.alphas.keys() != set()
        assert not facts.trained_4bit
        assert not facts.use_dora
        assert facts.has_chat_template
        assert facts.vocabulary_size is not None

    def test_four_bit_and_dora_are_seen(self, files: AdapterFilesPort, tmp_path: Path) -> None:
        assert files.facts(self.make(tmp_path / "q", use_qlora=True)).trained_4bit
        assert files.facts(self.make(tmp_path / "d", use_dora=True)).use_dora

    def test_a_missing_file_is_told(self, files: AdapterFilesPort, tmp_path: Path) -> None:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            folder = self.make(tmp_path / name)
            (folder / name).unlink()
            with pytest.raises(ExportError, match=name) as caught:
                files.facts(folder)
            assert caught.value.subject == "preflight[adapter_config]"

    def test_a_record_that_cannot_be_read_is_refused(self, files: AdapterFilesPort, tmp_path: Path) -> None:
        folder = self.make(tmp_path / "a")
        for text in ("", "[]", '{"use_qlora": 1}', '{"use_qlora": true'):
            (folder / "training_run.json").write_text(text, encoding="utf-8")
            with pytest.raises(ExportError) as caught:
                files.facts(folder)
            assert caught.value.subject == "preflight[training_run_json]"

    def test_a_mix_adds_ranks_up_or_cuts_them(self, files: AdapterFilesPort, tmp_path: Path) -> None:
        parts = [
            MixPart(name="one", folder=self.make(tmp_path / "one", rank=4), weight=1.0),
            MixPart(name="two", folder=self.make(tmp_path / "two", rank=2), weight=0.5),
        ]
        linear = self.mixed(files, tmp_path, "linear", *parts)
        assert files.facts(linear).highest_rank == 6
        linear.rename(tmp_path / "linear")
        assert files.facts(self.mixed(files, tmp_path, "svd", *parts)).highest_rank == 4

    def test_a_mix_is_an_adapter_with_its_tokenizer(self, files: AdapterFilesPort, tmp_path: Path) -> None:
        one = self.make(tmp_path / "one", use_qlora=True)
        two = self.make(tmp_path / "two")
        mixed = self.mixed(
            files,
            tmp_path,
            "linear",
            MixPart(name="one", folder=one, weight=1),
            MixPart(name="two", folder=two, weight=2),
        )
        facts = files.facts(mixed)
        assert facts.trained_4bit
        assert facts.has_chat_template
        assert facts.vocabulary_size == files.facts(one).vocabulary_size
        assert json.loads((mixed / "training_run.json").read_text(encoding="utf-8")) == {"use_qlora": True}

    def test_what_does_not_add_up_is_refused(self, files: AdapterFilesPort, tmp_path: Path) -> None:
        one = MixPart(name="one", folder=self.make(tmp_path / "one"), weight=1)
        for name, folder in {
            "dora": self.make(tmp_path / "dora", use_dora=True),
            "other": self.make(tmp_path / "other", base_name="example/other"),
        }.items():
            into = tmp_path / f"into-{name}"
            into.mkdir()
            with pytest.raises(ExportError, match=name):
                files.mix([one, MixPart(name=name, folder=folder, weight=1)], "linear", into)
            assert list(into.iterdir()) == []
