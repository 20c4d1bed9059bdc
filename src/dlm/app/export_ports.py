"""What exporting needs from the world."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from dlm.domain.export_targets import TargetName
from dlm.ports.adapter_files import AdapterFilesPort
from dlm.ports.chat_format import ChatFormatPort
from dlm.ports.clock import Clock
from dlm.ports.exporter import ExporterPort
from dlm.ports.exports import ExportsPort
from dlm.ports.hardware import HardwareProbe
from dlm.ports.imatrix import ImatrixPort
from dlm.ports.importance_cache import ImportanceCachePort
from dlm.ports.launcher import LauncherPort
from dlm.ports.metrics import MetricsPort
from dlm.ports.ollama import OllamaPort
from dlm.ports.reference import ReferencePort
from dlm.ports.registry import RegistryPort
from dlm.ports.replay import ReplayPort
from dlm.ports.runtime import RuntimePort
from dlm.ports.sources import SourcesPort
from dlm.ports.store import StorePort


@attrs.frozen(kw_only=True)
class ExportPorts:
    """What exporting needs from the world. ``exporters`` has one for every target."""

    store: StorePort
    exports: ExportsPort
    registry: RegistryPort
    hardware: HardwareProbe
    adapter_files: AdapterFilesPort
    chat_format: ChatFormatPort
    exporters: Mapping[TargetName, ExporterPort]
    imatrix: ImatrixPort
    importance_cache: ImportanceCachePort
    runtime: RuntimePort
    references: ReferencePort
    launcher: LauncherPort
    ollama: OllamaPort
    sources: SourcesPort
    replay: ReplayPort
    metrics: MetricsPort
    clock: Clock
