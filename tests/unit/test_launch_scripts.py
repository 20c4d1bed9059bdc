"""Launch scripts: whatever things are called, the server gets exactly what is meant."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlm.domain.errors import ExportError
from dlm.domain.launch_scripts import (
    LoraModule,
    VllmServer,
    llama_server_script,
    mlx_script,
    vllm_config,
    vllm_script,
)
from launched import BASH, Call, Script, calls, stand_in, tools

pytestmark = pytest.mark.skipif(BASH is None, reason="launch scripts need bash")

DEFAULTS = ["--host", "127.0.0.1", "--port", "8000"]
_SIGNS = st.sampled_from(" '\"$`\\!*?~#&|;<>(){}[]=-,%@^:+.")
_LETTERS = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/")
texts = st.text(_SIGNS | _LETTERS, min_size=1, max_size=10)
names = texts.filter(lambda name: name not in (".", ".."))
words = st.lists(texts.filter(lambda word: word.split("=")[0] not in ("--host", "--port")), max_size=3)


def plain(name: str) -> str:
    return name.replace(",", ";")


@attrs.frozen
class Case:
    folder: str
    names: tuple[str, str, str, str]
    arguments: list[str]


cases = st.lists(st.builds(Case, names, st.tuples(names, names, names, names), words), min_size=8, max_size=10)
few = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder whose own name is harmless."""
    return Path(tmp_path)


def run(work: Path, folders: Sequence[str], made: Sequence[tuple[str, Sequence[str]]], **environ: str) -> list[Call]:
    """Write each script into a folder of its own and run them; gives the calls."""
    scripts = []
    for number, (folder, (text, arguments)) in enumerate(zip(folders, made, strict=True)):
        path = work / "exports" / str(number) / folder / "launch it.sh"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        scripts.append(Script(path, arguments))
    path_variable = tools(work / "bin", "llama-server", "vllm")
    return calls(scripts, work / "cwd", {"PATH": path_variable, "HOME": str(work), **environ})


def run_one(work: Path, text: str, *arguments: str, folder: str = "export", **environ: str) -> Call:
    return run(work, [folder], [(text, arguments)], **environ)[0]


@few
@given(some=cases)
def test_llama_server_gets_what_is_meant(some: list[Case], work: Path) -> None:
    made = []
    for case in some:
        model, lora, template, alias = case.names
        text = llama_server_script(model=model, lora=plain(lora), context=512, template=template, alias=plain(alias))
        made.append((text, case.arguments))
    for number, (case, call) in enumerate(zip(some, run(work, [case.folder for case in some], made), strict=True)):
        home = str(work / "exports" / str(number) / case.folder)
        beside = "." if "," in home else home
        model, lora, template, alias = case.names
        assert call.cwd == (home if "," in home else str(work / "cwd"))
        assert call.argv == [
            *("--model", f"{beside}/{model}", "--lora", f"{beside}/{plain(lora)}", "--ctx-size", "512", "--jinja"),
            *("--chat-template-file", f"{beside}/{template}", "--alias", plain(alias), *DEFAULTS, *case.arguments),
        ]


@few
@given(some=cases)
def test_vllm_gets_what_is_meant(some: list[Case], work: Path) -> None:
    servers = [_vllm(case) for case in some]
    made = [(vllm_script(server), case.arguments) for server, case in zip(servers, some, strict=True)]
    folders = [case.folder for case in some]
    for number, (server, call) in enumerate(zip(servers, run(work, folders, made), strict=True)):
        home = work / "exports" / str(number) / folders[number]
        start, end = call.argv.index("--lora-modules"), call.argv.index("--max-lora-rank")
        read = [_read_as_vllm_does(value) for value in call.argv[start + 1 : end]]
        assert [name for name, _ in read] == [module.name for module in server.modules]
        assert [Path(call.cwd, path) for _, path in read] == [home / module.path for module in server.modules]
        assert call.argv[:start] == [
            *("serve", server.model, "--revision", "abc", "--dtype", "auto"),
            *("--served-model-name", server.served_name, "--max-model-len", "512", "--enable-lora"),
        ]
        tail = ["--max-lora-rank", "64", "--max-loras", "2", *DEFAULTS, *some[number].arguments]
        assert call.argv[end:] == tail


def _vllm(case: Case) -> VllmServer:
    model, name, folder, served = case.names
    modules = (
        LoraModule(name=name, path=f"adapters/{folder}", adapter_version=1),
        LoraModule(name="adapter", path="adapters/adapter", adapter_version=2),
    )
    return VllmServer(model=model, revision="abc", served_name=served, context=512, modules=modules, max_rank=64)


def _read_as_vllm_does(value: str) -> tuple[str, str]:
    if "=" in value and "," not in value:
        name, path = value.split("=")
        return name, path
    module = json.loads(value)
    assert set(module) == {"name", "path"}
    return module["name"], module["path"]


