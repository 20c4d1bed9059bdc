"""Packs served to other machines over HTTP, by uvicorn's protocol and starlette's answers."""

from dlm.adapters.peer.server import HttpPeerServer

__all__ = ["HttpPeerServer"]
