"""What a GGUF file says beside its tensors: keys with typed values."""

from __future__ import annotations

from typing import Any, Literal

import attrs

ValueKind = Literal["u32", "i32", "f32", "bool", "str"]


@attrs.frozen
class Entry:
    """One key. A tuple is an array of values of the kind; an empty one is not written."""

    key: str
    kind: ValueKind
    value: Any
