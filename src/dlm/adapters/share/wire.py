"""HTTP that sends and fetches one file: streamed, capped, tried again, resumed, redirected by hand."""

from __future__ import annotations

import functools
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs

from dlm.adapters.share.files import Meter, Partial, arriving, pieces, size_of
from dlm.adapters.share.quiet import quiet_logs
from dlm.domain.errors import ShareError
from dlm.domain.events import Emit, ignore
from dlm.domain.share import Address, is_loopback, redacted, shown_url
from dlm.domain.transfer import (
    CHUNK_BYTES,
    LIMITS,
    REDIRECT_FAULTS,
    TransferLimits,
    continues_at,
    follow,
    length_of,
    may_pass,
    strong_etag,
    wait_before,
)

if TYPE_CHECKING:
    import httpx

_USER_AGENT = "dlm-share/1.0"
_REDIRECTS = {"GET": frozenset({301, 302, 303, 307, 308}), "POST": frozenset({307, 308})}
"""After 301 to 303 a POST becomes a GET elsewhere, which sends nothing: there it is an answer like any other."""

_ENCRYPTION = "Check the address. If it is right, somebody may be in between."


class _Trouble(Exception):  # noqa: N818  # it may pass
    """Something that may be over at the next try. Never leaves this module."""

    def __init__(self, error: ShareError, *, retry_after: str | None = None) -> None:
        super().__init__(error.code)
        self.error = error
        self.retry_after = retry_after


class _NotConnected(_Trouble):
    """Nothing was sent yet."""


