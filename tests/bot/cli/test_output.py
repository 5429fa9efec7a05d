import io
import json
import sys
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from bot.cli.output import PIPE_WIDTH, print_result, progress_display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def render(result: dict[str, Any]) -> Text:
    return Text(f"density {result['density']}", style="bold red")


def test_json_is_one_line_of_ascii_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"repo": "søren/\x1b[31mrød", "density": 0.05, "reasons": []}
    print_result(result, True, render)
    out, err = capsys.readouterr()
    assert json.loads(out) == result
    assert out.isascii()
    assert (out.count("\n"), err) == (1, "")


def test_values_outside_json_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        print_result({"density": float("nan")}, True, render)


def test_no_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({"density": 0.05}, False, render)
    assert capsys.readouterr() == ("density 0.05\n", "")


def test_no_line_is_wrapped_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({}, False, lambda _: Text("word " * 60 + "end"))
    assert capsys.readouterr().out == "word " * 60 + "end\n"


def test_a_table_has_a_fixed_width_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("a", "b")
    table.add_row("word " * 60, "word")
    print_result({}, False, lambda _: table)
    assert max(map(len, capsys.readouterr().out.splitlines())) == PIPE_WIDTH


def test_text_of_a_repository_is_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({}, False, lambda _: "[red]:bug: fixed[/red]")
    assert capsys.readouterr().out == "[red]:bug: fixed[/red]\n"


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_a_terminal_has_colours_unless_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, coloured: bool
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    print_result({"density": 0.05}, False, render)
    assert "density 0.05" in screen.getvalue()
    assert ("\x1b[1;31m" in screen.getvalue()) is coloured


def test_progress_is_silent_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display() as report:
        report("reading history", 1, None)
    assert capsys.readouterr() == ("", "")


def test_progress_is_silent_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "dumb")
    with progress_display() as report:
        report("reading history", 1, 10)
    assert screen.getvalue() == ""


def test_progress_is_drawn_on_stderr_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    with progress_display() as report:
        report("reading history", 1, 10)
        report("reading history", 7, 10)
        report("parsing", 5, None)
    assert "reading history" in screen.getvalue()
    assert "7/10" in screen.getvalue()
    assert "parsing" in screen.getvalue()
    assert capsys.readouterr().out == ""
