"""Small tokenizers of the kinds that text bases have: byte-level pairs, and SentencePiece's manner."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CL100K = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CL100K.replace("{1,3}", "")
CASES = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_TEXT = (
    "The tide turns at nine, and the tide tables say when. What do the tables say about the tide at noon?\n",
    "We've been told that they're there; I'll see, you'd know, it's late and she can't.\n",
    "Numbers 1 12 123 1234 12345 2024 3.14 and  two   three    four blanks.\n\n\tdef f(x):\n\t\treturn x + 1\n",
    "我想在这里工作，天气很好。 нещо на български език, и още нещо на български. Ünïcödé café naïve.\n",
    "HTTPServer parseJSON camelCase UPPER lower Title 🚀 ✅ 🦙🦙 !!! ??? ... --- === \"quoted\" 'single'\n",
)
_RUNS_OF_BLANKS = 4


class Specials(NamedTuple):
    """Special tokens of a tokenizer, in the order of their ids; ``strips_right`` swallow the blanks after them."""

    texts: tuple[str, ...]
    eos: str
    bos: str | None = None
    unk: str | None = None
    pad: str | None = None
    adds_bos: bool = False
    strips_right: tuple[str, ...] = ()


def byte_level_tokenizer(
    rule: str, specials: Specials, *, ignore_merges: bool = False, normalizer: str | None = None
) -> Any:
    """Give a tokenizer that cuts by ``rule`` (a pattern, or ``digits`` for single digits and GPT-2's words)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if rule == "digits":
        steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    else:
        from tokenizers import Regex

        cut = pre_tokenizers.Split(Regex(rule), behavior="isolated")
        steps = [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    if normalizer == "NFC":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 120, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    return _wrapped(tokenizer, specials)


def sentencepiece_tokenizer(blank: str, specials: Specials) -> Any:
    """Give a tokenizer with byte fallback.

    Args:
        blank: ``prepend`` puts a blank before a text and after special tokens, ``first`` only at the beginning,
            ``never`` does not.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary, merges = _pieces(specials.texts)
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=specials.unk, fuse_unk=True, byte_fallback=True)
    )
    if blank == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    elif blank == "first":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    else:
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _wrapped(tokenizer, specials)


@cache
def _pieces(specials: tuple[str, ...]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Give pieces and merges as a SentencePiece model has them: a merge for each way of cutting a piece in two."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=True)
    learner.train_from_iterator(_TEXT, trainers.BpeTrainer(vocab_size=320, show_progress=False))
    learned = sorted(learner.get_vocab(), key=learner.get_vocab().__getitem__)
    signs = [piece for piece in learned if (len(piece) == 1 and piece.isascii()) or piece == "▁"]
    longer = ["▁" * length for length in range(2, _RUNS_OF_BLANKS + 1)]
    longer += [piece for piece in learned if len(piece) > 1 and set(piece) <= set(signs)]
    texts = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), *longer, *signs]
    vocabulary = {text: index for index, text in enumerate(dict.fromkeys(texts))}
    known = {*longer, *signs}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in longer
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]
    return vocabulary, merges


def _wrapped(tokenizer: Any, specials: Specials) -> Any:
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.add_special_tokens(
        [
            AddedToken(text, special=True, normalized=False, rstrip=text in specials.strips_right)
            for text in specials.texts
        ]
    )
    if specials.adds_bos:
        bos = specials.bos or specials.eos
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    roles = {"bos_token": specials.bos, "eos_token": specials.eos, "unk_token": specials.unk, "pad_token": specials.pad}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{role: text for role, text in roles.items() if text is not None}
    )
