"""Packs: a zstd stream around a tar."""

from dlm.adapters.packs.packs import TarZstdPacks

__all__ = ["TarZstdPacks"]
