"""The composition root: the one place that knows both the use cases and the concrete adapters.

Every port can be replaced through :class:`Workspace`'s arguments; nothing is global, and nothing heavy is imported
before the call that needs it.
"""

from dlm.wiring.plugins import PLUGIN_GROUPS, plugins
from dlm.wiring.workspace import Workspace

__all__ = ["PLUGIN_GROUPS", "Workspace", "plugins"]
