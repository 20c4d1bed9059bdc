"""Bases that come as an installed Python package with the weights inside."""

from dlm.adapters.weight_package.source import WeightPackage, WeightPackageSource

__all__ = ["WeightPackage", "WeightPackageSource"]
