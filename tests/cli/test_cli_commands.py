"""What each command asks of the workspace and what it prints."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cli.cli_fakes import Refreshed, Report, Run, Runner
from dlm.domain.errors import InferenceError, Interrupted


def test_init_with_nothing_but_a_path(dlm: Runner, notes: Path) -> None:
    outcome = dlm("init", str(notes))

    assert (outcome.code, outcome.out) == (0, "")
    assert dlm.last == {
        "path": notes,
        "asks": False,
        "base": None,
        "template": None,
        "kind": "text",
        "skip_export_probes": False,
        "accept_license": False,
        "force": False,
    }
    assert f"init: wrote {notes} (base qwen2.5-1.5b, id 01JABC)" in outcome.err


def test_init_tells_notes_and_what_became_of_the_former_document(dlm: Runner, notes: Path) -> None:
    dlm.workspace.init_notes = ("--base ignored: the template [x] has its own",)
    dlm.workspace.replaced_id = "01OLD"

    err = dlm("init", str(notes), "--template", "shell", "--force", "-q").err

    assert "init: --base ignored: the template [x] has its own\n" in err
    assert "01OLD" in err
    assert "wrote" not in err


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("", False), ("n\n", False), ("yep\n", False)],
)
def test_the_licence_question_accepts_only_yes(
    dlm: Runner, on_terminal: Callable[..., None], monkeypatch: pytest.MonkeyPatch, answer: str, accepted: bool
) -> None:
    on_terminal("stderr")
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", stdin)

    outcome = dlm("init", "x.dlm")

    assert dlm.workspace.answered is accepted
    assert "https://example.org/licence\nDo you accept this licence? [y/N] " in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("stdin", [io.StringIO("y\n"), None])
def test_nobody_is_asked_without_a_terminal(
    dlm: Runner, on_terminal: Callable[..., None], monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO | None
) -> None:
    on_terminal("stderr")
    monkeypatch.setattr(sys, "stdin", stdin)

    dlm("init", "x.dlm")

    assert dlm.last["asks"] is False


def test_train_prints_the_loss_alone_and_the_summary_beside_it(dlm: Runner) -> None:
    outcome = dlm("train", "notes.dlm")

    assert (outcome.code, outcome.out) == (0, "0.625000\n")
    assert "sft: v0003 (4 steps, seed=42, determinism=best-effort, 2 of 9 s to keep ordinary answers)\n" in outcome.err
    assert "adapter: /home/ada/.dlm/adapter/versions/v0003\n" in outcome.err
    assert "log: /home/ada/.dlm/logs/train-000003.jsonl\n" in outcome.err
    assert "own questions: 3 of 4" in outcome.err
    assert dlm.last == {
        "path": Path("notes.dlm"),
        "stopped": False,
        "mode": "auto",
        "phase": "all",
        "seed": None,
        "max_steps": None,
        "accept_license": False,
        "lock_mode": "default",
        "skip_export_probes": False,
        "break_lock": False,
        "use_cache": True,
        "strict_metrics": False,
        "trust_sources": False,
    }


def test_train_shows_progress_as_plain_lines_in_a_pipe(dlm: Runner) -> None:
    err = dlm("train", "notes.dlm").err

    assert "base_model: using the installed weights [smollm2]\n" in err
    assert "doctor: little memory\n" in err
    assert "download 1.0 MiB/2.0 MiB\n" in err
    assert "sections: 2 new, 1 unchanged, 0 removed\n" in err
    assert "step 1/4  loss 2.5000  lr 2.0e-04  350 tokens/s\n" in err
    assert "held-out rows: loss 1.2500 after step 2\n" in err
    assert "step 4/4  loss 0.6250" in err
    assert "\x1b" not in err


def test_train_draws_a_bar_on_a_terminal(dlm: Runner, on_terminal: Callable[..., None]) -> None:
    on_terminal("stderr")

    err = dlm("train", "notes.dlm").err

    assert "━" in err
    assert "loss 0.6250" in err
    assert "[smollm2]" in err
    assert "\x1b[32msft:\x1b[0m v0003" in err


def test_train_verbose_tells_plan_and_recipe_with_reasons(dlm: Runner) -> None:
    err = dlm("-v", "train", "notes.dlm").err

    assert "plan: precision = bf16 (the processor has it)\n" in err
    assert "recipe: lora_r = 16 (a small document)\n" in err
    assert "determinism: threads differ\n" in err


def test_train_json_replaces_the_loss(dlm: Runner) -> None:
    outcome = dlm("train", "notes.dlm", "--json")

    assert json.loads(outcome.out) == {"run_id": 3, "status": "completed", "final_train_loss": 0.625}
    assert outcome.out.endswith("}\n")


def test_train_json_writes_null_for_numbers_json_lacks(dlm: Runner) -> None:
    dlm.workspace.run = Run(final_train_loss=float("nan"))

    assert json.loads(dlm("train", "x", "--json").out)["final_train_loss"] is None


def test_train_without_an_exam(dlm: Runner) -> None:
    dlm.workspace.run = Run(exam=None)

    assert "log:" in dlm("train", "x").err


def test_prompt_defaults(dlm: Runner) -> None:
    outcome = dlm("prompt", "notes.dlm", "What is [6] x 7?")

    assert (outcome.code, outcome.out) == (0, "42\n")
    assert dlm.last == {
        "path": Path("notes.dlm"),
        "query": "What is [6] x 7?",
        "max_tokens": 256,
        "temperature": None,
        "top_p": None,
        "backend": "auto",
        "stream": True,
    }


@pytest.mark.parametrize(
    "words",
    [
        ["--temp", "0", "notes.dlm", "q"],
        ["notes.dlm", "--temp", "0", "q"],
        ["notes.dlm", "q", "--temp", "0"],
        ["notes.dlm", "--temp=0", "--", "q"],
    ],
)
def test_options_may_stand_anywhere(dlm: Runner, words: list[str]) -> None:
    assert dlm("prompt", *words).code == 0
    assert (dlm.last["query"], dlm.last["temperature"]) == ("q", 0.0)


def test_prompt_reads_the_question_from_standard_input(dlm: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n first line\nsecond \n\n"))

    outcome = dlm("prompt", "notes.dlm", "--temp", "0")

    assert outcome.code == 0
    assert dlm.last["query"] == "first line\nsecond"


def test_prompt_tells_a_person_at_the_keyboard_how_to_end(dlm: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.StringIO("a question\n")
    monkeypatch.setattr(stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", stdin)

    assert "Ctrl-" in dlm("prompt", "notes.dlm").err


def test_prompt_verbose_prints_the_plan_with_reasons(dlm: Runner) -> None:
    for words in (["prompt", "x", "q", "--verbose"], ["-v", "prompt", "x", "q"], ["prompt", "-v", "x", "q"]):
        outcome = dlm(*words)
        assert "plan: backend = pytorch (no mlx here)\n" in outcome.err
        assert "plan: device = cpu\n" in outcome.err
        assert outcome.out == "42\n"


def test_an_answer_that_breaks_off_in_a_pipe_is_not_printed(dlm: Runner) -> None:
    dlm.workspace.pieces = ["half an ", InferenceError("inference.broken", "the model stopped")]

    outcome = dlm("prompt", "x", "q")

    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.endswith("inference: the model stopped\n")


def test_an_answer_that_breaks_off_on_a_terminal_ends_its_line(dlm: Runner, on_terminal: Callable[..., None]) -> None:
    on_terminal("stdout")
    dlm.workspace.pieces = ["half an ", KeyboardInterrupt()]

    outcome = dlm("prompt", "x", "q")

    assert (outcome.code, outcome.out) == (130, "half an \n")


def test_answers_on_a_terminal_cannot_steer_it(dlm: Runner, on_terminal: Callable[..., None]) -> None:
    pieces = ["a\x1b", "[31mb\x1b]0;ti", "tle\x07c\r\td\n", "e\x9b2Jf\x08"]
    dlm.workspace.pieces = list(pieces)
    piped = dlm("prompt", "x", "q").out
    on_terminal("stdout")
    shown = dlm("prompt", "x", "q").out

    assert piped == "".join(pieces) + "\n"
    assert shown == "abc\td\nef\n"


@pytest.mark.parametrize("command", [["exam", "x"], ["show", "x"], ["doctor"]])
def test_reports_are_text_or_one_json_document(dlm: Runner, command: list[str]) -> None:
    dlm.workspace.report = Report(text="line [one]\nline two\n", record={"name": "ü[x]", "loss": float("inf")})

    text, as_json = dlm(*command), dlm(*command, "--json")

    assert (text.code, text.out) == (0, "line [one]\nline two\n")
    assert as_json.code == 0
    assert json.loads(as_json.out) == {"name": "ü[x]", "loss": None}
    assert as_json.out.endswith("}\n")


def test_migrate_writes_and_tells(dlm: Runner) -> None:
    outcome = dlm("migrate", "old.dlm")

    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "migrate: old.dlm went from version 3 to 15\nbackup: old.dlm.bak\n"
    assert dlm.last == {"path": Path("old.dlm"), "dry_run": False, "backup": True}


def test_migrate_dry_run_prints_the_new_settings(dlm: Runner) -> None:
    outcome = dlm("migrate", "old.dlm", "--dry-run")

    assert (outcome.code, outcome.out) == (0, "dlm_version: 15\nbase_model: smollm2-135m\n")
    assert "nothing was written" in outcome.err
    assert dlm.last["dry_run"] is True


def test_migrate_with_nothing_to_do(dlm: Runner) -> None:
    dlm.workspace.changed = False

    outcome = dlm("migrate", "new.dlm")

    assert (outcome.code, outcome.out, outcome.err) == (0, "", "migrate: new.dlm is up to date (version 15)\n")


def test_templates_are_listed_by_name_in_columns(dlm: Runner) -> None:
    outcome = dlm("templates", "list")

    assert outcome.code == 0
    assert outcome.out == "kb     Knowledge  (qwen2.5-3b)\nshell  Shell [helper]  (smollm2-135m)\n"


def test_templates_json_is_an_array(dlm: Runner) -> None:
    names = [entry["name"] for entry in json.loads(dlm("templates", "list", "--json").out)]

    assert names == ["kb", "shell"]


@pytest.mark.parametrize(
    ("refreshed", "code"),
    [
        (Refreshed(), 0),
        (Refreshed(ok=False, warning=True, message="no network", hint="Later."), 0),
        (Refreshed(ok=False, message="the signature is wrong"), 1),
    ],
)
def test_a_refresh_always_ends_in_the_list(dlm: Runner, refreshed: Refreshed, code: int) -> None:
    dlm.workspace.refreshed = refreshed

    outcome = dlm("templates", "list", "--refresh", "--accept-unsigned")

    assert outcome.code == code
    assert outcome.err.startswith(f"templates: {refreshed.message}\n")
    assert outcome.out.startswith("kb ")
    assert dlm.workspace.calls[0] == ("refresh_templates", {"accept_unsigned": True})


@pytest.mark.usefixtures("warned")
@pytest.mark.parametrize(
    "command", [["train", "n.dlm"], ["prompt", "n.dlm", "q"], ["exam", "n.dlm"], ["export", "n.dlm"]]
)
def test_document_warnings_are_shown_even_when_quiet(dlm: Runner, command: list[str]) -> None:
    err = dlm("-q", *command).err

    assert "doc: n.dlm:4:2: section [x] is odd\n  Rename it.\n" in err


class TestCache:
    def test_show_prints_the_report(self, dlm: Runner) -> None:
        assert dlm("cache", "show", "n.dlm").out == "a report\n"
        assert json.loads(dlm("cache", "show", "n.dlm", "--json").out) == {"a": 1}

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ([], None),
            (["--older-than", "90d"], timedelta(days=90)),
            (["--older-than", "12h"], timedelta(hours=12)),
            (["--older-than", "45m"], timedelta(minutes=45)),
            (["--older-than", "0s"], timedelta(0)),
        ],
    )
    def test_prune_drops_what_is_older(self, dlm: Runner, words: list[str], expected: timedelta | None) -> None:
        outcome = dlm("cache", "prune", "n.dlm", *words)
        assert (outcome.code, outcome.err) == (0, "cache: dropped 1,234 rows\n")
        assert dlm.last == {"path": Path("n.dlm"), "older_than": expected}

    @pytest.mark.parametrize("text", ["", "30", "d", "1.5d", "-3d", "3w", "30D", "3 d", "٣d", "9999999999d"])
    def test_a_duration_that_is_none_is_a_usage_error(self, dlm: Runner, text: str) -> None:
        outcome = dlm("cache", "prune", "n.dlm", f"--older-than={text}")
        assert outcome.code == 2
        assert "is not a duration" in outcome.err
        assert dlm.workspace.calls == []

    @pytest.mark.parametrize(("answer", "clears"), [("y\n", True), ("YES\n", True), ("n\n", False), ("", False)])
    def test_clear_asks_and_a_no_is_no_failure(
        self, dlm: Runner, monkeypatch: pytest.MonkeyPatch, answer: str, clears: bool
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        outcome = dlm("cache", "clear", "n.dlm")
        assert (outcome.code, dlm.last["answered"]) == (0, clears)
        assert "Drop 1,234 rows (5.0 MiB) from the token cache? [y/N]" in outcome.err
        assert ("dropped 1,234 rows" if clears else "nothing was dropped") in outcome.err

    def test_clear_with_force_does_not_ask(self, dlm: Runner) -> None:
        dlm.workspace.dropped = 1
        assert dlm("cache", "clear", "n.dlm", "--force").err == "cache: dropped 1 row\n"


def test_the_command_that_goes_on_leaves_the_cache_alone_too(dlm: Runner, notes: Path) -> None:
    dlm.workspace.raises = Interrupted("train.interrupted", "stopped", hint="x")
    assert f"train {notes} --resume --no-cache" in dlm("train", str(notes), "--no-cache").err


def test_export_asks_for_the_defaults_and_tells_how_the_result_is_used(dlm: Runner) -> None:
    outcome = dlm("export", "notes.dlm")

    assert (outcome.code, outcome.out) == (0, "")
    assert dlm.last == {
        "path": Path("notes.dlm"),
        "target": "ollama",
        "quant": None,
        "merged": False,
        "dequantize": False,
        "name": None,
        "template": True,
        "register": True,
        "smoke": True,
        "imatrix": True,
        "draft": True,
        "adapter": None,
        "adapter_mix": None,
        "mix_method": None,
        "evaluation": False,
    }
    assert "export: /home/ada/.dlm/store/X/exports/Q8_0 (1 min 15 s)\n" in outcome.err
    assert "ollama run notes\n" in outcome.err


def test_export_tells_its_plan_when_asked(dlm: Runner) -> None:
    assert "plan: quant = Q8_0 (--quant)\n" in dlm("export", "notes.dlm", "--verbose").err


def test_export_prints_one_object_for_programs(dlm: Runner) -> None:
    assert json.loads(dlm("export", "notes.dlm", "--json", "-q").out) == {"a": 1}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--draft", "a", "--no-draft"], "--no-draft and --draft cannot be used together"),
        (["--adapter", "a", "--adapter-mix", "a:1"], "--adapter-mix and --adapter cannot be used together"),
        (["--adapter-mix-method", "average"], "--adapter-mix-method: 'average' is not one of: linear, svd"),
    ],
)
def test_export_refuses_what_cannot_go_together(dlm: Runner, words: list[str], problem: str) -> None:
    outcome = dlm("export", "notes.dlm", *words)

    assert outcome.code == 2
    assert f"export: {problem}" in outcome.err
