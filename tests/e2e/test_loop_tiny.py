"""The whole loop with real torch on a tiny base: repeatable, loadable by others, within its own four walls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dlm.domain.report import RunReport
from dlm.wiring import Workspace
from run_cases import ID
from tiny_runs import (
    QUESTION,
    adapter_files,
    base_folder,
    document_on,
    environment,
    greedy,
    text_on,
    tree,
)

__all__ = ["base_folder"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:  # shadows the function's fixture: one run for all tests
    return tmp_path_factory.mktemp("loop") / "home"


@pytest.fixture(scope="module")
def workspace(home: Path) -> Workspace:
    return Workspace(home, environ={})


@pytest.fixture(scope="module")
def report(workspace: Workspace, base_folder: Path) -> RunReport:
    return workspace.train(document_on(base_folder))


def test_it_learns(report: RunReport) -> None:
    first, last = report.curve[0].loss, report.final_train_loss
    assert last is not None
    assert last < first
    assert report.exam is not None
    assert report.exam.probes == 16
    assert report.exam.drift > 0


def test_the_same_document_twice_gives_the_same_bytes(report: RunReport, base_folder: Path, tmp_path: Path) -> None:
    again = Workspace(tmp_path / "other", environ={}).train(document_on(base_folder))
    assert adapter_files(again) == adapter_files(report)
    third = Workspace(tmp_path / "other", environ={}).train(document_on(base_folder), mode="fresh")
    assert third.adapter_version == 2
    assert adapter_files(third) == adapter_files(report)


def test_another_seed_gives_another_adapter(report: RunReport, base_folder: Path, tmp_path: Path) -> None:
    other = Workspace(tmp_path, environ={}).train(document_on(base_folder), seed=7)
    assert adapter_files(other)[0] != adapter_files(report)[0]


@pytest.mark.parametrize("seed", [0, -1, 2**32, 2**63 - 1])
def test_any_seed_a_document_can_name(base_folder: Path, tmp_path: Path, seed: int) -> None:
    document = document_on(base_folder, extra=f"seed: {seed}")
    assert Workspace(tmp_path, environ={}).train(document, max_steps=1).steps == 1


def test_a_capped_run_goes_on_to_the_same_end(report: RunReport, base_folder: Path, tmp_path: Path) -> None:
    workspace, document = Workspace(tmp_path, environ={}), document_on(base_folder)
    assert workspace.train(document, max_steps=2).stopped == "max-steps"
    rest = workspace.train(document, mode="resume")
    assert (rest.steps, rest.adapter_version) == (report.steps, 2)
    assert adapter_files(rest) == adapter_files(report)
    assert workspace.train(document, mode="resume").status == "nothing-to-do"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT's own, about transformers
def test_plain_peft_loads_it_and_says_the_same(report: RunReport, workspace: Workspace, base_folder: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(str(report.adapter_path))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    dtype = workspace.trainer._bases._spec.precision  # type: ignore[attr-defined]
    model = AutoModelForCausalLM.from_pretrained(
        base_folder, dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    )
    adapted = PeftModel.from_pretrained(model, str(folder))
    turns = [{"role": "user", "content": QUESTION}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        out = adapted.generate(**inputs, max_new_tokens=12, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    answer = tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert greedy(workspace, document_on(base_folder)) == answer


def test_the_adapter_is_in_use(report: RunReport, workspace: Workspace, base_folder: Path) -> None:
    """Its answers differ from the bare base's somewhere, or asking it would prove nothing."""
    assert report.exam is not None
    queries = [QUESTION, "When does the lighthouse close?", "Hello?"]
    answers = {query: greedy(workspace, document_on(base_folder), query) for query in queries}
    assert greedy(workspace, document_on(base_folder)) == answers[QUESTION]
    assert report.exam.drift > 1e-4


def test_a_given_seed_repeats_a_drawn_answer(report: RunReport, workspace: Workspace, base_folder: Path) -> None:
    def ask(seed: int) -> str:
        pieces = workspace.prompt(document_on(base_folder), QUESTION, temperature=1.5, seed=seed, max_tokens=24)
        return "".join(pieces)

    assert ask(1) == ask(1)
    assert len({ask(seed) for seed in range(4)}) > 1


