"""``python -m dlm``: the same program as ``dlm``."""

from __future__ import annotations

from dlm.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
