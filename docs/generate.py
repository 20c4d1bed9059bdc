"""Write the pages of docs/reference that are made from the program itself.

    python docs/generate.py            write them
    python docs/generate.py --check    write nothing; exit 1 and name the pages that are out of date

Needs no torch and no network: everything comes from declarations, signatures and docstrings.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import dlm
from dlm.cli.reference import cli_markdown, environment_markdown
from dlm.domain.base_rows import bases_markdown
from dlm.domain.error_codes import ERROR_CODES
from dlm.domain.frontmatter_reference import frontmatter_markdown

REFERENCE = Path(__file__).parent / "reference"

MARK = "<!-- Made by docs/generate.py. Change the program, then run: python docs/generate.py -->\n\n"

FRONTMATTER_NOTE = """
## When a key is left out

The column *Default* is what the file format says. A `training` key that you leave out is chosen to fit your document,
your base model and your machine; `dlm train -v` prints each choice with its reason. See
[the exam and the recipe](../concepts/exam-and-recipe.md). A key that you write is obeyed to the letter.

## Keys that are read and not used yet

This version trains one adapter per document from its prose and its questions with answers. These keys are checked,
kept by `dlm migrate`, and change nothing yet: `training.preference`, `training.gate`, `training.adapters`,
`training.sources`, `training.sources_policy`, `training.audio`, `training.cpt.embed_warmup_steps`
and everything below `export`.
"""

BASES_HEAD = """# Base models

A base model is the language model that learns your document. Write its key into `base_model`, or give it to
`dlm init` with `--base`. Any other text chat model works too: `hf:<org>/<name>` for one on the Hugging Face Hub,
`path:<folder>` for one on your disk. Models that read pictures or sound are listed; this version does not train them.

Size is that of the weights in 16-bit numbers. *Must accept* means that you have to accept a licence once.

"""

ERRORS_HEAD = """# Error codes

Each error carries a code, which does not change when the wording does. In Python it is `error.code` of a
`dlm.DlmError`. The message of the error itself names the file, the line or the value; here is what each code means.
"""

ERROR_AREAS: Mapping[str, str] = {
    "doc": "The document",
    "config": "Settings",
    "sources": "Files and folders of a document",
    "folder": "Training a folder",
    "migrate": "Bringing a document up to date",
    "cli": "The command line",
    "init": "New documents",
    "prompt": "Asking",
    "infer": "Asking a trained model",
    "templates": "Templates",
    "store": "The store",
    "replay": "Removed sections",
    "metrics": "What trainings told",
    "lock": "The record of the last run",
    "license": "Licences",
    "home": "The home folder",
    "disk": "The disk",
    "base": "Base models",
    "train": "Training",
    "resume": "Continuing a training",
    "hardware": "The machine",
    "minisign": "Signatures",
    "http": "The network",
    "install": "Missing packages",
}
"""Area of a code (the part before the point) → heading. Areas that are not here get their own name."""


API_HEAD = """Everything below is reached as `dlm.<name>`. The functions work on the default home; each is also a
method of `dlm.Workspace`, which lists its options.
"""

GIVEN = ("Document", "RunReport", "Exam", "History")
"""Classes whose values people get and do not make: their fields are listed instead of a call."""


def errors_markdown() -> str:
    """Give the page of error codes, grouped by area."""
    areas: dict[str, list[str]] = {area: [] for area in ERROR_AREAS}
    for code in ERROR_CODES:
        areas.setdefault(code.partition(".")[0], []).append(code)
    parts = [ERRORS_HEAD]
    for area, codes in areas.items():
        if codes:
            parts.append(f"## {ERROR_AREAS.get(area, area.capitalize())}\n")
            parts += [f"### {code}\n\n{_prose(ERROR_CODES[code])}\n" for code in codes]
    return "\n".join(parts)


def api_markdown() -> str:
    """Give the page of the Python library from ``dlm.__all__``."""
    parts = ["# Python library\n", f"{_first_paragraph(dlm)}\n", API_HEAD]
    for name in dlm.__all__:
        if not name.startswith("_"):
            parts += _entry(name, getattr(dlm, name))
    return "\n".join(parts)


def _entry(name: str, value: Any) -> Iterator[str]:
    yield f"## dlm.{name}\n"
    if inspect.isclass(value):
        yield from _class_entry(name, value)
        return
    yield f"```python\n{_signature(f'dlm.{name}', value)}\n```\n"
    yield f"{_first_paragraph(value)}\n"


def _class_entry(name: str, cls: type[Any]) -> Iterator[str]:
    yield f"{_first_paragraph(cls)}\n"
    if name not in GIVEN:
        yield f"```python\n{_signature(f'dlm.{name}', cls)}\n```\n"
    fields = "\n".join(f"- `{names}`: {_prose(text)}" for names, text in _arguments(cls))
    if fields:
        yield f"{fields}\n"
    rows = [_member_row(member, value) for member, value in _public_members(cls)]
    if rows:
        yield "| Member | Gives |\n|---|---|"
        yield "\n".join(rows) + "\n"


def _arguments(value: Any) -> Iterator[tuple[str, str]]:
    """Give the names and the meaning of each entry of a docstring's ``Args:``."""
    block = re.search(r"^Args:\n((?:[ ]{4,}.*\n?|\n)+)", _doc(value) + "\n", re.M)
    for entry in re.split(r"\n(?=[ ]{4}\S)", block[1].rstrip()) if block else ():
        names, _, text = " ".join(entry.split()).partition(": ")
        yield names, _plain(text)


