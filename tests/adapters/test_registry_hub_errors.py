"""No exception of the Hub's library, or of an HTTP library under it, escapes the adapter."""

from __future__ import annotations

import errno
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import requests
from huggingface_hub import ModelInfo
from huggingface_hub import errors as hub_errors_module
from huggingface_hub.hf_api import RepoSibling

from dlm.adapters.hub import HubDownloadSource, HubModelLookup
from dlm.domain.errors import BaseModelError, DiskError
from dlm.ports.base_source import Miss
from dlm.testing.registries import tiny_base


def _classes(module: ModuleType) -> Iterator[type[Exception]]:
    for _, value in inspect.getmembers(module, inspect.isclass):
        if issubclass(value, Exception) and not issubclass(value, Warning):
            yield value


def _http_modules() -> list[ModuleType]:
    modules = [httpx, requests.exceptions]
    client = hub_errors_module.HfHubHTTPError.__mro__[1].__module__.split(".")[0]
    return [*modules, *([importlib.import_module(client)] if client not in ("httpx", "requests") else [])]


FOREIGN = sorted(
    {cls for module in (hub_errors_module, *_http_modules()) for cls in _classes(module)}
    | {OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, AssertionError, TimeoutError, EOFError},
    key=lambda cls: f"{cls.__module__}.{cls.__qualname__}",
)
SPEC = tiny_base(key="hf:example/tiny")


def test_there_is_something_to_test() -> None:
    assert len(FOREIGN) > 60


def outcome(source: HubDownloadSource) -> Miss | BaseModelError:
    """Give the miss or our error; any other error escapes and fails the test."""
    try:
        answer = source.find(SPEC)
    except BaseModelError as exc:
        return exc
    assert isinstance(answer, Miss)
    return answer


@pytest.mark.parametrize("cls", FOREIGN, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_each_foreign_class_becomes_ours(
    cls: type[Exception], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise cls.__new__(cls)  # without arguments: constructors differ from version to version

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    environ = {"HF_HOME": str(tmp_path)}
    answer = outcome(HubDownloadSource(environ))
    assert isinstance(answer, Miss) or (answer.hint and "example/tiny" in answer.message)
    with pytest.raises(BaseModelError):
        HubModelLookup(home, environ).look_up("example/tiny")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_is_told_as_such(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "no", str(tmp_path / "blob"))

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    with pytest.raises(DiskError) as caught:
        HubDownloadSource({"HF_HOME": str(tmp_path)}).find(SPEC)
    assert "blob" in caught.value.message


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sibling = RepoSibling(rfilename="model.safetensors", size=10**18)
    info = ModelInfo(id="example/tiny", sha=SPEC.revision, siblings=[])
    info.siblings = [sibling]
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: info)
    with pytest.raises(DiskError) as caught:
        HubDownloadSource({"HF_HOME": str(tmp_path / "not" / "yet")}).find(SPEC)
    assert caught.value.code == "disk.full"
    assert list(tmp_path.iterdir()) == []
