"""Vocabularies of byte-level pairs: text is cut by a rule, written as bytes, and pairs are merged in a fixed order."""

from __future__ import annotations

from dlm.adapters.gguf.vocabulary.files import TokenizerFiles, bad_tokenizer
from dlm.adapters.gguf.vocabulary.listing import list_tokens
from dlm.adapters.gguf.vocabulary.special import special_settings
from dlm.adapters.gguf.vocabulary.vocabulary import NORMAL, Vocabulary
from dlm.domain.errors import ExportError
from dlm.domain.pretokenizers import FINGERPRINTS, PROBE, fingerprint, pretokenizer_label


def byte_level_vocabulary(files: TokenizerFiles) -> Vocabulary:
    """Give the vocabulary of a byte-level tokenizer.

    Raises:
        ExportError: ``export.pretokenizer``: its cutting rule has no label in the format; ``export.bad-tokenizer``.
    """
    # NFC joins a letter and its accent; runtimes do not, and nearly all text has them joined already.
    normalizer = files.tokenizer.get("normalizer")
    if normalizer is not None and normalizer != {"type": "NFC"}:
        raise bad_tokenizer(files.folder, "it changes text before cutting it, which runtimes do not (normalizer)")
    tokens, kinds = list_tokens(files, lambda piece: NORMAL)
    return Vocabulary(
        model="gpt2",
        pre=_label(files),
        tokens=tokens,
        kinds=kinds,
        merges=tuple(f"{left} {right}" for left, right in files.pairs()),
        **special_settings(files),
    )


def _label(files: TokenizerFiles) -> str:
    label = pretokenizer_label(files.tokenizer) or FINGERPRINTS.get(_fingerprint(files))
    if label is None:
        raise ExportError(
            "export.pretokenizer",
            "the tokenizer cuts text into pieces by a rule that GGUF has no name for; a file with another rule would "
            "read numbers or words differently than in training",
            subject="preflight[pretokenizer_fingerprint]",
            hint="Export with --target vllm, which uses the tokenizer as it is.",
        )
    return label


def _fingerprint(files: TokenizerFiles) -> str:
    import tokenizers

    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(files.folder / "tokenizer.json"))
    except Exception as exc:  # the library raises bare Exception
        raise bad_tokenizer(files.folder, str(exc)[:200]) from exc
    return fingerprint(tokenizer.encode(PROBE).ids)
