"""minisign signatures on PyNaCl; the minisign program itself is not needed."""
