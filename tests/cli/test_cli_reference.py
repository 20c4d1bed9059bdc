"""The reference pages come from the parser and the table of variables, and leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

from dlm.cli.parser import is_global, subcommands
from dlm.cli.reference import cli_markdown, environment_markdown
from dlm.cli.tree import build_parser
from dlm.domain.environment import TELEMETRY_DEFAULTS, VARIABLES
from dlm.domain.error_codes import ERROR_CODES

SOURCES = Path(__file__).parents[2] / "src" / "dlm"


def test_every_command_and_option_with_its_help_is_in_the_page() -> None:
    page = cli_markdown()

    for name, child in subcommands(build_parser()).items():
        for leaf in subcommands(child).values() or [child]:
            section = page.split(f"\n## {leaf.prog}\n")[1].split("\n## ")[0]
            for action in leaf._actions:
                if is_global(action):
                    continue
                assert (action.help or "?").replace("<", "\\<") in section
                for option in action.option_strings:
                    assert f"`{option}" in section, (name, option)


def test_the_page_does_not_depend_on_the_terminal(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    wide = cli_markdown()
    monkeypatch.setenv("COLUMNS", "20")

    assert cli_markdown() == wide
    assert wide.endswith("\n")
    assert not wide.endswith("\n\n")


def test_alternatives_are_shown_as_such() -> None:
    assert "dlm train <path> [--resume | --fresh] [--phase {sft,preference,all}]" in cli_markdown()
    assert "[--backend {auto,pytorch,mlx}]" in cli_markdown()
    assert "dlm prompt <path> [query] " in cli_markdown()


def test_every_variable_is_in_the_environment_page() -> None:
    page = environment_markdown()

    for variable in VARIABLES:
        assert f"| `{variable.name}` | {variable.effect} |" in page
    assert {variable.name for variable in VARIABLES} >= set(TELEMETRY_DEFAULTS)


def test_variable_names_are_unique() -> None:
    names = [variable.name for variable in VARIABLES]

    assert len(names) == len(set(names))


def test_every_variable_of_dlm_in_the_source_is_in_the_table() -> None:
    found = {
        name
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r"[\"'](DLM_[A-Z_]+)[\"']", path.read_text(encoding="utf-8"))
    }

    assert found <= {variable.name for variable in VARIABLES}


def test_every_code_the_command_line_raises_is_explained() -> None:
    used = {
        code
        for path in (SOURCES / "cli").glob("*.py")
        for code in re.findall(r"Error\(\s*\"([a-z]+\.[a-z-]+)\"", path.read_text(encoding="utf-8"))
    }

    assert len(used) >= 8
    assert used <= set(ERROR_CODES)
