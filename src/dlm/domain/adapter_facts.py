"""What an adapter's own files say about it, as far as exporting depends on that."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class AdapterFacts:
    """One PEFT adapter.

    Args:
        base_name: ``base_model_name_or_path`` of its configuration.
        kind: ``peft_type``, upper case.
        ranks: rank of each changed module, by the module's name in the base (``model.layers.0.self_attn.q_proj``).
        alphas: LoRA alpha of each changed module.
        use_rslora: scale by alpha/√r instead of alpha/r.
        use_dora: has magnitude vectors.
        saved_modules: modules that are stored whole (``modules_to_save``), by full name.
        bias: which biases were trained: ``none``, ``all`` or ``lora_only``.
        other_tensors: tensors of the file that are none of the above.
        vocabulary_size: ids its tokenizer can give, highest id + 1; None when it has no tokenizer.
        has_chat_template: whether its tokenizer knows how to write a conversation.
        trained_4bit: whether the base was held in 4 bits while it was trained.
        nonfinite_tensor: name of a tensor with a NaN or infinite number; None when all are finite.
        peculiar: settings of its configuration under which it is more than a sum of low-rank changes on an unchanged
            base; only PEFT itself can run it then.
    """

    base_name: str
    kind: str
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    use_rslora: bool = False
    use_dora: bool = False
    saved_modules: tuple[str, ...] = ()
    bias: str = "none"
    other_tensors: tuple[str, ...] = ()
    vocabulary_size: int | None = None
    has_chat_template: bool = False
    trained_4bit: bool = False
    nonfinite_tensor: str | None = None
    peculiar: tuple[str, ...] = ()

    @property
    def highest_rank(self) -> int:
        """The largest rank of a module; 0 without modules."""
        return max(self.ranks.values(), default=0)

    def scaling(self, module: str) -> float:
        """Give the factor of a module's change: ΔW = scaling · B·A."""
        rank = self.ranks[module]
        return self.alphas[module] / (rank**0.5 if self.use_rslora else rank)
