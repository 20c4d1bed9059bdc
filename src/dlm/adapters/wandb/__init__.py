"""Runs for Weights & Biases, kept offline."""

from dlm.adapters.wandb.sink import WandbSink

__all__ = ["WandbSink"]
