"""A trained document exported, and the export used as people use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import dlm
from dlm.adapters.servers.process import free_port
from dlm.cli.main import main
from dlm.domain.export_manifest import NAME

pytestmark = pytest.mark.model

ANSWERS = {
    "Who mends the ladders?": "Ysolde Crake",
    "What does a crate of windfalls cost?": "seven pennies",
    "Which apple is picked first?": "Tindle Red",
}


@contextmanager
def served(script: Path) -> Iterator[Any]:
    """Run a launch script as a person would, and give a client of its server."""
    import httpx

    port = free_port()
    process = subprocess.Popen(
        ["bash", str(script), "--port", str(port)],
        env={**os.environ, "DLM_PYTHON": sys.executable, "DLM_SERVER_API_KEY": "key of the test"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    headers = {"Authorization": "Bearer key of the test"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120, trust_env=False) as client:
            while True:
                assert process.poll() is None
                try:
                    if client.get("/v1/models").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(client: Any, question: str) -> str:
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 40}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def test_the_written_script_gives_the_documents_answers(
    trained: Any, workspace: dlm.Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xllamacpp")
    trained[0].save(tmp_path / "my orchard's notes.dlm")
    words = ["--home", str(workspace.home), "export", str(tmp_path / "my orchard's notes.dlm")]
    assert main([*words, "--target", "llama-server", "--quant", "Q4_K_M", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    folder = Path(report["path"])
    moved = folder.rename(tmp_path / 'moved to "another" place, $HOME')

    with served(moved / "llama-server_launch.sh") as client:
        for question, answer in ANSWERS.items():
            assert answer in ask(client, question), question
        client.headers.pop("Authorization")
        assert client.post("/v1/chat/completions", json={"messages": []}).status_code == 401

    assert report["parity"]["mean_kl"] <= 0.10
    assert report["parity"]["prompts_alike"]
    assert report["smoke"]["ok"]
    assert (moved / NAME).is_file()


def test_a_second_export_takes_the_base_from_the_cache(trained: Any, workspace: dlm.Workspace) -> None:
    pytest.importorskip("xllamacpp")
    document = trained[0]
    first = workspace.export(document, target="llama-server", quant="Q8_0")
    again = workspace.export(document, target="llama-server", quant="Q8_0", smoke=False)
    merged = workspace.export(document, target="llama-server", quant="Q8_0", merged=True)
    bases = {artifact.sha256 for report in (first, again) for artifact in report.manifest.artifacts[:1]}
    assert len(bases) == 1
    assert again.seconds < first.seconds / 2
    assert merged.manifest.artifacts[0].sha256 not in bases
    for report in (first, merged):
        parity = report.manifest.parity
        assert parity is not None
        assert parity.mean_kl <= 0.01


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks it of transformers
def test_the_adapter_folder_answers_in_peft(trained: Any, workspace: dlm.Workspace) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    report = workspace.export(trained[0], target="hf-adapter")
    base = workspace.registry.fetch(workspace.registry.describe("smollm2-135m"), emit=lambda _: None)
    tokenizer = AutoTokenizer.from_pretrained(report.path)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.folder), report.path)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Who mends the ladders?"}], add_generation_prompt=True, return_tensors="pt"
    )
    answer = model.generate(**ids, max_new_tokens=20, do_sample=False)
    assert "Ysolde Crake" in tokenizer.decode(answer[0])