@attrs.frozen(kw_only=True)
class Wire:
    """The network, as far as one address is concerned.

    Args:
        auth: value of the ``Authorization`` header; goes to the address's own origin only.
        refused_hint: what to do when the other side answers 401 or 403.
        encryption: makes the TLS settings; None for the usual certificates.
        proxies: those of the environment may be used.
        sleep: waits so many seconds. jitter: gives 0 to 1.
    """

    address: Address
    refused_hint: str
    auth: str | None = attrs.field(default=None, repr=False)
    limits: TransferLimits = LIMITS
    encryption: Callable[[], ssl.SSLContext] | None = None
    proxies: bool = True
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def send(self, url: str, path: Path, *, emit: Emit) -> None:
        """POST a file. Tried again only as long as no connection came about.

        Raises:
            ShareError: no connection, a refused redirect, or an answer that is not 2xx.
        """
        size = size_of(path)
        meter = Meter("upload", emit)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with quiet_logs():
            for attempt in range(1, self.limits.attempts + 1):
                try:
                    with self._answer("POST", url, headers, lambda: pieces(path, size, meter)) as response:
                        if not response.is_success:
                            raise self._bad_status(url, response.status_code)
                    break
                except _NotConnected as trouble:
                    self._wait(attempt, trouble)
                except _Trouble as trouble:
                    raise trouble.error from None
        meter.finish(size)

    def fetch(self, url: str, target: Path, *, cap: int, emit: Emit) -> None:
        """GET a file into ``target``, which appears when it is complete and on the disk.

        Tries again after whatever may pass, going on where it stopped when the other side promises that the bytes are
        still the same.

        Raises:
            ShareError: ``share.missing`` for 404 and 410; any other answer; more than ``cap`` bytes.
            StoreError: a disk that is full or cannot be written.
        """
        meter = Meter("download", emit)
        with quiet_logs(), arriving(target) as partial:
            attempt, reached = 0, 0
            while True:
                attempt += 1
                try:
                    self._attempt(url, partial, cap, meter)
                    break
                except _Trouble as trouble:
                    if partial.size >= reached + CHUNK_BYTES:  # it got on: a long download may be cut many times
                        attempt, reached = 1, partial.size
                    self._wait(attempt, trouble)
            meter.finish(partial.size)

    def fetch_signature(self, url: str, target: Path) -> tuple[Path | None, str | None]:
        """Give the fetched signature, or why there may be one that could not be fetched, or neither: there is none."""
        try:
            self.fetch(url, target, cap=self.limits.signature_bytes, emit=ignore)
        except ShareError as exc:
            return None, None if exc.code == "share.missing" else exc.message
        return target, None

    def _attempt(self, url: str, partial: Partial, cap: int, meter: Meter) -> None:
        headers = {"Accept-Encoding": "identity"}
        if partial.size and partial.etag is not None:
            headers |= {"Range": f"bytes={partial.size}-", "If-Range": partial.etag}
        with self._answer("GET", url, headers) as response:
            total = self._begin(response, url, partial)
            if total is not None and total > cap:
                raise self._too_large(url, cap)
            for chunk in self._chunks(response, url):
                if partial.size + len(chunk) > cap:
                    raise self._too_large(url, cap)
                partial.write(chunk)
                meter.tell(partial.size, total)
        if total is not None and partial.size != total:
            raise self._cut(url, f"{partial.size} of {total} bytes arrived")

    def _begin(self, response: httpx.Response, url: str, partial: Partial) -> int | None:
        """Place the partial file where the answer begins; gives the size of the whole."""
        status = response.status_code
        etag = strong_etag(response.headers.get("etag"))
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise self._bad_answer(url, "it compressed the pack, which was not asked for")
        if status == 200:
            partial.restart(etag)
            return length_of(response.headers.get("content-length"))
        if status not in (206, 416):
            error = self._bad_status(url, status)
            raise _Trouble(error, retry_after=response.headers.get("retry-after")) if may_pass(status) else error
        place = continues_at(response.headers.get("content-range"))
        if status == 206 and partial.size and place is not None and place[0] == partial.size and etag == partial.etag:
            return place[1]
        partial.restart(None)
        raise _Trouble(self._bad_answer(url, "what it has is not what it began to send"))

    def _chunks(self, response: httpx.Response, url: str) -> Iterator[bytes]:
        """Give the body as it comes. What the caller raises meanwhile stays the caller's."""
        import httpx

        since, came = time.monotonic(), 0
        try:
            for chunk in response.iter_raw():
                yield chunk
                came += len(chunk)
                if time.monotonic() - since >= self.limits.slow_s:
                    if came < self.limits.slow_bytes:
                        raise self._cut(url, "the other side sends next to nothing")
                    since, came = time.monotonic(), 0
        except (httpx.HTTPError, httpx.StreamError) as exc:
            raise self._trouble(url, exc) from None

    @contextmanager
    def _answer(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Callable[[], Iterator[bytes]] | None = None,
    ) -> Iterator[httpx.Response]:
        """Ask, and follow redirects. Credentials stay behind for good once the origin changed."""
        here, auth = url, self.auth
        for _ in range(self.limits.redirects + 1):
            credentials = {"Authorization": auth} if auth is not None else {}
            with self._asked(method, here, {**headers, **credentials}, body) as response:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS[method] or location is None:
                    yield response
                    return
            hop = follow(here, location)
            if isinstance(hop, str):
                raise self._bad_redirect(here, REDIRECT_FAULTS[hop])
            here, auth = hop.url, auth if hop.same_origin else None
        raise self._bad_redirect(url, f"more than {self.limits.redirects} times")

    @contextmanager
    def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: Callable[[], Iterator[bytes]] | None
    ) -> Iterator[httpx.Response]:
        """Give the answer to one request, over a connection of its own.

        The library's client is left out: it reads redirects even where it does not follow them, logs addresses with
        their queries, keeps cookies.
        """
        import httpx

        limits = self.limits
        timeout = httpx.Timeout(limits.read_s, connect=limits.connect_s, pool=limits.pool_s)
        try:
            request = httpx.Request(
                method,
                url,
                headers={"User-Agent": _USER_AGENT, "Accept": "*/*", **headers},
                content=body() if body else None,
                extensions={"timeout": timeout.as_dict()},
            )
            transport = self._transport(url)
        except httpx.InvalidURL:
            raise self._unreachable(url, "it is no web address") from None
        with transport:
            try:
                response = transport.handle_request(request)
            except (httpx.HTTPError, httpx.StreamError) as exc:
                raise self._trouble(url, exc) from None
            try:
                yield response
            finally:
                response.close()

    def _transport(self, url: str) -> httpx.HTTPTransport:
        import httpx

        encryption = (self.encryption or usual_certificates)()
        proxy = proxy_of(url) if self.proxies else None
        try:
            return httpx.HTTPTransport(verify=encryption, proxy=proxy)
        except (ValueError, ImportError):
            why = "the proxy that the environment names cannot be used"  # the cause may hold the proxy's password
            raise self._unreachable(url, why) from None

    def _trouble(self, url: str, exc: Exception) -> Exception:
        """Give what an exception of the HTTP library means. It is not chained: it may quote what the server sent, and
        that may quote our secrets."""
        import httpx

        if _is_certificate_fault(exc):
            return ShareError(
                "share.certificate",
                f"{shown_url(url)} shows a certificate that is not the expected one",
                hint=_ENCRYPTION,
            )
        error = self._unreachable(url, self._why(exc))
        not_connected = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return _NotConnected(error) if not_connected else _Trouble(error)

    def _why(self, exc: Exception) -> str:
        import httpx

        if isinstance(exc, httpx.TimeoutException):
            return "it did not answer in time"
        if isinstance(exc, httpx.ConnectError):
            return redacted(str(exc), self.address, self.auth)
        if isinstance(exc, httpx.ProxyError):
            return "the proxy in between refused"
        return "the connection broke off, or the answer is not HTTP"

    def _wait(self, attempt: int, trouble: _Trouble) -> None:
        wait_s = wait_before(attempt, jitter=self.jitter(), retry_after=trouble.retry_after, limits=self.limits)
        if wait_s is None:
            raise trouble.error from None
        self.sleep(wait_s)

    def _bad_status(self, url: str, status: int) -> ShareError:
        where = shown_url(url)
        if status in (401, 403):
            return ShareError("share.refused", f"{where} refuses access (HTTP status {status})", hint=self.refused_hint)
        if status in (404, 410):
            return ShareError(
                "share.missing", f"{where} does not exist (HTTP status {status})", hint="Check the address."
            )
        hint = "Try again later." if may_pass(status) else "Check the address, and that it is made for packs."
        return ShareError("share.status", f"{where} answered with HTTP status {status}", hint=hint)

    def _bad_answer(self, url: str, why: str) -> ShareError:
        return ShareError("share.bad-answer", f"{shown_url(url)}: {why}", hint="Try again, or ask its owner.")

    def _bad_redirect(self, url: str, why: str) -> ShareError:
        return ShareError(
            "share.redirect", f"{shown_url(url)} redirects {why}", hint="Use the address it ends at, if you trust it."
        )

    def _too_large(self, url: str, cap: int) -> ShareError:
        return ShareError("share.too-large", f"{shown_url(url)} is larger than the {cap} bytes that are accepted")

    def _unreachable(self, url: str, why: str) -> ShareError:
        return ShareError(
            "share.unreachable",
            f"{shown_url(url)} could not be reached: {why}",
            hint="Check the address and the connection, then run it again.",
        )

    def _cut(self, url: str, why: str) -> _Trouble:
        return _Trouble(self._unreachable(url, why))


@functools.cache
def usual_certificates() -> ssl.SSLContext:
    """Give the trusted certificates, read once: that takes longer than fetching a small file."""
    import httpx

    return httpx.create_ssl_context()


def proxy_of(url: str) -> str | None:
    """Give the proxy that the environment names for an address; never one for this machine itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _is_certificate_fault(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False
