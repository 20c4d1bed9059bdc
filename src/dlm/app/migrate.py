"""Bringing a document file up to the current version of the format."""

from __future__ import annotations

import itertools
from pathlib import Path

import attrs

from dlm.domain.document import Document
from dlm.domain.errors import MigrationError
from dlm.domain.migrations import migrate_text
from dlm.domain.text import decode_document, read_document_bytes
from dlm.domain.text_files import disk_error, write_atomic


@attrs.frozen(kw_only=True)
class MigrationResult:
    """What was, or with a dry run would be, done.

    Args:
        backup_path: copy of the original file; None when none was made.
        frontmatter_text: the migrated settings with both fences.
        changed: whether the file differs from what it was, or would.
    """

    path: Path
    from_version: int
    to_version: int
    steps: tuple[str, ...]
    backup_path: Path | None
    frontmatter_text: str
    changed: bool


def migrate(path: Path, *, dry_run: bool = False, backup: bool = True) -> MigrationResult:
    """Rewrite a document in the current version; comments, order and the whole body stay as they are.

    A document that is up to date is not touched.

    Args:
        dry_run: work out the result and write nothing.
        backup: first keep the original bytes as ``<name>.bak``, or ``.bak.1``, ``.bak.2`` … when that exists.

    Raises:
        DocumentError: the document has faults, or a version this program does not know; the places are those of the
            file as it is.
        MigrationError: the settings are written so oddly that rewriting them would change what they mean.
        DiskError: no room, read-only, no permission.
    """
    data = read_document_bytes(path)
    text = decode_document(data, path=str(path)).text
    old = Document.parse(text, path=path)
    migration = migrate_text(text, str(path))
    new = Document.parse(migration.text, path=path)
    _check_same(old, new)
    changed = bool(migration.steps)
    saved: Path | None = None
    if changed and not dry_run:
        saved = _keep(path, data) if backup else None
        new.save()
    return MigrationResult(
        path=path,
        from_version=migration.from_version,
        to_version=migration.to_version,
        steps=migration.steps,
        backup_path=saved,
        frontmatter_text=new.text[: new.body_start],
        changed=changed,
    )


def _check_same(old: Document, new: Document) -> None:
    """Refuse to write a text that does not mean what the old one meant; better no migration than a wrong one."""
    same_settings = attrs.evolve(old.frontmatter, explicit=frozenset()) == attrs.evolve(
        new.frontmatter, explicit=frozenset()
    )
    if not same_settings or old.text[old.body_start :] != new.text[new.body_start :]:
        raise MigrationError(
            "migrate.differs",
            f"{old.path}: rewriting the settings would change what they mean",
            hint="Write training.preference by hand in place of training.dpo, set dlm_version: 15, and try again.",
        )


def _keep(path: Path, data: bytes) -> Path:
    """Copy the original under the first free name; an existing backup is never replaced."""
    for number in itertools.count():
        target = path.with_name(f"{path.name}.bak" + (f".{number}" if number else ""))
        try:
            target.touch(exist_ok=False)  # claims the name, also against a second migration at the same moment
        except FileExistsError:
            continue
        except OSError as exc:
            raise disk_error(exc, target) from exc
        write_atomic(target, data, mode=path.stat().st_mode & 0o777)
        return target
    raise AssertionError("there are always more numbers")
