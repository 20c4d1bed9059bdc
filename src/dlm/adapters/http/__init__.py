"""HTTP through httpx."""
