"""What wins over what when a file is chosen."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlm.domain.source_rules import (
    DEFAULT_EXCLUDES,
    ROOT,
    FolderVerdict,
    Scope,
    is_learned,
    is_learned_from,
    is_worth_entering,
    judge_folder,
)
from dlm.domain.tree_settings import TreeSettings


@attrs.frozen
class Rules:
    """Ignore rules made of one function."""

    rule: Callable[[str], bool | None]
    brings_back: bool = False

    def decide(self, path: str) -> bool | None:
        return self.rule(path)

    def may_bring_back_below(self, folder: str) -> bool:
        return self.brings_back


ALL = Scope.of_directive(["**/*"], [])


def learned(path: str, scope: Scope = ALL) -> bool:
    return is_learned_from(path, scope)


@pytest.mark.parametrize(
    "path",
    ".git/config a/.git/HEAD .env a/.env .env.local deep/down/.env.x id_rsa a/id_ed25519 a.pem b/c.key secrets.yaml "
    "a/secrets.json __pycache__/a.txt a/__pycache__/b.txt x.pyc node_modules/a.md web/node_modules/a/b.md a.min.js "
    "target/a.txt x/target/a.txt build/a.md x/build/a.md dist/a.md generated/a.md x/__generated__/a.md Cargo.lock "
    "x/uv.lock a.pdf x/a.zip .dlm/ignore x/.dlm/training.yaml venv/lib/a.py x/.venv/a.py x/.tox/a".split(),
)
def test_the_default_list_holds_at_every_depth(path: str) -> None:
    assert not learned(path)
    assert not learned("x/y/" + path)


@pytest.mark.parametrize(
    "path", "foo.env environment build a/target.md rebuild/a.md a.keys secretsx secrets git/config a.png dlm/a".split()
)
def test_the_default_list_takes_no_more_than_it_says(path: str) -> None:
    assert learned(path)


def test_the_deepest_include_counts_from_its_own_folder() -> None:
    scope = Scope.of_directive(["*.md"], []).inside("sub", TreeSettings(include=("*.py",)), None)
    assert is_learned("sub/a.py", "a.py", ROOT, scope)
    assert not is_learned("sub/a.md", "a.md", ROOT, scope)
    assert not is_learned("sub/x/a.py", "a.py", ROOT, scope)
    without = scope.inside("sub/x", TreeSettings(exclude=("b.py",)), None)
    assert not is_learned("sub/x/a.py", "a.py", ROOT, without)


def test_excludes_of_every_level_add_up() -> None:
    scope = Scope.of_directive(["**/*"], ["**/*.log"]).inside("sub", TreeSettings(exclude=("*.tmp",)), None)
    assert [is_learned(f"sub/{name}", name, ROOT, scope) for name in ("a.log", "a.tmp", "a.md")] == [False, False, True]
    assert is_learned("sub/x/a.tmp", "a.tmp", ROOT, scope)


def test_the_nearest_settings_file_decides_about_the_default_list() -> None:
    off = ALL.inside("", TreeSettings(exclude_defaults=False), None)
    assert learned("build/.env", off)
    assert not learned(".env", off.inside("", TreeSettings(), None))
    assert learned(".env", off.inside("", None, Rules(lambda _: None)))


def test_ignore_rules_win_over_all_excludes_and_not_over_include() -> None:
    back = Rules(lambda path: False if path.endswith(("keep.txt", ".env")) else None, brings_back=True)
    scope = Scope.of_directive(["**/*.txt"], ["**/old/**"]).inside("", TreeSettings(exclude=("**/keep.txt",)), back)
    assert learned("old/keep.txt", scope)
    assert learned("build/keep.txt", scope)
    assert not learned("old/other.txt", scope)
    assert not learned(".env", scope)


def test_the_deepest_rule_that_fits_wins() -> None:
    above = Rules(lambda path: True if path.endswith(".log") else None)
    below = Rules(lambda path: False if path == "a.log" else None)
    scope = ALL.inside("", None, above).inside("x", None, below)
    assert is_learned("x/a.log", "a.log", ROOT, scope)
    assert not is_learned("x/b.log", "b.log", ROOT, scope)


def test_a_folder_carries_its_verdict_down() -> None:
    rules = Rules(lambda path: True if path == "x/" else None)
    verdict = judge_folder("x", "x", ROOT, ALL.inside("", None, rules))
    assert verdict.decided is True
    assert not is_worth_entering("x", verdict, ALL)
    back = FolderVerdict(by_default=True, decided=False)
    assert is_learned("build/a.md", "a.md", back, ALL)


def test_an_excluded_folder_is_entered_only_for_what_could_come_back() -> None:
    verdict = judge_folder("build", "build", ROOT, ALL)
    assert not is_worth_entering("build", verdict, ALL)
    assert is_worth_entering("build", verdict, ALL.inside("build", TreeSettings(exclude_defaults=False), None))
    for could in (True, False):
        assert is_worth_entering("build", verdict, ALL.inside("", None, Rules(lambda _: None, could))) is could


def test_tags_and_weights_are_those_of_the_files_own_way_down() -> None:
    top = ALL.inside("", TreeSettings(metadata={"kind": "old", "by": "ada"}, weights={"kind": {"new": 2.0}}), None)
    new = top.inside("new", TreeSettings(metadata={"kind": "new"}), None)
    gone = top.inside(
        "gone", TreeSettings(metadata={"kind": "gone"}, weights={"kind": {"gone": 0.0, "new": 9.0}}), None
    )
    assert (top.weight, new.weight, gone.weight) == (1.0, 2.0, 0.0)
    assert dict(new.tags) == {"kind": "new", "by": "ada"}


NAMES = st.sampled_from(["a", "build", ".git", "x.md", ".env", "old", "c.pyc"])


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(st.sampled_from(["**/old/**", "a/**", "*.md", "build/a"])))
def test_pruning_never_changes_the_verdict(parts: list[str], exclude: list[str]) -> None:
    from dlm.domain.globs import GlobList

    path = "/".join(parts)
    left_out = GlobList(exclude).matches(path) or GlobList(DEFAULT_EXCLUDES).matches(path)
    assert learned(path, Scope.of_directive(["**/*"], exclude)) is not left_out
