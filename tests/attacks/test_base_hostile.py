"""Model folders and names made to hurt: nothing runs, nothing outside is read, every answer is one of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base_made import as_json, config, llama_shapes, model_files, safetensors_bytes, write_model
from dlm.adapters.folder_base import FolderBaseSource
from dlm.adapters.hub import HubCacheSource, HubDownloadSource, HubModelLookup
from dlm.adapters.registry import ChainRegistry
from dlm.adapters.registry.headers import read_shapes
from dlm.domain.errors import BaseModelError

OFFLINE = {"HF_HUB_OFFLINE": "1"}


def error_of(use: Callable[[], object]) -> BaseModelError | None:
    """Give our error; any other escapes and fails the test."""
    try:
        use()
    except BaseModelError as exc:
        return exc
    return None


@pytest.fixture
def registry(home: Path) -> ChainRegistry:
    sources = (FolderBaseSource(), HubCacheSource(OFFLINE), HubDownloadSource(OFFLINE))
    return ChainRegistry(sources=sources, hub=HubModelLookup(home, OFFLINE), home=home)


@pytest.mark.parametrize(
    "selector",
    [
        *("hf:../../etc/passwd", "hf:../x", "hf:a/..", "hf:a/b--c", "hf:a/b\n", "hf:á/b", "hf:-a/b", "hf: a/b"),
        "hf:a/" + "b" * 100,
        *("path:", "path: ", "path:\0", "path:~nobody-here/x", "path:/dev/null", "path:" + "x" * 5000),
        *("a" * 100_000, "\ud800"),
    ],
    ids=range(17),
)
def test_hostile_selectors_get_a_short_answer(registry: ChainRegistry, home: Path, selector: str) -> None:
    with pytest.raises(BaseModelError) as caught:
        registry.describe(selector)
    assert caught.value.code in ("base.unknown", "base.folder-missing")
    assert not (home / "bases").exists()


@pytest.mark.parametrize("revision", ["main", "../../x", "0" * 39, "0" * 41, "G" * 40, "", "0" * 40 + "\n"])
def test_a_pin_that_is_no_commit_never_becomes_a_path(registry: ChainRegistry, revision: str) -> None:
    for hf_id in ("example/tiny", "HuggingFaceTB/SmolLM2-135M-Instruct"):
        with pytest.raises(BaseModelError) as caught:
            registry.describe(f"hf:{hf_id}", pinned_revision=revision)
        assert caught.value.code == "base.bad-revision"


@pytest.mark.parametrize(
    "shard", ["../outside.safetensors", "/x.safetensors", "a/b.safetensors", "x.bin", "", ".", "..", "x.safetensors/.."]
)
def test_an_index_cannot_name_files_elsewhere(registry: ChainRegistry, tmp_path: Path, shard: str) -> None:
    (tmp_path / "outside.safetensors").write_bytes(model_files()["model.safetensors"])
    index = as_json({"weight_map": {"w": shard}})
    files = {**model_files(model_safetensors=None), "model.safetensors.index.json": index}
    with pytest.raises(BaseModelError) as caught:
        registry.describe(f"path:{write_model(tmp_path / 'm', files)}")
    assert caught.value.code == "base.bad-file"


@pytest.mark.parametrize("weight_map", [None, [], {}, "x", {"w": 1}, {"w": None}, {"w": ["x"]}])
def test_an_index_of_the_wrong_shape_is_told(registry: ChainRegistry, tmp_path: Path, weight_map: object) -> None:
    index = as_json({"weight_map": weight_map})
    files = {**model_files(model_safetensors=None), "model.safetensors.index.json": index}
    with pytest.raises(BaseModelError):
        registry.describe(f"path:{write_model(tmp_path / 'm', files)}")


NESTED = b"[" * 200_000
HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 8,
        (10**12).to_bytes(8, "little"),
        (5).to_bytes(8, "little") + b"nope!",
        (2).to_bytes(8, "little") + b"[]",
        len(HEADER).to_bytes(8, "little") + HEADER,
        len(HEADER).to_bytes(8, "little") + HEADER + b"12345",
        len(NESTED).to_bytes(8, "little") + NESTED,
        b"\x80\x04\x95pickle",
        *(
            len(text).to_bytes(8, "little") + text
            for text in (
                as_json({"w": 1}),
                as_json({"w": {"shape": "x", "data_offsets": [0, 0]}}),
                as_json({"w": {"shape": [1], "data_offsets": []}}),
                as_json({"w": {"shape": [1]}}),
                as_json({"w": {"shape": [-1], "data_offsets": [0, -4]}}),
            )
        ),
    ],
    ids=range(15),
)
def test_a_weight_file_that_lies_is_told_as_damaged(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(BaseModelError) as caught:
        read_shapes(path)
    assert caught.value.code == "base.damaged"


@given(st.integers(0, 400), st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_changed_byte_in_a_header_gives_an_answer_or_our_error(tmp_path: Path, at: int, value: int) -> None:
    data = bytearray(safetensors_bytes(dict(list(llama_shapes().items())[:3])))
    data[at % len(data)] = value
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(data))
    error = error_of(lambda: read_shapes(path))
    assert error is None or error.code == "base.damaged"


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"null", b'"x"', b"{", NESTED, b'{"a":' * 200_000])
def test_settings_that_cannot_be_read_are_told_with_their_name(
    registry: ChainRegistry, tmp_path: Path, name: str, data: bytes
) -> None:
    with pytest.raises(BaseModelError) as caught:
        registry.describe(f"path:{write_model(tmp_path / 'm', {**model_files(), name: data})}")
    assert caught.value.code == "base.bad-file"
    assert name in caught.value.message


def test_a_chat_template_that_is_not_text_is_told(registry: ChainRegistry, tmp_path: Path) -> None:
    files = {**model_files(), "chat_template.jinja": b"\xff\xff"}
    with pytest.raises(BaseModelError, match=r"chat_template\.jinja"):
        registry.describe(f"path:{write_model(tmp_path / 'm', files)}")


@pytest.mark.parametrize(
    "changes",
    [
        {"architectures": "LlamaForCausalLM"},
        {"architectures": [5]},
        {"architectures": {"0": "x"}},
        {"architectures": []},
        {"hidden_size": -1, "vocab_size": 10**400},
        {"max_position_embeddings": 1e308},
        {"quantization_config": "x"},
        {"auto_map": None},
    ],
    ids=str,
)
def test_a_config_of_the_wrong_shape_is_described_or_refused(
    registry: ChainRegistry, tmp_path: Path, changes: dict[str, object]
) -> None:
    data = {**json.loads(config()), **changes}
    folder = write_model(tmp_path / "m", model_files(config_json=as_json(data)))
    error = error_of(lambda: registry.describe(f"path:{folder}"))
    assert error is None or error.hint


def test_a_folder_inside_the_model_with_a_files_name_is_no_file(registry: ChainRegistry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", model_files(model_safetensors=None))
    (folder / "model.safetensors").mkdir()
    with pytest.raises(BaseModelError) as caught:
        registry.describe(f"path:{folder}")
    assert caught.value.code == "base.no-weights"


def test_a_link_to_nowhere_is_no_file(registry: ChainRegistry, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", model_files(model_safetensors=None))
    (folder / "model.safetensors").symlink_to(tmp_path / "gone")
    with pytest.raises(BaseModelError) as caught:
        registry.describe(f"path:{folder}")
    assert caught.value.code == "base.no-weights"
