"""A GET that cannot run away: capped bytes, capped time, capped redirects, encrypted or local."""

from __future__ import annotations

import functools
import ipaddress
import time
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

import attrs

from dlm.domain.errors import NetworkError

if TYPE_CHECKING:
    import ssl

    import httpx

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})


@attrs.frozen(kw_only=True)
class HttpxClient:
    """``HttpPort`` on httpx.

    Args:
        connect_s: seconds to wait for a connection.
        read_s: seconds to wait for the next bytes.
        total_s: seconds one GET may take with all its redirects; stops a server that drips one byte at a time.
        max_redirects: redirects followed before giving up.
    """

    connect_s: float = 20.0
    read_s: float = 60.0
    total_s: float = 300.0
    max_redirects: int = 3

    def get(self, url: str, *, limit_bytes: int) -> bytes:
        """Give the body of ``url``, at most ``limit_bytes`` long. Raises ``NetworkError``; see ``HttpPort``."""
        import httpx

        require_safe(url, origin=url)
        timeout = httpx.Timeout(self.read_s, connect=self.connect_s)
        try:
            # Proxy settings of the environment are for the outside world, never for this machine itself.
            outside = not _is_loopback(url)
            with httpx.Client(
                timeout=timeout, follow_redirects=False, trust_env=outside, verify=_certificates()
            ) as client:
                return self._follow(client, url, limit_bytes)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
            raise NetworkError(
                "http.unreachable",
                f"{shown(url)} could not be fetched: {str(exc) or type(exc).__name__}",
                hint="Check the address and the connection, then run it again.",
            ) from exc

    def _follow(self, client: httpx.Client, url: str, limit_bytes: int) -> bytes:
        deadline = time.monotonic() + self.total_s
        here = url
        for _ in range(self.max_redirects + 1):
            answer = self._fetch(client, here, limit_bytes, deadline)
            if isinstance(answer, bytes):
                return answer
            here = urljoin(here, answer)
            require_safe(here, origin=url)
        raise NetworkError(
            "http.redirects",
            f"{shown(url)} redirects more than {self.max_redirects} times",
            hint="Use the address it ends at.",
        )

    def _fetch(self, client: httpx.Client, url: str, limit_bytes: int, deadline: float) -> bytes | str:
        """Give the body, or the address of a redirect."""
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return str(response.headers["location"])
            _require_success(url, response.status_code)
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            if encoding not in ("", "identity"):
                raise NetworkError("http.encoding", f"{shown(url)} answers in the encoding {encoding}, not asked for")
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > limit_bytes:
                    raise NetworkError("http.too-large", f"{shown(url)} is larger than {limit_bytes} bytes")
                if time.monotonic() > deadline:
                    raise NetworkError("http.unreachable", f"{shown(url)} took longer than {self.total_s:g} s")
            return bytes(body)


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Give the trusted certificates, read once: that takes longer than fetching a small file."""
    import httpx

    return httpx.create_ssl_context()


def require_safe(url: str, *, origin: str) -> None:
    """Refuse an address that is neither ``https`` nor ``http`` on this machine.

    A request that began on the outside may not be redirected to a plain ``http`` service on this machine.
    """
    try:
        scheme, host = urlsplit(url).scheme.lower(), urlsplit(url).hostname
    except ValueError:
        scheme, host = "", None
    if host and (scheme == "https" or (scheme == "http" and _is_loopback(url) and _is_loopback(origin))):
        return
    raise NetworkError(
        "http.insecure",
        f"{shown(url)} is refused: only https addresses are fetched",
        hint="Use an address that begins with https://.",
    )


def shown(url: str) -> str:
    """Give ``url`` without user name, password and query, for messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_success(url: str, status: int) -> None:
    if status in _GONE:
        raise NetworkError("http.missing", f"{shown(url)} does not exist (HTTP {status})")
    if status != 200:
        raise NetworkError(
            "http.status", f"{shown(url)} answered HTTP {status}", hint="Try again later, or check the address."
        )
