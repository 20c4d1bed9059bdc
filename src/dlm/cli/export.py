"""``dlm export``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dlm.cli.parser import Parser, Subparsers, add_command, add_json, add_path
from dlm.cli.progress import duration, event_printer
from dlm.cli.workspace import Session
from dlm.domain.export_targets import TARGETS
from dlm.domain.quantization import QUANTS

if TYPE_CHECKING:
    from dlm.cli.render import Output
    from dlm.cli.workspace import ExportReport
    from dlm.domain.export_plan import ExportPlan


def add(commands: Subparsers) -> None:
    """Add the command to the tree."""
    parser = add_command(
        commands,
        "export",
        summary="write the trained model for Ollama, llama-server, vLLM or MLX",
        text="Write the trained model in the form another program runs. The written files are run and compared with "
        "the trained model before they are put in place.",
        example="dlm export notes.dlm\ndlm export notes.dlm --target llama-server --quant Q8_0\n"
        "dlm export notes.dlm --target vllm",
        own_verbose=True,
    )
    add_path(parser, "The trained document.")
    parser.add_argument(
        "--target",
        default="ollama",
        metavar="NAME",
        help=f"Program to write for: {', '.join(TARGETS)} (default: ollama).",
    )
    _add_weights(parser)
    _add_ollama(parser)
    _add_adapters(parser)
    parser.add_argument(
        "--no-smoke",
        action="store_true",
        help="Neither compare the written model with the trained one nor ask it a question.",
    )
    parser.add_argument(
        "--emit-sway-json",
        action="store_true",
        help="Also write sway.yaml, the document's questions with their answers, for evaluation tools.",
    )
    parser.add_argument(
        "--verbose",
        dest="show_plan",
        action="store_true",
        help="Tell on standard error what was decided, and why; show the traceback when something breaks.",
    )
    add_json(parser, "Print one JSON object about the export on standard output.")
    parser.set_defaults(run=run)


def _add_weights(parser: Parser) -> None:
    group = parser.add_argument_group("weights")
    group.add_argument(
        "--quant",
        metavar="Q",
        help=f"How exactly weights are kept: {', '.join(QUANTS)}, smallest file first "
        "(default: export.default_quant of the document, else Q4_K_M).",
    )
    group.add_argument(
        "--merged", action="store_true", help="Write one model with the adapter inside, not base and adapter."
    )
    group.add_argument(
        "--dequantize",
        action="store_true",
        help="With --merged: put an adapter that was trained on a 4-bit base (qlora) into the 16-bit base.",
    )
    group.add_argument(
        "--no-imatrix",
        action="store_true",
        help="Do not measure which weights matter most to the document's text before rounding them.",
    )


def _add_ollama(parser: Parser) -> None:
    group = parser.add_argument_group("names and Ollama")
    group.add_argument(
        "--name", metavar="N", help="Name of the model: [namespace/]name[:tag] (default: made of the document's id)."
    )
    group.add_argument(
        "--no-template",
        action="store_true",
        help="Leave TEMPLATE out of the Modelfile; Ollama then guesses how conversations are written.",
    )
    group.add_argument("--skip-ollama", action="store_true", help="Write the files, and do not hand them to Ollama.")
    draft = group.add_mutually_exclusive_group()
    draft.add_argument(
        "--draft",
        metavar="TAG",
        help="Small model in Ollama that may write ahead (default: the known sibling of the base, if any).",
    )
    draft.add_argument("--no-draft", action="store_true", help="Mention no model that may write ahead.")


def _add_adapters(parser: Parser) -> None:
    group = parser.add_argument_group("documents with several adapters")
    chosen = group.add_mutually_exclusive_group()
    chosen.add_argument("--adapter", metavar="NAME", help="Export this adapter alone.")
    chosen.add_argument(
        "--adapter-mix",
        metavar="SPEC",
        help="Export several as one, each with a weight: knowledge:1.0,tone:0.5.",
    )
    group.add_argument(
        "--adapter-mix-method",
        choices=("linear", "svd"),
        help="linear keeps the sum exact, svd keeps it small (default: linear).",
    )


def run(args: argparse.Namespace, session: Session) -> int:
    """Export and tell where the export is."""
    out = session.out
    document = session.document(args.path)
    with event_printer(out) as events:
        report = session.open().export(
            document,
            target=args.target,
            quant=args.quant,
            merged=args.merged,
            dequantize=args.dequantize,
            name=args.name,
            template=not args.no_template,
            register=not args.skip_ollama,
            smoke=not args.no_smoke,
            imatrix=not args.no_imatrix,
            draft=False if args.no_draft else args.draft or True,
            adapter=args.adapter,
            adapter_mix=args.adapter_mix,
            mix_method=args.adapter_mix_method,
            evaluation=args.emit_sway_json,
            on_plan=(lambda plan: _print_plan(plan, out)) if out.verbose else None,
            on_event=events,
        )
    _tell(report, out)
    if args.json:
        out.json(report.to_json())
    return 0


def _print_plan(plan: ExportPlan, out: Output) -> None:
    for name, text in plan.choices():
        out.detail("plan", f"{name} = {text}")


def _tell(report: ExportReport, out: Output) -> None:
    out.done("export", f"{report.path} ({duration(report.seconds)})")
    out.talk(report.to_text())
