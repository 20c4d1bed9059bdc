"""Keeping secrets out of the logs of the HTTP libraries, which write whole addresses and headers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dlm.domain.share import without_secrets

_HTTP_LOGGERS = tuple(
    name
    for version in ("", "2")  # the Hub's library uses a second generation of the same two
    for name in (
        f"httpx{version}",
        *(f"httpcore{version}.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
    )
)


_CHATTY = "huggingface_hub._commit_api"
"""Warns of the way files are uploaded when their progress is to be seen."""


class _WithoutSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(record.getMessage()), ()
        return record.name != _CHATTY


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Have the HTTP libraries log addresses without users, passwords and queries as long as the block lasts."""
    censor = _WithoutSecrets()
    for name in (*_HTTP_LOGGERS, _CHATTY):
        logging.getLogger(name).addFilter(censor)
    try:
        yield
    finally:
        for name in (*_HTTP_LOGGERS, _CHATTY):
            logging.getLogger(name).removeFilter(censor)
