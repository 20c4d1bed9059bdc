"""Tested versions: in step with what the package requires, and judged rightly."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from dlm.domain.compatibility import OPTIONAL, TESTED, Standing, dependencies

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def required_floors() -> dict[str, str]:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    found = (re.match(r"([\w-]+)>=([\d.]+)", entry) for entry in project["dependencies"])
    return {match.group(1): match.group(2) for match in found if match}


def test_floors_are_those_of_the_package() -> None:
    required = required_floors()
    assert {name: floor for name, (floor, _) in TESTED.items() if name not in OPTIONAL} == {
        name: required[name] for name in TESTED if name not in OPTIONAL
    }
    assert not OPTIONAL.intersection(required)


@pytest.mark.parametrize(
    ("version", "standing"),
    [
        (None, "missing"),
        ("2.5.1", "too-old"),
        ("2.6", "ok"),
        ("2.6.0+cpu", "ok"),
        ("2.13.9", "ok"),
        ("2.14.0.dev20260101", "untested"),
        ("3.0", "untested"),
        ("nonsense", "too-old"),
    ],
)
def test_standing(version: str | None, standing: Standing) -> None:
    found = dependencies({"torch": version})[0]
    assert (found.package, found.installed, found.standing) == ("torch", version, standing)


def test_remarks_say_what_to_do() -> None:
    by_name = {found.package: found for found in dependencies({"torch": "2.5", "peft": "0.20"})}
    assert "pip install --upgrade 'torch>=2.6'" in by_name["torch"].remark
    assert "pip install 'accelerate>=1.8'" in by_name["accelerate"].remark
    assert by_name["trl"].remark == "not installed; not needed"
    assert by_name["peft"].remark == "tried with 0.18 to 0.21"
