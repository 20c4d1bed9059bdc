"""Looking at the machine with torch, psutil and what the operating system tells."""

from dlm.adapters.hardware.probe import TorchHardwareProbe

__all__ = ["TorchHardwareProbe"]
