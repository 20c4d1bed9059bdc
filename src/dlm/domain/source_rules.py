"""Which files of a tree are learned: patterns of the directive, settings of folders, and what wins over what.

1  include    of the deepest training.yaml above the file that has one, else of the directive
2  exclude    of the directive
3             of the default list, unless the nearest training.yaml says exclude_defaults: false
4             of each training.yaml above the file
5  ignore     rules of every .dlm/ignore above the file; the last one that fits wins, and one with ``!`` brings back
              what 2 to 4 left out
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Protocol

import attrs

from dlm.domain.globs import GlobList
from dlm.domain.tree_settings import TreeSettings, merged_weights, weight_of

CONFIG_FOLDER = ".dlm"
"""Name of a folder that holds settings for the tree around it."""

DEFAULT_EXCLUDES = tuple(
    f"**/{pattern}"
    for pattern in (
        ".git/** .hg/** .svn/** .env .env.* id_rsa id_ed25519 *.pem *.key secrets.* __pycache__/** *.pyc *.pyo "
        ".venv/** venv/** .tox/** node_modules/** *.min.js *.min.css *.map target/** *.rlib *.class *.jar *.o *.so "
        "*.dylib *.dll build/** dist/** __generated__/** generated/** package-lock.json yarn.lock pnpm-lock.yaml "
        "Cargo.lock uv.lock poetry.lock Pipfile.lock *.ico *.pdf *.zip *.tar *.gz *.xz *.bz2 *.7z *.wasm .dlm/**"
    ).split()
)
"""What nobody means to teach: secrets, what tools made or fetched, archives. At every depth."""


class IgnoreRules(Protocol):
    """The rules of one ``.dlm/ignore``. Paths are relative to the folder that holds ``.dlm``."""

    def decide(self, path: str) -> bool | None:
        """Give True: left out; False: brought back by a rule with ``!``; None: no rule fits.

        The path of a folder ends in ``/``.
        """
        ...

    def may_bring_back_below(self, folder: str) -> bool:
        """Tell whether a rule with ``!`` could fit something below ``folder`` (without a ``/`` at its end)."""
        ...


@attrs.frozen(kw_only=True)
class Scope:
    """The settings that hold in one folder: those of the directive and of every ``.dlm`` folder above it.

    Args:
        include: the patterns that count, relative to ``include_from`` (a prefix of paths, empty or ending in ``/``).
        excludes: (prefix, patterns) of the directive and each ``training.yaml``.
        ignores: (prefix, rules) of each ``.dlm/ignore``, deepest first.
    """

    include: GlobList
    include_from: int = 0
    excludes: tuple[tuple[int, GlobList], ...] = ()
    exclude_defaults: bool = True
    ignores: tuple[tuple[int, IgnoreRules], ...] = ()
    tags: Mapping[str, str] = attrs.field(factory=dict)
    weights: Mapping[str, Mapping[str, float]] = attrs.field(factory=dict)
    weight: float = 1.0

    @classmethod
    def of_directive(cls, include: Iterable[str], exclude: Iterable[str]) -> Scope:
        """Give what holds at the root of a directive.

        Raises:
            BadPatternError: a pattern that is not read.
        """
        excluded = GlobList(exclude)
        return cls(include=GlobList(include), excludes=() if excluded.is_empty else ((0, excluded),))

    def inside(self, anchor: str, settings: TreeSettings | None, ignore: IgnoreRules | None) -> Scope:
        """Give what holds in the folder ``anchor`` (relative to the root, empty for it) with settings of its own."""
        start = len(anchor) + 1 if anchor else 0
        scope = self if ignore is None else attrs.evolve(self, ignores=((start, ignore), *self.ignores))
        if settings is None:
            return scope
        tags = {**self.tags, **settings.metadata}
        weights = merged_weights(self.weights, settings.weights)
        excluded = GlobList(settings.exclude)
        return attrs.evolve(
            scope,
            include=GlobList(settings.include) if settings.include else self.include,
            include_from=start if settings.include else self.include_from,
            excludes=self.excludes if excluded.is_empty else (*self.excludes, (start, excluded)),
            exclude_defaults=settings.exclude_defaults,
            tags=tags,
            weights=weights,
            weight=weight_of(tags, weights),
        )


@cache
def _defaults() -> GlobList:
    return GlobList(DEFAULT_EXCLUDES)


@attrs.frozen
class FolderVerdict:
    """What is known of a folder before looking into it.

    Args:
        excluded: by a pattern of the directive or a ``training.yaml`` that covers everything below.
        by_default: covered by the default list.
        decided: what ignore rules say of the folder: True left out, False brought back, None nothing.
    """

    excluded: bool = False
    by_default: bool = False
    decided: bool | None = None


ROOT = FolderVerdict()


def judge_folder(folder: str, name: str, above: FolderVerdict, scope: Scope) -> FolderVerdict:
    """Judge a folder by the settings that hold in its parent.

    Args:
        folder: path relative to the root; ``name`` is its last part.
        above: what was said of its parent.
    """
    decided = _decided(f"{folder}/", scope)
    return FolderVerdict(
        excluded=above.excluded or any(globs.covers(folder[start:], name) for start, globs in scope.excludes),
        by_default=above.by_default or _defaults().covers(folder, name),
        decided=above.decided if decided is None else decided,
    )


def is_worth_entering(folder: str, verdict: FolderVerdict, scope: Scope) -> bool:
    """Tell whether anything below the folder could be learned, by the settings that hold in it, its own included."""
    if verdict.decided is True:
        return False
    if verdict.decided is False or not _is_left_out(verdict, scope):
        return True
    return any(rules.may_bring_back_below(folder[start:]) for start, rules in scope.ignores)


def is_learned(path: str, name: str, folder: FolderVerdict, scope: Scope) -> bool:
    """Tell whether a file is learned.

    Args:
        path: relative to the root; ``name`` is its last part.
        folder: what was said of its folder.
    """
    if not (scope.include.fits_everything or scope.include.matches(path[scope.include_from :])):
        return False
    decided = _decided(path, scope) if scope.ignores else None
    if decided is None:
        decided = folder.decided
    if decided is not None:
        return not decided
    return not (
        _is_left_out(folder, scope)
        or (scope.exclude_defaults and _defaults().matches_itself(path, name))
        or any(globs.matches_itself(path[start:], name) for start, globs in scope.excludes)
    )


def is_learned_from(path: str, scope: Scope) -> bool:
    """Tell whether a file is learned when the settings of the directive are the only ones in its tree."""
    verdict, parts = ROOT, path.split("/")
    for depth in range(1, len(parts)):
        verdict = judge_folder("/".join(parts[:depth]), parts[depth - 1], verdict, scope)
        if verdict.decided is True:
            return False
    return is_learned(path, parts[-1], verdict, scope)


def _is_left_out(folder: FolderVerdict, scope: Scope) -> bool:
    return folder.excluded or (folder.by_default and scope.exclude_defaults)


def _decided(path: str, scope: Scope) -> bool | None:
    for start, rules in scope.ignores:
        decided = rules.decide(path[start:])
        if decided is not None:
            return decided
    return None
