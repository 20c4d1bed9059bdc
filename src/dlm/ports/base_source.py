"""Places where a base model's files can be, and the one place that knows models nobody has listed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import attrs

from dlm.domain.base_models import BaseSpec, Origin
from dlm.domain.events import Emit, ignore


@attrs.frozen(kw_only=True)
class Found:
    """A folder that should hold the base. The caller still checks that it is complete."""

    folder: Path
    origin: Origin


@attrs.frozen(kw_only=True)
class Miss:
    """A place that was looked at without success, in words for the person: ``where`` and ``why``.

    ``remedy`` is what would make the place serve this base, as the middle of a sentence; empty when nothing would.
    """

    where: str
    why: str
    remedy: str = ""


class BaseSource(Protocol):
    """One place of the resolution order.

    ``find`` answers None when the place never serves such a base, so that it is not worth a word. It says by an event
    when it goes online or does long work, and may be called by several processes at once. A missing file or network is
    a ``Miss``; ``BaseModelError`` is for what looking elsewhere cannot mend (a licence, a wrong name, a wrong commit)
    and ``StoreError`` for a disk that is full or fails. Nothing else is raised.
    """

    def find(self, spec: BaseSpec, *, emit: Emit = ignore) -> Found | Miss | None: ...


@attrs.frozen(kw_only=True)
class HubLook:
    """What the Hub says about a model.

    Args:
        revision: the commit, 40 hex digits.
        folder: holds the model's small files (``config.json``, tokenizer) as of that commit.
        files: names of all files of the repository.
        params: number of weights; None when the Hub does not say.
    """

    revision: str
    folder: Path
    files: tuple[str, ...]
    params: int | None


class HubLookup(Protocol):
    """Looks a model up by ``org/name``.

    Without ``revision`` the newest commit is asked for, online. With one, what was looked up before is given again
    without the network. Raises ``BaseModelError`` (``LicenseError`` when the Hub wants its terms accepted first) and
    ``StoreError`` (a disk that is full or fails) only.
    """

    def look_up(self, hf_id: str, *, revision: str | None = None) -> HubLook: ...
