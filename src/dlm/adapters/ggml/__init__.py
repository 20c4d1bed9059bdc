"""Quantising with ggml itself, out of a Python package that carries it compiled."""

from dlm.adapters.ggml.libraries import LLAMA_CPP_PYTHON, XLLAMACPP, GgmlPackage
from dlm.adapters.ggml.quantizer import GgmlQuantizer

__all__ = ["LLAMA_CPP_PYTHON", "XLLAMACPP", "GgmlPackage", "GgmlQuantizer"]