def test_no_file_of_the_store_can_run_code(report: RunReport, home: Path) -> None:
    kinds = {".json", ".jsonl", ".safetensors", ".sha256", ".txt", ".lock", ".jinja"}
    data = {"metrics.sqlite": b"SQLite format 3\0", "corpus.zst": b"\x28\xb5\x2f\xfd", "index.bin": b"DLMRPLY1"}
    for name, content in tree(home).items():
        if Path(name).name in data:
            assert content.startswith(data[Path(name).name]), name
            continue
        assert Path(name).suffix in kinds, name
        if Path(name).suffix == ".safetensors":
            length = int.from_bytes(content[:8], "little")
            assert isinstance(json.loads(content[8 : 8 + length]), dict)
        else:
            assert content.decode().isprintable() or "\n" in content.decode(), name
        if Path(name).suffix == ".json":
            json.loads(content)


def test_the_version_folder_holds_what_others_expect(report: RunReport) -> None:
    folder = Path(str(report.adapter_path))
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_run.json",
        "training_state.safetensors",
        "training_state.sha256",
        "pinned_versions.json",
    }
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["target_modules"] == sorted(config["target_modules"])
    assert "lm_head" not in config["target_modules"]
    assert config["inference_mode"] is True


def test_the_loaded_base_is_given_back_as_it_was(workspace: Workspace, report: RunReport, base_folder: Path) -> None:
    """Training after asking gives the same bytes as training in a fresh process."""
    greedy(workspace, document_on(base_folder))
    again = workspace.train(document_on(base_folder), mode="fresh")
    assert adapter_files(again) == adapter_files(report)


SCRIPT = """
import socket, sys

def refuse(*args, **kwargs):
    raise AssertionError(f"something went online: {args}")

socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
socket.getaddrinfo = socket.create_connection = refuse

import dlm

ws = dlm.Workspace(sys.argv[1])
doc = dlm.Document.load(sys.argv[2])
run = ws.train(doc, max_steps=3)
events = list(ws.train_events(doc, max_steps=2))
answer = "".join(ws.prompt(doc, "Who?", temperature=0, max_tokens=4))
print(run.steps, len(events) > 3, ws.exam(doc).probes, run.to_json()["status"], run._repr_html_()[:5])
"""


def test_the_library_is_quiet_offline_and_stays_at_home(base_folder: Path, tmp_path: Path) -> None:
    """In an interpreter whose warnings are errors: no warning, no print, no connection, no file elsewhere."""
    home, user, work = tmp_path / "dlm", tmp_path / "user", tmp_path / "work"
    for folder in (user, work):
        folder.mkdir()
    (work / "notes.dlm").write_text(text_on(base_folder), encoding="utf-8")
    before = tree(base_folder), tree(work)
    clean = {
        name: value
        for name, value in environment(HOME=str(user), TMPDIR=str(tmp_path / "user")).items()
        if not name.startswith(("DLM_", "HF_", "XDG_", "TRANSFORMERS_"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(home), "notes.dlm"],
        capture_output=True,
        text=True,
        check=False,
        cwd=work,
        env=clean,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["3", "True", "16", "completed", "<div>"]
    assert (tree(base_folder), tree(work)) == before
    assert tree(user) == {}
    assert {name.split("/")[0] for name in tree(home)} == {"store", "bases", "cache"}
    assert {path.name for path in tmp_path.iterdir()} == {"dlm", "user", "work"}


def test_events_of_a_real_run(base_folder: Path, tmp_path: Path) -> None:
    from dlm.domain.events import RunFinished, RunStarted, StepDone

    events: list[Any] = list(Workspace(tmp_path, environ={}).train_events(document_on(base_folder), max_steps=3))
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.step for event in steps] == [1, 2, 3]
    assert all(event.total_steps >= 3 and event.loss > 0 and event.lr > 0 for event in steps)
    assert isinstance(events[-1], RunFinished)
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    assert started.plan["effective_batch_size"] >= 1
    assert (tmp_path / "store" / ID).is_dir()
