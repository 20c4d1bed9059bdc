"""Templates in one folder: pairs of ``<name>.dlm`` and ``<name>.meta.yaml``."""

from __future__ import annotations

from pathlib import Path

import attrs

from dlm.domain.errors import TemplateError
from dlm.domain.templates import MAX_FILE_BYTES, TEMPLATE_NAME, Source, Template, parse_template

BUNDLED = Path(__file__).parent / "data"
_META = ".meta.yaml"


@attrs.frozen
class TemplateFolder:
    """Reads the pairs of one folder; a folder that does not exist holds none."""

    folder: Path
    source: Source

    def names(self) -> tuple[str, ...]:
        """Give the names that have a description file, sorted."""
        try:
            found = [path.name.removesuffix(_META) for path in self.folder.iterdir() if path.name.endswith(_META)]
        except OSError:
            return ()
        return tuple(sorted(name for name in found if TEMPLATE_NAME.fullmatch(name)))

    def load(self, name: str) -> Template:
        """Give one template. Raises ``TemplateError`` (``templates.invalid``)."""
        return parse_template(
            name,
            document=self._read(name, f"{name}.dlm"),
            meta=self._read(name, name + _META),
            source=self.source,
        )

    def _read(self, name: str, file_name: str) -> bytes:
        try:
            with (self.folder / file_name).open("rb") as file:
                # One byte more than allowed is enough to see that a file is too large.
                return file.read(MAX_FILE_BYTES + 1)
        except OSError as exc:
            raise TemplateError(
                "templates.invalid",
                f"the template {name!r} cannot be used: {file_name}: {exc.strerror or exc}",
                hint="Choose another one from dlm templates list, or fetch the gallery again with --refresh.",
            ) from exc
