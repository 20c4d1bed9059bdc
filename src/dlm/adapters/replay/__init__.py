"""Removed sections on disk: frames in one file, an index of them beside it."""

from dlm.adapters.replay.replay import FileReplay

__all__ = ["FileReplay"]
