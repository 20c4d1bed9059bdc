"""The parts of a workspace: each port's adapter, the given one or the real one, made at first use."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlm.domain.home import resolve_home

if TYPE_CHECKING:
    from dlm.app.export_ports import ExportPorts
    from dlm.app.share_ports import SharingPorts
    from dlm.domain.export_targets import TargetName
    from dlm.domain.inference import InferencePlan
    from dlm.domain.share import AddressKind
    from dlm.ports.adapter_files import AdapterFilesPort
    from dlm.ports.chat_format import ChatFormatPort
    from dlm.ports.clock import Clock
    from dlm.ports.exporter import ExporterPort
    from dlm.ports.exports import ExportsPort
    from dlm.ports.gallery import GalleryPort
    from dlm.ports.generator import GeneratorPort
    from dlm.ports.hardware import HardwareProbe
    from dlm.ports.imatrix import ImatrixPort
    from dlm.ports.importance_cache import ImportanceCachePort
    from dlm.ports.launcher import LauncherPort
    from dlm.ports.metrics import MetricsPort, RunSink
    from dlm.ports.ollama import OllamaPort
    from dlm.ports.packs import InstallPort, PackPort
    from dlm.ports.peer_server import PeerServerPort
    from dlm.ports.reference import ReferencePort
    from dlm.ports.registry import RegistryPort
    from dlm.ports.replay import ReplayPort
    from dlm.ports.runtime import RuntimePort
    from dlm.ports.share import SharePort
    from dlm.ports.signatures import SignatureVerifier
    from dlm.ports.signing import AskPassphrase, SignerPort, TrustPort
    from dlm.ports.sources import SourcesPort
    from dlm.ports.store import StorePort
    from dlm.ports.token_cache import TokenCachePort
    from dlm.ports.trainer import TrainerPort

_SYSTEMS = {"darwin": "macos", "win32": "windows"}
"""Names of systems in packs, where they are not Python's."""

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
        exports: ExportsPort | None = None,
        exporters: Mapping[TargetName, ExporterPort] | None = None,
        adapter_files: AdapterFilesPort | None = None,
        chat_format: ChatFormatPort | None = None,
        imatrix: ImatrixPort | None = None,
        importance_cache: ImportanceCachePort | None = None,
        runtime: RuntimePort | None = None,
        references: ReferencePort | None = None,
        launcher: LauncherPort | None = None,
        ollama: OllamaPort | None = None,
        packs: PackPort | None = None,
        installs: InstallPort | None = None,
        signer: SignerPort | None = None,
        trust: TrustPort | None = None,
        verifier: SignatureVerifier | None = None,
        shares: Mapping[AddressKind, SharePort] | None = None,
        peers: PeerServerPort | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.environ = os.environ if environ is None else environ
        self.home = resolve_home(home, self.environ)
        self._replace(
            store=store,
            registry=registry,
            hardware=hardware,
            trainer=trainer,
            generator=generator,
            gallery=gallery,
            sources=sources,
            replay=replay,
            token_cache=token_cache,
            run_metrics=metrics,
            clock=clock,
            exports=exports,
            exporters=exporters,
            adapter_files=adapter_files,
            chat_format=chat_format,
            imatrix=imatrix,
            importance_cache=importance_cache,
            runtime=runtime,
            references=references,
            launcher=launcher,
            ollama=ollama,
            packs=packs,
            installs=installs,
            signer=signer,
            trust=trust,
            verifier=verifier,
            shares=shares,
            peers=peers,
        )

    def _replace(self, **given: object) -> None:
        """Put parts in the place where ``cached_property`` keeps what it made, so that it makes nothing."""
        self.__dict__.update({name: part for name, part in given.items() if part is not None})

    @cached_property
    def clock(self) -> Clock:
        """Time and ids."""
        from dlm.adapters.system_clock import SystemClock

        return SystemClock()

    @cached_property
    def store(self) -> StorePort:
        """Where adapters are kept."""
        from dlm.adapters.filesystem import FileStore

        store = FileStore(self.home, self.clock)
        store.recover()
        return store

    @cached_property
    def hardware(self) -> HardwareProbe:
        """The machine."""
        from dlm.adapters.hardware import TorchHardwareProbe

        return TorchHardwareProbe()

    @cached_property
    def registry(self) -> RegistryPort:
        """Base models, looked for in the order folder, installed package, local Hub cache, Hub."""
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
        from dlm import __version__
        from dlm.adapters.gallery.gallery import Gallery
        from dlm.adapters.http.client import HttpxClient

        return Gallery(
            home=self.home,
            http=HttpxClient(),
            verifier=self.verifier,
            clock=self.clock,
            dlm_version=__version__,
            url=self.environ.get(_GALLERY_URL) or None,
        )

    @cached_property
    def sources(self) -> SourcesPort:
        """Files that documents name."""
        from dlm.adapters.sources import FileSources

        return FileSources()

    @cached_property
    def replay(self) -> ReplayPort:
        """Sections that documents once had."""
        from dlm.adapters.replay import FileReplay

        return FileReplay(self.store.location)

    @cached_property
    def token_cache(self) -> TokenCachePort:
        """Rows as token ids, kept between trainings in each document's store."""
        from dlm.adapters.token_cache import FileTokenCache

        return FileTokenCache(self.store.location, self.clock)

    @cached_property
    def run_metrics(self) -> MetricsPort:
        """What runs told."""
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
        from dlm.adapters.torch.anchors import AnchorCache
        from dlm.adapters.torch.trainer import TorchTrainer

        return TorchTrainer(self._bases, AnchorCache(self.home / "cache" / "anchors"))

    @cached_property
    def generator(self) -> GeneratorPort:
        """Answers questions."""
        from dlm.adapters.torch.generator import TorchGenerator

        return TorchGenerator(self._bases)

    @cached_property
    def exports(self) -> ExportsPort:
        """Where exports are kept."""
        from dlm.adapters.filesystem import FileExports

        return FileExports(self.store.location)

    @cached_property
    def exporters(self) -> Mapping[TargetName, ExporterPort]:
        """What writes weights, for each target."""
        from dlm.adapters.ggml import GgmlQuantizer
        from dlm.adapters.gguf.exporter import GgufExporter
        from dlm.adapters.llama_quantize import LlamaQuantizeProgram
        from dlm.adapters.mlx_files import MlxExporter
        from dlm.adapters.peft_files import PeftExporter

        gguf = GgufExporter(self.home, [GgmlQuantizer()], [LlamaQuantizeProgram(self.environ)])
        return {
            "ollama": gguf,
            "llama-server": gguf,
            "vllm": PeftExporter(subfolder="adapters/{module}"),
            "mlx-serve": MlxExporter(),
            "hf-adapter": PeftExporter(subfolder=""),
        }

    @cached_property
    def adapter_files(self) -> AdapterFilesPort:
        """Adapters as they lie on disk."""
        from dlm.adapters.peft_files import PeftFiles

        return PeftFiles()

    @cached_property
    def chat_format(self) -> ChatFormatPort:
        """How trained models want conversations written."""
        from dlm.adapters.torch.chat_format import TorchChatFormat

        return TorchChatFormat()

    @cached_property
    def imatrix(self) -> ImatrixPort:
        """Measures which inputs matter."""
        from dlm.adapters.torch.imatrix import TorchImatrix

        return TorchImatrix(self._bases, self._loading_plan)

    @cached_property
    def importance_cache(self) -> ImportanceCachePort:
        """Importance matrices of this home."""
        from dlm.adapters.filesystem.importances import FileImportanceCache

        return FileImportanceCache(self.home / "cache" / "imatrix", self.clock)

    @cached_property
    def runtime(self) -> RuntimePort:
        """Runs GGUF files."""
        from dlm.adapters.servers import LlamaCppRuntime

        return LlamaCppRuntime(self.environ)

    @cached_property
    def references(self) -> ReferencePort:
        """The trained model, exactly."""
        from dlm.adapters.torch.reference import TorchReference

        return TorchReference(self._bases)

    @cached_property
    def launcher(self) -> LauncherPort:
        """Tries launch scripts."""
        from dlm.adapters.servers.launch import ScriptLauncher

        return ScriptLauncher(self.environ)

    @cached_property
    def ollama(self) -> OllamaPort:
        """The Ollama of this machine."""
        from dlm.adapters.ollama import Ollama

        return Ollama(self.home, self.environ)

    @cached_property
    def packs(self) -> PackPort:
        """Writes and opens packs."""
        from dlm.adapters.packs import TarZstdPacks

        return TarZstdPacks()

    @cached_property
    def installs(self) -> InstallPort:
        """Puts stores into the home."""
        from dlm.adapters.filesystem.installer import FileInstaller

        return FileInstaller(self.home, self.clock)

    @cached_property
    def signer(self) -> SignerPort:
        """This home's own key."""
        from dlm.adapters.minisign.signer import MinisignSigner

        return MinisignSigner(home=self.home)

    @cached_property
    def trust(self) -> TrustPort:
        """Keys that count here."""
        from dlm.adapters.minisign.trust import TrustFolder

        return TrustFolder(home=self.home)

    @cached_property
    def verifier(self) -> SignatureVerifier:
        """Checks signatures."""
        from dlm.adapters.minisign.verifier import NaclVerifier

        return NaclVerifier()

    @cached_property
    def shares(self) -> Mapping[AddressKind, SharePort]:
        """Places packs are sent to and fetched from."""
        from dlm.adapters.share.http import HttpShare
        from dlm.adapters.share.hub import HubShare
        from dlm.adapters.share.path import PathShare
        from dlm.adapters.share.peer import PeerShare

        return {
            "hub": HubShare(self.environ),
            "url": HttpShare(self.environ),
            "peer": PeerShare(),
            "path": PathShare(),
        }

    @cached_property
    def peers(self) -> PeerServerPort:
        """Serves packs to other machines."""
        from dlm.adapters.peer.server import HttpPeerServer

        return HttpPeerServer(clock=self.clock)

    def _loading_plan(self) -> InferencePlan:
        """Say how a base is loaded on this machine."""
        from dlm.domain.inference_plan import resolve_inference_plan

        return resolve_inference_plan(
            self.hardware.probe(), backend="pytorch", trained_with_qlora=False, modality="text"
        )

    def _sharing_ports(self, ask: AskPassphrase = lambda _: None) -> SharingPorts:
        from dlm.app.share_ports import SharingPorts

        return SharingPorts(
            store=self.store,
            registry=self.registry,
            packs=self.packs,
            installs=self.installs,
            signer=self.signer,
            trust=self.trust,
            verifier=self.verifier,
            shares=self.shares,
            peers=self.peers,
            metrics=self.run_metrics,
            clock=self.clock,
            platform=_SYSTEMS.get(sys.platform, sys.platform),
            ask=ask,
        )

    def _export_ports(self) -> ExportPorts:
        from dlm.app.export_ports import ExportPorts

        return ExportPorts(
            store=self.store,
            exports=self.exports,
            registry=self.registry,
            hardware=self.hardware,
            adapter_files=self.adapter_files,
            chat_format=self.chat_format,
            exporters=self.exporters,
            imatrix=self.imatrix,
            importance_cache=self.importance_cache,
            runtime=self.runtime,
            references=self.references,
            launcher=self.launcher,
            ollama=self.ollama,
            sources=self.sources,
            replay=self.replay,
            metrics=self.run_metrics,
            clock=self.clock,
        )
