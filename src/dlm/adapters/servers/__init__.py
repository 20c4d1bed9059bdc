"""Model servers on this machine: llama.cpp running a GGUF file, and the servers that exported scripts start."""

from dlm.adapters.servers.llama_cpp import LlamaCppRuntime

__all__ = ["LlamaCppRuntime"]
