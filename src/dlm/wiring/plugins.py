"""Adapters that other packages offer."""

from __future__ import annotations

from importlib.metadata import entry_points

PLUGIN_GROUPS = ("dlm.trainers", "dlm.exporters", "dlm.registries", "dlm.shares", "dlm.judges", "dlm.teachers")
"""Entry points through which other packages add adapters."""


def plugins() -> tuple[tuple[str, str], ...]:
    """Give (group, name) of every adapter other packages offer."""
    return tuple((group, entry.name) for group in PLUGIN_GROUPS for entry in entry_points(group=group))
