"""The template gallery: starter documents in the package, and newer ones from a signed address."""
