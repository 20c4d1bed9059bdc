"""Packs in repositories of the Hub, spoken to by the Hub's own client library."""

from __future__ import annotations

import importlib
import inspect
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from base_hub_server import COMMIT, HubModel
from dlm.adapters.share.hub import HubShare
from dlm.domain.errors import ShareError, StoreError
from dlm.domain.events import ignore
from dlm.domain.share import Address, parse_address
from dlm.domain.transfer import TransferLimits
from dlm.testing.share_contract import PACK, SIGNATURE, parcel
from share_hub_server import UPLOAD_SECRET, WritableHub, writable_hub

pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"  # the Hub's library about its own HTTP library
)

NAMES = ["adapter.dlm.pack", "adapter.dlm.pack.minisig", "README.md"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableHub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with writable_hub() as hub:
        yield hub


@pytest.fixture
def environ(hub: WritableHub, tmp_path: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret_token", "HF_HOME": str(tmp_path / "hf")}


@pytest.fixture
def share(environ: dict[str, str]) -> HubShare:
    return HubShare(environ)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def address(text: str = "hf:anna/notes") -> Address:
    return parse_address(text, exists=lambda _: False)


def refused(share: HubShare, into: Path, text: str = "hf:anna/notes") -> ShareError:
    with pytest.raises(ShareError) as caught:
        share.pull(address(text), into, emit=ignore)
    assert list(into.iterdir()) == []
    return caught.value


def test_pack_signature_and_card_arrive_in_one_commit(hub: WritableHub, share: HubShare, tmp_path: Path) -> None:
    assert share.push(parcel(tmp_path), address(), emit=ignore) == "hf:anna/notes"
    assert hub.models["anna/notes"].files == dict(zip(NAMES, (PACK, SIGNATURE, b"# card\n"), strict=True))
    assert [(commit[0], commit[1], commit[3]) for commit in hub.commits] == [("anna/notes", "main", NAMES)]
    assert "dlm" in hub.commits[0][2]
    assert hub.tokens == {"Bearer hf_secret_token"}
    assert hub.private == set()


def test_a_branch_is_made_for_a_push_to_it(hub: WritableHub, share: HubShare, tmp_path: Path) -> None:
    share.push(parcel(tmp_path), address("hf:anna/notes@v2"), emit=ignore)
    assert (hub.branches, hub.commits[0][1]) == ([("anna/notes", "v2")], "v2")


def test_a_commit_cannot_be_pushed_to(hub: WritableHub, share: HubShare, tmp_path: Path) -> None:
    with pytest.raises(ShareError) as caught:
        share.push(parcel(tmp_path), address("hf:anna/notes@" + "0" * 40), emit=ignore)
    assert (caught.value.code, hub.requests) == ("share.revision", [])


def test_a_private_repository_is_made_and_a_public_one_refused(
    hub: WritableHub, share: HubShare, tmp_path: Path
) -> None:
    share.push(attrs.evolve(parcel(tmp_path), private=True), address(), emit=ignore)
    assert hub.private == {"anna/notes"}
    hub.private.clear()
    with pytest.raises(ShareError) as caught:
        share.push(attrs.evolve(parcel(tmp_path), private=True), address(), emit=ignore)
    assert (caught.value.code, len(hub.commits)) == ("share.public", 1)


@pytest.mark.parametrize(("status", "code"), [(401, "share.refused"), (403, "share.refused"), (400, "share.failed")])
def test_a_push_that_is_refused(hub: WritableHub, share: HubShare, tmp_path: Path, status: int, code: str) -> None:
    hub.refused = (status, "")
    with pytest.raises(ShareError) as caught:
        share.push(parcel(tmp_path), address(), emit=ignore)
    assert caught.value.code == code
    assert code != "share.refused" or "HF_TOKEN" in (caught.value.hint or "")


def test_an_upload_that_fails_shows_no_secret_and_commits_nothing(
    hub: WritableHub,
    share: HubShare,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.refused_upload = 403
    with pytest.raises(ShareError) as caught:
        share.push(parcel(tmp_path), address(), emit=ignore)
    hub.refused_upload = None
    share.push(parcel(tmp_path), address(), emit=ignore)
    output = capfd.readouterr()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert caught.value.code == "share.refused"
    assert len(hub.commits) == 1
    assert "/lfs/" in shown
    assert UPLOAD_SECRET not in shown
    assert "hf_secret_token" not in shown
    assert output.out + output.err == ""


def test_pack_and_signature_come_from_one_commit(hub: WritableHub, share: HubShare, into: Path) -> None:
    hub.models["anna/notes"] = HubModel(files={NAMES[0]: PACK, NAMES[1]: SIGNATURE})
    fetched = share.pull(address("hf:anna/notes@main"), into, emit=ignore)
    assert fetched.pack.read_bytes() == PACK
    assert [path for _, path in hub.requests] == [
        "/api/models/anna/notes/revision/main",
        *(f"/anna/notes/resolve/{COMMIT}/{name}" for name in NAMES[:2]),
    ]
    assert hub.tokens == {"Bearer hf_secret_token"}


def test_a_signature_that_is_listed_and_not_given_is_a_problem(hub: WritableHub, share: HubShare, into: Path) -> None:
    class Listed(dict[str, bytes]):
        def __contains__(self, name: object) -> bool:
            return name == NAMES[0]

    hub.models["anna/notes"] = HubModel(files=Listed({NAMES[0]: PACK, NAMES[1]: SIGNATURE}))
    fetched = share.pull(address(), into, emit=ignore)
    assert (fetched.signature, "minisig" in str(fetched.signature_problem)) == (None, True)


def test_what_is_not_there(hub: WritableHub, share: HubShare, into: Path) -> None:
    assert refused(share, into).code == "share.missing"
    hub.models["anna/notes"] = HubModel(files={"model.safetensors": b""})
    error = refused(share, into)
    assert (error.code, "adapter.dlm.pack" in error.message) == ("share.missing", True)
    error = refused(share, into, "hf:anna/notes@v9")
    assert (error.code, "@v9" in error.message) == ("share.missing", True)


def test_a_gated_repository_says_what_to_do(hub: WritableHub, share: HubShare, into: Path) -> None:
    hub.models["anna/notes"] = HubModel(files={NAMES[0]: PACK}, gate=(403, "GatedRepo"))
    error = refused(share, into)
    assert (error.code, "terms" in (error.hint or "")) == ("share.refused", True)
    hub.models["anna/notes"] = HubModel(files={}, api_status=403, api_error="GatedRepo")
    assert refused(share, into).code == "share.refused"


def test_too_large_a_pack_is_not_fetched(hub: WritableHub, environ: dict[str, str], into: Path) -> None:
    hub.models["anna/notes"] = HubModel(files={NAMES[0]: PACK})
    share = HubShare(environ, limits=TransferLimits(pack_bytes=1000))
    assert refused(share, into).code == "share.too-large"


def _foreign() -> list[Exception]:
    """Give an exception of every class that the Hub's library, its HTTP library and plain mistakes can raise."""
    from huggingface_hub import errors

    http = importlib.import_module(errors.HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
    made: list[Exception] = [
        OSError("x"),
        OSError(28, "full"),
        ValueError("x"),
        KeyError("x"),
        TypeError("x"),
        EOFError(),
    ]
    response = http.Response(418, request=http.Request("GET", f"https://host.example/?{UPLOAD_SECRET}"))
    text = f"418 for url: https://host.example/?{UPLOAD_SECRET}"
    for module in (errors, http):
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, Exception) and not issubclass(cls, Warning):
                exc = cls.__new__(cls)
                exc.args = (text,)
                exc.response = response if issubclass(cls, errors.HfHubHTTPError) else None
                made.append(exc)
    wrapped = RuntimeError("Error while uploading")
    wrapped.__cause__ = made[-1]
    return [*made, wrapped]


@pytest.mark.parametrize("exc", _foreign(), ids=lambda exc: type(exc).__name__)
def test_no_exception_of_the_hubs_library_escapes(
    environ: dict[str, str], tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, exc: Exception
) -> None:
    from huggingface_hub import HfApi

    def failing(*_: object, **__: object) -> None:
        raise exc

    for name in ("model_info", "create_repo"):
        monkeypatch.setattr(HfApi, name, failing)
    share = HubShare(environ)
    for work in (
        lambda: share.pull(address(), into, emit=ignore),
        lambda: share.push(parcel(tmp_path, b"x"), address(), emit=ignore),
    ):
        with pytest.raises((ShareError, StoreError)) as caught:
            work()
        assert UPLOAD_SECRET not in "".join(traceback.format_exception(caught.value))


def test_offline_and_out_of_reach(hub: WritableHub, environ: dict[str, str], tmp_path: Path, into: Path) -> None:
    share = HubShare({**environ, "HF_HUB_OFFLINE": "1"})
    assert refused(share, into).code == "share.offline"
    with pytest.raises(ShareError) as caught:
        share.push(parcel(tmp_path), address(), emit=ignore)
    assert (caught.value.code, hub.requests) == ("share.offline", [])
    assert refused(HubShare({**environ, "HF_ENDPOINT": "http://127.0.0.1:1"}), into).code == "share.unreachable"
