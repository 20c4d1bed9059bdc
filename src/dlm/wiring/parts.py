"""The parts of a workspace: each port's adapter, the given one or the real one, made at first use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlm.domain.home import resolve_home

if TYPE_CHECKING:
    from dlm.ports.clock import Clock
    from dlm.ports.gallery import GalleryPort
    from dlm.ports.generator import GeneratorPort
    from dlm.ports.hardware import HardwareProbe
    from dlm.ports.metrics import MetricsPort, RunSink
    from dlm.ports.registry import RegistryPort
    from dlm.ports.replay import ReplayPort
    from dlm.ports.sources import SourcesPort
    from dlm.ports.store import StorePort
    from dlm.ports.token_cache import TokenCachePort
    from dlm.ports.trainer import TrainerPort

_GALLERY_URL = "DLM_GALLERY_URL"
_TENSORBOARD = "DLM_TENSORBOARD"
_WANDB = "DLM_WANDB_PROJECT"


def says_yes(value: str | None) -> bool:
    """Tell whether an environment variable turns something on."""
    return (value or "").lower() in ("1", "true", "yes")


class Parts:
    """What a workspace is made of. :class:`dlm.Workspace` says what the arguments are."""

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        store: StorePort | None = None,
        registry: RegistryPort | None = None,
        hardware: HardwareProbe | None = None,
        trainer: TrainerPort | None = None,
        generator: GeneratorPort | None = None,
        gallery: GalleryPort | None = None,
        sources: SourcesPort | None = None,
        replay: ReplayPort | None = None,
        token_cache: TokenCachePort | None = None,
        metrics: MetricsPort | None = None,
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.environ = os.environ if environ is None else environ
        self.home = resolve_home(home, self.environ)
        self._store = store
        self._registry = registry
        self._hardware = hardware
        self._trainer = trainer
        self._generator = generator
        self._gallery = gallery
        self._sources = sources
        self._replay = replay
        self._token_cache = token_cache
        self._metrics = metrics
        self._clock = clock

    @cached_property
    def clock(self) -> Clock:
        """Time and ids."""
        if self._clock is not None:
            return self._clock
        from dlm.adapters.system_clock import SystemClock

        return SystemClock()

    @cached_property
    def store(self) -> StorePort:
        """Where adapters are kept."""
        if self._store is not None:
            return self._store
        from dlm.adapters.filesystem import FileStore

        return FileStore(self.home, self.clock)

    @cached_property
    def hardware(self) -> HardwareProbe:
        """The machine."""
        if self._hardware is not None:
            return self._hardware
        from dlm.adapters.hardware import TorchHardwareProbe

        return TorchHardwareProbe()

    @cached_property
    def registry(self) -> RegistryPort:
        """Base models, looked for in the order folder, installed package, local Hub cache, Hub."""
        if self._registry is not None:
            return self._registry
        from dlm.adapters.folder_base import FolderBaseSource
        from dlm.adapters.hub import HubCacheSource, HubDownloadSource, HubModelLookup
        from dlm.adapters.registry import ChainRegistry
        from dlm.adapters.weight_package import WeightPackageSource

        sources = (
            FolderBaseSource(),
            WeightPackageSource(home=self.home),
            HubCacheSource(self.environ),
            HubDownloadSource(self.environ),
        )
        return ChainRegistry(sources=sources, hub=HubModelLookup(self.home, self.environ), home=self.home)

    @cached_property
    def gallery(self) -> GalleryPort:
        """Templates."""
        if self._gallery is not None:
            return self._gallery
        from dlm import __version__
        from dlm.adapters.gallery.gallery import Gallery
        from dlm.adapters.http.client import HttpxClient
        from dlm.adapters.minisign.verifier import NaclVerifier

        return Gallery(
            home=self.home,
            http=HttpxClient(),
            verifier=NaclVerifier(),
            clock=self.clock,
            dlm_version=__version__,
            url=self.environ.get(_GALLERY_URL) or None,
        )

    @cached_property
    def sources(self) -> SourcesPort:
        """Files that documents name."""
        if self._sources is not None:
            return self._sources
        from dlm.adapters.sources import FileSources

        return FileSources()

    @cached_property
    def replay(self) -> ReplayPort:
        """Sections that documents once had."""
        if self._replay is not None:
            return self._replay
        from dlm.adapters.replay import FileReplay

        return FileReplay(self.store.location)

    @cached_property
    def token_cache(self) -> TokenCachePort:
        """Rows as token ids, kept between trainings in each document's store."""
        if self._token_cache is not None:
            return self._token_cache
        from dlm.adapters.token_cache import FileTokenCache

        return FileTokenCache(self.store.location, self.clock)

    @cached_property
    def run_metrics(self) -> MetricsPort:
        """What runs told."""
        if self._metrics is not None:
            return self._metrics
        from dlm.adapters.sqlite import SqliteMetrics

        return SqliteMetrics(self.store.location, self.clock)

    @cached_property
    def sinks(self) -> tuple[RunSink, ...]:
        """Where the events of a run are kept: the metrics database, then what the environment asks for."""
        sinks: list[RunSink] = [self.run_metrics]
        if says_yes(self.environ.get(_TENSORBOARD)):
            from dlm.adapters.tensorboard import TensorBoardSink

            sinks.append(TensorBoardSink(self.clock))
        if project := self.environ.get(_WANDB, "").strip():
            from dlm.adapters.wandb import WandbSink

            sinks.append(WandbSink(project))
        return tuple(sinks)

    @property
    def _bases(self) -> Any:
        from dlm.adapters.torch.bases import TorchBases

        # setdefault is one step: threads that come at once share the same bases, so none is loaded twice.
        return self.__dict__.setdefault("_torch_bases", TorchBases())

    @cached_property
    def trainer(self) -> TrainerPort:
        """Fits adapters."""
        if self._trainer is not None:
            return self._trainer
        from dlm.adapters.torch.anchors import AnchorCache
        from dlm.adapters.torch.trainer import TorchTrainer

        return TorchTrainer(self._bases, AnchorCache(self.home / "cache" / "anchors"))

    @cached_property
    def generator(self) -> GeneratorPort:
        """Answers questions."""
        if self._generator is not None:
            return self._generator
        from dlm.adapters.torch.generator import TorchGenerator

        return TorchGenerator(self._bases)
