"""Keeping secrets out of the logs of the HTTP libraries, which write whole addresses and headers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dlm.domain.share import without_secrets

_GENERATIONS = ("", "2")  # the Hub's library uses a second one of the same two libraries
_WITH_ADDRESSES = tuple(f"httpx{generation}" for generation in _GENERATIONS)
_WITH_HEADERS = tuple(
    f"httpcore{generation}.{part}"
    for generation in _GENERATIONS
    for part in ("connection", "http11", "http2", "proxy", "socks")
)
_CHATTY = "huggingface_hub._commit_api"
"""Warns of the way files are uploaded when their progress is to be seen."""


class _Censor(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.name not in _WITH_ADDRESSES:
            return False
        record.msg, record.args = without_secrets(record.getMessage()), ()
        return True


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Have the HTTP libraries log no headers, and addresses without users, passwords and queries, as long as the block
    lasts. Other threads' requests are logged so meanwhile, too."""
    censor = _Censor()
    loggers = [logging.getLogger(name) for name in (*_WITH_ADDRESSES, *_WITH_HEADERS, _CHATTY)]
    for logger in loggers:
        logger.addFilter(censor)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(censor)
