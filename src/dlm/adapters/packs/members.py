"""The members of a pack as they come out of the stream, each name checked before anything is done with it."""

from __future__ import annotations

from collections.abc import Iterator

from dlm.adapters.packs.tar import BLOCK, TarMember, padding, read_extended, read_header
from dlm.adapters.packs.unfolding import Unfolding
from dlm.domain.pack import MAX_MEMBERS
from dlm.domain.pack_checks import check_member, too_large, unsafe
from dlm.domain.pack_names import NameSet, member_problem
from dlm.domain.pack_records import damaged

_MAX_TAIL_BYTES = 1 << 20
"""Zeros behind the last member. Programs fill tars up to 10 KiB, some to more."""


def files_in(stream: Unfolding) -> Iterator[tuple[TarMember, Iterator[memoryview]]]:
    """Give the files of a pack with their content, which has to be read to its end before the next one.

    Raises:
        PackError: about the first thing that a pack may not hold.
    """
    names, count = NameSet(), 0
    for member in _headers(stream):
        count += 1
        if count > MAX_MEMBERS:
            raise too_large(f"the pack has more than {MAX_MEMBERS} members")
        problem = member_problem(member.name) or names.problem_of(member.name, is_folder=member.is_folder)
        if problem:
            raise unsafe(f"the name {member.name[:200]!r}: {problem}")
        if member.is_folder:
            continue
        check_member(member.name, member.size)
        yield member, stream.chunks(member.size)
        _check_zeros(stream.take(len(padding(member.size))))
    _check_tail(stream)


def _headers(stream: Unfolding) -> Iterator[TarMember]:
    extended: dict[str, str] = {}
    while (member := read_header(stream.take(BLOCK), extended)) is not None:
        extended = {}
        if member.is_extended:
            extended = read_extended(stream.take(member.size))
            _check_zeros(stream.take(len(padding(member.size))))
        else:
            yield member


def _check_tail(stream: Unfolding) -> None:
    length = 0
    for chunk in stream.tail():
        _check_zeros(chunk)
        length += len(chunk)
        if length > _MAX_TAIL_BYTES:
            raise damaged("the pack", "something follows behind its end")
    if length < BLOCK:
        raise damaged("the pack", "its end is missing")


def _check_zeros(data: bytes | memoryview) -> None:
    # What lies between members is not covered by any digest, so nothing may hide there.
    if bytes(data).strip(b"\0"):
        raise damaged("the pack", "there is something between its members")
