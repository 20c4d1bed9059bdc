"""Adapters in the form that mlx-lm reads."""

from dlm.adapters.mlx_files.exporter import MlxExporter

__all__ = ["MlxExporter"]
