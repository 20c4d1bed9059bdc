"""Anchors: ordinary exchanges in the base's own words, and how sure it was of each of them.

They say what training must not change. The base answers once; answers and probabilities are kept in a cache folder, so
the next training on the same base and with the same system prompt begins at once. An answer depends a little on what is
computed beside it (rounding), so the same prompts are always answered together: kept or new, they are the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.adapters.torch.batches import IGNORED, micro_batches
from dlm.adapters.torch.chat import ChatTokenizer, Encoded
from dlm.adapters.torch.decoding import greedy_continuations
from dlm.adapters.torch.loss import TopK, head_of, hidden_states
from dlm.domain.errors import StoreError
from dlm.domain.events import Emit, Note, Progress
from dlm.domain.rows import Turn
from dlm.domain.text_files import write_atomic

if TYPE_CHECKING:
    from peft import PeftModel

TOKENS = 12
"""Length of the base's answers that are held on to: what follows seldom depends on anything but its own beginning."""

TOP_K = 64
"""Likeliest tokens kept per position: on SmolLM2 they carry 97 % of the probability, the rest is one bucket."""

FORMAT = 1
KEPT_FILES = 16
"""Cache files kept, one for each base and system prompt; each takes about 3 MB."""

_BATCH = 16


@attrs.frozen
class Anchors:
    """Ordinary exchanges and the base's distributions over its own words in them."""

    examples: tuple[Encoded, ...]
    targets: tuple[TopK, ...]

    @classmethod
    def of(cls, adapted: PeftModel, chat: ChatTokenizer, prompts: Sequence[Sequence[int]], device: str) -> Anchors:
        """Let the bare base answer the prompts and note how sure it was of each token."""
        with adapted.disable_adapter():
            answers = greedy_continuations(adapted, prompts, chat, TOKENS)
            examples = tuple(map(Encoded.answered, prompts, answers))
            return cls(examples, tuple(_distributions(adapted, examples, chat.pad_id, device)))


NO_ANCHORS = Anchors((), ())


def _distributions(adapted: PeftModel, examples: Sequence[Encoded], pad_id: int, device: str) -> Iterator[TopK]:
    import torch

    head = head_of(adapted.get_base_model())
    with torch.no_grad():
        for batch in micro_batches(examples, _BATCH, pad_id, device):
            hidden = hidden_states(adapted.get_base_model(), batch)
            for row in range(hidden.shape[0]):
                yield TopK.of(head(hidden[row][batch.labels[row] != IGNORED]), TOP_K)


class AnchorCache:
    """Keeps anchors on disk, and the last ones in memory.

    Args:
        folder: where to; None keeps them in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._last: tuple[str, Anchors] | None = None

    def get(
        self,
        adapted: PeftModel,
        chat: ChatTokenizer,
        questions: Sequence[str],
        *,
        base_sha256: str,
        precision: str,
        device: str,
        emit: Emit,
    ) -> Anchors:
        """Give the anchors for these questions. A file that cannot be read or written is told and not needed."""
        if not questions:
            return NO_ANCHORS
        prompts = [chat.prompt_ids([Turn("user", question)]) for question in questions]
        key = _key(prompts, base_sha256, precision, device)
        if self._last is None or self._last[0] != key:
            kept = self._read(key, prompts, device, emit)
            self._last = (key, kept or self._made(key, adapted, chat, prompts, device, emit))
        return self._last[1]

    def _made(
        self,
        key: str,
        adapted: PeftModel,
        chat: ChatTokenizer,
        prompts: Sequence[Sequence[int]],
        device: str,
        emit: Emit,
    ) -> Anchors:
        emit(Progress(stage="anchors", done=0, total=1))
        anchors = Anchors.of(adapted, chat, prompts, device)
        emit(Progress(stage="anchors", done=1, total=1))
        if self._folder is not None:
            try:
                _write(self._folder, key, anchors)
            except (OSError, StoreError) as exc:
                message = f"the base's ordinary answers could not be kept for the next training: {exc}"
                emit(Note(subject="train", message=message, severity="warning"))
        return anchors

    def _read(self, key: str, prompts: Sequence[Sequence[int]], device: str, emit: Emit) -> Anchors | None:
        from safetensors import SafetensorError

        path = self._folder / f"{key}.safetensors" if self._folder else None
        if path is None or not path.is_file():
            return None
        try:
            return _read(path, prompts, device)
        except (OSError, SafetensorError, KeyError, ValueError) as exc:
            message = f"{path.name} in the cache is damaged and is made anew: {exc}"
            emit(Note(subject="train", message=message, severity="warning"))
            return None


def _key(prompts: Sequence[Sequence[int]], base_sha256: str, precision: str, device: str) -> str:
    """Digest all that the answers depend on."""
    record = [FORMAT, TOKENS, TOP_K, base_sha256, precision, device, [list(prompt) for prompt in prompts]]
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()[:32]


def _write(folder: Path, key: str, anchors: Anchors) -> None:
    """Write one file; drop the oldest ones."""
    import torch
    from safetensors.torch import save

    answers = [
        [token for token, learned in zip(example.ids, example.supervised, strict=True) if learned]
        for example in anchors.examples
    ]
    tensors = {
        "lengths": torch.tensor([len(answer) for answer in answers], dtype=torch.int32),
        "answers": torch.tensor([token for answer in answers for token in answer], dtype=torch.int32),
        "ids": torch.cat([target.ids for target in anchors.targets]).int(),
        "log_probs": torch.cat([target.log_probs for target in anchors.targets]),
        "log_rest": torch.cat([target.log_rest for target in anchors.targets]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    blob = save({name: value.cpu().contiguous() for name, value in tensors.items()})
    write_atomic(folder / f"{key}.safetensors", blob)
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[KEPT_FILES:]:
        path.unlink(missing_ok=True)


def _read(path: Path, prompts: Sequence[Sequence[int]], device: str) -> Anchors:
    import torch
    from safetensors.torch import load

    tensors = {name: value.to(device) for name, value in load(path.read_bytes()).items()}
    lengths: list[int] = tensors["lengths"].tolist()
    if len(lengths) != len(prompts) or sum(lengths) != len(tensors["ids"]):
        raise ValueError(f"it holds {len(lengths)} answers for {len(prompts)} questions")
    names = ("answers", "ids", "log_probs", "log_rest")
    parts: list[Any] = [torch.split(tensors[name], lengths) for name in names]
    answers = [part.tolist() for part in parts[0]]
    targets = (TopK(ids.long(), probs, rest) for ids, probs, rest in zip(*parts[1:], strict=True))
    return Anchors(tuple(map(Encoded.answered, prompts, answers)), tuple(targets))
