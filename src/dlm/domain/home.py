"""Where dlm keeps everything it makes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dlm.domain.errors import ConfigError, UsageError


def resolve_home(override: str | Path | None, environ: Mapping[str, str], *, windows: bool = os.name == "nt") -> Path:
    """Give the home folder, absolute; looks at nothing on disk and creates nothing.

    The first that applies: ``override`` (``--home``), ``$DLM_HOME``, ``%APPDATA%\\dlm`` on Windows, ``~/.dlm``. An
    empty environment variable counts as not set.

    Raises:
        UsageError: ``override`` is empty text, as from ``--home "$UNSET"``.
        ConfigError: ``~`` is needed and the user's home folder is unknown.
    """
    if override is not None and not str(override).strip():
        raise UsageError("home.empty", "the home folder is empty text", hint="Name a folder, or leave --home out.")
    chosen = override or environ.get("DLM_HOME")
    if chosen:
        return _expanded(Path(chosen), environ)
    if windows and environ.get("APPDATA"):
        return Path(environ["APPDATA"]).absolute() / "dlm"
    return _expanded(Path("~/.dlm"), environ)


def _expanded(path: Path, environ: Mapping[str, str]) -> Path:
    # The mapping decides what "~" is, as everything else here; "~other" asks the system's user list.
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if path.parts[:1] == ("~",) and home:
        return Path(home, *path.parts[1:]).absolute()
    try:
        return path.expanduser().absolute()
    except RuntimeError as exc:
        raise ConfigError(
            "home.unknown", f"{path}: the user's home folder is unknown", hint="Give the folder with --home."
        ) from exc
