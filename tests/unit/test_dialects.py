"""Stops, dates and thinking of the chat dialects."""

from __future__ import annotations

import pytest

from dlm.domain.base_rows import BASES
from dlm.domain.dialects import DIALECTS, fixed_jinja, stop_strings, thinks_aloud


def test_every_text_base_speaks_a_dialect() -> None:
    assert all(row.template in DIALECTS for row in BASES.values() if row.modality in ("text", "text-moe"))


def test_stops_keep_their_order_and_come_once() -> None:
    stops = stop_strings(DIALECTS["chatml"], end_tokens=["<|endoftext|>", "<|end|>", ""], added_tokens=["<|pad|>"])
    assert stops == ("<|im_end|>", "<|endoftext|>", "<|im_start|>", "<|end|>", "<|pad|>")


def test_calls_for_the_date_become_the_date() -> None:
    assert fixed_jinja("{{ strftime_now('%d %b %Y') }}") == "{{ '26 Jul 2024' }}"
    assert fixed_jinja('{%- set today = strftime_now( "%Y-%m-%d" ) %}') == '{%- set today = "2024-07-26" %}'


@pytest.mark.parametrize(
    "call", ["strftime_now(form)", "strftime_now('%d' ~ '%m')", "strftime_now(format='%Y')", "strftime_now ('it\\'s')"]
)
def test_a_date_that_is_put_together_is_fixed_too(call: str) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    text = fixed_jinja("{{ " + call + " }}").replace("(format=", "(form=")
    assert ImmutableSandboxedEnvironment().from_string(text).render(strftime_now=lambda _: "today") == "26 July 2024"


def test_a_date_handed_in_is_not_listened_to() -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    text = fixed_jinja("{% if not date_string is defined %}{% set date_string = 'never' %}{% endif %}{{ date_string }}")
    assert ImmutableSandboxedEnvironment().from_string(text).render(date_string="1 Jan 2030") == "26 Jul 2024"


def test_other_templates_stay_as_they_are() -> None:
    text = "{{ strftime_now is defined }} strftime_now and date_string"
    assert fixed_jinja(text) == text


def test_who_thinks_aloud() -> None:
    assert [name for name in DIALECTS if not thinks_aloud(name)] == ["chatml"]
