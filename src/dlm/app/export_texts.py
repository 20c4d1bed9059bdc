"""The files of an export beside its weights: Modelfile, chat template, launch scripts, model card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import attrs

from dlm.app.export_adapters import Module
from dlm.domain.adapter_hygiene import vllm_rank
from dlm.domain.base_models import ResolvedBase
from dlm.domain.dialects import DIALECTS, led_jinja, stop_strings
from dlm.domain.document import Document
from dlm.domain.errors import ExportError
from dlm.domain.evaluation_suite import SUITE, SuiteModel, suite_text
from dlm.domain.export_options import ExportOptions
from dlm.domain.export_plan import ExportPlan
from dlm.domain.launch_scripts import (
    MLX_MODEL,
    LoraModule,
    VllmServer,
    llama_server_script,
    mlx_script,
    vllm_config,
    vllm_script,
)
from dlm.domain.manifest import Manifest
from dlm.domain.model_card import CARD, CardFacts, model_card
from dlm.domain.modelfile import ModelfileParts, modelfile_text, template_and_system
from dlm.domain.turn_format import TurnFormat, learn_turn_format
from dlm.domain.versions import own_version
from dlm.ports.chat_format import ChatFormat
from dlm.ports.exporter import FileRole, WrittenFile

JINJA = "chat-template.jinja"
MODELFILE = "Modelfile"
SCRIPTS = {"llama-server": "llama-server_launch.sh", "vllm": "vllm_launch.sh", "mlx-serve": "mlx_serve_launch.sh"}
"""Launch script by target."""


@attrs.frozen(kw_only=True)
class TextFile:
    """A file to be written into the export's folder; scripts may be started."""

    name: str
    text: str
    is_script: bool = False


