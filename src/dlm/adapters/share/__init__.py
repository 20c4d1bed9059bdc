"""Sending packs and fetching them: web addresses, the Hub, folders, peers."""

from dlm.adapters.share.http import HttpShare
from dlm.adapters.share.hub import HubShare
from dlm.adapters.share.path import PathShare
from dlm.adapters.share.peer import PeerShare

__all__ = ["HttpShare", "HubShare", "PathShare", "PeerShare"]
