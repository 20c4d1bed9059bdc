"""Ollama on this machine: its program and its HTTP interface."""

from dlm.adapters.ollama.ollama import Ollama

__all__ = ["Ollama"]
