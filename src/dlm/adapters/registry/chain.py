"""The registry: rows, then Hub ids and folders, and the walk through the places a base can be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from dlm.adapters.registry.digests import DigestCache
from dlm.adapters.registry.folder import open_base, read_facts
from dlm.domain.base_files import local_folder
from dlm.domain.base_models import REVISION, BaseSpec, ResolvedBase, is_hub_id
from dlm.domain.base_rows import describe_listed, find_base, refuse_unusable, unknown_base
from dlm.domain.errors import BaseModelError
from dlm.domain.events import Emit, ignore
from dlm.domain.hub_base import describe_facts
from dlm.ports.base_source import BaseSource, Found, HubLookup, Miss


class ChainRegistry:
    """Implements ``RegistryPort`` over an ordered list of places.

    Args:
        sources: places in the order they are tried.
        hub: describes models that are not in the registry.
        home: dlm's folder; digests are remembered in ``bases/digests`` under it.
    """

    def __init__(self, *, sources: Sequence[BaseSource], hub: HubLookup, home: Path) -> None:
        self._sources = tuple(sources)
        self._hub = hub
        self._digests = DigestCache(home / "bases" / "digests")

    def describe(
        self, selector: str, *, pinned_revision: str | None = None, skip_export_probes: bool = False
    ) -> BaseSpec:
        """Describe a base without fetching its weights. See the port for what goes online."""
        if selector.startswith("path:"):
            return _describe_folder(selector, skip_export_probes=skip_export_probes)
        if selector.startswith("hf:"):
            return self._describe_hub(selector, pinned_revision, skip_export_probes=skip_export_probes)
        return find_base(selector)

    def fetch(self, spec: BaseSpec, *, bundled: Path | None = None, emit: Emit = ignore) -> ResolvedBase:
        """Find the files of a base, fetching them only when no nearer place has them."""
        refuse_unusable(spec)
        misses: list[Miss] = []
        if bundled is not None:
            own = open_base(spec, Found(folder=bundled, origin="pack"))
            return attrs.evolve(own, sha256=self._digests.digest(own.folder, emit=emit))
        for source in self._sources:
            answer = source.find(spec, emit=emit)
            if isinstance(answer, Miss):
                misses.append(answer)
            elif isinstance(answer, Found):
                base = _open_or_miss(spec, answer, misses)
                if base is not None:
                    return attrs.evolve(base, sha256=self._digests.digest(base.folder, emit=emit))
        raise _nowhere(spec, misses)

    def _describe_hub(self, selector: str, revision: str | None, *, skip_export_probes: bool) -> BaseSpec:
        hf_id = selector.removeprefix("hf:")
        if not is_hub_id(hf_id):
            raise unknown_base(selector)
        if revision is not None and not REVISION.fullmatch(revision):
            raise BaseModelError(
                "base.bad-revision",
                f"{selector} is pinned to {revision[:80]!r}, which is not a commit (40 hex digits)",
                hint="Train once with --fresh, so that a commit is pinned again.",
            )
        listed = describe_listed(hf_id, revision=revision)
        if listed is not None:
            return listed
        look = self._hub.look_up(hf_id, revision=revision)
        facts = read_facts(look.folder, name=hf_id, revision=look.revision, files=look.files, params=look.params)
        return describe_facts(selector, facts, skip_export_probes=skip_export_probes)


def _describe_folder(selector: str, *, skip_export_probes: bool) -> BaseSpec:
    folder = local_folder(selector)
    facts = read_facts(folder, name=folder.name or "root", revision=None)
    return describe_facts(selector, facts, skip_export_probes=skip_export_probes)


def _open_or_miss(spec: BaseSpec, found: Found, misses: list[Miss]) -> ResolvedBase | None:
    """Open a folder; what is wrong with a cached copy is a miss, because a download mends it."""
    try:
        return open_base(spec, found)
    except BaseModelError as exc:
        if found.origin != "hub-cache":
            raise
        misses.append(Miss(where="the local Hub cache", why=exc.message))
        return None


def _nowhere(spec: BaseSpec, misses: Sequence[Miss]) -> BaseModelError:
    places = "".join(f"\n  {miss.where}: {miss.why}" for miss in misses)
    if spec.is_local:
        return BaseModelError(
            "base.folder-missing",
            f"{spec.key} is not there:{places}",
            hint="Check the path after path: in base_model.",
        )
    remedies = [miss.remedy for miss in misses if miss.remedy]
    return BaseModelError(
        "base.offline",
        f"the base model {spec.key} ({spec.hf_id}) is not on this machine and cannot be fetched now. "
        f"Looked at:{places}",
        hint="Connect to the internet and run it again, or "
        + "".join(f"{remedy}, or " for remedy in remedies)
        + "write base_model: path:<folder> with a folder that holds the model.",
        details={"places": {miss.where: miss.why for miss in misses}},
    )
