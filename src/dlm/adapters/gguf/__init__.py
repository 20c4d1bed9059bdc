"""GGUF files, written and read in Python."""
