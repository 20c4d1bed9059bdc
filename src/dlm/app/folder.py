"""Making the document that a folder of files is trained with: ``dlm train <folder>``.

It lies in ``<folder>/.dlm`` and names the folder as its one source, by a path that holds on every machine.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, Literal

import attrs

from dlm.domain.base_rows import refuse_unusable
from dlm.domain.document import Document
from dlm.domain.errors import FolderError, UsageError
from dlm.domain.frontmatter import SourceConfig
from dlm.domain.globs import BadPatternError, GlobList
from dlm.domain.source_rules import CONFIG_FOLDER
from dlm.domain.text_files import disk_error
from dlm.ports.clock import Clock
from dlm.ports.registry import RegistryPort

Policy = Literal["strict", "permissive"]

DEFAULT_NAME = "corpus"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


@attrs.frozen(kw_only=True)
class FolderOptions:
    """What a person asks for; None and empty mean that nothing was said.

    Args:
        recursive: whether the files of folders inside count, when ``include`` does not say.
        name: of the document, so that one folder can have several.
        rescaffold: change the document that is there to what is asked for.
    """

    base: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    recursive: bool | None = None
    name: str | None = None
    policy: Policy | None = None
    rescaffold: bool = False


@attrs.frozen(kw_only=True)
class ScaffoldedFolder:
    """The document of a folder. ``created``: it was written now, or changed with ``rescaffold``."""

    path: Path
    dlm_id: str
    base: str
    created: bool


def document_for_folder(
    folder: Path, options: FolderOptions, *, registry: RegistryPort, clock: Clock
) -> ScaffoldedFolder:
    """Find the document of a folder, or write one.

    What is there is used as it is. Asking for something else than it says is refused, so that neither the document nor
    the request is silently passed over.

    Raises:
        UsageError: a name that is no file name, a pattern that cannot be read, options that exclude each other.
        FolderError: no folder; several documents and no name; a new document without a base; options that differ from
            the document that is there.
        DocumentError: the document that is there has faults.
        BaseModelError: the base is unknown.
        DiskError: the document cannot be written.
    """
    folder = _checked_folder(folder, options)
    path = _document_path(folder, options)
    if not path.exists():
        return _new(folder, path, options, registry, clock)
    document = Document.load(path)
    if options.rescaffold:
        return _changed(path, document, options, registry)
    _refuse_differences(document, options, path)
    return ScaffoldedFolder(path=path, dlm_id=document.dlm_id, base=document.base_model, created=False)


def _checked_folder(folder: Path, options: FolderOptions) -> Path:
    if not folder.is_dir():
        raise FolderError("folder.not-a-folder", f"{folder} is not a folder", hint="Check the spelling of the path.")
    if options.name is not None and not re.fullmatch(_NAME, options.name):
        raise UsageError(
            "folder.name",
            f"{options.name!r} cannot be the name of a document",
            subject="train",
            hint="Use letters, digits, '.', '_' and '-', for example --name notes.",
        )
    if options.include and options.recursive is False:
        raise UsageError(
            "cli.usage",
            "--include and --no-recursive cannot be used together",
            subject="train",
            hint="Write the pattern so that it says how deep to look: '*.md' here, '**/*.md' everywhere below.",
        )
    for pattern in (*options.include, *options.exclude):
        _check_pattern(pattern)
    folder = folder.absolute()
    return folder.parent if folder.name == CONFIG_FOLDER else folder


def _check_pattern(pattern: str) -> None:
    try:
        GlobList([pattern])
        problem = None if pattern.strip() else "is empty"
    except BadPatternError as exc:
        problem = str(exc)
    if problem is not None:
        raise UsageError(
            "folder.pattern",
            f"the pattern {pattern[:60]!r} {problem}",
            subject="train",
            hint="Patterns look like '**/*.md' or 'drafts/**'.",
        )


def _document_path(folder: Path, options: FolderOptions) -> Path:
    """Give where the document is, or will be."""
    home = folder / CONFIG_FOLDER
    path = home / f"{(options.name or DEFAULT_NAME).removesuffix('.dlm')}.dlm"
    if options.name is not None or path.exists():
        return path
    try:
        others = sorted(found for found in home.glob("*.dlm") if found.is_file())
    except OSError as exc:
        raise disk_error(exc, home) from exc
    if len(others) > 1:
        commands = "\n".join(shlex.join(["dlm", "train", str(folder), "--name", other.stem]) for other in others)
        raise FolderError(
            "folder.several",
            f"{folder} has {len(others)} documents: {', '.join(other.stem for other in others)}",
            hint=f"Name the one you mean:\n{commands}",
        )
    return others[0] if others else path


def _new(folder: Path, path: Path, options: FolderOptions, registry: RegistryPort, clock: Clock) -> ScaffoldedFolder:
    if options.base is None:
        name = [] if options.name is None else ["--name", options.name]
        raise FolderError(
            "folder.needs-base",
            f"{path} is not there yet, so it is not known which base model should learn the folder",
            hint=f"Name one: {shlex.join(['dlm', 'train', str(folder), *name, '--base', 'smollm2-135m'])}",
        )
    base = _known_base(options.base, registry)
    document = Document.new(
        clock.ulid(),
        base,
        f"# The files of {_title(folder)}",
        sources=[_source(options)],
        sources_policy=options.policy or "strict",
    )
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as exc:
        raise disk_error(exc, path.parent) from exc
    document.save(path)
    return ScaffoldedFolder(path=path, dlm_id=document.dlm_id, base=base, created=True)


def _changed(path: Path, document: Document, options: FolderOptions, registry: RegistryPort) -> ScaffoldedFolder:
    """Change the first source, the policy and perhaps the base; identity and everything else a person wrote stay."""
    base = document.base_model if options.base is None else _known_base(options.base, registry)
    first, *others = document.frontmatter.training.sources or (SourceConfig(path="."),)
    kept = {name: value for name in _LIMITS if (value := getattr(first, name)) is not None}
    changes: dict[str, Any] = {
        "training.sources": [{**_source(options), **kept}, *map(_plain, others)],
        "training.sources_policy": options.policy or "strict",
    }
    if base != document.base_model:
        changes["base_model"] = base
    document.edit(set=changes).save(path)
    return ScaffoldedFolder(path=path, dlm_id=document.dlm_id, base=base, created=True)


_LIMITS = ("max_bytes_per_file", "max_files")


def _plain(source: SourceConfig) -> dict[str, Any]:
    given = {"path": source.path, "include": list(source.include), "exclude": list(source.exclude)}
    return given | {name: value for name in _LIMITS if (value := getattr(source, name)) is not None}


def _source(options: FolderOptions) -> dict[str, Any]:
    """Give the folder itself as a source, in as few words as it takes."""
    include, exclude = _include(options), options.exclude
    source: dict[str, Any] = {"path": "."}
    if include != SourceConfig(path=".").include:
        source["include"] = list(include)
    return source | ({"exclude": list(exclude)} if exclude else {})


def _include(options: FolderOptions) -> tuple[str, ...]:
    return options.include or (("*",) if options.recursive is False else ("**/*",))


def _known_base(name: str, registry: RegistryPort) -> str:
    spec = registry.describe(name, skip_export_probes=True)
    refuse_unusable(spec)
    return spec.key


def _title(folder: Path) -> str:
    return " ".join(folder.name.encode("utf-8", "backslashreplace").decode().split()) or "this folder"


def _refuse_differences(document: Document, options: FolderOptions, path: Path) -> None:
    training = document.frontmatter.training
    source = (training.sources or (SourceConfig(path="."),))[0]
    asked: tuple[tuple[str, bool, Any, Any], ...] = (
        ("--base", options.base is not None, options.base, document.base_model),
        ("--include", bool(options.include), options.include, source.include),
        ("--recursive", options.recursive is not None and not options.include, _include(options), source.include),
        ("--exclude", bool(options.exclude), options.exclude, source.exclude),
        ("--policy", options.policy is not None, options.policy, training.sources_policy),
    )
    differing = [
        f"{flag} {_words(given)} (there: {_words(there)})"
        for flag, said, given, there in asked
        if said and given != there
    ]
    if differing:
        raise FolderError(
            "folder.differs",
            f"{path} exists and says something else than {', '.join(differing)}",
            hint="Leave these options out to train what is there, or add --rescaffold to change the document.",
        )


def _words(value: object) -> str:
    return " ".join(value) or "nothing" if isinstance(value, tuple) else str(value)
