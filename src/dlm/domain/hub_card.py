"""``README.md`` of a Hub repository that holds a pack: what the Hub shows, and how the pack is fetched.

Only the pack's own identity goes into it: nothing of the document's text, and no path.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from dlm.domain.base_models import BaseSpec, is_hub_id
from dlm.domain.base_rows import BASES, row_of_hub_id
from dlm.domain.frontmatter_text import value_text
from dlm.domain.model_card import license_lines, words
from dlm.domain.pack import PackHeader, PackManifest
from dlm.domain.share import PACK_NAME, SIGNATURE_SUFFIX

_CONTENTS = {
    "full": "document, adapter, base model, exports",
    "no-exports": "document, adapter, base model",
    "no-base": "document, adapter, exports",
    "minimal": "document, adapter",
}


def hub_card(
    repository: str, header: PackHeader, manifest: PackManifest, *, revision: str | None = None, signed: bool = False
) -> str:
    """Give the text of ``README.md``.

    Args:
        repository: ``org/repo``.
        revision: branch that the pack goes to, when it is not the main one.
        signed: the signature lies beside the pack.
    """
    place = f"hf:{repository}" + (f"@{revision}" if revision else "")
    parts = (
        _header(manifest),
        _introduction(repository, signed=signed),
        _fetching(place),
        _identity(header, manifest),
        _license(header, manifest),
    )
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts)


def _header(manifest: PackManifest) -> Iterator[str]:
    """The Hub reads this as YAML. A base of one's own is not on the Hub, so it is not named there."""
    yield "---"
    base, hub_id = _base(manifest)
    if hub_id is not None:
        yield f"base_model: {value_text(hub_id)}"
        yield "base_model_relation: adapter"
    yield "library_name: dlm"
    if base is not None:
        yield from license_lines(base)
    yield "tags:"
    yield "- dlm"
    yield "- lora-adapter"
    yield "---"


def _introduction(repository: str, *, signed: bool) -> Iterator[str]:
    yield f"# {words(repository)}"
    yield ""
    yield f"`{PACK_NAME}` holds a `.dlm` document together with the language model adapter that was trained from it."
    if signed:
        yield f"`{PACK_NAME}{SIGNATURE_SUFFIX}` is its signature; `dlm pull` checks it against the keys that you trust."


def _fetching(place: str) -> Iterator[str]:
    yield "## Use it"
    yield ""
    yield "```bash"
    yield f"dlm pull {shlex.quote(place)}"
    yield "```"
    yield ""
    yield "This puts the document into the current folder, ready for `dlm prompt`, `dlm train` and `dlm export`."


def _identity(header: PackHeader, manifest: PackManifest) -> Iterator[str]:
    yield "## What it is"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| dlm_id | {words(manifest.dlm_id)} |"
    yield f"| base_model | {words(_base_name(manifest))} |"
    if manifest.base_model_revision is not None:
        yield f"| base_model_revision | {words(manifest.base_model_revision)} |"
    yield f"| adapter_version | {manifest.adapter_version} |"
    yield f"| contents | {_CONTENTS[header.content_type]} |"
    yield f"| made by | dlm {words(header.tool_version)}, {header.created_at:%Y-%m-%d} |"


def _license(header: PackHeader, manifest: PackManifest) -> Iterator[str]:
    yield "## Licence"
    yield ""
    base, _ = _base(manifest)
    yield "The base model's licence goes for what is built on it."
    if base is None:
        yield "Look it up where the base model comes from."
    else:
        yield f"It is {words(base.license_spdx)}" + (f", {words(base.license_url)}" if base.license_url else ".")
    if header.licensee_acceptance_url is not None:
        yield ""
        yield "The base model is included. Who made this accepted its licence:"
        yield words(header.licensee_acceptance_url)


def _base(manifest: PackManifest) -> tuple[BaseSpec | None, str | None]:
    """Give the registry's row of the base, if there is one, and its name on the Hub, if it is there."""
    selector = manifest.base_model
    hub_id = selector.removeprefix("hf:").partition("@")[0]
    row = BASES.get(selector) or (row_of_hub_id(hub_id) if selector.startswith("hf:") else None)
    if row is not None:
        return row, row.hf_id
    return None, hub_id if selector.startswith("hf:") and is_hub_id(hub_id) else None


def _base_name(manifest: PackManifest) -> str:
    """Name the base; of a base of one's own not the folder, which is nobody's business."""
    _, hub_id = _base(manifest)
    if hub_id is not None and hub_id != manifest.base_model:
        return f"{manifest.base_model} ({hub_id})"
    return "a model of the author's own" if manifest.base_model.startswith("path:") else manifest.base_model
