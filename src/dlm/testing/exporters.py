"""An exporter whose files are small texts under the names of real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from dlm.domain.errors import DiskError, ExportError
from dlm.domain.events import Emit, Progress
from dlm.domain.export_targets import WeightsFormat
from dlm.domain.text_files import write_atomic
from dlm.ports.exporter import FileRole, WeightsJob, WrittenFile

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


class FakeExporter:
    """Writes what the adapter's files hold, so that another adapter gives another export. Notes every job.

    Args:
        weights: the form whose file names are used.
        refusal: raised by ``check`` and ``write``.
        room: bytes that fit on the disk; the file that goes beyond them raises ``DiskError``.
        needs: bytes that ``check`` asks for; as many as are written when None.
        pause: called before each file; may raise, wait, or look at the half-full folder.
    """

    def __init__(
        self,
        weights: WeightsFormat = "gguf",
        *,
        refusal: ExportError | None = None,
        room: int | None = None,
        needs: int | None = None,
        pause: Callable[[], None] | None = None,
    ) -> None:
        self.weights = weights
        self._refusal = refusal
        self._room = room
        self._needs = needs
        self._pause = pause
        self.checked: list[WeightsJob] = []
        self.written: list[WeightsJob] = []

    def check(self, job: WeightsJob) -> int:
        self.checked.append(job)
        if self._refusal is not None:
            raise self._refusal
        for name in _ADAPTER_FILES:
            if not (job.adapter / name).is_file():
                raise ExportError(
                    "export.no-adapter",
                    f"{job.adapter / name} is not there",
                    subject="preflight[adapter_config]",
                    hint="Train the document first.",
                )
        return self._needs if self._needs is not None else sum(len(data) for _, _, data in self._files(job))

    def write(self, job: WeightsJob, folder: Path, *, emit: Emit) -> tuple[WrittenFile, ...]:
        self.check(job)
        self.written.append(job)
        files: list[WrittenFile] = []
        planned = tuple(self._files(job))
        for name, role, data in planned:
            if self._pause is not None:
                self._pause()
            if self._room is not None and sum(file.size_bytes for file in files) + len(data) > self._room:
                raise DiskError("disk.full", f"no room left while writing {folder / name}", hint="Free some space.")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(folder / name, data)
            files.append(
                WrittenFile(path=name, role=role, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
            )
            emit(Progress(stage="weights", done=len(files), total=len(planned), unit="files"))
        return tuple(files)

    def _files(self, job: WeightsJob) -> Iterator[tuple[str, FileRole, bytes]]:
        change = b"\n".join((job.adapter / name).read_bytes() for name in _ADAPTER_FILES)
        base = f"{job.base.spec.hf_id} {job.base.sha256} {job.quant}\n".encode()
        if self.weights == "peft":
            yield f"adapters/{job.module}/adapter_config.json", "config", b"{}\n"
            yield f"adapters/{job.module}/adapter_model.safetensors", "adapter", change
            yield f"adapters/{job.module}/tokenizer.json", "tokenizer", b"{}\n"
        elif self.weights == "mlx":
            yield f"{job.module}/adapter_config.json", "config", b"{}\n"
            yield f"{job.module}/adapters.safetensors", "adapter", change
        elif job.merged:
            yield f"merged.{job.quant}.gguf", "merged", b"GGUF " + base + change
        else:
            yield f"base.{job.quant}.gguf", "base", b"GGUF " + base
            yield "adapter.gguf", "adapter", b"GGUF " + change
