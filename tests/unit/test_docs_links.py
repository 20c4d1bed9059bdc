"""The documentation hangs together: links lead somewhere, pages are fresh, commands and codes are all there."""

from __future__ import annotations

import ast
import inspect
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dlm
from dlm.cli.parser import is_global, subcommands
from dlm.cli.tree import build_parser
from dlm.domain.error_codes import ERROR_CODES
from dlm.domain.manifest import ADDITIONS
from docs_pages import REFERENCE, ROOT, all_pages, anchors, blocks, links, name_of

GENERATE = ROOT / "docs" / "generate.py"
SOURCES = sorted((ROOT / "src" / "dlm").rglob("*.py"))


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{name_of(page)}: {link}"
        assert not anchor or anchor in anchors(path), f"{name_of(page)}: {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if ":" not in link]

    assert set(all_pages()) <= seen


@pytest.mark.parametrize("page", all_pages(), ids=name_of)
def test_every_dlm_command_in_a_page_can_be_typed(page: Path) -> None:
    for block in blocks(page):
        if block.language in ("bash", "console"):
            for command in block.commands():
                # A line with [--option] shows how a command is built; it is not meant to be typed.
                if "[" not in command:
                    _parse(command, f"{name_of(page)}:{block.line}")


def _parse(command: str, where: str) -> None:
    words = shlex.split(command, comments=True)
    while words and "=" in words[0]:
        words.pop(0)
    if words[:1] != ["dlm"] or {"--version", "--help"} & set(words):
        return
    words = [word for word in words[1:] if word not in ("<", ">")]
    args, extras = build_parser().parse_known_args(words)
    # "prompt notes.dlm < question.txt" leaves the file's name behind.
    assert not [extra for extra in extras if extra.startswith("-")], (where, extras)
    assert args.command, where


def test_every_command_and_option_stands_in_the_reference() -> None:
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")

    for name, child in subcommands(build_parser()).items():
        for leaf in subcommands(child).values() or [child]:
            assert f"\n## {leaf.prog}\n" in page, name
            section = page.split(f"\n## {leaf.prog}\n")[1].split("\n## ")[0]
            options = [option for action in leaf._actions if not is_global(action) for option in action.option_strings]
            assert [option for option in options if f"`{option}" not in section] == []


def test_every_public_name_stands_in_the_reference() -> None:
    page = (REFERENCE / "api.md").read_text(encoding="utf-8")

    assert [name for name in dlm.__all__ if not name.startswith("_") and f"\n## dlm.{name}\n" not in page] == []


def test_every_addition_to_the_manifest_is_told() -> None:
    page = (REFERENCE / "formats.md").read_text(encoding="utf-8")

    assert [key for key in ADDITIONS if f"`{key}`" not in page] == []


def test_every_file_and_log_line_of_a_run_is_told() -> None:
    page = (REFERENCE / "formats.md").read_text(encoding="utf-8")
    layout = (ROOT / "src/dlm/domain/store_layout.py").read_text(encoding="utf-8")
    log = (ROOT / "src/dlm/app/run_log.py").read_text(encoding="utf-8")
    assigned = [node for node in ast.parse(layout).body if isinstance(node, ast.Assign)]
    files = [str(ast.literal_eval(node.value)) for node in assigned if isinstance(node.value, ast.Constant)]
    kinds = [
        str(ast.literal_eval(value))
        for node in ast.walk(ast.parse(log))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "type" and isinstance(value, ast.Constant)
    ]

    assert len(files) >= 5
    assert [name for name in files if name not in page] == []
    assert len(kinds) >= 6
    assert [kind for kind in kinds if f"| `{kind}` |" not in page] == []


def test_every_error_code_is_explained_and_every_explained_code_is_used() -> None:
    used = {code for path in SOURCES if path.name != "error_codes.py" for code in _codes_in(path)}

    assert sorted(used - set(ERROR_CODES)) == []
    assert sorted(set(ERROR_CODES) - used) == []


def _codes_in(path: Path) -> Iterator[str]:
    """Give the codes a module names.

    A code is a known one wherever it stands as text (some travel through helpers and tables), or the first argument of
    a call whose name says that it makes an error or a fault.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in ERROR_CODES:
            yield str(node.value)
        elif isinstance(node, ast.Call) and _makes_an_error(node.func) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and _looks_like_a_code(first.value):
                yield str(first.value)


def _makes_an_error(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name.endswith(("Error", "Fault", "Interrupted", "MissingExtra", "refusal", "_error")) or name == "add"


def _looks_like_a_code(value: object) -> bool:
    if not isinstance(value, str) or value.count(".") != 1:
        return False
    area, slug = value.split(".")
    return area.isidentifier() and area.islower() and slug.replace("-", "").isalnum() and slug.islower()


def test_every_explanation_says_what_and_is_short() -> None:
    for code, text in ERROR_CODES.items():
        assert _looks_like_a_code(code), code
        assert text.endswith("."), code
        assert 20 <= len(text) <= 260, (code, len(text))


def test_the_reference_pages_are_fresh() -> None:
    done = subprocess.run([sys.executable, str(GENERATE), "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_generating_the_reference_needs_nothing_heavy() -> None:
    code = (
        f"import runpy, sys; runpy.run_path({str(GENERATE)!r})['stale']();"
        "print(*sorted({'torch', 'transformers', 'peft', 'numpy', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_a_stale_page_is_named_with_the_command_to_run(tmp_path: Path) -> None:
    generate = _generate_module()
    generate["write"](tmp_path)
    assert generate["stale"](tmp_path) == []

    (tmp_path / "cli.md").write_bytes(b"old")
    (tmp_path / "api.md").unlink()

    assert sorted(generate["stale"](tmp_path)) == ["api.md", "cli.md"]


def test_the_check_fails_for_a_stale_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    generate = _generate_module()
    monkeypatch.setitem(generate["main"].__globals__, "stale", lambda: ["cli.md"])

    assert generate["main"](["--check"]) == 1
    assert capsys.readouterr().err == "docs/reference/cli.md is out of date\nRun: python docs/generate.py\n"


def _generate_module() -> dict[str, Any]:
    import runpy

    return runpy.run_path(str(GENERATE))


def test_every_port_stands_in_the_architecture() -> None:
    import importlib

    page = (ROOT / "docs/concepts/architecture.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "src/dlm/ports").glob("[a-z]*.py")):
        module = importlib.import_module(f"dlm.ports.{path.stem}")
        for name, value in inspect.getmembers(module, inspect.isclass):
            if getattr(value, "_is_protocol", False) and value.__module__ == module.__name__:
                assert f"`{name}`" in page, name
