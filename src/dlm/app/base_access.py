"""What a document can be used with: a base that is described, allowed by its licence and of a kind we can handle, and
the adapter trained on it."""

from __future__ import annotations

from datetime import datetime

import attrs

from dlm.domain.base_models import BaseSpec
from dlm.domain.base_rows import refuse_unusable
from dlm.domain.document import Document
from dlm.domain.errors import ConfigError, DlmError, InferenceError
from dlm.domain.license import LicenseAcceptance, license_gate
from dlm.domain.manifest import Manifest
from dlm.ports.registry import RegistryPort
from dlm.ports.store import AdapterRef, StorePort


@attrs.frozen(kw_only=True)
class BaseAccess:
    """A base this document may use, and the acceptance that allows it when it is gated."""

    spec: BaseSpec
    acceptance: LicenseAcceptance | None


def open_base(
    document: Document,
    manifest: Manifest | None,
    *,
    registry: RegistryPort,
    now: datetime,
    accept_license: bool = False,
    skip_export_probes: bool = False,
) -> BaseAccess:
    """Describe the document's base at the revision its store remembers and pass the licence gate.

    Raises:
        BaseModelError: unknown base, failed probes, or a base no version of dlm can run.
        LicenseError: gated and not accepted.
        ConfigError: a picture or sound base, which this version does not train.
    """
    remembered = manifest if manifest and manifest.base_model == document.base_model else None
    spec = registry.describe(
        document.base_model,
        pinned_revision=remembered.base_model_revision if remembered else None,
        skip_export_probes=skip_export_probes or bool(manifest and manifest.skip_export_probes),
    )
    _refuse_unusable(spec)
    acceptance = license_gate(
        spec,
        manifest.license_acceptance if manifest else None,
        recorded_base=manifest.base_model if manifest else None,
        accept=accept_license,
        now=now,
    )
    return BaseAccess(spec=spec, acceptance=acceptance)


def _refuse_unusable(spec: BaseSpec) -> None:
    refuse_unusable(spec)
    if spec.modality in ("vision-language", "audio-language"):
        raise ConfigError(
            "config.media-base",
            f"{spec.key} reads {'pictures' if spec.modality == 'vision-language' else 'sound'}; this version of dlm "
            "trains and prompts text bases",
            hint="Set base_model to a text base, for example qwen2.5-1.5b.",
        )


def trained_adapter(
    document: Document,
    manifest: Manifest | None,
    store: StorePort,
    *,
    adapter: str | None = None,
    error: type[DlmError] = InferenceError,
) -> AdapterRef:
    """Give a document's current adapter. Looks at the store only.

    Args:
        adapter: of a document with several.
        error: what is raised.

    Raises:
        DlmError: it was never trained, or on another base than the document names now.
    """
    retrain = f"dlm train {document.path or '<document>'}"
    found = store.current(document.dlm_id, adapter)
    if found is None:
        what = "this document has" if adapter is None else f"the adapter {adapter} has"
        raise error("infer.no-adapter", f"{what} not been trained yet", hint=f"Train it first: {retrain}")
    if manifest and manifest.base_model != document.base_model:
        raise error(
            "infer.base-changed",
            f"the adapter was trained on {manifest.base_model}, the document now says {document.base_model}",
            hint=f"Put base_model back, or train on the new base: {retrain}",
        )
    return found
