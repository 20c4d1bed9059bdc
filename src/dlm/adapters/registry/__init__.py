"""The registry of base models over several places to find them."""

from dlm.adapters.registry.chain import ChainRegistry

__all__ = ["ChainRegistry"]