@attrs.frozen(kw_only=True)
class Writing:
    """Everything the texts of one export say.

    Args:
        chat: None when the tokenizer knows no conversations; then there is nothing to serve.
        manifest: of the store; None when it is lost.
        base_rows: tokens the base has a row for.
        turns: how turns are written in Ollama; None when its language cannot say it, or nobody wants it.
    """

    document: Document
    options: ExportOptions
    plan: ExportPlan
    base: ResolvedBase
    base_rows: int
    manifest: Manifest | None
    modules: tuple[Module, ...]
    chat: ChatFormat | None
    turns: TurnFormat | None
    now: datetime
    is_apple_silicon: bool = False

    def files(self, written: Sequence[WrittenFile]) -> Iterator[TextFile]:
        """Give the files that go beside the weights."""
        match self.plan.target.weights:
            case "gguf":
                yield from self._gguf_files(written)
            case "mlx":
                yield from self._mlx_files()
            case "peft" if self.plan.target.name == "vllm":
                yield from self._vllm_files()
            case "peft":
                yield TextFile(name=CARD, text=model_card(self._card()))
        if self.options.writes_evaluation:
            yield TextFile(name=SUITE, text=self._suite(written))

    @property
    def smoke_model(self) -> str | None:
        """The name to ask a server for, where it offers the bare base as well."""
        return {"vllm": self.modules[0].name, "mlx-serve": MLX_MODEL}.get(self.plan.target.name)

    @property
    def _model(self) -> str:
        return str(self.base.folder) if self.base.spec.is_local else self.base.spec.hf_id

    @property
    def _revision(self) -> str | None:
        return None if self.base.spec.is_local else self.base.spec.revision

    def _gguf_files(self, written: Sequence[WrittenFile]) -> Iterator[TextFile]:
        model, lora = file_of(written, "base", "merged"), file_of(written, "adapter")
        if self.turns is not None or not self.options.writes_template:
            yield TextFile(name=MODELFILE, text=modelfile_text(self._modelfile(model, lora)))
        if self.chat is None:
            return
        yield TextFile(name=JINJA, text=self._jinja(self.chat))
        script = llama_server_script(
            model=model or "",
            lora=lora,
            context=self.plan.num_ctx.value,
            template=JINJA,
            alias=self.plan.name,
        )
        yield TextFile(name=SCRIPTS["llama-server"], text=script, is_script=True)

    def _jinja(self, chat: ChatFormat) -> str:
        system = self.document.frontmatter.system_prompt
        return led_jinja(chat.jinja, system) if system else chat.jinja

    def _card(self) -> CardFacts:
        facts, manifest = self.modules[0].facts, self.manifest
        return CardFacts(
            name=self.plan.name,
            base=self.base.spec,
            adapter=facts,
            version=self.plan.version,
            runs=sum(run.status == "completed" for run in manifest.training_runs) if manifest else 0,
            created_by=f"dlm {own_version()}",
            exam=manifest.last_exam if manifest else None,
            vllm_rank=vllm_rank(facts, self.base, base_rows=self.base_rows),
        )

    def _suite(self, written: Sequence[WrittenFile]) -> str:
        before = SuiteModel(kind="hf", base=self._model)
        match self.plan.target.weights:
            case "gguf":
                model = file_of(written, "base", "merged") or ""
                exported = SuiteModel(kind="gguf", base=model, adapter=file_of(written, "adapter"))
            case kind:
                folder = Path(file_of(written, "adapter") or "").parent.as_posix()
                exported = SuiteModel(kind="mlx" if kind == "mlx" else "hf", base=self._model, adapter=folder)
        return suite_text(
            self.document.rows(),
            source=self._source,
            before=before,
            exported=exported,
            system_prompt=self.document.frontmatter.system_prompt,
        )

    @property
    def _source(self) -> str:
        """The document's file without its folders: exports are handed on."""
        return self.document.path.name if self.document.path else "a document without a file"

    def _modelfile(self, model: str | None, lora: str | None) -> ModelfileParts:
        plan, spec, chat = self.plan, self.base.spec, self.chat
        template, system = None, self.document.frontmatter.system_prompt
        if self.turns is not None and self.options.writes_template:
            template, system = template_and_system(
                self.turns, system, runtime_adds_bos=chat is not None and chat.adds_bos
            )
        return ModelfileParts(
            dlm_version=own_version(),
            written_at=self.now,
            source=self._source,
            dlm_id=self.document.dlm_id,
            adapter_version=plan.version,
            base=spec.key,
            revision=spec.revision,
            quant=plan.quant.value,
            merged=plan.merged.value,
            model=f"./{model}",
            adapter=f"./{lora}" if lora else None,
            template=template,
            stops=stop_strings(
                DIALECTS[spec.template],
                end_tokens=chat.end_tokens if chat else (),
                added_tokens=chat.added_tokens if chat else (),
            ),
            temperature=plan.temperature.value,
            top_p=plan.top_p.value,
            num_ctx=plan.num_ctx.value,
            draft=plan.draft.value,
            system=system or None,
            license=spec.license_spdx,
        )

    def _mlx_files(self) -> Iterator[TextFile]:
        script = mlx_script(
            model=self._model,
            revision=self._revision,
            adapter=self.modules[0].name,
            template=JINJA if self.chat else None,
        )
        if self.chat is not None:
            yield TextFile(name=JINJA, text=self._jinja(self.chat))
        yield TextFile(name=SCRIPTS["mlx-serve"], text=script, is_script=True)

    def _vllm_files(self) -> Iterator[TextFile]:
        server = VllmServer(
            model=self._model,
            revision=self._revision,
            served_name=self.plan.name,
            context=self.plan.num_ctx.value,
            modules=[
                LoraModule(name=module.name, path=f"adapters/{module.name}", adapter_version=module.version)
                for module in self.modules
            ],
            max_rank=max(weights.lora_rank_limit or 0 for weights in self.plan.weights),
            template=JINJA if self.chat else None,
        )
        if self.chat is not None:
            yield TextFile(name=JINJA, text=self._jinja(self.chat))
        yield TextFile(name=SCRIPTS["vllm"], text=vllm_script(server), is_script=True)
        config = vllm_config(server, is_apple_silicon=self.is_apple_silicon)
        yield TextFile(name="vllm_config.json", text=json.dumps(config, indent=2, sort_keys=True) + "\n")


def learn_turns(chat: ChatFormat, system: str | None, *, is_needed: bool) -> TurnFormat | ExportError:
    """Learn how turns are written in Ollama; gives the refusal where it is not needed.

    Raises:
        ExportError: ``template.unlike``, where it is.
    """
    try:
        return learn_turn_format(chat.render, bos=chat.bos, system=system)
    except ExportError as exc:
        if is_needed:
            raise
        return exc


def file_of(written: Sequence[WrittenFile], *roles: FileRole) -> str | None:
    """Give the path of the file that has a role, relative to the export's folder."""
    return next((file.path for file in written if file.role in roles), None)


def usage(plan: ExportPlan, folder: Path) -> tuple[str, ...]:
    """Give the commands that use an export."""
    import shlex

    name = plan.target.name
    if name == "ollama":
        create = f"ollama create {plan.name} -f {shlex.quote(str(folder / MODELFILE))}"
        return (*(() if plan.registers else (create,)), f"ollama run {plan.name}")
    if name == "hf-adapter":
        return (f"hf upload <you>/<repository> {shlex.quote(str(folder))}",)
    return (f"bash {shlex.quote(str(folder / SCRIPTS[name]))}",)
