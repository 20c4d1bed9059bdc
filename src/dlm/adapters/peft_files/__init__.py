"""PEFT adapter folders: what they say about themselves, mixes of several, and copies to give away."""

from dlm.adapters.peft_files.exporter import PeftExporter
from dlm.adapters.peft_files.files import PeftFiles

__all__ = ["PeftExporter", "PeftFiles"]
