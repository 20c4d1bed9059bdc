"""The gallery people see: fetched templates first, then the ones in the package."""

from __future__ import annotations

from pathlib import Path

import attrs

from dlm.adapters.gallery.cache import GalleryCache
from dlm.adapters.gallery.folder import BUNDLED, TemplateFolder
from dlm.adapters.gallery.refresh import Refresher
from dlm.domain.errors import ConfigError, TemplateError
from dlm.domain.events import Emit, Note, ignore
from dlm.domain.minisign import PublicKey, parse_public_key
from dlm.domain.templates import RefreshResult, Template, TemplateMeta, unknown_template
from dlm.ports.clock import Clock
from dlm.ports.http import HttpPort
from dlm.ports.signatures import SignatureVerifier

SHIPPED_KEYS = Path(__file__).parent / "trusted_keys"
# A public key file is about 120 bytes; its comment may have 1024.
_MAX_KEY_BYTES = 4096


@attrs.frozen(kw_only=True)
class Gallery:
    """``GalleryPort`` over the package, the home folder and one address.

    A signed set shadows bundled templates of the same name; an unsigned one may only add names.

    Args:
        home: dlm's home; the fetched set lives in ``templates-cache``, further public keys in ``trusted-keys``.
        url: address of the published gallery; None when there is none.
        dlm_version: this dlm's version, compared with what fetched templates ask for.
    """

    home: Path
    http: HttpPort
    verifier: SignatureVerifier
    clock: Clock
    dlm_version: str
    url: str | None = None
    bundled: Path = BUNDLED
    shipped_keys: Path = SHIPPED_KEYS

    def entries(self, *, emit: Emit = ignore) -> tuple[TemplateMeta, ...]:
        """Give every valid template's description, sorted by name; each invalid one is told as a warning."""
        found = []
        for name, folder in sorted(self._places(emit).items()):
            try:
                found.append(folder.load(name).meta)
            except TemplateError as exc:
                emit(Note(subject="templates", message=f"{exc.message}; it is left out", severity="warning"))
        return tuple(found)

    def load(self, name: str) -> Template:
        """Give one template. Raises ``TemplateError``."""
        places = self._places(ignore)
        if name not in places:
            raise unknown_template(name, tuple(sorted(places)))
        return places[name].load(name)

    def refresh(self, *, accept_unsigned: bool = False, emit: Emit = ignore) -> RefreshResult:
        """Fetch the newest gallery from ``url``; see ``GalleryPort.refresh``."""
        if not self.url:
            return RefreshResult(
                ok=True,
                warning=True,
                message="no gallery address is configured; these are the templates on this machine",
                hint="Set DLM_GALLERY_URL to the https address of a gallery to fetch from.",
            )
        refresher = Refresher(
            url=self.url,
            keys=self._keys(emit),
            http=self.http,
            verifier=self.verifier,
            cache=self._cache,
            clock=self.clock,
            dlm_version=self.dlm_version,
        )
        return refresher.run(accept_unsigned=accept_unsigned, emit=emit)

    @property
    def _cache(self) -> GalleryCache:
        return GalleryCache(self.home / "templates-cache")

    def _places(self, emit: Emit) -> dict[str, TemplateFolder]:
        """Give each name with the folder it is read from."""
        places: dict[str, TemplateFolder] = {}
        for folder in self._folders(emit):
            for name in folder.names():
                places.setdefault(name, folder)
        return places

    def _folders(self, emit: Emit) -> list[TemplateFolder]:
        """Give the folders in the order in which a name is looked up."""
        bundled = TemplateFolder(self.bundled, "bundled")
        try:
            state, folder = self._cache.state(), self._cache.folder()
        except TemplateError as exc:
            emit(Note(subject="templates", message=exc.message, severity="warning"))
            return [bundled]
        if state is None or folder is None:
            return [bundled]
        if state.unsigned:
            return [bundled, TemplateFolder(folder, "cache-unsigned")]
        return [TemplateFolder(folder, "cache"), bundled]

    def _keys(self, emit: Emit) -> list[PublicKey]:
        paths = [*self.shipped_keys.glob("*.pub"), *(self.home / "trusted-keys").glob("*.pub")]
        return [key for path in sorted(paths) if (key := _read_key(path, emit)) is not None]


def _read_key(path: Path, emit: Emit) -> PublicKey | None:
    try:
        with path.open("rb") as file:
            return parse_public_key(file.read(_MAX_KEY_BYTES))
    except (OSError, ConfigError) as exc:
        emit(Note(subject="templates", message=f"the key {path} is not used: {exc}", severity="warning"))
        return None
