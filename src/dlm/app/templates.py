"""Looking at the template gallery, and fetching a newer one."""

from __future__ import annotations

from dlm.domain.events import Emit, ignore
from dlm.domain.templates import RefreshResult, TemplateMeta
from dlm.ports.gallery import GalleryPort

__all__ = ["RefreshResult", "list_templates", "refresh_templates"]


def list_templates(*, gallery: GalleryPort, emit: Emit = ignore) -> tuple[TemplateMeta, ...]:
    """Give what is known of every template on this machine, sorted by name. Needs no network."""
    return gallery.entries(emit=emit)


def refresh_templates(*, gallery: GalleryPort, accept_unsigned: bool = False, emit: Emit = ignore) -> RefreshResult:
    """Fetch the newest gallery. A gallery that is out of reach or refused leaves the templates as they were.

    Args:
        accept_unsigned: take a gallery that nobody signed, or somebody unknown. Its templates may only add names.
    """
    return gallery.refresh(accept_unsigned=accept_unsigned, emit=emit)
