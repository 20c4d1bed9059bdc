"""Base models in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from dlm.adapters.torch.foreign import translated
from dlm.domain.base_models import ResolvedBase
from dlm.domain.plan import Attention, Precision

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@attrs.frozen(kw_only=True)
class LoadSpec:
    """What distinguishes one loaded base from another."""

    folder: Path
    precision: Precision
    attention: Attention
    device: str
    in_4bit: bool = False
    trust_remote_code: bool = False


@attrs.frozen
class LoadedBase:
    """A base model on its device and its tokenizer; dtype as asked, no gradient anywhere."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class TorchBases:
    """Lends loaded bases, keeping the last one so that training, the exam and prompting in one process load once.

    A borrower has the model to itself and gives it back as it was; when it fails inside, the model is dropped. Other
    threads wait for it. A thread that borrows while it still holds one (an answer it left half read) gets another copy.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._holder: int | None = None
        self._spec: LoadSpec | None = None
        self._loaded: LoadedBase | None = None

    @contextmanager
    def lend(self, base: ResolvedBase, spec: LoadSpec) -> Iterator[LoadedBase]:
        """Give the base for the length of a ``with`` block."""
        if not self._taken():
            yield _load(base, spec)
            return
        try:
            if self._spec != spec or self._loaded is None:
                self._loaded = None
                self._loaded = _load(base, spec)
                self._spec = spec
            yield self._loaded
        except GeneratorExit:
            raise  # an answer that nobody reads to its end; the model was given back
        except BaseException:
            self._loaded = None
            raise
        finally:
            with self._turn:
                self._holder = None
                self._turn.notify()

    def _taken(self) -> bool:
        """Wait for the kept base and take it; False when this very thread has it already."""
        me = threading.get_ident()
        with self._turn:
            if self._holder == me:
                return False
            self._turn.wait_for(lambda: self._holder is None)
            self._holder = me
            return True


def _load(base: ResolvedBase, spec: LoadSpec) -> LoadedBase:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with translated(f"base {base.spec.key}"), quiet_loading():
        tokenizer = AutoTokenizer.from_pretrained(
            spec.folder, local_files_only=True, trust_remote_code=spec.trust_remote_code
        )
        model = AutoModelForCausalLM.from_pretrained(
            spec.folder,
            dtype=torch_dtype(spec.precision),
            attn_implementation=_attention(spec),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=spec.trust_remote_code,
            **_placement(spec),
        )
        model.requires_grad_(False)
        if not spec.in_4bit:
            model.to(spec.device)
        model.eval()
    return LoadedBase(model, tokenizer)


def _attention(spec: LoadSpec) -> str:
    """Packs need an attention that knows their rows; it hands everything else to the plan's own choice."""
    if spec.attention != "sdpa":
        return spec.attention
    from dlm.adapters.torch.short_attention import register

    return register()


def _placement(spec: LoadSpec) -> dict[str, Any]:
    """QLoRA's weights: 4-bit NF4 with double quantisation (Dettmers et al. 2023), computing in the plan's precision."""
    if not spec.in_4bit:
        return {}
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch_dtype(spec.precision),
    )
    return {"quantization_config": config, "device_map": {"": spec.device}}


def torch_dtype(precision: Precision) -> torch.dtype:
    """Give torch's name of a precision."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers' own bars and advice off the terminal; our events tell the same. Restored afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
