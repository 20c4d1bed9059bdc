"""Whether an exported model is the trained one: the figures of a comparison, and words for what is not alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import mul, sub
from typing import Any

import attrs
from attrs.validators import optional

from dlm.domain.errors import ExportError
from dlm.domain.json_record import finite, structure

TIE_NATS = 0.01
"""Tokens whose log-probabilities are closer than this share a place: the order of a sum can turn them round."""

_LEAST = -104.0
"""Logarithm just below the smallest number of float32, in which runtimes compute. They tell what is less likely as
zero or as a huge negative number; it is taken for this, which moves a divergence by less than 1e-40."""

_WIDELY = 10.0
"""Times the bound beyond which rounding alone does not explain a divergence. Wrong adapters are at a hundred times."""


@attrs.frozen
class PositionParity:
    """How two models differ at one place of a text: KL(trained ‖ exported) in nats, and whether the token that the
    exported one finds likeliest is likeliest for the trained one too."""

    kl: float
    agrees: bool


def compare(trained: Sequence[float], exported: Sequence[float]) -> PositionParity:
    """Compare two distributions over the whole vocabulary, given as natural logarithms by token id.

    Each is taken relative to its sum, which need not be exactly 1.

    Raises:
        ExportError: ``export.parity``: they are not over the same tokens, or hold numbers that are none.
    """
    if len(trained) != len(exported) or not trained:
        raise _incomparable(f"it has {len(exported)} tokens, the trained model {len(trained)}")
    if not min(min(trained), min(exported)) >= _LEAST:
        trained, exported = ([max(value, _LEAST) for value in logprobs] for logprobs in (trained, exported))
    weights = list(map(math.exp, trained))
    whole, whole_exported = math.fsum(weights), math.fsum(map(math.exp, exported))
    kl = math.fsum(map(mul, weights, map(sub, trained, exported))) / whole + math.log(whole_exported / whole)
    if not math.isfinite(kl):
        raise _incomparable("a probability is not a number")
    likeliest = exported.index(max(exported))
    return PositionParity(max(0.0, kl), trained[likeliest] >= max(trained) - TIE_NATS)


def _incomparable(why: str) -> ExportError:
    return ExportError(
        "export.parity",
        f"the exported model cannot be compared with the trained one: {why}",
        subject="parity",
        hint="Export again; train again with --fresh if that does not help.",
    )


def first_difference(trained: str, exported: str) -> str | None:
    """Say in words where two texts begin to differ; None when they do not."""
    if trained == exported:
        return None
    pairs = zip(trained, exported, strict=False)
    at = next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(trained), len(exported)))
    return f"from character {at} on {_excerpt(exported, at)} instead of {_excerpt(trained, at)}"


def _excerpt(text: str, at: int, *, before: int = 10, after: int = 30) -> str:
    start, end = max(0, at - before), at + after
    return repr(f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}")


def first_other_token(text: str, trained: Sequence[int], exported: Sequence[int]) -> str | None:
    """Say in words where the tokens of a text begin to differ; None when they do not."""
    if tuple(trained) == tuple(exported):
        return None
    pairs = zip(trained, exported, strict=False)
    at = next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(trained), len(exported)))
    got, wanted = (str(ids[at]) if at < len(ids) else "none" for ids in (exported, trained))
    return f"token {at} of {_excerpt(text, 0, after=60)} is {got} instead of {wanted}"


def _share(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{attribute.name} must be between 0 and 1, found {value}")


def _no_less_than_0(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be 0 or more, found {value}")


@attrs.frozen(kw_only=True)
class Parity:
    """An exported model against the trained one.

    Args:
        runtime: what ran the exported file.
        questions: conversations compared.
        positions: places at which distributions were compared: after prompts and inside the trained model's answers.
        mean_kl, max_kl: KL(trained ‖ exported) over the positions, nats; None when ``wording_only`` says why.
        top1_agreement: share of positions at which both find the same token likeliest; None likewise.
        prompts_alike: whether the runtime writes every conversation as training did.
        tokenizers_alike: whether the same text becomes the same tokens.
        differences: the first of each kind that was found, in words.
        bound: most that ``mean_kl`` may be, nats.
        wording_only: why conversations and tokens were compared and no distributions; None when they were.
    """

    runtime: str
    bound: float = attrs.field(validator=_no_less_than_0)
    questions: int = attrs.field(validator=_no_less_than_0)
    positions: int = attrs.field(validator=_no_less_than_0)
    mean_kl: float | None = attrs.field(validator=optional(_no_less_than_0))
    max_kl: float | None = attrs.field(validator=optional(_no_less_than_0))
    top1_agreement: float | None = attrs.field(validator=optional(_share))
    prompts_alike: bool
    tokenizers_alike: bool
    differences: tuple[str, ...] = ()
    wording_only: str | None = None

    @classmethod
    def measured(
        cls,
        positions: Sequence[PositionParity],
        *,
        runtime: str,
        bound: float,
        questions: int,
        other_prompt: str | None = None,
        other_tokens: str | None = None,
        wording_only: str | None = None,
    ) -> Parity:
        """Sum up. ``other_prompt`` and ``other_tokens`` tell the first difference in words; None for none."""
        divergences = [position.kl for position in positions]
        count = len(positions)
        return cls(
            runtime=runtime,
            bound=bound,
            questions=questions,
            positions=count,
            mean_kl=math.fsum(divergences) / count if count else None,
            max_kl=max(divergences, default=None),
            top1_agreement=sum(position.agrees for position in positions) / count if count else None,
            prompts_alike=other_prompt is None,
            tokenizers_alike=other_tokens is None,
            differences=tuple(text for text in (other_prompt, other_tokens) if text is not None),
            wording_only=wording_only,
        )

    @property
    def is_within(self) -> bool:
        """Whether the exported model may stand for the trained one."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is outside, in words, gravest first; empty when all is well."""
        details = list(self.differences)
        found = []
        if not self.prompts_alike:
            found.append(_told("it writes conversations otherwise than training did", details))
        if not self.tokenizers_alike:
            found.append(_told("it cuts text into other tokens", details))
        if self.wording_only is None and (not self.positions or self.mean_kl is None):
            found.append("no distribution was compared")
        if self._divergence > self.bound:
            found.append(
                f"its next-token distributions are {self._divergence:.2g} nats from the trained ones on average, "
                f"more than {self.bound:g}; {self.top1_agreement:.0%} of the likeliest tokens are the same"
            )
        return tuple(found)

    @property
    def cause(self) -> str | None:
        """What probably went wrong; None when all is well."""
        if self.is_within:
            return None
        if not self.tokenizers_alike:
            return "the file holds another tokenizer than the one that was trained with"
        if not self.prompts_alike:
            return "the export has another chat template than the one that was trained with"
        if self._divergence > _WIDELY * self.bound:
            return "the file holds another adapter or base, or the adapter at another strength"
        return "rounding: the weights of this base need more bits"

    @property
    def is_rounding(self) -> bool:
        """Whether more bits per weight would probably help."""
        alike = self.prompts_alike and self.tokenizers_alike
        return alike and self.bound < self._divergence <= _WIDELY * self.bound

    @property
    def _divergence(self) -> float:
        return self.mean_kl or 0.0

    def to_record(self) -> dict[str, Any]:
        """Give the record kept in the export's manifest."""
        record: dict[str, Any] = finite(attrs.asdict(self))
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Parity:
        """Read such a record.

        Raises:
            RecordError: something else.
        """
        return structure(cls, dict(record), "$.parity")

    def __str__(self) -> str:
        unlike = "" if self.prompts_alike and self.tokenizers_alike else ", other prompts or tokens"
        if self.mean_kl is None:
            return (
                f"conversations and tokens compared in {self.runtime}{unlike}; distributions not: {self.wording_only}"
            )
        return (
            f"mean KL {self.mean_kl:.2g} nats (at most {self.bound:g}), largest {self.max_kl:.2g}, same likeliest "
            f"token at {self.top1_agreement:.0%} of {self.positions} places in {self.runtime}{unlike}"
        )


def _told(what: str, details: list[str]) -> str:
    return f"{what} ({details.pop(0)})" if details else what
