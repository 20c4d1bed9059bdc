"""Which versions of the training libraries dlm was tried with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import attrs

Standing = Literal["ok", "missing", "too-old", "untested"]

TESTED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "torch": ("2.6", "2.13"),
        "transformers": ("5.23", "5.23"),
        "peft": ("0.18", "0.21"),
        "accelerate": ("1.8", "1.15"),
        "trl": ("1.16", "1.16"),
    }
)
"""Package → oldest version that is accepted at installation, newest minor version that the tests ran with."""

OPTIONAL = frozenset({"trl"})
"""Not needed for training; TRL is what dlm's own speed is compared with."""


@attrs.frozen(kw_only=True)
class Dependency:
    """One package as it is installed here, against the range it was tried in."""

    package: str
    installed: str | None
    floor: str
    ceiling: str
    standing: Standing

    @property
    def remark(self) -> str:
        """Say what the standing means and, if it matters, what to do."""
        tried = (
            f"tried with {self.floor} to {self.ceiling}" if self.floor != self.ceiling else f"tried with {self.floor}"
        )
        if self.standing == "missing":
            needed = "not needed" if self.package in OPTIONAL else f"run: pip install '{self.package}>={self.floor}'"
            return f"not installed; {needed}"
        if self.standing == "too-old":
            return f"too old, {tried}; run: pip install --upgrade '{self.package}>={self.floor}'"
        return f"newer than what was tried ({self.ceiling})" if self.standing == "untested" else tried


def dependencies(installed: Mapping[str, str | None]) -> tuple[Dependency, ...]:
    """Compare installed versions (None or absent: not installed) with the tested ranges, in the order of ``TESTED``."""
    return tuple(
        Dependency(
            package=package,
            installed=installed.get(package),
            floor=floor,
            ceiling=ceiling,
            standing=_standing(installed.get(package), floor, ceiling),
        )
        for package, (floor, ceiling) in TESTED.items()
    )


def _standing(version: str | None, floor: str, ceiling: str) -> Standing:
    if version is None:
        return "missing"
    release = _release(version)
    if release < _release(floor):
        return "too-old"
    return "untested" if release[:2] > _release(ceiling) else "ok"


def _release(version: str) -> tuple[int, ...]:
    """Give the leading numbers of a version: ``2.13.0+cpu`` → ``(2, 13, 0)``."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()
