"""One ``.dlm`` folder: the settings and ignore rules for the tree around it."""

from __future__ import annotations

from pathlib import Path

import attrs

from dlm.adapters.sources.reading import TooLargeError, read_bytes
from dlm.domain.ignore_rules import FILE_NAME as IGNORE_NAME
from dlm.domain.ignore_rules import IgnoreFile, read_ignore_file
from dlm.domain.source_rules import CONFIG_FOLDER, Scope
from dlm.domain.sources import FoundConfig, printable_path, source_text
from dlm.domain.tree_settings import FILE_NAME, TreeSettings, read_tree_settings
from dlm.domain.yaml_text import MAX_YAML_CHARS

MAX_CONFIG_BYTES = 4 * MAX_YAML_CHARS
"""Largest settings or ignore file read; a character takes at most four bytes."""


@attrs.frozen
class ConfigFolder:
    """What a ``.dlm`` folder holds. A file that cannot be used counts as absent and leaves a warning."""

    anchor: str
    settings: TreeSettings | None
    ignore: IgnoreFile | None
    found: FoundConfig
    warnings: tuple[str, ...]

    def applied_to(self, scope: Scope) -> Scope:
        """Give the settings that hold in the tree around the folder."""
        return scope.inside(self.anchor, self.settings, self.ignore)


def read_config_folder(root: str, anchor: str) -> ConfigFolder:
    """Read ``<root>/<anchor>/.dlm``. ``anchor`` is relative and empty for the root itself."""
    folder = Path(root, anchor, CONFIG_FOLDER)
    warnings: list[str] = []
    settings_text = _text(folder / FILE_NAME, warnings)
    settings, problems = read_tree_settings(settings_text) if settings_text is not None else (None, ())
    if problems:
        listed = "".join(f"\n{_shown(folder / FILE_NAME)}:{problem}" for problem in problems[:10])
        warnings.append(f"{_shown(folder / FILE_NAME)} is not used, because it has faults:{listed}")
    ignore_text = _text(folder / IGNORE_NAME, warnings)
    ignore, rules, odd = read_ignore_file(ignore_text) if ignore_text is not None else (None, 0, ())
    warnings += [f"{_shown(folder / IGNORE_NAME)}:{problem}" for problem in odd[:10]]
    used = settings or TreeSettings()
    found = FoundConfig(
        anchor=printable_path(anchor) or ".",
        has_training_yaml=settings is not None,
        has_ignore=ignore_text is not None,
        ignore_rules=rules,
        include=used.include,
        exclude=used.exclude,
        exclude_defaults=used.exclude_defaults,
        metadata=used.metadata,
    )
    return ConfigFolder(anchor, settings, ignore, found, tuple(warnings))


def _text(path: Path, warnings: list[str]) -> str | None:
    if not path.exists():
        return None
    try:
        return source_text(read_bytes(str(path.resolve()), MAX_CONFIG_BYTES) or b"")
    except OSError as exc:
        warnings.append(f"{_shown(path)} is not used, because it cannot be read: {exc.strerror or exc}")
    except TooLargeError:
        warnings.append(f"{_shown(path)} is not used, because it has more than {MAX_CONFIG_BYTES} bytes")
    except UnicodeDecodeError as exc:
        warnings.append(f"{_shown(path)} is not used, because it is not UTF-8 text: byte {exc.start} cannot be read")
    return None


def _shown(path: Path) -> str:
    return printable_path(str(path))
