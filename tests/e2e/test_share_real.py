"""Two homes on one machine exchange a signed document, through each of the four routes."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

import dlm

pytestmark = pytest.mark.model

QUESTIONS = ("Who mends the ladders?", "What is the capital of France?")


class _Shelf(http.server.BaseHTTPRequestHandler):
    """A web server that keeps what is posted and gives it back."""

    things: ClassVar[dict[str, bytes]] = {}

    def do_POST(self) -> None:
        self.things[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        data = self.things.get(self.path)
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@contextmanager
def web_server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Shelf)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(workspace: dlm.Workspace, document: dlm.Document) -> list[str]:
    return ["".join(workspace.prompt(document, question, temperature=0)) for question in QUESTIONS]


@pytest.fixture(scope="module")
def sender(trained: Any, workspace: dlm.Workspace, tmp_path_factory: pytest.TempPathFactory) -> dlm.Document:
    """Give the trained document, saved, in a home with a key."""
    path = tmp_path_factory.mktemp("sender") / "orchard.dlm"
    trained[0].save(path)
    workspace.generate_key(passphrase=None, comment="the sender")
    return dlm.Document.load(path)


@pytest.fixture(scope="module")
def wanted(sender: dlm.Document, workspace: dlm.Workspace) -> list[str]:
    return answers(workspace, sender)


@contextmanager
def route(name: str, sender: dlm.Document, workspace: dlm.Workspace, folder: Path) -> Iterator[str]:
    """Send the document along a route; gives where the other side finds it."""
    if name == "folder":
        report = workspace.push(sender, f"{folder}/stick/", sign=True)
        assert report.signed
        yield str(next((folder / "stick").glob("*.pack")))
    elif name == "web":
        with web_server() as url:
            workspace.push(sender, f"{url}/orchard.pack?key=hidden", sign=True)
            yield f"{url}/orchard.pack?key=hidden"
    elif name == "peer":
        with workspace.serve(sender, port=0, sign=True) as running:
            yield running.url
    else:
        pack = workspace.pack(sender, out=folder / "hand.pack", sign=True)
        yield str(pack.path)


@pytest.mark.parametrize("name", ["folder", "web", "peer", "hand"])
def test_the_receiver_gets_the_senders_answers(
    name: str, sender: dlm.Document, wanted: list[str], workspace: dlm.Workspace, tmp_path: Path
) -> None:
    receiver = dlm.Workspace(tmp_path / "home", generator=workspace.generator, registry=workspace.registry)
    receiver.trust_key(workspace.home / "minisign.pub", label="sender")
    with route(name, sender, workspace, tmp_path) as place:
        report = receiver.pull(place, out=tmp_path / "got", policy="require_verified")
    assert report.status == "verified"
    got = dlm.Document.load(report.installed.document)
    assert got.text == sender.text
    assert answers(receiver, got) == wanted
    assert "hidden" not in repr(report)
    assert receiver.show(report.installed.document).manifest is not None


def test_a_whole_base_travels_too(
    sender: dlm.Document, wanted: list[str], workspace: dlm.Workspace, tmp_path: Path
) -> None:
    pack = workspace.pack(sender, out=tmp_path / "whole.pack", include_base=True)
    assert pack.content_type == "no-exports"
    receiver = dlm.Workspace(tmp_path / "home", generator=workspace.generator)
    report = receiver.unpack(pack.path, out=tmp_path / "got")
    bundled = receiver.store.bundled_base(sender.dlm_id)
    assert bundled is not None
    assert (bundled / "model.safetensors").is_file()
    shutil.rmtree(tmp_path / "home" / "bases", ignore_errors=True)
    assert answers(receiver, dlm.Document.load(report.document)) == wanted


def test_the_same_content_gives_the_same_pack(sender: dlm.Document, workspace: dlm.Workspace, tmp_path: Path) -> None:
    packs = [workspace.pack(sender, out=tmp_path / f"{number}.pack").path.read_bytes() for number in range(2)]
    assert packs[0] == packs[1]


def test_the_minisign_program_agrees(sender: dlm.Document, workspace: dlm.Workspace, tmp_path: Path) -> None:
    import subprocess

    if shutil.which("minisign") is None:
        pytest.skip("the minisign program is not installed")
    pack = workspace.pack(sender, out=tmp_path / "signed.pack", sign=True)
    command = ["minisign", "-V", "-m", str(pack.path), "-p", str(workspace.home / "minisign.pub")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert workspace.verify(pack.path, trust_on_first_use=True).newly_trusted
    assert not workspace.verify(pack.path).newly_trusted
