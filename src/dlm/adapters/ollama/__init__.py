"""Ollama on this machine: its program and its HTTP interface."""
