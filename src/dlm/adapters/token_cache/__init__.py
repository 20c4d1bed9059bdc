"""Rows as token ids on disk, kept between runs."""

from dlm.adapters.token_cache.cache import FileTokenCache

__all__ = ["FileTokenCache"]
