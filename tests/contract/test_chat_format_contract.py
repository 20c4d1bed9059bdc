"""Reading tokenizer files and its fake keep the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlm.adapters.torch.chat_format import TorchChatFormat
from dlm.domain.base_models import ResolvedBase
from dlm.domain.errors import BaseModelError
from dlm.ports.chat_format import ChatFormatPort
from dlm.testing.chat_format_contract import ASK, ChatFormatContract
from dlm.testing.chat_formats import FakeChatFormat
from tiny import tiny_base


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ResolvedBase:
    return tiny_base(tmp_path_factory.mktemp("base"))


class TestTorchChatFormat(ChatFormatContract):
    @pytest.fixture
    def formats(self) -> ChatFormatPort:
        return TorchChatFormat()

    @pytest.fixture
    def base(self, tiny: ResolvedBase) -> ResolvedBase:
        return tiny

    def test_the_adapters_own_tokenizer_comes_first(self, tiny: ResolvedBase, tmp_path: Path) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}!{% endfor %}"
        tokenizer.save_pretrained(tmp_path)

        chat = TorchChatFormat().read(tiny, tmp_path)

        assert chat.render(ASK) == f"{ASK[0].content}!"
        assert chat.added_tokens == ("<|new|>",)

    def test_answers_end_where_the_makers_of_the_base_say(self, tmp_path: Path) -> None:
        from transformers import AutoTokenizer, GenerationConfig

        base = tiny_base(tmp_path / "base")
        tokenizer = AutoTokenizer.from_pretrained(base.folder)
        ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
        GenerationConfig(eos_token_id=ends).save_pretrained(base.folder)

        assert TorchChatFormat().read(base, tmp_path).end_tokens == ("<|endoftext|>", "<|im_end|>")

    def test_a_tokenizer_without_a_template(self, tmp_path: Path) -> None:
        base = tiny_base(tmp_path / "base", template="")

        with pytest.raises(BaseModelError) as caught:
            TorchChatFormat().read(base, tmp_path)

        assert caught.value.code == "base.no-chat-template"


class TestFakeChatFormat(ChatFormatContract):
    @pytest.fixture
    def formats(self) -> ChatFormatPort:
        return FakeChatFormat()

    @pytest.fixture
    def base(self, tiny: ResolvedBase) -> ResolvedBase:
        return tiny
