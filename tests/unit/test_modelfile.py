"""Modelfiles say what they were asked to say, and nothing else."""

from __future__ import annotations

import datetime
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlm.domain.errors import ExportError
from dlm.domain.modelfile import Directive, ModelfileParts, carries, modelfile_text, parameters_of, read_modelfile

PARTS = ModelfileParts(
    dlm_version="0.5.0",
    written_at=datetime.datetime(2026, 5, 17, 12, 0, 1, 5, tzinfo=datetime.UTC),
    source="ferry notes.dlm",
    dlm_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    adapter_version=3,
    base="smollm2-135m",
    revision="a" * 40,
    quant="Q4_K_M",
    merged=False,
    model="./base.Q4_K_M.gguf",
    adapter="./adapter.gguf",
    template="{{ range .Messages }}<user>\n{{ .Content }}{{ end }}<assistant>\n",
    stops=("<|im_end|>", "</s>"),
    temperature=0.7,
    top_p=0.9,
    num_ctx=2048,
    draft="smollm2:360m",
    system="Be brief.\nAnd kind.",
    license="Apache-2.0",
)

WRITTEN = f'''\
# Written by dlm 0.5.0, 2026-05-17T12:00:01Z
# Source: ferry notes.dlm
# dlm_id: 01ARZ3NDEKTSV4RRFFQ69G5FAV
# adapter_version: 3
# base_model: smollm2-135m (revision {"a" * 40})
# quant: Q4_K_M
# merged: false

FROM ./base.Q4_K_M.gguf
ADAPTER ./adapter.gguf

TEMPLATE """{{{{ range .Messages }}}}<user>
{{{{ .Content }}}}{{{{ end }}}}<assistant>
"""

PARAMETER stop "<|im_end|>"
PARAMETER stop "</s>"
PARAMETER temperature 0.7
PARAMETER top_p 0.9
PARAMETER num_ctx 2048
# Draft model: ollama pull smollm2:360m
# Use it: OLLAMA_DRAFT_MODEL=smollm2:360m ollama serve

SYSTEM """Be brief.
And kind."""

LICENSE """Apache-2.0"""
'''


def test_the_order_is_fixed() -> None:
    assert modelfile_text(PARTS) == WRITTEN


def test_what_is_not_there_is_left_out() -> None:
    bare = attrs.evolve(PARTS, adapter=None, template=None, num_ctx=None, draft=None, system=None, stops=())
    names = [directive.name for directive in read_modelfile(modelfile_text(bare))]
    assert names == ["from", "temperature", "top_p", "license"]
    assert "raft" not in modelfile_text(bare)


def said(parts: ModelfileParts) -> list[tuple[str, str]]:
    """Give what a Modelfile of these parts has to say."""
    blocks = [("from", parts.model), ("adapter", parts.adapter), ("template", parts.template)]
    blocks += [("stop", stop) for stop in parts.stops]
    blocks += [("temperature", f"{parts.temperature:g}"), ("top_p", f"{parts.top_p:g}"), ("num_ctx", "2048")]
    blocks += [("system", parts.system), ("license", parts.license)]
    return [(name, value) for name, value in blocks if value is not None]


HOSTILE = st.lists(
    st.sampled_from([*"ab \t\n\r\"'#\\./é🙂\u00a0\u200d\x00\x1b", '"""', "\nFROM evil\n", "\nSYSTEM x"]), max_size=6
).map("".join)


@given(texts=st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE), source=HOSTILE, name=HOSTILE, draft=HOSTILE)
@example(("a", "b", "c", "d"), "x\nFROM evil\n", 'my "base" file.gguf', "y\rSYSTEM evil")
@example(('""{{ "" }}""', '"', '""', 'a"b'), "", "a", "b")
def test_no_text_becomes_an_instruction(texts: tuple[str, str, str, str], source: str, name: str, draft: str) -> None:
    template, system, license_text, stop = texts
    parts = attrs.evolve(
        PARTS,
        template=template,
        system=system,
        license=license_text,
        stops=(stop,),
        source=source,
        revision=source,
        model=f"./{name}",
        draft=draft,
    )
    if all(map(carries, (*texts, parts.model))) and not set(name) & set("\n\r\t"):
        directives = read_modelfile(modelfile_text(parts))
        assert [(directive.name, directive.value) for directive in directives] == said(parts)
    else:
        with pytest.raises(ExportError, match="Modelfile"):
            modelfile_text(parts)


@given(text=st.text(min_size=1))
def test_a_system_prompt_that_is_carried_arrives(text: str) -> None:
    if carries(text):
        assert said(attrs.evolve(PARTS, system=text)) == [
            (each.name, each.value) for each in read_modelfile(modelfile_text(attrs.evolve(PARTS, system=text)))
        ]


@pytest.mark.parametrize("text", ["", " \n", 'a """ b', "narrow\u202fblank", "zero\u200bwidth", "\x00", "\ud800"])
def test_what_ollama_would_change_is_not_carried(text: str) -> None:
    assert not carries(text)


@pytest.mark.parametrize("path", ["/abs.gguf", "base.gguf", "~/x", './a\n"FROM x'])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ExportError):
        modelfile_text(attrs.evolve(PARTS, model=path))


# How Ollama's own parser reads: its tests and its source say the same.
READ: dict[str, list[tuple[str, str]]] = {
    "FROM x": [("from", "x")],
    "from  x  y \n": [("from", "x  y")],
    '# note\n\n\tFROM x\r\nSYSTEM a "b" c\n': [("from", "x"), ("system", 'a "b" c')],
    'FROM x\nSYSTEM "one\ntwo"\nPARAMETER num_ctx 5': [("from", "x"), ("system", "one\ntwo"), ("num_ctx", "5")],
    'FROM x\nSYSTEM """a\n"b"\n"""\n': [("from", "x"), ("system", 'a\n"b"\n')],
    'FROM x\nSYSTEM """a""" b"""\n': [("from", "x"), ("system", 'a""" b')],
    "FROM x\nSYSTEM a\u200db\u00a0c": [("from", "x"), ("system", "abc")],
}


@pytest.mark.parametrize("text", READ)
def test_reading(text: str) -> None:
    assert [(each.name, each.value) for each in read_modelfile(text)] == READ[text]


@pytest.mark.parametrize(
    "text", ["", "SYSTEM x", "FROM x\nHELLO y", "FROM", 'FROM x\nSYSTEM """y', "FROM x\nPARAMETER"]
)
def test_what_ollama_refuses_is_refused(text: str) -> None:
    with pytest.raises(ExportError) as caught:
        read_modelfile(text)
    assert caught.value.code == "modelfile.unreadable"


def test_parameters_as_values() -> None:
    asked: list[tuple[str, Any]] = [("stop", "a"), ("stop", "b"), ("top_p", "0.9"), ("num_ctx", "2048")]
    values = parameters_of([Directive(name, value, is_parameter=True) for name, value in asked])
    assert values == {"stop": ["a", "b"], "top_p": 0.9, "num_ctx": 2048}
    assert parameters_of([Directive("system", "stop")]) == {}
