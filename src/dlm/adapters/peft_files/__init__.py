"""PEFT adapter folders: what they say about themselves, and mixes of several."""

from dlm.adapters.peft_files.files import PeftFiles

__all__ = ["PeftFiles"]
