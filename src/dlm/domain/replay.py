"""Sections a document once had: which of them are read again, which are kept back to be measured, which are let go.

Every rule here sees the remembered sections in the order of their ids, so that a choice depends on what is remembered
and on the seed, never on the order in which things were written down.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Literal, get_args

import attrs

from dlm.domain.json_record import in_seconds
from dlm.domain.sections import Section

SnapshotType = Literal["prose", "instruction", "preference"]
SNAPSHOT_TYPES: tuple[str, ...] = get_args(SnapshotType)

DEFAULT_MAX_SECTIONS = 10_000
"""Source: the format's page on the life of a remembered section."""

DEFAULT_MAX_BYTES = 1 << 30
"""1 GiB. Ten thousand sections of a page each take some 10 MB, so that only enormous sections come near it; it is
about what a handful of adapter versions takes, which a person who keeps those can spare."""

MAX_SNAPSHOT_BYTES = 64 << 20
"""A longer section is not remembered, and a frame that claims to unfold to more is refused unread."""

MAX_KEPT_BACK = 256
"""The mean loss over 256 sections is within a few hundredths of that over all; more would only take time."""

MIN_WEIGHT = 0.01
"""However old, a section keeps a hundredth of the weight of one that was removed today."""

_DAY_S = 86_400.0
_SECTION_ID = re.compile(r"[0-9a-f]{16}")


def is_section_id(text: object) -> bool:
    """Tell whether ``text`` is 16 hex digits in small letters."""
    return isinstance(text, str) and _SECTION_ID.fullmatch(text) is not None


def _check_id(_: object, __: object, value: str) -> None:
    if not is_section_id(value):
        raise ValueError(f"a section's id is 16 hex digits in small letters, not {value!r}"[:200])


def _check_type(_: object, __: object, value: str) -> None:
    if value not in SNAPSHOT_TYPES:
        raise ValueError(f"only prose, instruction and preference sections are remembered, not {value!r}"[:200])


def _check_zone(_: object, attribute: attrs.Attribute[datetime], value: datetime) -> None:
    if value.tzinfo is None:
        raise ValueError(f"{attribute.name} needs a time zone: {value.isoformat()}")


@attrs.frozen(kw_only=True)
class Snapshot:
    """A section as it was when the document held it.

    Args:
        section_id: 16 hex digits.
        content: the section's text below its fence and marks.
        first_seen_at: start of the first run whose document held it.
        last_seen_at: start of the last run whose document held it.
        runs_seen: ids of the runs whose document held it, ascending.

    Raises:
        ValueError: an id, a type or a time that cannot be written down.
    """

    section_id: str = attrs.field(validator=_check_id)
    type: SnapshotType = attrs.field(validator=_check_type)
    content: str
    first_seen_at: datetime = attrs.field(validator=_check_zone)
    last_seen_at: datetime = attrs.field(validator=_check_zone)
    runs_seen: tuple[int, ...] = ()
    auto_mined: bool = False

    def first_seen(self, *, run_id: int, now: datetime) -> Snapshot:
        """Give the snapshot as a run that meets the section for the first time writes it down; times in seconds."""
        moment = in_seconds(now)
        return attrs.evolve(self, first_seen_at=moment, last_seen_at=moment, runs_seen=(run_id,))

    def seen_again(self, *, run_id: int, now: datetime) -> Snapshot:
        """Give the snapshot as a later run writes it down. A clock that went backwards does not make it older."""
        runs = tuple(sorted({*self.runs_seen, run_id}))
        return attrs.evolve(self, last_seen_at=max(self.last_seen_at, in_seconds(now)), runs_seen=runs)


def snapshots(sections: Iterable[Section], *, run_id: int, now: datetime) -> Iterator[Snapshot]:
    """Give a snapshot of each section that can be remembered: text, never pictures or sound."""
    for section in sections:
        if section.type in SNAPSHOT_TYPES:
            yield Snapshot(
                section_id=section.section_id,
                type=section.type,  # type: ignore[arg-type]  # narrowed by the test above
                content=section.content.rstrip("\n"),
                first_seen_at=in_seconds(now),
                last_seen_at=in_seconds(now),
                runs_seen=(run_id,),
                auto_mined=section.auto_mined,
            )


@attrs.frozen
class Remembered:
    """What the choices look at: an id, when the section was last seen, how heavy it is and how much room it takes."""

    section_id: str
    last_seen_at: datetime
    weight: float = 1.0
    size_bytes: int = 0


def replay_count(new_sections: int) -> int:
    """Give how many removed sections a run reads again: twice the new ones, at least 32."""
    return max(32, 2 * new_sections)


def age_days(last_seen_at: datetime, now: datetime) -> float:
    """Give the age in days, with fractions; 0 for a moment that is yet to come."""
    return max(0.0, (now - last_seen_at).total_seconds() / _DAY_S)


def draw(remembered: Iterable[Remembered], *, count: int, seed: int, now: datetime) -> tuple[str, ...]:
    """Draw ``count`` ids without replacement, recent sections more often; all of them when there are no more.

    Each section, in the order of ids, gets a number ``u`` uniform in [0, 1) from ``random.Random(seed)``, the weight
    ``w = max(weight / (1 + age in days), 0.01)`` and the key ``ln(u) / w``; the largest keys are drawn. Given in the
    order of ids.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006), algorithm A-Res.
    """
    source = random.Random(seed)
    keyed = [
        (_draw_key(source.random(), item, now), item.section_id)
        for item in sorted(remembered, key=lambda item: item.section_id)
    ]
    drawn = sorted(keyed, key=lambda pair: -pair[0])[: max(0, count)]
    return tuple(sorted(section_id for _, section_id in drawn))


def _draw_key(u: float, item: Remembered, now: datetime) -> float:
    weight = max(item.weight / (1.0 + age_days(item.last_seen_at, now)), MIN_WEIGHT)
    return math.log(u) / weight if u > 0.0 else -math.inf


def retention_count(candidates: int) -> int:
    """Give how many of so many removed sections are kept back: a twentieth, at least one where there are any, and no
    more than are needed for a mean."""
    return min(candidates, max(1, math.floor(0.05 * candidates + 0.999)), MAX_KEPT_BACK)


def retention_key(section_id: str, seed: int) -> bytes:
    """Give what sections are ordered by for the retention slice. A section's place follows from its id and the seed
    alone, so that sections that come or go move no other past its neighbour."""
    return hashlib.sha256(f"{seed}\0{section_id}".encode()).digest()


def retention_slice(section_ids: Collection[str], *, seed: int) -> tuple[str, ...]:
    """Give the ids of the sections that are measured and never trained on, in the order of their keys."""
    ordered = sorted(section_ids, key=lambda section_id: retention_key(section_id, seed))
    return tuple(ordered[: retention_count(len(ordered))])


def evicted(
    remembered: Collection[Remembered], *, current: Collection[str], max_sections: int, max_bytes: int
) -> tuple[str, ...]:
    """Give the ids to let go of until both limits hold: seen longest ago first, then by id; never a current one."""
    kept = set(current)
    sections, size = len(remembered), sum(item.size_bytes for item in remembered)
    gone = []
    for item in sorted(remembered, key=lambda item: (item.last_seen_at, item.section_id)):
        if sections <= max_sections and size <= max_bytes:
            break
        if item.section_id not in kept:
            gone.append(item.section_id)
            sections, size = sections - 1, size - item.size_bytes
    return tuple(gone)
