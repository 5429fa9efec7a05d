import subprocess
import sys
from importlib import import_module

import pytest
import typer

from bot import __version__
from bot.cli import main
from bot.cli.main import COMMANDS, run

NAMES = [name for name, _, _ in COMMANDS]


@pytest.mark.parametrize("args", [[], ["--help"]])
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    assert run(args) == 0
    out = capsys.readouterr().out
    assert [name for name in NAMES if name in out] == NAMES


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"assay {__version__}\n"


def test_the_console_script_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["assay", "no-such-command"])
    with pytest.raises(SystemExit) as ending:
        main.main()
    assert ending.value.code == 2


def test_wrong_usage_is_one_line_that_refers_to_the_help(
    capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    cases: list[tuple[list[str], str]] = [
        (["scren"], "Did you mean 'screen'? (see assay --help)"),
        (["--nonsense"], "No such option: --nonsense (see assay --help)"),
        (["doctor", "--nonsense"], "No such option: --nonsense (see assay doctor --help)"),
        (["doctor", "surplus"], "(see assay doctor --help)"),
        (["screen"], "Missing argument"),
        (["pairs"], "Missing argument"),
        (["calibration"], "missing command, one of: "),
    ]
    for args, words in cases:
        with subtests.test(args=args, words=words):
            assert run(args) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert err.startswith("assay: ")
            assert words in err


def test_every_command_has_a_help_page(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    for name in NAMES:
        with subtests.test(name=name):
            assert run([name, "--help"]) == 0
            assert f"Usage: assay {name}" in capsys.readouterr().out


def test_every_command_has_a_json_option(capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests) -> None:
    for name in [name for name, place, _ in COMMANDS if not place.endswith(":app")]:
        with subtests.test(name=name):
            run([name, "--help"])
            assert "--json" in capsys.readouterr().out


def test_the_list_repeats_the_first_line_of_each_commands_help(subtests: pytest.Subtests) -> None:
    for name, place, what_it_does in COMMANDS:
        with subtests.test(name=name, place=place, what_it_does=what_it_does):
            module_name, _, attribute = place.partition(":")
            found = getattr(import_module(module_name), attribute)
            own = found.info.help if isinstance(found, typer.Typer) else found.__doc__
            assert own is not None
            assert own.strip().startswith(what_it_does.rstrip("."))


def test_help_imports_neither_a_command_nor_the_pipeline() -> None:
    script = "import sys; from bot.cli.main import run; run(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded & {place.partition(":")[0] for _, place, _ in COMMANDS} == set()
    assert {name for name in loaded if name.startswith("pipeline.")} == {"pipeline.records"}
    assert loaded & {"numpy", "dulwich", "tree_sitter", "pyarrow", "jinja2", "pydantic"} == set()
