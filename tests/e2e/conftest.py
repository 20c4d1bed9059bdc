"""One home and one process for the tests of the real small base: it is unpacked, loaded and trained once."""

from __future__ import annotations

from typing import Any

import pytest

import dlm
from e2e.orchard import BODY, ORCHARD
from e2e.shared_home import with_shared_answers


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> dlm.Workspace:
    """A home with the small base."""
    return dlm.Workspace(with_shared_answers(tmp_path_factory.mktemp("real"), tmp_path_factory))


@pytest.fixture(scope="session")
def trained(workspace: dlm.Workspace) -> Any:
    """A trained document, the report of its training, and the events."""
    document = dlm.Document.new(ORCHARD, "smollm2-135m", BODY)
    events: list[Any] = []
    return document, workspace.train(document, on_event=events.append), events
