"""What servers answer, in every form they have for it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from answering_server import AnsweringServer, answering
from dlm.adapters.servers.launch_client import LaunchClient
from dlm.adapters.servers.process import ServerProcess, start
from dlm.domain.errors import ExportError


@pytest.fixture(scope="module")
def running() -> Iterator[ServerProcess]:
    """A program that runs and has nothing to do with it."""
    with start([sys.executable, "-c", "input()"], os.environ) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[AnsweringServer]:
    with answering() as server:
        yield server


@pytest.fixture
def client(server: AnsweringServer, running: ServerProcess) -> Iterator[LaunchClient]:
    with LaunchClient(server.port, None, running) as client:
        yield client


def chat(message: Any) -> tuple[int, bytes]:
    return 200, json.dumps({"choices": [{"message": message}]}).encode()


def code(client: LaunchClient) -> str:
    with pytest.raises(ExportError) as caught:
        client.ask("Hello.", None, answer_s=20.0)
    return caught.value.code


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ({"content": " Hi. "}, "Hi."),
        ({"content": [{"type": "text", "text": "\nIn "}, {"type": "text", "text": "parts."}]}, "In parts."),
        ({"content": [{"text": "plain"}, {"type": "image_url", "image_url": {}}]}, "plain"),
        ({"content": "", "reasoning_content": "Let me think"}, "Let me think"),
        ({"content": None, "reasoning": "Let me think"}, "Let me think"),
        ({"content": "\x1b[31m\x07red\ud800\u202e\u00a0\tx"}, "[31mred  x"),
        ({"content": "\x00\x1b\nsecond"}, "second"),
        ({"content": "é" * 201}, "é" * 200),
    ],
)
def test_answers_of_every_form_are_read(message: Any, line: str, server: AnsweringServer, client: LaunchClient) -> None:
    server.answers = [chat(message)]
    assert client.ask("Hello.", None, answer_s=20.0) == line


@pytest.mark.parametrize("content", [None, "", "\x00\x1b\x07", "\u200b\n\u2028 \n", []])
def test_an_answer_of_signs_that_cannot_be_seen_is_none(
    content: Any, server: AnsweringServer, client: LaunchClient
) -> None:
    server.answers = [chat({"content": content})]
    assert code(client) == "smoke.blank"


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[]", b"{}", b'{"choices": []}', b"NaN", b"[" * 100_000])
def test_an_answer_in_no_known_form_fails(body: bytes, server: AnsweringServer, client: LaunchClient) -> None:
    server.answers = [(200, body)]
    assert code(client) == "smoke.no-answer"


@pytest.mark.parametrize("message", [None, 3, [], {"content": 3}, {"content": [3]}, {"content": {"text": "x"}}])
def test_a_message_in_no_known_form_fails(message: Any, server: AnsweringServer, client: LaunchClient) -> None:
    server.answers = [chat(message)]
    assert code(client) == "smoke.no-answer"


@pytest.mark.parametrize("status", [400, 401, 404, 500, 302, 204])
def test_any_other_status_is_a_refusal(status: int, server: AnsweringServer, client: LaunchClient) -> None:
    server.answers = [(status, b"" if status == 204 else b"no such model" * 999)]
    with pytest.raises(ExportError, match=str(status)) as caught:
        client.ask("Hello.", None, answer_s=20.0)
    assert caught.value.code == "smoke.refused"
    assert len(caught.value.message) < 500


@pytest.mark.parametrize(
    "first",
    [
        (503, b'{"error": "loading"}'),
        (404, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"data": 3}'),
        (200, b'{"data": [3]}'),
        (200, b"[" * 100_000),
    ],
)
def test_a_list_that_is_none_means_not_ready(
    first: tuple[int, bytes], server: AnsweringServer, client: LaunchClient
) -> None:
    server.answers = [first, (200, b'{"data": [{"id": "a"}, {"id": 3}]}')]
    assert client.wait_for_models(20.0) == ("a", "3")
