"""What ``import dlm`` shows and costs."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dlm
import dlm.api
from run_cases import Scene, a_document

HEAVY = ("torch", "transformers", "peft", "numpy", "httpx", "rich", "huggingface_hub", "ruamel", "safetensors", "gguf")


def fresh(code: str, *flags: str, **environment: str) -> str:
    """Run code in an interpreter of its own and give what it prints."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_everything_listed_is_there_and_nothing_else_is_shown() -> None:
    assert sorted(dir(dlm)) == sorted(dlm.__all__)
    for name in dlm.__all__:
        assert getattr(dlm, name) is not None, name
    namespace: dict[str, Any] = {}
    exec("from dlm import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(dlm.__all__)


def test_the_three_lists_of_names_agree() -> None:
    """Type checkers read the imports, the interpreter the table, people ``__all__``."""
    tree = ast.parse(inspect.getsource(dlm))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    for_checkers = {
        (alias.name, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert for_checkers == set(dlm._HOMES.items())
    assert set(dlm._HOMES) | {"__version__"} == set(dlm.__all__)


def test_each_name_comes_with_an_explanation() -> None:
    for name in dlm.__all__:
        thing = getattr(dlm, name)
        if callable(thing):
            assert (thing.__doc__ or "").strip(), name


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dlm' has no attribute 'trian'"):
        dlm.trian  # noqa: B018
    assert not hasattr(dlm, "Any2")


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert dlm.__version__ == version("dlm")


def test_types_are_shipped() -> None:
    assert (Path(dlm.__file__).parent / "py.typed").is_file()


def test_importing_loads_nothing_heavy_and_is_quick() -> None:
    """The best of three counts, since other work shares the machine; the bound is an order above what it takes."""
    code = (
        "import sys, time\nbegan = time.perf_counter()\nimport dlm\ntook = time.perf_counter() - began\n"
        f"print(took, *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    runs = [fresh(code).split() for _ in range(3)]
    assert [loaded for _, *loaded in runs] == [[], [], []]
    assert min(float(took) for took, *_ in runs) < 0.05


def test_a_workspace_loads_nothing_heavy_either(tmp_path: Path) -> None:
    code = (
        "import sys\nimport dlm\n"
        "ws = dlm.Workspace()\nws.store, ws.clock, ws.gallery, repr(ws)\n"
        "doc = dlm.Document.new('01KPXZ0000000000000000000A', 'tiny', 'Prose.')\n"
        "doc.save('notes.dlm')\nws.show('notes.dlm').to_text()\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules and name != 'ruamel'])"  # reads the settings
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.dlm"]


class TestTheFunctions:
    """Each is one method of a workspace on the home that the environment names at the time of the call."""

    @pytest.fixture
    def scene(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
        scene = Scene(folder=tmp_path)
        workspace = scene.workspace
        monkeypatch.setattr(dlm.api, "_workspace", lambda: workspace)
        return scene

    def test_train_ask_examine(self, scene: Scene) -> None:
        document = a_document()
        assert dlm.train(document, max_steps=2).steps == 2
        assert dlm.prompt(document, "When does the lighthouse close?") == "It closes at 6:40."
        pieces = dlm.prompt(document, "When does the lighthouse close?", stream=True, temperature=0)
        assert not isinstance(pieces, str)
        assert "".join(pieces) == "It closes at 6:40."
        assert dlm.exam(document).own.right == 2

    def test_a_folder_becomes_a_document(self, scene: Scene, tmp_path: Path) -> None:
        (tmp_path / "notes").mkdir()
        path = dlm.scaffold(tmp_path / "notes", base="tiny", exclude=["*.log"])
        assert path == tmp_path / "notes" / ".dlm" / "corpus.dlm"
        (source,) = dlm.Document.load(path).frontmatter.training.sources or ()
        assert (source.path, source.exclude) == (".", ("*.log",))
        assert dlm.scaffold(str(tmp_path / "notes")) == path

    def test_init_show_migrate_doctor(self, scene: Scene, tmp_path: Path) -> None:
        path = tmp_path / "new.dlm"
        made = dlm.init(path, base="tiny")
        assert dlm.show(path).document.dlm_id == made.dlm_id
        assert dlm.migrate(path).changed is False
        assert dlm.doctor().capabilities.device_name == "CPU (Test Laptop)"

    def test_metrics_history(self, scene: Scene, tmp_path: Path) -> None:
        path = tmp_path / "new.dlm"
        dlm.init(path, base="tiny")
        assert dlm.metrics(path).to_json() == {"runs": []}
        assert dlm.history(path).runs == ()
        assert dlm.history(dlm.Document.load(path), limit=3).title == "new.dlm"

    def test_the_home_is_read_at_each_call(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DLM_HOME", str(tmp_path / "a"))
        first = dlm.api._workspace()
        assert dlm.api._workspace() is first
        monkeypatch.setenv("DLM_HOME", str(tmp_path / "b"))
        assert dlm.api._workspace().home == tmp_path / "b"
        monkeypatch.delenv("DLM_HOME")
        for user in ("ada", "bob"):
            monkeypatch.setenv("HOME", str(tmp_path / user))
            assert dlm.api._workspace().home == tmp_path / user / ".dlm"
