"""Trying an export out before it is put in place: the same distributions, the same tokens, an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlm.app.export_ports import ExportPorts
from dlm.app.export_texts import JINJA, SCRIPTS, Writing, file_of
from dlm.app.parity import ParityJob, check_parity, check_wording, parity_questions, refuse_unlike
from dlm.domain.errors import ExportError
from dlm.domain.events import Emit, Note
from dlm.domain.export_manifest import Smoke
from dlm.domain.export_plan import parity_memory_bytes
from dlm.domain.parity import Parity
from dlm.domain.quantization import QUANTS
from dlm.domain.rows import Turn
from dlm.ports.exporter import WrittenFile
from dlm.ports.launcher import SmokeJob

READY_S = {"llama-server": 120.0, "mlx-serve": 180.0, "vllm": 600.0}
"""How long each server may take to load a model."""

PROGRAMS = {"llama-server": "llama-server", "mlx-serve": "mlx_lm", "vllm": "vllm"}
"""What each target's script starts."""

DRIFT_TALKS: tuple[tuple[Turn, ...], ...] = (
    (Turn("user", "Hello."),),
    (Turn("user", "Hello."), Turn("assistant", "Hello! How can I help?"), Turn("user", "Say it again.")),
    (Turn("system", "Answer briefly."), Turn("user", "Hello.")),
    (Turn("system", "Answer briefly."), Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")),
)
"""Conversations that Ollama has to turn into as many tokens as the base's own template does."""


class Checks:
    """The checks of one export."""

    def __init__(self, writing: Writing, ports: ExportPorts, emit: Emit) -> None:
        self._writing = writing
        self._plan = writing.plan
        self._ports = ports
        self._emit = emit
        self._wording_only: str | None = None

    def prepare(self) -> None:
        """Refuse now what would refuse later, and tell now what cannot be checked.

        Raises:
            ExportError: Ollama is to be given the model and is missing, too old, or not running.
        """
        if self._plan.registers:
            self._ports.ollama.require()
        if self._compares and (problem := self._missing_for_running()) is not None:
            self._warn(f"the export will not be compared with the trained model: {problem}")
        elif self._compares and (problem := self._short_of_memory()) is not None:
            self._wording_only = problem
            self._warn(f"the export is checked without measuring how alike its answers are: {problem}")

    def compare(self, folder: Path, weights: Sequence[WrittenFile]) -> tuple[Parity | None, str | None]:
        """Compare the export with the trained model; gives the figures, or why there are none.

        Raises:
            ExportError: ``export.parity``: it is not what was trained.
        """
        reason = self._why_not_compared()
        if reason is not None:
            return None, reason
        parity = self._compared(folder, weights)
        refuse_unlike(parity)
        return parity, None

    def _compared(self, folder: Path, weights: Sequence[WrittenFile]) -> Parity:
        module, lora = self._writing.modules[0], file_of(weights, "adapter")
        job = ParityJob(
            base=self._writing.base,
            adapter=module.folder,
            model=folder / (file_of(weights, "base", "merged") or ""),
            lora=folder / lora if lora else None,
            chat_template=folder / JINJA,
            system_prompt=self._writing.document.frontmatter.system_prompt,
            questions=parity_questions(self._writing.document),
            bound=QUANTS[self._plan.quant.value].parity_bound,
            context=self._plan.num_ctx.value,
        )
        chat, runtime = self._writing.chat, self._ports.runtime
        if self._wording_only is not None and chat is not None:
            return check_wording(job, chat, runtime=runtime, why_only=self._wording_only)
        return check_parity(job, runtime=runtime, references=self._ports.references, emit=self._emit)

    def use(self, folder: Path) -> Smoke | None:
        """Hand the model to Ollama, or start the server, and ask for a greeting.

        Raises:
            ExportError: it is refused, dies, or does not answer.
        """
        if self._plan.target.name == "ollama":
            return self._register(folder)
        if not self._plan.checked.value or self._plan.target.name not in SCRIPTS:
            return None
        problem = self._ports.launcher.missing(PROGRAMS[self._plan.target.name])
        if problem is not None:
            self._warn(f"the launch script was not tried: {problem}")
            return None
        job = SmokeJob(
            script=folder / SCRIPTS[self._plan.target.name],
            model=self._writing.smoke_model,
            ready_s=READY_S[self._plan.target.name],
            environ={"DLM_BASE_MODEL": str(self._writing.base.folder)},
        )
        return Smoke(ok=True, first_line=self._ports.launcher.smoke(job))

    def _register(self, folder: Path) -> Smoke | None:
        if not self._plan.registers:
            return None
        self._ports.ollama.create(self._plan.name, folder)
        if not self._plan.checked.value:
            return None
        self._refuse_drift()
        return Smoke(ok=True, first_line=self._ports.ollama.smoke(self._plan.name))

    def _refuse_drift(self) -> None:
        """Compare how many tokens Ollama makes of conversations with how many the trained model is given."""
        chat = self._writing.chat
        if chat is None or self._writing.turns is None:
            return
        for talk in DRIFT_TALKS:
            wanted = len(chat.encode(chat.render(talk)))
            found = self._ports.ollama.prompt_tokens(self._plan.name, talk)
            if wanted != found:
                raise ExportError(
                    "template.drift",
                    f"Ollama makes {found} tokens of a conversation that the trained model reads as {wanted}",
                    subject="template",
                    hint="Update Ollama, or export for llama-server, which uses the base's own template.",
                )

    @property
    def _compares(self) -> bool:
        return self._plan.checked.value and self._plan.target.weights == "gguf"

    def _why_not_compared(self) -> str | None:
        if not self._plan.checked.value:
            return self._plan.checked.reason
        if not self._compares:
            return f"{self._plan.target.title} computes with the trained numbers themselves"
        return self._missing_for_running()

    def _missing_for_running(self) -> str | None:
        if self._writing.chat is None:
            return "the tokenizer knows no conversations"
        return self._ports.runtime.missing()

    def _short_of_memory(self) -> str | None:
        needed = parity_memory_bytes(self._writing.base.spec.params, self._plan.quant.value)
        free = self._ports.hardware.probe().ram_free_gb * 2**30
        if 0 < free < needed:
            return f"that takes {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} are free"
        return None

    def _warn(self, message: str) -> None:
        self._emit(Note(subject="export", message=message, severity="warning"))
