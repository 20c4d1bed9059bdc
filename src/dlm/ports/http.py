"""Fetching small files over the network."""

from __future__ import annotations

from typing import Protocol


class HttpPort(Protocol):
    """One bounded GET.

    Only ``https`` addresses are fetched, plus ``http`` on the loopback interface; at most three redirects are followed,
    under the same rule. The body is given as the server sent it (no content decoding), whole or not at all.

    Raises ``NetworkError`` only: ``http.insecure``, ``http.redirects``, ``http.too-large`` and ``http.encoding`` are
    refusals, ``http.missing`` says that the server has no such file, ``http.status`` and ``http.unreachable`` are
    trouble that may pass.
    """

    def get(self, url: str, *, limit_bytes: int) -> bytes: ...
