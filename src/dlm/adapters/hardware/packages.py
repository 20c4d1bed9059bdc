"""Which optional packages are there, found without importing any of them."""

from __future__ import annotations

import importlib.metadata
import importlib.util


def findable(name: str) -> bool:
    """Tell whether a package could be imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # ValueError: half-imported modules without a spec
        return False


def version(name: str) -> str | None:
    """Give the installed version of a distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing_for_mlx(system: str, machine: str) -> tuple[str, ...]:
    """Name what MLX needs and this machine lacks; () when it can run."""
    missing = [] if (system, machine) == ("Darwin", "arm64") else ["a Mac with Apple silicon"]
    missing += [f"the package {name}" for name in ("mlx", "mlx_lm") if not findable(name)]
    return tuple(missing)