def _public_members(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    for name, value in vars(cls).items():
        inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not name.startswith("_") and (inspect.isfunction(inner) or _is_property(inner)) and _doc(inner):
            yield name, inner


def _is_property(value: Any) -> bool:
    return isinstance(value, property | cached_property)


def _member_row(name: str, value: Any) -> str:
    shown = name if _is_property(value) else _signature(name, value)
    # Pointers into the source help nobody here.
    meaning = re.sub(r" See `dlm\.app\.[^`]+`\.", "", _first_paragraph(value))
    cells = (f"`{shown}`", _prose(meaning))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _signature(name: str, value: Any) -> str:
    """Give a call as it is written, types as in the source."""
    signature = inspect.signature(value)
    parameters = [_shown(item) for item in signature.parameters.values() if item.name not in ("self", "cls")]
    result = inspect.Signature.empty if inspect.isclass(value) else _Verbatim(signature.return_annotation)
    return f"{name}{signature.replace(parameters=parameters, return_annotation=result)}"


def _shown(parameter: inspect.Parameter) -> inspect.Parameter:
    parameter = parameter.replace(annotation=_Verbatim(parameter.annotation))
    # A function's own text holds an address, which differs from run to run.
    is_function = inspect.isfunction(parameter.default)
    return parameter.replace(default=_Verbatim("…")) if is_function else parameter


class _Verbatim:
    """Text that stands in a signature as it is."""

    def __init__(self, text: object) -> None:
        self._text = text if isinstance(text, str) else inspect.formatannotation(text)

    def __repr__(self) -> str:
        return self._text


def _doc(value: Any) -> str:
    return inspect.getdoc(value) or ""


def _first_paragraph(value: Any) -> str:
    paragraph = _doc(value).split("\n\n")[0]
    return _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    """Turn the reST of docstrings into Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def _prose(text: str) -> str:
    """Keep ``<name>`` from being read as HTML outside of code."""
    parts = text.split("`")
    return "`".join(part if index % 2 else part.replace("<", "\\<") for index, part in enumerate(parts))


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_markdown,
    "environment.md": environment_markdown,
    "frontmatter.md": lambda: frontmatter_markdown().rstrip("\n") + "\n" + FRONTMATTER_NOTE,
    "errors.md": errors_markdown,
    "bases.md": lambda: BASES_HEAD + bases_markdown(),
    "api.md": api_markdown,
}


def page(name: str) -> str:
    """Give the text of one page."""
    return MARK + PAGES[name]().rstrip("\n") + "\n"


def stale(folder: Path = REFERENCE) -> list[str]:
    """Give the names of pages that are missing or differ from the program."""
    return [name for name in PAGES if not (folder / name).is_file() or (folder / name).read_bytes() != _bytes(name)]


def write(folder: Path = REFERENCE) -> None:
    """Write every page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        (folder / name).write_bytes(_bytes(name))


def _bytes(name: str) -> bytes:
    return page(name).encode()


def main(argv: list[str] | None = None) -> int:
    """Write or check the pages; give the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is out of date")
    if not parser.parse_args(argv).check:
        write()
        return 0
    names = stale()
    for name in names:
        print(f"docs/reference/{name} is out of date", file=sys.stderr)
    if names:
        print("Run: python docs/generate.py", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
