"""Every option of every command changes something: the parser tree is walked, an option without a case fails."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.cli_fakes import Outcome, Runner
from dlm.cli.parser import Parser, is_global, subcommands
from dlm.cli.tree import build_parser

BASIC = {
    "dlm": [],
    "dlm init": ["init", "n.dlm"],
    "dlm train": ["train", "n.dlm"],
    "dlm prompt": ["prompt", "n.dlm", "q"],
    "dlm export": ["export", "n.dlm"],
    "dlm exam": ["exam", "n.dlm"],
    "dlm show": ["show", "n.dlm"],
    "dlm metrics": ["metrics", "n.dlm"],
    "dlm doctor": ["doctor"],
    "dlm pack": ["pack", "n.dlm"],
    "dlm unpack": ["unpack", "n.dlm.pack"],
    "dlm verify": ["verify", "n.dlm.pack"],
    "dlm push": ["push", "n.dlm", "--to", "hf:ada/n"],
    "dlm pull": ["pull", "hf:ada/n"],
    "dlm serve": ["serve", "n.dlm"],
    "dlm keys": ["keys"],
    "dlm keys list": ["keys", "list"],
    "dlm keys generate": ["keys", "generate", "--no-passphrase"],
    "dlm keys trust": ["keys", "trust", "ada.pub"],
    "dlm keys revoke": ["keys", "revoke", "0123456789ab"],
    "dlm migrate": ["migrate", "n.dlm"],
    "dlm cache": ["cache"],
    "dlm cache show": ["cache", "show", "n.dlm"],
    "dlm cache prune": ["cache", "prune", "n.dlm"],
    "dlm cache clear": ["cache", "clear", "n.dlm"],
    "dlm templates": ["templates"],
    "dlm templates list": ["templates", "list"],
}
"""A plain call of each command."""

OPTIONS = {
    ("dlm init", "--base"): ["--base", "smollm2-135m"],
    ("dlm init", "--template"): ["--template", "shell"],
    ("dlm init", "--multimodal"): ["--multimodal"],
    ("dlm init", "--audio"): ["--audio"],
    ("dlm init", "--skip-export-probes"): ["--skip-export-probes"],
    ("dlm init", "--i-accept-license"): ["--i-accept-license"],
    ("dlm init", "--force"): ["--force"],
    ("dlm train", "--resume"): ["--resume"],
    ("dlm train", "--fresh"): ["--fresh"],
    ("dlm train", "--phase"): ["--phase", "sft"],
    ("dlm train", "--seed"): ["--seed", "7"],
    ("dlm train", "--max-steps"): ["--max-steps", "9"],
    ("dlm train", "--i-accept-license"): ["--i-accept-license"],
    ("dlm train", "--strict-lock"): ["--strict-lock"],
    ("dlm train", "--update-lock"): ["--update-lock"],
    ("dlm train", "--ignore-lock"): ["--ignore-lock"],
    ("dlm train", "--skip-export-probes"): ["--skip-export-probes"],
    ("dlm train", "--break-lock"): ["--break-lock"],
    ("dlm train", "--trust-sources"): ["--trust-sources"],
    ("dlm train", "--no-cache"): ["--no-cache"],
    ("dlm train", "--strict-metrics"): ["--strict-metrics"],
    ("dlm train", "--json"): ["--json"],
    ("dlm prompt", "--max-tokens"): ["--max-tokens", "5"],
    ("dlm prompt", "--temp"): ["--temp", "0"],
    ("dlm prompt", "--top-p"): ["--top-p", "0.5"],
    ("dlm prompt", "--backend"): ["--backend", "mlx"],
    ("dlm prompt", "--verbose"): ["--verbose"],
    ("dlm export", "--target"): ["--target", "vllm"],
    ("dlm export", "--quant"): ["--quant", "Q8_0"],
    ("dlm export", "--merged"): ["--merged"],
    ("dlm export", "--dequantize"): ["--merged", "--dequantize"],
    ("dlm export", "--no-imatrix"): ["--no-imatrix"],
    ("dlm export", "--name"): ["--name", "ada/notes"],
    ("dlm export", "--no-template"): ["--no-template"],
    ("dlm export", "--skip-ollama"): ["--skip-ollama"],
    ("dlm export", "--draft"): ["--draft", "qwen2.5:0.5b"],
    ("dlm export", "--no-draft"): ["--no-draft"],
    ("dlm export", "--adapter"): ["--adapter", "tone"],
    ("dlm export", "--adapter-mix"): ["--adapter-mix", "tone:1"],
    ("dlm export", "--no-smoke"): ["--no-smoke"],
    ("dlm export", "--emit-sway-json"): ["--emit-sway-json"],
    ("dlm export", "--verbose"): ["--verbose"],
    ("dlm export", "--json"): ["--json"],
    ("dlm pack", "--out"): ["--out", "x.pack"],
    ("dlm pack", "--include-exports"): ["--include-exports"],
    ("dlm pack", "--include-base"): ["--include-base"],
    ("dlm pack", "--include-logs"): ["--include-logs"],
    ("dlm pack", "--i-am-the-licensee"): ["--i-am-the-licensee", "https://example.org/licence"],
    ("dlm pack", "--all-versions"): ["--all-versions"],
    ("dlm pack", "--sign"): ["--sign"],
    ("dlm pack", "--json"): ["--json"],
    ("dlm unpack", "--force"): ["--force"],
    ("dlm unpack", "--out"): ["--out", "elsewhere"],
    ("dlm unpack", "--json"): ["--json"],
    ("dlm verify", "--trust-on-first-use"): ["--trust-on-first-use"],
    ("dlm verify", "--json"): ["--json"],
    ("dlm push", "--to"): ["--to", "./x.pack"],
    ("dlm push", "--sign"): ["--sign"],
    ("dlm push", "--insecure"): ["--insecure"],
    ("dlm push", "--include-exports"): ["--include-exports"],
    ("dlm push", "--include-base"): ["--include-base"],
    ("dlm push", "--include-logs"): ["--include-logs"],
    ("dlm push", "--i-am-the-licensee"): ["--i-am-the-licensee", "https://example.org/licence"],
    ("dlm push", "--json"): ["--json"],
    ("dlm pull", "--out"): ["--out", "elsewhere"],
    ("dlm pull", "--force"): ["--force"],
    ("dlm pull", "--reject-invalid"): ["--reject-invalid"],
    ("dlm pull", "--require-verified"): ["--require-verified"],
    ("dlm pull", "--insecure"): ["--insecure"],
    ("dlm pull", "--json"): ["--json"],
    ("dlm serve", "--port"): ["--port", "0"],
    ("dlm serve", "--public"): ["--public"],
    ("dlm serve", "--i-know-this-is-public"): ["--i-know-this-is-public"],
    ("dlm serve", "--max-concurrency"): ["--max-concurrency", "2"],
    ("dlm serve", "--rate-limit"): ["--rate-limit", "5"],
    ("dlm serve", "--token-ttl-minutes"): ["--token-ttl-minutes", "60"],
    ("dlm serve", "--tls"): ["--tls"],
    ("dlm serve", "--sign"): ["--sign"],
    ("dlm keys list", "--json"): ["--json"],
    ("dlm keys generate", "--comment"): ["--comment", "ada"],
    ("dlm keys generate", "--force"): ["--force"],
    ("dlm keys trust", "--label"): ["--label", "ada"],
    ("dlm exam", "--json"): ["--json"],
    ("dlm show", "--json"): ["--json"],
    ("dlm metrics", "--json"): ["--json"],
    ("dlm metrics", "--csv"): ["--csv"],
    ("dlm metrics", "--html"): ["--html", "page.html"],
    ("dlm metrics", "--run-id"): ["--run-id", "3"],
    ("dlm metrics", "--phase"): ["--phase", "dpo"],
    ("dlm metrics", "--since"): ["--since", "24h"],
    ("dlm metrics", "--limit"): ["--limit", "5"],
    ("dlm doctor", "--json"): ["--json"],
    ("dlm cache show", "--json"): ["--json"],
    ("dlm cache prune", "--older-than"): ["--older-than", "12h"],
    ("dlm cache clear", "--force"): ["--force"],
    ("dlm migrate", "--dry-run"): ["--dry-run"],
    ("dlm migrate", "--no-backup"): ["--no-backup"],
    ("dlm templates list", "--json"): ["--json"],
    ("dlm templates list", "--refresh"): ["--refresh"],
}
"""Words that use the option; the call with them must differ from the plain call."""

ON_A_FOLDER = {
    ("dlm train", "--base"): ["--base", "smollm2-135m"],
    ("dlm train", "--include"): ["--include", "*.md"],
    ("dlm train", "--exclude"): ["--exclude", "*.md"],
    ("dlm train", "--no-recursive"): ["--no-recursive"],
    ("dlm train", "--name"): ["--name", "notes"],
    ("dlm train", "--policy"): ["--policy", "permissive"],
    ("dlm train", "--rescaffold"): ["--rescaffold"],
}
"""The same for options that act when the path is a folder."""

BESIDE = {
    ("dlm export", "--adapter-mix-method"): (
        ["--adapter-mix", "tone:1"],
        ["--adapter-mix", "tone:1", "--adapter-mix-method", "svd"],
    ),
    ("dlm metrics", "--poll-seconds"): (["watch"], ["watch", "--poll-seconds", "0.25"]),
    ("dlm templates list", "--accept-unsigned"): (["--refresh"], ["--refresh", "--accept-unsigned"]),
}
"""Options that act beside another one: without, with."""

IN_BASIC = {("dlm keys generate", "--no-passphrase"): ["keys", "generate"]}
"""Options that the plain call has already, as nobody is there to answer a question; the call without."""

GLOBAL = {
    "home": ["--home", "/elsewhere"],
    "version": ["--version"],
    "help": ["--help"],
    "show_completion": ["--show-completion", "bash"],
}
"""Options of every command whose effect shows in the plain call."""


SAID_TO_THE_QUIET = {"doctor: little memory", "Drop 1,234 rows (5.0 MiB) from the token cache? [y/N] "}
"""Warnings and questions stay."""

FOLLOWED_BY = {"dlm": ["doctor"], "dlm keys": ["list"], "dlm cache": ["show", "n.dlm"], "dlm templates": ["list"]}
"""What has a command of its own only after the option."""


def _parsers(parser: Parser) -> Iterator[Parser]:
    yield parser
    for child in subcommands(parser).values():
        yield from _parsers(child)


def _options(wanted: Callable[[argparse.Action], bool]) -> list[tuple[str, argparse.Action]]:
    return [
        (parser.prog, action)
        for parser in _parsers(build_parser())
        for action in parser._actions
        if action.option_strings and wanted(action)
    ]


OWN = _options(lambda action: not is_global(action))
SHARED = _options(is_global)


def _name(value: object) -> str | None:
    return value.option_strings[-1] if isinstance(value, argparse.Action) else None


def _trace(dlm: Runner, words: list[str]) -> tuple[Outcome, object, object]:
    dlm.workspace.calls.clear()
    dlm.workspace.homes.clear()
    outcome = dlm(*words)
    return outcome, list(dlm.workspace.calls), list(dlm.workspace.homes)


@pytest.mark.parametrize(("prog", "action"), OWN, ids=_name)
def test_each_option_of_a_command_changes_something(
    dlm: Runner, prog: str, action: argparse.Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = (prog, action.option_strings[-1])
    if key in ON_A_FOLDER:
        folder = ["train", str(tmp_path)]
        assert _trace(dlm, folder)[0].code == _trace(dlm, folder + ON_A_FOLDER[key])[0].code == 0
        assert _trace(dlm, folder) != _trace(dlm, folder + ON_A_FOLDER[key])
        return
    if key in IN_BASIC:
        assert _trace(dlm, IN_BASIC[key])[0].code == 2
        assert _trace(dlm, BASIC[prog])[0].code == 0
        return
    assert key in OPTIONS or key in BESIDE, f"{key} has no case: say how its effect shows"
    without, with_it = BESIDE.get(key, ([], OPTIONS.get(key, [])))

    assert _trace(dlm, BASIC[prog] + without) != _trace(dlm, BASIC[prog] + with_it)


@pytest.mark.parametrize(("prog", "action"), SHARED, ids=_name)
def test_each_shared_option_acts_after_each_command(
    dlm: Runner, prog: str, action: argparse.Action, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = BASIC[prog]
    if action.dest == "install_completion":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        assert dlm(*plain, "--install-completion", "fish").code == 0
        assert (tmp_path / "fish" / "completions" / "dlm.fish").is_file()
    elif action.dest == "verbose":
        dlm.workspace.raises = RuntimeError("broken")
        for option in action.option_strings:
            assert "Traceback" in dlm(*plain, option, *FOLLOWED_BY.get(prog, [])).err
    elif action.dest == "quiet":
        for option in action.option_strings:
            assert dlm(*plain, option, "-v", *FOLLOWED_BY.get(prog, [])).code == 2
            quiet = dlm(*plain, option, *FOLLOWED_BY.get(prog, [])).err.splitlines()
            assert set(quiet) <= SAID_TO_THE_QUIET
    elif action.dest == "home" and prog in FOLLOWED_BY:
        assert _trace(dlm, [*plain, *GLOBAL["home"], *FOLLOWED_BY[prog]])[2] == [Path("/elsewhere")]
    else:
        assert _trace(dlm, plain) != _trace(dlm, plain + GLOBAL[action.dest])


@pytest.mark.parametrize("prog", [prog for prog in BASIC if prog not in FOLLOWED_BY])
@pytest.mark.parametrize("words", [["--home", "/elsewhere"], ["-q"], ["--quiet"], ["-v"]])
def test_shared_options_before_the_command_do_the_same(dlm: Runner, prog: str, words: list[str]) -> None:
    before, after = _trace(dlm, [*words, *BASIC[prog]]), _trace(dlm, [*BASIC[prog], *words])

    assert before == after
    assert before[0].code == 0


def test_the_later_home_wins(dlm: Runner) -> None:
    dlm("--home", "/a", "doctor", "--home", "/b")

    assert dlm.workspace.homes == [Path("/b")]


def test_no_home_leaves_the_choice_to_the_environment(dlm: Runner) -> None:
    dlm("doctor")

    assert dlm.workspace.homes == [None]


def test_every_option_and_argument_is_explained() -> None:
    silent = [
        (parser.prog, action.dest)
        for parser in _parsers(build_parser())
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction) and not (action.help and action.help.endswith("."))
    ]

    assert silent == []


def test_every_command_has_an_example_that_parses() -> None:
    for parser in _parsers(build_parser()):
        lines = [
            line.split(" < ")[0].strip() for line in (parser.epilog or "").splitlines() if line.startswith("  dlm ")
        ]
        assert lines, parser.prog
        for line in lines:
            words = [word.strip('"') for word in line.replace('"', "").split()]
            if words[1] == "prompt" and len(words) > 4:
                words = [*words[:3], " ".join(words[3:])] if "--temp" not in words else words
            args, extras = build_parser().parse_known_args(words[1:])
            assert hasattr(args, "run")
            assert extras == []


def test_the_case_tables_name_only_what_exists() -> None:
    known = {(prog, action.option_strings[-1]) for prog, action in OWN}

    assert set(OPTIONS) | set(BESIDE) | set(ON_A_FOLDER) | set(IN_BASIC) == known
    assert {action.dest for _, action in SHARED} == {*GLOBAL, "verbose", "quiet", "install_completion"}
    assert set(BASIC) == {parser.prog for parser in _parsers(build_parser())}
