"""Versions of the packages a result depends on, read from their metadata without importing them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PINNED = ("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "tokenizers", "mlx")
"""Recorded with every adapter version and compared by ``dlm.lock``."""


def installed_versions(packages: tuple[str, ...] = PINNED) -> dict[str, str | None]:
    """Give each package's installed version; None when it is absent."""
    return {package: _version(package) for package in packages}


def own_version() -> str:
    """Give the version of dlm; ``unknown`` when it runs without having been installed."""
    return _version("dlm") or "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
