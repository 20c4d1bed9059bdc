"""The trained model in full precision: what an exported file is measured against."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlm.adapters.torch.bases import LoadSpec, TorchBases, quiet_loading
from dlm.adapters.torch.chat import ChatTokenizer
from dlm.adapters.torch.cpu_pace import give_back_holes
from dlm.adapters.torch.decoding import greedy_continuations
from dlm.adapters.torch.foreign import translated
from dlm.adapters.torch.lora import load_adapter
from dlm.adapters.torch.loss import head_of, transformer_of
from dlm.domain.base_models import ResolvedBase
from dlm.domain.dialects import thinks_aloud
from dlm.domain.rows import Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SUBJECT = "parity check"


class TorchReference:
    """Loads trained models as references. Implements ``ReferencePort``; shares its bases with the trainer.

    Weights are float32 and attention is the formula as it is written: Gemma 2 caps the scores in it, which the fused
    kernels leave out.

    Args:
        device: where to compute; the processor is exact everywhere.
    """

    def __init__(self, bases: TorchBases, *, device: str = "cpu") -> None:
        self._bases = bases
        self._device = device

    @contextmanager
    def open(
        self, base: ResolvedBase, adapter: Path | None, *, system_prompt: str | None = None
    ) -> Iterator[TorchReferenceModel]:
        """Give the base, with the adapter on it when there is one, for the length of a ``with`` block."""
        spec = LoadSpec(
            folder=base.folder,
            precision="fp32",
            attention="eager",
            device=self._device,
            trust_remote_code=base.spec.trust_remote_code,
        )
        thinks = thinks_aloud(base.spec.template)
        rows = _own_rows(base, adapter) if adapter is not None else None
        # Embeddings of an adapter's own take the place of the base's, so that nobody can use it afterwards.
        bases = self._bases if rows is None else TorchBases()
        with bases.lend(base, spec) as loaded:
            if adapter is None:
                yield TorchReferenceModel(loaded.model, ChatTokenizer(loaded.tokenizer, system_prompt, thinks=thinks))
                return
            with translated(f"adapter {adapter.name}"):
                tokenizer = _tokenizer(adapter, loaded.tokenizer)
                if rows is not None:
                    loaded.model.resize_token_embeddings(rows, mean_resizing=False)
                adapted = load_adapter(loaded.model, adapter, trainable=False)
                adapted.eval()
            try:
                yield TorchReferenceModel(adapted, ChatTokenizer(tokenizer, system_prompt, thinks=thinks))
            finally:
                adapted.unload()
                give_back_holes(self._device)


class TorchReferenceModel:
    """A model in memory. Implements ``LoadedReference``."""

    def __init__(self, model: Any, chat: ChatTokenizer) -> None:
        self._model = model
        self._chat = chat

    def render(self, turns: Sequence[Turn]) -> str:
        """Give the conversation as it was trained, with the opening of the answer."""
        return self._chat.render(turns, generation_prompt=True)

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Tokenise rendered text: special tokens are read, none is added."""
        return tuple(self._chat.ids_of(text))

    def continuations(self, prompts: Sequence[Sequence[int]], *, max_tokens: int) -> tuple[tuple[int, ...], ...]:
        """Continue prompts greedily, side by side; a token that ends the answer is the last of it."""
        with translated(_SUBJECT):
            return tuple(map(tuple, greedy_continuations(self._model, prompts, self._chat, max_tokens)))

    def next_logprobs(self, ids: Sequence[int], *, last: int) -> Sequence[Sequence[float]]:
        """Give the distributions after each of the ``last`` ids at the end, from one pass of the model."""
        import torch

        transformer = transformer_of(self._model)
        with translated(_SUBJECT), torch.inference_mode():
            batch = torch.tensor([list(ids)], device=self._model.device)
            hidden = transformer.base_model(input_ids=batch, use_cache=False)[0][0, -last:].contiguous()
            logprobs = torch.log_softmax(head_of(transformer)(hidden).double(), -1).cpu()
        return [array("d", row.numpy().tobytes()) for row in logprobs]


def _own_rows(base: ResolvedBase, adapter: Path) -> int | None:
    """Give the rows of the embeddings or the output layer that an adapter holds as a whole; None when it has none."""
    from safetensors import safe_open

    path = adapter / "adapter_model.safetensors"
    if not path.is_file():
        return None  # said when it is loaded
    fewest = int(base.config.get("text_config", base.config)["vocab_size"])
    with translated(f"adapter {adapter.name}"), safe_open(path, "pt") as file:
        sizes = (file.get_slice(name).get_shape()[0] for name in file.keys() if ".lora_" not in name)  # noqa: SIM118
        return max((size for size in sizes if size >= fewest), default=None)


def _tokenizer(adapter: Path, base: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Give the tokenizer that was saved with an adapter: tokens may have been added to the base's."""
    from transformers import AutoTokenizer

    if not (adapter / "tokenizer_config.json").is_file():
        return base
    with quiet_loading():
        own: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(adapter, local_files_only=True)
    own.chat_template = own.chat_template or base.chat_template
    return own
