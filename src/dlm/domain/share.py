"""Where packs are sent to and fetched from."""

from __future__ import annotations

from typing import Literal

import attrs

AddressKind = Literal["hub", "url", "peer", "path"]


@attrs.frozen(kw_only=True)
class Address:
    """A place.

    Args:
        text: as it was given; may hold secrets.
        shown: the same for people: without token, query, user and password.
        revision: of a Hub repository, after ``@``.
        sha256: digest that the pack has to have, from ``#sha256=…``.
    """

    kind: AddressKind
    text: str = attrs.field(repr=False)
    shown: str
    revision: str | None = None
    sha256: str | None = None
