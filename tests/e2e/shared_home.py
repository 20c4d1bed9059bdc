"""Homes of tests that train the real small base."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def with_shared_answers(home: Path, factory: pytest.TempPathFactory) -> Path:
    """Let a home find the base's ordinary answers that other tests of this run had it give: they are the same in every
    home, and take a minute or more."""
    own = factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "ordinary-answers"
    shared.mkdir(exist_ok=True)
    (home / "cache").mkdir(parents=True, exist_ok=True)
    (home / "cache" / "anchors").symlink_to(shared)
    return home
