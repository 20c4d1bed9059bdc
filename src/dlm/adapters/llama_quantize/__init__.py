"""Quantising whole files with llama.cpp's own program."""

from dlm.adapters.llama_quantize.program import LlamaQuantizeProgram

__all__ = ["LlamaQuantizeProgram"]