@few
@given(some=cases)
def test_mlx_gets_what_is_meant(some: list[Case], work: Path) -> None:
    made = []
    for number, case in enumerate(some):
        model, adapter, template, _ = case.names
        text = mlx_script(model=model, revision=None, adapter=adapter, template=template)
        made.append((text, case.arguments))
        beside = work / "exports" / str(number) / case.folder / template
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(TEMPLATE, encoding="utf-8")
    python = stand_in(work / "py thon")
    found = run(work, [case.folder for case in some], made, DLM_PYTHON=str(python))
    for number, (case, call) in enumerate(zip(some, found, strict=True)):
        home = work / "exports" / str(number) / case.folder
        model, adapter, _, _ = case.names
        assert call.program == str(python)
        assert call.argv == [
            *("-m", "mlx_lm.server", "--model", model, "--adapter-path", f"{home}/{adapter}"),
            *("--chat-template", TEMPLATE, *DEFAULTS, *case.arguments),
        ]
    assert (work / ".cache/huggingface/hub").is_dir()


LLAMA = llama_server_script(model="m.gguf", lora="a.gguf", context=None, template=None, alias="x")
VLLM = vllm_script(
    VllmServer(
        model="org/name",
        revision=None,
        served_name="x",
        context=None,
        modules=(LoraModule(name="adapter", path="adapters/adapter", adapter_version=1),),
        max_rank=8,
        template="chat-template.jinja",
    )
)
TEMPLATE = "{% for it in messages %}\n{{ it.content }} '$(x)' \\ \"\n{% endfor %}\n\n"
MLX = mlx_script(model="org/name", revision=None, adapter="adapter", template=None)


def test_what_is_not_there_is_left_out(work: Path) -> None:
    text = llama_server_script(model="m.gguf", lora=None, context=None, template=None, alias="x")
    home = work / "exports/0/a,b"
    assert run_one(work, text, folder="a,b").argv == ["--model", f"{home}/m.gguf", "--jinja", "--alias", "x", *DEFAULTS]
    argv = run_one(work, VLLM).argv
    assert "--revision" not in argv
    assert "--max-model-len" not in argv
    assert argv[argv.index("--chat-template") + 1] == f"{work}/exports/0/export/chat-template.jinja"


@pytest.mark.parametrize("text", [LLAMA, VLLM, MLX])
@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (["--port", "9"], ["--host", "127.0.0.1", "--port", "9"]),
        (["--host", "::1", "-v"], ["--port", "8000", "--host", "::1", "-v"]),
        (["--port=9", "--host=::1"], ["--port=9", "--host=::1"]),
        (["--port 9", "x--host"], [*DEFAULTS, "--port 9", "x--host"]),
    ],
)
def test_an_address_is_given_once(text: str, given_: list[str], expected: list[str], work: Path) -> None:
    argv = run_one(work, text, *given_, DLM_PYTHON=str(stand_in(work / "python"))).argv
    assert argv[-len(expected) :] == expected
    assert [word for word in argv if word.startswith(("--host", "--port"))] == [
        word for word in expected if word.startswith(("--host", "--port"))
    ]


@pytest.mark.parametrize("text", [LLAMA, VLLM])
def test_a_key_travels_in_the_environment(text: str, work: Path) -> None:
    call = run_one(work, text, DLM_SERVER_API_KEY="s3cret, $x")
    assert call.key == "s3cret, $x"
    assert not [word for word in call.argv if "s3cret" in word]
    assert run_one(work, text).key == ""
    assert run_one(work, text, DLM_SERVER_API_KEY="").key == ""


def test_mlx_gets_the_base_as_it_was_trained_on(work: Path) -> None:
    python = str(stand_in(work / "python"))
    text = mlx_script(model="org/it's", revision="abc123", adapter="adapter", template=None)
    assert run_one(work, text, DLM_PYTHON=python).argv[:4] == [
        "-m",
        "mlx_lm.server",
        "--model",
        "/fetched/org/it's/abc123",
    ]
    own = run_one(work, text, DLM_PYTHON=python, DLM_BASE_MODEL="/my own")
    assert own.argv[:4] == ["-m", "mlx_lm.server", "--model", "/my own"]


def test_mlx_does_not_start_without_its_template(work: Path) -> None:
    text = mlx_script(model="org/name", revision=None, adapter="adapter", template="gone.jinja")
    assert "gone.jinja" in failing(work, text, status=1, DLM_PYTHON=str(stand_in(work / "python")))


def test_mlx_says_that_it_has_no_key(work: Path) -> None:
    stand_in(work / "python")
    assert "no API key" in failing(work, MLX, status=0, DLM_PYTHON=str(work / "python"), DLM_SERVER_API_KEY="x")


