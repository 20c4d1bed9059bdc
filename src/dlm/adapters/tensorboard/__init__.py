"""Curves for TensorBoard."""

from dlm.adapters.tensorboard.sink import TensorBoardSink

__all__ = ["TensorBoardSink"]
