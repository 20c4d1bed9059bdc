"""Licence acceptance: what is recorded, and the one rule that decides whether a base may be used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

from dlm.domain.base_models import BaseSpec
from dlm.domain.errors import LicenseError
from dlm.domain.json_record import in_seconds, plain_time

Via = Literal["cli_flag", "interactive", "frontmatter"]


@attrs.frozen(kw_only=True)
class LicenseAcceptance:
    """A person's "yes" to the licence of a gated base.

    Args:
        accepted_at: UTC, whole seconds (finer parts are dropped).
        license_url: the terms that were shown; a later change of this address asks again.
        via: how the person said yes.
    """

    accepted_at: datetime = attrs.field(converter=in_seconds)
    license_url: str
    license_spdx: str
    via: Via

    def to_record(self) -> dict[str, Any]:
        """Give the JSON object kept in the manifest and in ``dlm.lock``."""
        return {**attrs.asdict(self), "accepted_at": plain_time(self.accepted_at)}


def license_gate(
    spec: BaseSpec,
    recorded: LicenseAcceptance | None,
    *,
    recorded_base: str | None,
    accept: bool,
    now: datetime,
    via: Via = "cli_flag",
) -> LicenseAcceptance | None:
    """Give the acceptance under which ``spec`` may be used; None when its licence asks for none.

    A recorded acceptance counts only for the base it was given for and only while the licence URL is the same.

    Args:
        recorded: what the document's store holds.
        recorded_base: the base that ``recorded`` was given for (the manifest's ``base_model``).
        accept: the person says yes now; a new record is made when the old one does not count.

    Raises:
        LicenseError: acceptance is needed and missing.
    """
    if not spec.requires_acceptance:
        return None
    assert spec.license_url is not None  # a gated row without its terms cannot be built
    if recorded is not None and recorded_base == spec.key and recorded.license_url == spec.license_url:
        return recorded
    if accept:
        return LicenseAcceptance(accepted_at=now, license_url=spec.license_url, license_spdx=spec.license_spdx, via=via)
    raise _not_accepted(spec, recorded, recorded_base)


def _not_accepted(spec: BaseSpec, recorded: LicenseAcceptance | None, recorded_base: str | None) -> LicenseError:
    message = f"{spec.key} may be used only after accepting its licence ({spec.license_spdx}): {spec.license_url}"
    if recorded is not None and recorded_base != spec.key:
        message += f" (the recorded acceptance is for {recorded_base})"
    elif recorded is not None:
        message += f" (the recorded acceptance is for {recorded.license_url})"
    details: Mapping[str, Any] = {"base_model": spec.key, "license_url": spec.license_url}
    return LicenseError(
        "license.not-accepted",
        message,
        hint="Read the licence; if you agree, run the command again with --i-accept-license.",
        details=details,
    )
