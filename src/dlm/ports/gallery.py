"""Starter documents to begin from."""

from __future__ import annotations

from typing import Protocol

from dlm.domain.events import Emit, ignore
from dlm.domain.templates import RefreshResult, Template, TemplateMeta


class GalleryPort(Protocol):
    """The templates on this machine, and a way to get newer ones.

    ``entries`` and ``load`` never touch the network; only ``refresh`` does.
    """

    def entries(self, *, emit: Emit = ignore) -> tuple[TemplateMeta, ...]:
        """Give every valid template, sorted by name, each name once. An invalid one is left out with a warning."""
        ...

    def load(self, name: str) -> Template:
        """Give one template. Raises ``TemplateError``: ``templates.unknown`` or ``templates.invalid``."""
        ...

    def refresh(self, *, accept_unsigned: bool = False, emit: Emit = ignore) -> RefreshResult:
        """Fetch the newest signed gallery. All or nothing: anything but success leaves the templates as they were.

        What the network or the gallery does is told by the result, never raised. ``accept_unsigned`` tolerates a
        missing signature or one of an unknown key, never a signature that fails under a trusted key.
        """
        ...
