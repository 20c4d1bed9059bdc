"""What a document once said: drawing from it for a run, and adding to it after one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

import attrs

from dlm.domain.corpus import Corpus
from dlm.domain.errors import DlmError, SourceError
from dlm.domain.events import Emit, Note
from dlm.domain.manifest import Manifest
from dlm.domain.recall import HELD_BACK_FROM, recalled_rows, superseded
from dlm.domain.replay import DEFAULT_MAX_BYTES, DEFAULT_MAX_SECTIONS, Snapshot, replay_count, snapshots
from dlm.domain.rows import Row
from dlm.domain.sources import source_content
from dlm.ports.replay import ReplayPort


@attrs.frozen(kw_only=True)
class Recalled:
    """Rows of removed sections: to read again, and to measure only.

    Where few sections were removed, ``measured`` are read again as well: holding one of three back would lose a third.
    """

    rows: tuple[Row, ...] = ()
    measured: tuple[Row, ...] = ()


def recall(
    corpus: Corpus, replay: ReplayPort, manifest: Manifest | None, *, n_new: int, seed: int, emit: Emit
) -> Recalled:
    """Draw from the sections that left the document.

    The draw follows from the seed and the last run that committed, not from the clock: a run that is resumed reads what
    it read before.

    Args:
        n_new: sections that are new in this run; much new text wants much of the old beside it.
    """
    dlm_id, current = corpus.document.dlm_id, corpus.known_names
    last = manifest.last_committed if manifest else None
    if last is None:
        return Recalled()
    measured = replay.slice(dlm_id, current=current, seed=seed)
    removed = replay.size(dlm_id, current=current).removed
    drawn = replay.sample(
        dlm_id,
        current=current,
        held=[snapshot.section_id for snapshot in measured] if removed >= HELD_BACK_FROM else [],
        count=replay_count(n_new),
        seed=seed + last.adapter_version,
        now=last.ended_at or last.started_at,
    )
    _tell_problems(replay, dlm_id, emit)
    return Recalled(rows=recalled_rows(drawn, corpus.rows), measured=recalled_rows(measured, corpus.rows))


def remember(
    corpus: Corpus, replay: ReplayPort, *, removed: Collection[str], run_id: int, now: datetime, emit: Emit
) -> None:
    """Keep the sections of a run, so that they are not lost when they leave the document; let those go that were only
    edited, as the document says all of it otherwise now.

    The adapter is committed before; what goes wrong here is made good by the next run, which records them again.
    """
    dlm_id = corpus.document.dlm_id
    try:
        replay.record(dlm_id, _snapshots(corpus, run_id, now, emit), run_id=run_id, now=now)
        replay.drop(dlm_id, superseded(replay.read(dlm_id, removed), corpus.rows))
        replay.evict(dlm_id, current=corpus.known_names, max_sections=DEFAULT_MAX_SECTIONS, max_bytes=DEFAULT_MAX_BYTES)
    except DlmError as exc:
        message = f"the adapter is saved, but its sections could not be remembered: {exc}"
        emit(Note(subject="replay", message=message, severity="warning"))
    _tell_problems(replay, dlm_id, emit)


def _snapshots(corpus: Corpus, run_id: int, now: datetime, emit: Emit) -> Iterator[Snapshot]:
    """Give the text sections one by one. Files are read again; those that changed meanwhile are left to the next
    run."""
    yield from snapshots(corpus.document.sections, run_id=run_id, now=now)
    for file in corpus.scan.files:
        if file.kind != "prose":
            continue
        try:
            content = source_content(file.path, file.read())
        except SourceError as exc:
            emit(Note(subject="replay", message=f"{file.path} is not remembered yet: {exc}", severity="warning"))
            continue
        yield Snapshot(
            section_id=file.section_id,
            type="prose",
            content=content,
            first_seen_at=now,
            last_seen_at=now,
            runs_seen=(run_id,),
        )


def _tell_problems(replay: ReplayPort, dlm_id: str, emit: Emit) -> None:
    for problem in replay.problems(dlm_id):
        emit(Note(subject="replay", message=str(problem), severity="warning"))