def failing(work: Path, text: str, *, status: int = 127, **environ: str) -> str:
    """Run a script with nothing installed; gives what it says on standard error."""
    (work / "launch.sh").write_text(text, encoding="utf-8")
    environ = {"PATH": tools(work / "bare"), "HOME": str(work), "RECORD": str(work / "record"), **environ}
    command = [str(BASH), str(work / "launch.sh")]
    done = subprocess.run(command, env=environ, capture_output=True, check=False, text=True, cwd=work)
    assert (done.returncode, done.stdout) == (status, "")
    return done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [(LLAMA, "pip install 'dlm[runtime]'"), (VLLM, "pip install vllm"), (MLX, "pip install mlx-lm")],
)
def test_a_missing_program_is_named(text: str, said: str, work: Path) -> None:
    assert said in failing(work, text)
    assert said in failing(work, text, DLM_PYTHON=str(work / "nowhere"))
    assert said in failing(work, text, DLM_PYTHON=str(stand_in(work / "python", importable=False)))


def test_dlm_serves_where_llama_server_is_missing(work: Path) -> None:
    python = stand_in(work / "python")
    failing(work, LLAMA, status=0, DLM_PYTHON=str(python))
    program, _, _, _, *argv = (work / "record").read_text(encoding="utf-8").split("\0")[:-1]
    assert program == str(python)
    assert argv == [
        *("-m", "dlm.adapters.servers.serve", "--model", f"{work}/m.gguf", "--lora", f"{work}/a.gguf"),
        *("--jinja", "--alias", "x", *DEFAULTS),
    ]


def test_named_folders_are_looked_into_before_path(work: Path) -> None:
    places = ["cwd/build", "root/build/bin", "bin"]
    build, root, path = (stand_in(work / place / "llama-server") for place in places)
    variables = {"DLM_LLAMA_CPP_BUILD": "build", "DLM_LLAMA_CPP_ROOT": str(work / "root")}
    # From a folder with a comma in its name, where the script changes to.
    found = run_one(work, LLAMA, folder="a,b", **variables)
    assert found.program == str(build)
    assert found.argv[:4] == ["--model", "./m.gguf", "--lora", "./a.gguf"]
    build.unlink()
    assert run_one(work, LLAMA, **variables).program == str(root)
    (root.parent.parent / "llama-server").mkdir()  # a folder is no program
    root.unlink()
    assert run_one(work, LLAMA, **variables).program == str(path)


def test_apple_silicon_is_recognised_at_launch(work: Path) -> None:
    assert run_one(work, VLLM).apple == ""
    uname = work / "bin" / "uname"
    uname.unlink()
    uname.write_text(f'#!{BASH}\nif [ "$1" = -s ]; then echo Darwin; else echo arm64; fi\n', encoding="utf-8")
    uname.chmod(0o755)
    assert run_one(work, VLLM).apple == "0auto"


def test_where_it_is_called_from_does_not_matter(work: Path) -> None:
    run_one(work, LLAMA, folder="-x", CDPATH=str(work / "exports"))
    home = work / "exports/0/-x"
    inside = calls([Script("launch it.sh")], home, {"PATH": str(work / "bin")})[0]
    above = calls([Script("./-x/launch it.sh")], home.parent, {"PATH": str(work / "bin"), "CDPATH": "/"})[0]
    assert inside.argv == above.argv
    assert inside.argv[1] == f"{home}/m.gguf"


@pytest.mark.parametrize("bad", ["a\nb", "a\x00", "\x1b[2J", "\ud800", "a\x85b"])
@pytest.mark.parametrize("place", ["model", "lora", "template", "alias"])
def test_names_that_cannot_be_passed_on_are_refused(bad: str, place: str) -> None:
    parts: dict[str, Any] = {"model": "m", "lora": "l", "context": 1, "template": "t", "alias": "a", place: bad}
    with pytest.raises(ExportError) as caught:
        llama_server_script(**parts)
    assert caught.value.code == "export.script-text"


@pytest.mark.parametrize("place", ["lora", "alias"])
def test_a_comma_that_llama_cpp_reads_is_refused(place: str) -> None:
    parts: dict[str, Any] = {"model": "m,", "lora": "l", "context": 1, "template": "t,", "alias": "a"}
    llama_server_script(**parts)
    with pytest.raises(ExportError, match="comma"):
        llama_server_script(**{**parts, place: "a,b"})


def test_the_config_says_what_the_script_does() -> None:
    server = _vllm(Case("x", ("org/name", "tone", "tone", "dlm-x"), []))
    config = vllm_config(server, is_apple_silicon=False)
    assert config == {
        "target": "vllm",
        "model": "org/name",
        "revision": "abc",
        "served_model_name": "dlm-x",
        "dtype": "auto",
        "host": "127.0.0.1",
        "port": 8000,
        "max_model_len": 512,
        "max_lora_rank": 64,
        "max_loras": 2,
        "environment": {},
        "lora_modules": [
            {"name": "tone", "path": "adapters/tone", "adapter_version": 1},
            {"name": "adapter", "path": "adapters/adapter", "adapter_version": 2},
        ],
    }
    json.dumps(config)
    assert vllm_config(server, is_apple_silicon=True)["environment"] == {
        "VLLM_METAL_USE_PAGED_ATTENTION": "0",
        "VLLM_METAL_MEMORY_FRACTION": "auto",
    }
