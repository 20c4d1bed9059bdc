"""A self-signed certificate for one run: X.509 with an Ed25519 key, written in DER by hand.

No dependency of dlm makes certificates, and Ed25519 signatures are all that one needs. TLS 1.3 only, which every
OpenSSL since 1.1.1 speaks. Nobody has to trust the certificate: peers compare its SHA-256, which is in the address.

Source: RFC 5280 (certificates), RFC 8410 (Ed25519 in them), RFC 5958 (the key's file).
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import ssl

_INTEGER, _BITS, _OCTETS, _OID, _UTF8, _SEQUENCE, _SET = 0x02, 0x03, 0x04, 0x06, 0x0C, 0x30, 0x31
_SHORT_TIME, _LONG_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS, _DNS_NAME = 0xA0, 0xA3, 0x82  # context tags
_ED25519 = bytes((0x2B, 0x65, 0x70))  # 1.3.101.112
_COMMON_NAME = bytes((0x55, 0x04, 0x03))  # 2.5.4.3
_ALTERNATIVE_NAME = bytes((0x55, 0x1D, 0x11))  # 2.5.29.17
_NAME = b"dlm-peer"
_LEEWAY = timedelta(days=1)
"""Validity before and after the run, for clocks that differ."""


@attrs.frozen
class Certificate:
    """A certificate in DER form, and its key as a PEM file. The key is a secret."""

    der: bytes
    key_pem: bytes = attrs.field(repr=False)

    @property
    def sha256(self) -> str:
        """Digest by which peers know it, in hex."""
        return hashlib.sha256(self.der).hexdigest()


def make_certificate(*, seed: bytes, now: datetime, expires: datetime) -> Certificate:
    """Give a certificate that is good while the server runs.

    Args:
        seed: 32 random bytes, the private key.
        now, expires: with time zone; a day is added at both ends.
    """
    from nacl.signing import SigningKey

    key = SigningKey(seed)
    algorithm = _der(_SEQUENCE, _der(_OID, _ED25519))
    name = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _der(_OID, _COMMON_NAME) + _der(_UTF8, _NAME))))
    alternative = _der(_OCTETS, _der(_SEQUENCE, _der(_DNS_NAME, _NAME)))
    body = _der(
        _SEQUENCE,
        _der(_VERSION, _der(_INTEGER, b"\x02"))
        + _der(_INTEGER, b"\x01" + hashlib.sha256(key.verify_key.encode()).digest()[:15])
        + algorithm
        + name
        + _der(_SEQUENCE, _time(now - _LEEWAY) + _time(expires + _LEEWAY))
        + name
        + _der(_SEQUENCE, algorithm + _bits(key.verify_key.encode()))
        + _der(_EXTENSIONS, _der(_SEQUENCE, _der(_SEQUENCE, _der(_OID, _ALTERNATIVE_NAME) + alternative))),
    )
    der = _der(_SEQUENCE, body + algorithm + _bits(key.sign(body).signature))
    private = _der(_SEQUENCE, _der(_INTEGER, b"\0") + algorithm + _der(_OCTETS, _der(_OCTETS, seed)))
    return Certificate(der, _pem("PRIVATE KEY", private))


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """Give the settings of a TLS 1.3 server with this certificate."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # OpenSSL is given keys by file name only; the folder is private and gone in a moment.
    with tempfile.TemporaryDirectory(prefix="dlm-peer-") as folder:
        path = Path(folder, "peer.pem")
        path.touch(mode=0o600)
        path.write_bytes(certificate.key_pem + _pem("CERTIFICATE", certificate.der))
        context.load_cert_chain(path)
    return context


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _bits(content: bytes) -> bytes:
    return _der(_BITS, b"\0" + content)


def _time(moment: datetime) -> bytes:
    """Give a time with two digits of the year before 2050 and four from then on, as RFC 5280 wants it."""
    utc = moment.astimezone(UTC)
    tag, form = (_SHORT_TIME, "%y%m%d%H%M%SZ") if utc.year < 2050 else (_LONG_TIME, "%Y%m%d%H%M%SZ")
    return _der(tag, utc.strftime(form).encode("ascii"))


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode("ascii")
    lines = (text[at : at + 64] for at in range(0, len(text), 64))
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode("ascii")
