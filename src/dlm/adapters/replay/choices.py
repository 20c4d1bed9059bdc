"""The domain's choices among remembered sections, made over chunks of the index instead of over values one by one.

Same numbers, same order: ``tests/adapters/test_replay_choices.py`` compares each with its rule in
:mod:`dlm.domain.replay`.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from datetime import datetime

import numpy as np
import numpy.typing as npt

from dlm.adapters.replay.table import RECORD, Ids, Records, Table, among, as_ids, as_text, select
from dlm.domain.replay import MIN_WEIGHT, retention_count, retention_key

_DAY_S = 86_400.0


def draw(chunks: Iterable[Records], *, count: int, seed: int, now: datetime) -> Records:
    """Draw ``count`` records, in the order of ids. See :func:`dlm.domain.replay.draw`."""
    source, now_s = _uniform(seed), now.timestamp()
    best, best_keys = np.empty(0, RECORD), np.empty(0)
    for chunk in chunks:
        keys = _draw_keys(source.random_sample(len(chunk)), chunk, now_s)
        if len(best) >= count > 0:
            mask = keys > best_keys.min()
            chunk, keys = chunk[mask], keys[mask]
        best, best_keys = np.concatenate([best, chunk]), np.concatenate([best_keys, keys])
        chosen = np.sort(np.argsort(-best_keys, kind="stable")[: max(0, count)])
        best, best_keys = best[chosen], best_keys[chosen]
    return best


def _uniform(seed: int) -> np.random.RandomState:
    """Give numpy's form of ``random.Random(seed)``: both are the Mersenne Twister and make a double of the same 53
    bits, so that the numbers are the same."""
    *key, position = random.Random(seed).getstate()[1]
    source = np.random.RandomState()
    source.set_state(("MT19937", np.array(key, np.uint32), position, 0, 0.0))
    return source


def _draw_keys(u: npt.NDArray[np.float64], chunk: Records, now_s: float) -> npt.NDArray[np.float64]:
    age_days = np.maximum(0.0, (now_s - chunk["added"]) / _DAY_S)
    with np.errstate(divide="ignore"):
        keys: npt.NDArray[np.float64] = np.log(u) / np.maximum(chunk["weight"] / (1.0 + age_days), MIN_WEIGHT)
    return keys


def retained(table: Table, current: Ids, *, seed: int) -> Ids:
    """Give the ids of the retention slice, in the order of their keys. See
    :func:`dlm.domain.replay.retention_slice`."""
    candidates = sum(len(chunk) for chunk in select(table, current, inside=False))
    keyed = ((retention_key(section_id, seed), section_id) for section_id in _texts(table, current))
    chosen = heapq.nsmallest(retention_count(candidates), keyed)
    return np.fromiter((int(section_id, 16) for _, section_id in chosen), np.uint64)


def _texts(table: Table, current: Ids) -> Iterator[str]:
    for chunk in select(table, current, inside=False):
        for number in chunk["id"].tolist():
            yield as_text(number)


def evicted(table: Table, current: Ids, *, max_sections: int, max_bytes: int) -> Ids:
    """Give the ids to let go of, sorted. See :func:`dlm.domain.replay.evicted`. Takes memory by the section when
    there is anything to let go of, nothing otherwise."""
    sections, size = table.count, sum(int(chunk["length"].sum()) for chunk in table.chunks())
    if sections <= max_sections and size <= max_bytes:
        return as_ids(())
    columns = ["id", "added", "length"]
    loose = np.concatenate([chunk[columns][~among(chunk, current)] for chunk in table.chunks()])
    loose = loose[np.lexsort((loose["id"], loose["added"]))]
    too_many = max(0, sections - max_sections)
    # After the n-th one has gone, the first n lengths are free.
    freed = np.concatenate([[0], np.cumsum(loose["length"], dtype=np.int64)])
    too_large = int(np.searchsorted(freed, size - max_bytes)) if size > max_bytes else 0
    ids: Ids = np.sort(loose["id"][: max(too_many, too_large)])
    return ids
