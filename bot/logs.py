"""Configure logging: structlog and the standard library in one format, for people or as JSON.

Lines include the bound `structlog.contextvars` (a delivery's GUID, numeric ids). They never include local variables of
tracebacks, query strings of requests (a setup code), the URLs that HTTP clients log, or anything that looks like a
token or key.
"""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

_SILENT: Final = ("httpx", "httpcore", "hishel", "uvicorn.access")
_FOREIGN: Final = ("uvicorn", "uvicorn.error", "arq", "sqlalchemy", "alembic", "asyncio", "aiosqlite", "asyncpg")

# At "info" these repeat what we log with ids, or log statements, addresses and job arguments.
_CHATTY: Final = ("sqlalchemy", "alembic", "asyncio", "aiosqlite", "asyncpg", "arq")
_SECRET: Final = re.compile(
    r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|$)"  # a PEM key
    r"|\b(?:gh[a-z]_|github_pat_)[A-Za-z0-9_.\-]{8,}"  # GitHub's tokens
    r"|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*"  # a JSON web token
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",  # user and password of a URL
    re.DOTALL,
)


def set_up_logs(
    log_format: Literal["console", "json"], *, level: int = logging.INFO, stream: TextIO | None = None
) -> None:
    """Send all logs, from structlog and the standard library, to `stream` (default: stderr). May be called again."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(log_format, out)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _FOREIGN:
        _route_to_root(name, max(level, logging.WARNING) if name in _CHATTY else logging.NOTSET)
    for name in _SILENT:
        _route_to_root(name, logging.CRITICAL)


def _route_to_root(name: str, level: int) -> None:
    """Remove a library's own handlers, so that its records reach the root's."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(level)


def _rendering(log_format: Literal["console", "json"], out: TextIO) -> list[Processor]:
    if log_format == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
        return [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(default=_type_name),
            _redact,
        ]
    colours = out.isatty()
    return [
        _make_inert,
        structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=_write_traceback, sort_keys=False),
        _redact,
    ]


def _type_name(value: object) -> str:
    """Render objects that JSON cannot represent by type only: their repr may contain secrets."""
    return f"<{type(value).__name__}>"


def _make_inert(logger: Any, name: str, event: EventDict) -> EventDict:
    """Escape control characters, so that foreign text cannot move the cursor or start a line."""
    return {key: _inert(value) if isinstance(value, str) else value for key, value in event.items()}


def _write_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    buffer = io.StringIO()
    structlog.dev.plain_traceback(buffer, exc_info)
    out.write("\n".join(map(_inert, buffer.getvalue().split("\n"))))


def _inert(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _redact(logger: Any, name: str, text: Any) -> Any:
    return _SECRET.sub("[secret]", text)
