"""Exporting on fakes: what is refused before anything is written, what is written, what is put on record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from dlm.domain.adapter_facts import AdapterFacts
from dlm.domain.anchor_bank import BANK
from dlm.domain.document import Document
from dlm.domain.errors import BaseModelError, DiskError, DlmError, ExportError, MetricsError, UsageError
from dlm.domain.events import Note
from dlm.domain.export_manifest import NAME, export_manifest_from_json
from dlm.domain.export_report import ExportReport
from dlm.domain.json_record import parse_object
from dlm.domain.metrics import ExportMetrics
from dlm.domain.rows import Turn
from dlm.testing.adapter_files import FakeAdapterFiles, write_fake_adapter
from dlm.testing.chat_formats import FakeChatFormat, tagged
from dlm.testing.exporters import FakeExporter
from dlm.testing.exports import MemoryExports
from dlm.testing.imatrices import FlatImatrix
from dlm.testing.importance_caches import MemoryImportanceCache
from dlm.testing.launchers import FakeLauncher
from dlm.testing.metrics import MemoryMetrics
from dlm.testing.ollamas import FakeOllama
from dlm.testing.references import FakeReference, ToyModel
from dlm.testing.runtimes import FakeRuntime
from dlm.wiring import Workspace
from run_cases import ID, Scene, a_document, a_text


@attrs.define(kw_only=True)
class Exporting:
    """A scene with everything exporting needs, all fakes."""

    scene: Scene
    exports: Any = attrs.field(factory=MemoryExports)
    gguf: Any = attrs.field(factory=FakeExporter)
    peft: Any = attrs.field(factory=lambda: FakeExporter("peft"))
    mlx: Any = attrs.field(factory=lambda: FakeExporter("mlx"))
    adapter_files: Any = attrs.field(factory=FakeAdapterFiles)
    chat_format: Any = attrs.field(factory=FakeChatFormat)
    imatrix: Any = attrs.field(factory=FlatImatrix)
    importance_cache: Any = attrs.field(factory=MemoryImportanceCache)
    runtime: Any = attrs.field(factory=FakeRuntime)
    references: Any = attrs.field(factory=FakeReference)
    launcher: Any = attrs.field(factory=FakeLauncher)
    ollama: Any = attrs.field(factory=FakeOllama)
    events: list[Any] = attrs.field(factory=list)

    @property
    def workspace(self) -> Workspace:
        scene, exporters = self.scene, {"ollama": self.gguf, "llama-server": self.gguf, "mlx-serve": self.mlx}
        return Workspace(
            scene.folder / "home",
            store=scene.store,
            registry=scene.registry,
            hardware=scene.hardware,
            sources=scene.sources,
            replay=scene.replay,
            metrics=scene.metrics,
            clock=scene.clock,
            exports=self.exports,
            exporters={**exporters, "vllm": self.peft, "hf-adapter": self.peft},
            adapter_files=self.adapter_files,
            chat_format=self.chat_format,
            imatrix=self.imatrix,
            importance_cache=self.importance_cache,
            runtime=self.runtime,
            references=self.references,
            launcher=self.launcher,
            ollama=self.ollama,
            environ={},
        )

    def export(self, document: Document, **options: Any) -> ExportReport:
        return self.workspace.export(document, on_event=self.events.append, **options)

    def files(self, report: ExportReport) -> dict[str, str]:
        return {path.relative_to(report.path).as_posix(): path.read_text() for path in sorted(report.path.rglob("*.*"))}

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Note) and event.severity == "warning"]

    @property
    def writes_nothing(self) -> bool:
        """Whether no weights were written and no export is there."""
        return self.gguf.written == self.peft.written == self.mlx.written == []


@pytest.fixture
def exporting(tmp_path: Path) -> Exporting:
    """Give a trained document's scene."""
    scene = Scene(folder=tmp_path)
    scene.train(a_document())
    return Exporting(scene=scene)


def several(tmp_path: Path, exporting: Exporting, **kinds: str) -> Document:
    """Give a document with named adapters, committed by hand: training several is another story."""
    training = "adapters:\n" + "".join(f"  {name}: {{}}\n" for name in kinds)
    with exporting.scene.store.writer(ID) as writer:
        for rank, (name, kind) in enumerate(kinds.items(), 4):
            with writer.stage_version(name) as staged:
                write_fake_adapter(
                    staged.folder,
                    rank=rank,
                    base_name="example/tiny",
                    use_qlora=kind == "qlora",
                    use_dora=kind == "dora",
                )
                staged.commit()
    return a_document(training=training)


class TestLlamaServer:
    def test_everything_lies_in_one_folder(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), target="llama-server", quant="Q8_0")
        files = exporting.files(report)
        assert report.path == exporting.exports.location(ID, "Q8_0")
        assert {"base.Q8_0.gguf", "adapter.gguf", "chat-template.jinja", "llama-server_launch.sh", NAME} <= set(files)
        assert (report.path / "Modelfile").read_text().count("TEMPLATE") == 1
        assert (report.path / "llama-server_launch.sh").stat().st_mode & 0o111
        assert files["chat-template.jinja"] == exporting.chat_format.read(None, Path()).jinja
        assert report.usage == (f"bash {report.path}/llama-server_launch.sh",)

    def test_the_manifest_tells_what_is_there(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), target="llama-server", quant="Q8_0")
        text = (report.path / NAME).read_text()
        assert export_manifest_from_json(text, "m") == report.manifest
        record = parse_object(text)
        assert record["target"] == "llama-server"
        assert (record["quant"], record["merged"], record["dequantized"]) == ("Q8_0", False, False)
        assert record["ollama_name"] is None
        assert record["base_model_hf_id"] == "example/tiny"
        assert record["adapter_version"] == 1
        assert record["smoke"] == {"ok": True, "first_line": "Hello there."}
        assert record["parity"]["mean_kl"] == 0.0
        assert {item["path"] for item in record["artifacts"]} == {
            path.name for path in report.path.iterdir() if path.name != NAME
        }
        for item in record["artifacts"]:
            assert item["size_bytes"] == (report.path / item["path"]).stat().st_size

    def test_it_is_put_on_record(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), target="llama-server", quant="Q8_0")
        (row,) = exporting.scene.manifest.exports
        assert (row.target, row.quant, row.folder) == ("llama-server", "Q8_0", "Q8_0")
        assert row.smoke_output_first_line == "Hello there."
        assert row.parity["bound"] == 0.01
        digests = {artifact.path: artifact.sha256 for artifact in report.manifest.artifacts}
        assert row.base_gguf_sha256 == digests["base.Q8_0.gguf"]
        assert row.adapter_gguf_sha256 == digests["adapter.gguf"]
        (figures,) = exporting.scene.metrics.exports(ID)
        assert (figures.quant, figures.size_bytes) == ("Q8_0", report.size_bytes)

    def test_show_tells_of_it(self, exporting: Exporting, tmp_path: Path) -> None:
        document = a_document(path=tmp_path / "notes.dlm")
        exporting.export(document, target="llama-server", quant="Q8_0")
        text = exporting.workspace.show(tmp_path / "notes.dlm").to_text()
        assert "1, last for llama-server Q8_0" in text
        assert "0.0000 nats apart (bound 0.01)" in text

    def test_the_script_is_tried_beside_its_files(self, exporting: Exporting) -> None:
        exporting.export(a_document(), target="llama-server")
        (job,) = exporting.launcher.jobs
        assert job.script.name == "llama-server_launch.sh"
        assert not job.script.exists()  # it ran where the export was made, before it was put in place

    def test_without_a_server_the_script_is_not_tried(self, exporting: Exporting) -> None:
        exporting.launcher = FakeLauncher(lacking={"llama-server": "no llama.cpp here"})
        report = exporting.export(a_document(), target="llama-server")
        assert report.manifest.smoke is None
        assert "the launch script was not tried: no llama.cpp here" in exporting.warnings

    def test_a_merged_model_is_one_file(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), target="llama-server", quant="F16", merged=True)
        assert "merged.F16.gguf" in exporting.files(report)
        assert "adapter.gguf" not in exporting.files(report)
        assert "--lora" not in (report.path / "llama-server_launch.sh").read_text()
        assert exporting.scene.manifest.exports[-1].adapter_gguf_sha256 is None

    def test_an_adapter_that_needs_it_is_merged_by_itself(self, exporting: Exporting, tmp_path: Path) -> None:
        document = several(tmp_path, exporting, knowledge="dora")
        report = exporting.export(document, target="llama-server", adapter="knowledge")
        assert report.plan.merged.value
        assert "DoRA" in report.plan.merged.reason

    def test_a_template_that_ollama_cannot_write_leaves_the_modelfile_out(self, exporting: Exporting) -> None:
        exporting.chat_format = FakeChatFormat(render=lambda turns: f"{len(turns)} {tagged(turns)}")
        exporting.references = exporting.runtime = None  # the fakes write otherwise; this is about the Modelfile
        report = exporting.export(a_document(), target="llama-server", smoke=False)
        assert not (report.path / "Modelfile").exists()
        assert any("there is no Modelfile" in event.message for event in exporting.events if isinstance(event, Note))
        with pytest.raises(ExportError) as caught:
            exporting.export(a_document(), target="ollama", smoke=False)
        assert caught.value.code == "template.unlike"


class TestOllama:
    def test_it_is_registered_and_asked(self, exporting: Exporting) -> None:
        exporting.ollama = CountingOllama()
        report = exporting.export(a_document(), quant="Q8_0")
        assert report.manifest.ollama_name == f"dlm-{ID.lower()}:v0001"
        assert exporting.ollama.smoked == [report.manifest.ollama_name]
        assert report.manifest.smoke is not None
        assert report.usage == (f"ollama run {report.manifest.ollama_name}",)
        assert exporting.scene.manifest.exports[-1].ollama_name == report.manifest.ollama_name

    def test_one_that_reads_other_prompts_is_refused(self, exporting: Exporting) -> None:
        exporting.ollama = CountingOllama(extra=2)
        with pytest.raises(ExportError) as caught:
            exporting.export(a_document())
        assert caught.value.subject == "template"
        assert not exporting.exports.location(ID, "Q4_K_M").exists()

    def test_nothing_is_registered_when_it_is_not_wanted(self, exporting: Exporting) -> None:
        exporting.ollama = FakeOllama(error=ExportError("ollama.missing", "no Ollama", subject="ollama"))
        report = exporting.export(a_document(), register=False)
        assert report.manifest.ollama_name is None
        assert report.usage[0].startswith("ollama create ")
        assert (report.path / "Modelfile").exists()

    def test_registered_and_not_asked(self, exporting: Exporting) -> None:
        exporting.ollama = CountingOllama()
        report = exporting.export(a_document(), smoke=False)
        assert report.manifest.ollama_name is not None
        assert exporting.ollama.smoked == []
        assert report.manifest.parity is None
        assert report.manifest.parity_skipped == "--no-smoke"

    def test_the_modelfile_without_a_template(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), register=False, template=False)
        assert "TEMPLATE" not in (report.path / "Modelfile").read_text()

    def test_its_own_name_and_draft(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), register=False, name="ada/notes:1", draft="qwen2.5:0.5b")
        assert report.plan.name == "ada/notes:1"
        assert "qwen2.5:0.5b" in (report.path / "Modelfile").read_text()
        report = exporting.export(a_document(), register=False, draft=False)
        assert "qwen2.5" not in (report.path / "Modelfile").read_text()


class CountingOllama(FakeOllama):
    """Counts tokens as the fake chat format writes conversations."""

    def __init__(self, *, extra: int = 0) -> None:
        super().__init__()
        self.extra = extra
        self.smoked: list[str] = []

    def prompt_tokens(self, name: str, turns: Any) -> int:
        return len(tagged(turns).encode()) + self.extra

    def smoke(self, name: str, question: str = "Hello.") -> str:
        self.smoked.append(name)
        return super().smoke(name, question)


class TestAdapterFolders:
    @pytest.mark.parametrize(("target", "script"), [("vllm", "vllm_launch.sh"), ("mlx-serve", "mlx_serve_launch.sh")])
    def test_a_server_that_loads_base_and_adapter(self, exporting: Exporting, target: str, script: str) -> None:
        report = exporting.export(a_document(), target=target)
        assert (report.path / script).stat().st_mode & 0o111
        assert report.manifest.quant == "hf"
        assert report.manifest.parity is None
        assert exporting.launcher.jobs[0].model is not None
        assert report.path.name == target
        assert exporting.files(report)["chat-template.jinja"] == exporting.chat_format.read(None, Path()).jinja
        assert "chat-template.jinja" in (report.path / script).read_text()

    def test_vllm_is_told_the_rank(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), target="vllm")
        config = json.loads((report.path / "vllm_config.json").read_text())
        assert config["lora_modules"] == [{"name": "adapter", "path": "adapters/adapter", "adapter_version": 1}]
        assert config["max_lora_rank"] >= 8
        assert "--max-lora-rank" in (report.path / "vllm_launch.sh").read_text()

    def test_options_that_mean_nothing_are_named_once(self, exporting: Exporting) -> None:
        exporting.export(a_document(), target="vllm", quant="Q8_0", merged=True, dequantize=True, register=False)
        notes = [
            event.message for event in exporting.events if isinstance(event, Note) and "nothing for" in event.message
        ]
        assert notes == ["--quant, --merged, --dequantize, --skip-ollama mean nothing for vLLM"]

    def test_the_hub_gets_a_card_and_nothing_to_start(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), target="hf-adapter")
        files = exporting.files(report)
        assert "base_model: example/tiny" in files["README.md"]
        assert exporting.launcher.jobs == []
        assert not any(name.endswith(".sh") for name in files)

    @pytest.mark.parametrize("target", ["llama-server", "vllm", "mlx-serve", "hf-adapter"])
    def test_questions_for_an_evaluation(self, exporting: Exporting, target: str) -> None:
        report = exporting.export(a_document(), target=target, evaluation=True)
        assert "Who is the harbour master of Velm?" in exporting.files(report)["sway.yaml"]


class TestSeveralAdapters:
    def test_one_by_name(self, exporting: Exporting, tmp_path: Path) -> None:
        document = several(tmp_path, exporting, knowledge="lora", tone="lora")
        report = exporting.export(document, target="llama-server", quant="Q8_0", adapter="tone")
        assert report.path.name == "Q8_0-tone"
        assert report.manifest.adapter_name == "tone"
        assert report.plan.name.endswith("-tone")

    def test_vllm_serves_all(self, exporting: Exporting, tmp_path: Path) -> None:
        report = exporting.export(several(tmp_path, exporting, knowledge="lora", tone="lora"), target="vllm")
        assert [job.module for job in exporting.peft.written] == ["knowledge", "tone"]
        config = json.loads((report.path / "vllm_config.json").read_text())
        assert [module["name"] for module in config["lora_modules"]] == ["knowledge", "tone"]

    def test_a_mix(self, exporting: Exporting, tmp_path: Path) -> None:
        document = several(tmp_path, exporting, knowledge="lora", tone="lora")
        report = exporting.export(document, target="llama-server", adapter_mix="knowledge:1,tone:0.5")
        assert report.path.name.startswith("Q4_K_M-mix-")
        assert report.manifest.adapter_mix == (("knowledge", 1.0), ("tone", 0.5))
        assert exporting.gguf.written[0].facts.highest_rank == 9
        report = exporting.export(document, target="llama-server", adapter_mix="knowledge:1,tone:0.5", mix_method="svd")
        assert exporting.gguf.written[1].facts.highest_rank == 5

    def test_others_want_a_choice(self, exporting: Exporting, tmp_path: Path) -> None:
        document = several(tmp_path, exporting, knowledge="lora", tone="lora")
        with pytest.raises(UsageError) as caught:
            exporting.export(document, target="llama-server")
        assert "knowledge, tone" in caught.value.message

    def test_adapters_over_4_bits_are_mixed_when_merged(self, exporting: Exporting, tmp_path: Path) -> None:
        document = several(tmp_path, exporting, knowledge="qlora", tone="lora")
        with pytest.raises(ExportError) as caught:
            exporting.export(document, target="llama-server", adapter_mix="knowledge:1,tone:1")
        assert "--merged --dequantize" in (caught.value.hint or "")
        report = exporting.export(
            document, target="llama-server", adapter_mix="knowledge:1,tone:1", merged=True, dequantize=True
        )
        assert report.manifest.dequantized


class WithoutTemplate(FakeAdapterFiles):
    """Adapters whose tokenizer knows no conversations."""

    def facts(self, folder: Path) -> AdapterFacts:
        return attrs.evolve(super().facts(folder), has_chat_template=False)


class TestImportance:
    def test_small_documents_are_filled_up_with_ordinary_questions(self, exporting: Exporting) -> None:
        report = exporting.export(a_document(), target="llama-server")
        assert report.manifest.imatrix_sha256 is not None
        (text,) = exporting.imatrix.texts
        assert text.index("harbour master") < text.index(BANK[0])
        assert tagged([Turn("user", BANK[0])]) in text

    def test_without_conversations_they_are_quantised_statically(self, exporting: Exporting) -> None:
        exporting.adapter_files = WithoutTemplate()
        report = exporting.export(a_document(), register=False, template=False)
        assert report.manifest.imatrix_sha256 is None
        assert any("static quantisation" in event.message for event in exporting.events if isinstance(event, Note))

    @pytest.mark.parametrize(
        ("options", "is_used"), [({}, True), ({"imatrix": False}, False), ({"quant": "Q8_0"}, False)]
    )
    def test_long_ones_are_measured(self, exporting: Exporting, options: dict[str, Any], *, is_used: bool) -> None:
        document = a_document("The lighthouse of Velm stands on a rock in the sea. " * 100)
        exporting.scene.registry = WithDigest(exporting.scene.registry)
        report = exporting.export(document, target="llama-server", **options)
        assert (report.manifest.imatrix_sha256 is not None) == is_used
        assert (exporting.gguf.written[0].importance is not None) == is_used


class WithDigest:
    """A registry whose bases were digested, as real ones are."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.describe = inner.describe

    def fetch(self, spec: Any, **options: Any) -> Any:
        base = self._inner.fetch(spec, **options)
        return attrs.evolve(base, sha256=base.sha256 or "a" * 64)


class TestRefusals:
    """Nothing is written, the export before stays, and the message says what to do."""

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            ({"target": "floppy"}, "export.unknown-target"),
            ({"quant": "Q3"}, "export.unknown-quant"),
            ({"dequantize": True}, "export.options"),
            ({"mix_method": "svd"}, "export.options"),
            ({"adapter": "a", "adapter_mix": "a:1"}, "export.options"),
            ({"adapter": "tone"}, "export.adapter"),
            ({"adapter_mix": "tone:1"}, "export.adapter"),
            ({"name": "-rf /"}, "ollama.name"),
            ({"draft": "--help"}, "export.draft"),
        ],
    )
    def test_what_cannot_be_meant(self, exporting: Exporting, options: dict[str, Any], code: str) -> None:
        with pytest.raises(UsageError) as caught:
            exporting.export(a_document(), **options)
        assert caught.value.code == code
        assert caught.value.exit_code == 2
        assert caught.value.hint
        assert exporting.writes_nothing

    def test_a_document_that_was_never_trained(self, tmp_path: Path) -> None:
        exporting = Exporting(scene=Scene(folder=tmp_path))
        with pytest.raises(ExportError) as caught:
            exporting.export(a_document())
        assert caught.value.code == "infer.no-adapter"
        assert "dlm train" in (caught.value.hint or "")

    def test_a_document_that_names_another_base_now(self, exporting: Exporting) -> None:
        with pytest.raises(ExportError) as caught:
            exporting.export(a_document(base="other"))
        assert caught.value.code == "infer.base-changed"

    def test_an_adapter_from_another_base(self, exporting: Exporting, tmp_path: Path) -> None:
        document = several(tmp_path, exporting, tone="lora")
        folder = exporting.scene.store.current(ID, "tone").folder
        write_fake_adapter(folder, base_name="somebody/else")
        with pytest.raises(ExportError) as caught:
            exporting.export(document, target="llama-server", adapter="tone")
        assert caught.value.subject == "preflight[adapter_config]"
        assert exporting.writes_nothing

    def test_a_base_whose_files_changed(self, exporting: Exporting) -> None:
        exporting.scene.registry = WithDigest(exporting.scene.registry)
        store = exporting.scene.store
        with store.writer(ID) as writer:
            writer.save_manifest(attrs.evolve(store.manifest(ID), base_model_sha256="b" * 64))
        with pytest.raises(ExportError) as caught:
            exporting.export(a_document(), target="llama-server")
        assert caught.value.subject == "preflight[base_identity]"
        assert exporting.writes_nothing

    def test_a_base_that_cannot_be_converted(self, exporting: Exporting) -> None:
        exporting.gguf = FakeExporter(refusal=ExportError("export.architecture", "unknown", hint="--target vllm"))
        with pytest.raises(ExportError):
            exporting.export(a_document(), target="llama-server")
        assert not exporting.exports.location(ID, "Q4_K_M").exists()
        assert exporting.export(a_document(), target="vllm").path.exists()

    @pytest.mark.parametrize("code", ["ollama.missing", "ollama.too-old", "ollama.not-running"])
    def test_ollama_is_looked_for_before_the_work(self, exporting: Exporting, code: str) -> None:
        exporting.ollama = FakeOllama(error=ExportError(code, "no", subject="ollama", hint="--skip-ollama"))
        with pytest.raises(ExportError) as caught:
            exporting.export(a_document())
        assert caught.value.code == code
        assert exporting.writes_nothing

    def test_a_tokenizer_that_knows_no_conversations(self, exporting: Exporting) -> None:
        exporting.chat_format = FakeChatFormat(has_template=False)
        with pytest.raises(BaseModelError):
            exporting.export(a_document(), target="llama-server")
        assert exporting.writes_nothing

    def test_texts_that_cannot_be_written(self, exporting: Exporting) -> None:
        text = a_text().replace("base_model: tiny\n", """base_model: tiny\nsystem_prompt: 'Say \"\"\"yes\"\"\".'\n""")
        with pytest.raises(ExportError) as caught:
            exporting.export(Document.parse(text), target="llama-server", template=False)
        assert caught.value.code == "modelfile.text"
        assert exporting.writes_nothing

    def test_no_room(self, exporting: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exporting.scene.store, "free_bytes", lambda: 4 << 30)
        exporting.gguf = FakeExporter(needs=3 << 30)
        assert exporting.export(a_document(), target="llama-server").path.exists()
        exporting.gguf = FakeExporter(needs=4 << 30)
        with pytest.raises(DiskError) as caught:
            exporting.export(a_document(), target="llama-server")
        assert caught.value.code == "disk.preflight"
        assert exporting.writes_nothing


class TestFailures:
    """Whatever goes wrong half-way, the export before stays as it was."""

    def fails(self, exporting: Exporting, **options: Any) -> DlmError:
        before = exporting.export(a_document(), target="llama-server", quant="Q8_0")
        files = exporting.files(before)
        rows = len(exporting.scene.manifest.exports)
        for name, part in options.items():
            setattr(exporting, name, part)
        with pytest.raises(DlmError) as caught:
            exporting.export(a_document(), target="llama-server", quant="Q8_0")
        assert exporting.files(before) == files
        assert len(exporting.scene.manifest.exports) == rows
        assert [path.name for path in before.path.parent.iterdir()] == ["Q8_0"]
        return caught.value

    def test_the_disk_fills_up(self, exporting: Exporting) -> None:
        assert isinstance(self.fails(exporting, gguf=FakeExporter(room=40)), DiskError)

    def test_the_exported_model_says_something_else(self, exporting: Exporting) -> None:
        error = self.fails(exporting, runtime=FakeRuntime(ToyModel(seed=7)))
        assert error.code == "export.parity"
        assert error.subject == "parity"
        assert "--no-smoke" in (error.hint or "")

    def test_the_server_dies(self, exporting: Exporting) -> None:
        dead = FakeLauncher(error=ExportError("smoke.ended", "it died", subject="smoke", hint="--no-smoke"))
        assert self.fails(exporting, launcher=dead).code == "smoke.ended"

    def test_unlike_and_kept_all_the_same(self, exporting: Exporting) -> None:
        exporting.runtime = FakeRuntime(ToyModel(seed=7))
        assert exporting.export(a_document(), target="llama-server", smoke=False).path.exists()

    def test_an_observer_that_raises(self, exporting: Exporting) -> None:
        def boom(_: object) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            exporting.workspace.export(a_document(), target="llama-server", on_event=boom)
        assert not exporting.exports.location(ID, "Q4_K_M").exists()

    def test_figures_that_cannot_be_kept_are_a_warning(self, exporting: Exporting) -> None:
        class Broken(MemoryMetrics):
            def add_export(self, dlm_id: str, export: ExportMetrics) -> None:
                raise MetricsError("metrics.unwritable", "read-only")

        exporting.scene.metrics = Broken()
        assert exporting.export(a_document(), target="llama-server").path.exists()
        assert any("read-only" in warning for warning in exporting.warnings)


class TestNotCompared:
    def test_why(self, exporting: Exporting) -> None:
        exporting.runtime = FakeRuntime(missing="no llama.cpp here")
        report = exporting.export(a_document(), target="llama-server")
        assert report.manifest.parity is None
        assert report.manifest.parity_skipped == "no llama.cpp here"
        assert "no llama.cpp here" in exporting.warnings[0]
        assert "not compared with the trained model" in report.to_text()

    def test_little_memory_is_enough_to_compare_conversations(self, exporting: Exporting, tmp_path: Path) -> None:
        machine = exporting.scene.hardware.probe()
        exporting.scene.hardware = Machine(attrs.evolve(machine, ram_free_gb=1e-6))
        exporting.runtime = FakeRuntime(Tagged())
        report = exporting.export(a_document(), target="llama-server")
        assert report.manifest.parity is not None
        assert report.manifest.parity.mean_kl is None
        assert exporting.references.opened == []
        assert "GiB of memory" in exporting.warnings[0]
        assert "was not measured: that takes" in report.to_text()
        (tmp_path / "notes.dlm").write_text(a_text())
        shown = exporting.workspace.show(tmp_path / "notes.dlm").to_text()
        assert "conversations as the trained model does" in shown
        exporting.runtime = FakeRuntime(ToyModel(template="[{role}] {content}"))
        with pytest.raises(ExportError, match="writes conversations otherwise"):
            exporting.export(a_document(), target="llama-server")


class Tagged(ToyModel):
    """Writes conversations as the fake tokenizer does."""

    def render(self, turns: Sequence[Turn]) -> str:
        return tagged(turns)


@attrs.frozen
class Machine:
    """A machine as it is given."""

    capabilities: Any

    def probe(self) -> Any:
        return self.capabilities


def test_the_report_is_one_json_object(exporting: Exporting) -> None:
    record: Mapping[str, Any] = json.loads(json.dumps(exporting.export(a_document(), target="vllm").to_json()))
    assert {"dlm_id", "path", "target", "quant", "artifacts", "usage", "seconds", "plan", "size_bytes"} <= set(record)


def test_the_document_decides_where_nothing_is_asked(exporting: Exporting) -> None:
    text = a_text().replace(
        "---\n#", "export:\n  default_quant: Q6_K\n  default_temperature: 0.2\n  default_top_p: 0.5\n---\n#"
    )
    report = exporting.export(Document.parse(text), register=False)
    modelfile = (report.path / "Modelfile").read_text()
    assert report.manifest.quant == "Q6_K"
    assert "PARAMETER temperature 0.2" in modelfile
    assert "PARAMETER top_p 0.5" in modelfile
