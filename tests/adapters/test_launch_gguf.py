"""A GGUF file served through its written script by dlm itself, as on a machine without ``llama-server``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from base_gguf import write_gguf
from base_made import HIDDEN
from dlm.adapters.servers.launch import ScriptLauncher
from dlm.adapters.servers.launch_client import LaunchClient
from dlm.adapters.servers.process import free_port, start
from dlm.domain.errors import ExportError
from dlm.domain.launch_scripts import llama_server_script
from dlm.ports.launcher import SmokeJob
from launched import BASH, tools

pytestmark = pytest.mark.skipif(BASH is None, reason="launch scripts need bash")
pytest.importorskip("xllamacpp")

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}|"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in a folder with a name that needs care: for bash, for llama.cpp a comma."""
    folder = tmp_path_factory.mktemp("exports") / 'it\'s a "model", $HOME'
    folder.mkdir()
    write_gguf(folder / "base $x.gguf")
    write_lora(folder / "adapter.gguf")
    (folder / "chat-template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """An environment without ``llama-server``."""
    return {**os.environ, "PATH": tools(tmp_path / "bin"), "DLM_PYTHON": sys.executable}


def write_lora(path: Path) -> None:
    import gguf

    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 64.0)
    writer.add_tensor("blk.1.ffn_down.weight.lora_a", random.standard_normal((4, 32)).astype(np.float32))
    writer.add_tensor("blk.1.ffn_down.weight.lora_b", random.standard_normal((HIDDEN, 4)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_script(export: Path, *, lora: str | None = None, template: str | None = None) -> Path:
    path = export / "llama-server_launch.sh"
    text = llama_server_script(model="base $x.gguf", lora=lora, context=128, template=template, alias="my 'model'")
    path.write_text(text, encoding="utf-8")
    return path


def test_the_adapter_and_the_template_change_the_answer(export: Path, environ: Mapping[str, str]) -> None:
    launcher = ScriptLauncher(environ)
    plain, again, adapted, other = (
        launcher.smoke(SmokeJob(script=write_script(export, **parts)))
        for parts in ({}, {}, {"lora": "adapter.gguf"}, {"template": "chat-template.jinja"})
    )
    assert plain == again
    assert len({plain, adapted, other}) == 3


def test_it_is_asked_with_its_key_by_its_name_and_ends_when_told(export: Path, environ: Mapping[str, str]) -> None:
    port = free_port()
    argv = [str(BASH), str(write_script(export)), "--port", str(port)]
    with start(argv, {**environ, "DLM_SERVER_API_KEY": "k y"}) as server:
        with LaunchClient(port, "k y", server) as client:
            assert client.wait_for_models(20.0) == ("my 'model'",)
            assert client.ask("Hello.", "my 'model'", answer_s=20.0)
        with LaunchClient(port, "other", server) as client, pytest.raises(ExportError) as caught:
            client.ask("Hello.", None, answer_s=20.0)
        assert caught.value.code == "smoke.refused"
        second = serve(environ, "--model", str(export / "base $x.gguf"), "--port", str(port))
        assert second.returncode == 1
        assert f"port {port}" in second.stderr
    assert server.exit_status == 0


def serve(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dlm.adapters.servers.serve", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_what_cannot_be_served_is_said(export: Path, environ: Mapping[str, str], tmp_path: Path) -> None:
    model = ("--model", str(export / "base $x.gguf"))
    unknown = serve(environ, *model, "--threads", "3")
    assert unknown.returncode == 2
    assert "--threads" in unknown.stderr
    missing = serve(environ, *model, "--chat-template-file", str(tmp_path / "none.jinja"))
    assert missing.returncode == 1
    assert "none.jinja cannot be read" in missing.stderr
    damaged = serve(environ, "--model", str(export / "chat-template.jinja"), "--port", str(free_port()))
    assert damaged.returncode == 1
    assert "chat-template.jinja cannot be served" in damaged.stderr
