"""What a GGUF file says beside its tensors: keys with typed values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    import gguf

ValueKind = Literal["u32", "i32", "f32", "bool", "str"]


@attrs.frozen
class Entry:
    """One key. A tuple is an array of values of the kind; strings may be given as UTF-8 bytes."""

    key: str
    kind: ValueKind
    value: Any


def add_entries(writer: gguf.GGUFWriter, entries: Iterable[Entry]) -> None:
    """Give the entries to the writer in their order. Empty arrays are left out: the format has none."""
    import gguf

    kinds = {
        "u32": gguf.GGUFValueType.UINT32,
        "i32": gguf.GGUFValueType.INT32,
        "f32": gguf.GGUFValueType.FLOAT32,
        "bool": gguf.GGUFValueType.BOOL,
        "str": gguf.GGUFValueType.STRING,
    }
    for entry in entries:
        if not isinstance(entry.value, tuple):
            writer.add_key_value(entry.key, entry.value, kinds[entry.kind])
        elif entry.value:
            writer.add_key_value(entry.key, entry.value, gguf.GGUFValueType.ARRAY, kinds[entry.kind])
