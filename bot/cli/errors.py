"""The outermost error handler: distinguishes user errors, system failures and bugs.

    0    success
    2    bad usage or input (AssayError, invalid options): one line on stderr says what to do
    1    failure: full disk, no permission, out of memory (one line); or a bug (one line that names the file with the
         traceback)
    130  interrupted with Ctrl-C

With `--json`, stdout carries one JSON object on failure too: `{"error": "the same line"}`. A reader that closes the
pipe early (`assay screen . | head`) causes no error message.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path

from typer import Abort, Context, Exit
from typer.exceptions import TyperException

from bot import __version__
from pipeline.records import AssayError

SUCCESS, FAILURE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"]+@")


def handled(command: Callable[[], object], args: list[str]) -> int:
    """Run `command`, print one line if it fails, and return the exit code.

    A command that printed its result and still failed (`assay doctor`) raises typer.Exit(1).
    """
    for stream in (sys.stdout, sys.stderr):  # a character outside the locale must not crash the program
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        command()
        sys.stdout.flush()
    except Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, Abort):
        return _report("interrupted", INTERRUPTED, args)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return _exit_quietly()
        return _report(*decide(error, args), args)
    return SUCCESS


def decide(error: Exception, args: list[str]) -> tuple[str, int]:
    """Return the line to print and the exit code. Writes the traceback of a bug to a file."""
    if isinstance(error, AssayError):
        return str(error), BAD_INPUT
    if isinstance(error, TyperException):
        return _usage(error), BAD_INPUT
    return failure_of_the_machine(error) or _bug(error, args), FAILURE


def failure_of_the_machine(error: Exception) -> str | None:
    """Return what to do about a system failure; None for any other error."""
    if isinstance(error, MemoryError):
        return "out of memory: try fewer processes (--jobs 1) or a machine with more memory"
    if not isinstance(error, OSError):
        return None
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in DISK_FULL:
        return f"the disk is full{where}: free some space, or set ASSAY_DATA_DIR to a folder on another disk"
    if error.errno in NO_PERMISSION:
        return f"no permission{where}: check who owns it, or set ASSAY_DATA_DIR to a folder you can write to"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files: raise the limit (ulimit -n 4096) and try again"
    return None


def _usage(error: TyperException) -> str:
    message = error.format_message()
    context: Context | None = getattr(error, "ctx", None)
    if context is None:
        return message
    commands = getattr(context.command, "commands", {})
    if commands and (message == "Missing command." or "\n" in message):  # Typer may raise a whole help page
        message = f"missing command, one of: {', '.join(commands)}"
    return f"{' '.join(message.split())} (see {context.command_path} --help)"


def _bug(error: Exception, args: list[str]) -> str:
    name = type(error).__name__
    first_line = redacted(str(error)).strip().partition("\n")[0]
    what = f"{name}: {first_line}" if first_line else name
    try:
        return f"this is a bug in Assay, please report it ({what}); details are in {_write_report(error, args)}"
    except OSError as failed:
        return f"this is a bug in Assay, please report it ({what}); the details could not be written: {failed}"


def _write_report(error: Exception, args: list[str]) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    lines = [
        f"assay {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: assay {' '.join(args)}",
        "",
        *traceback.format_exception(error),
    ]
    path = _report_folder() / f"bug-{stamp}-{os.getpid()}.txt"
    path.touch(mode=0o600)
    path.write_text(redacted("\n".join(lines)), encoding="utf-8", errors="backslashreplace")
    return path


def _report_folder() -> Path:
    from bot.settings import load_settings  # slow to import

    try:
        folder = load_settings().data_dir / "bugs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (AssayError, OSError):
        return Path(tempfile.gettempdir())
    return folder


def redacted(text: str) -> str:
    """Return `text` without the credentials of any URL in it."""
    return _CREDENTIALS.sub("***@", text)


def _report(line: str, code: int, args: list[str]) -> int:
    line = redacted(line)
    try:
        print(f"assay: {line}", file=sys.stderr, flush=True)
        if "--json" in args:
            print(json.dumps({"error": line}), flush=True)
    except BrokenPipeError:
        return _exit_quietly()
    return code


def _reader_is_gone() -> bool:
    try:
        print(flush=True)  # an empty line is harmless, even before JSON
    except BrokenPipeError:
        return True
    return False


def _exit_quietly() -> int:
    # The interpreter flushes stdout again at exit and would print an error.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILURE
