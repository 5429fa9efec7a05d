"""A world full of canaries, a watch on what the App does in it, and every place where one could have come to rest."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis

from bot.github.evidence.codec import HEADER
from bot.handlers.screening.evidence import FACTS
from bot.jobs.embedded_redis import find_server
from tests.builders.canaries import Canary, find
from tests.builders.fast_assay import Pace
from tests.builders.history import History
from tests.builders.servers import redis_server
from tests.flows.faults.stage import Stage, set_stage
from tests.simulator.apps import App
from tests.simulator.github import GitHub

FACTOR = 120.0
LOOKS_EVERY_S = 0.1

COMMENT = Canary("a comment", 'canary of "comments" & <ü> 31c7f0')
TALK = Canary("a title, a body or a description", "canary of talk, said by somebody 8d02e6")
MESSAGE = Canary("a commit message", "canary of messages in the history 70be44")
EMAIL = Canary("an e-mail address", "canary-of-addresses-5a11c9.example")
CODE = Canary("code", "canary_of_code_in_a_function_body_e93b27")
PRIVATE = (COMMENT, TALK, MESSAGE, EMAIL, CODE)

TOKEN = Canary("a token", "CanaryOfTokens6f04b8CanaryOfTokens")
WEBHOOK = Canary("the webhook secret", "canary-of-webhooks-c402aa71")
CLIENT = Canary("the client secret", "canary-of-clients-0b8e6d53")
PASSWORD = Canary("Redis's password", "canary-of-redis-19f7c3e2")
JWT = Canary("a token of the App itself", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9")
SECRETS = (TOKEN, WEBHOOK, CLIENT, PASSWORD, JWT)


def lines_of_key(pem: str) -> list[Canary]:
    """Any line of it would be one too many."""
    lines = pem.splitlines()
    return [Canary("the App's key", line) for line in (lines[3], lines[len(lines) // 2], lines[-4])]


def telling_history(path: Path, years: float = 2) -> Path:
    """Some functions that are fixed now and then, with canaries in code, messages and addresses."""
    history = History()
    names = [f"src/m{n}.py" for n in range(6)]
    body = f'def f{{n}}(x):\n    y = x + {{v}}\n    return y, "{CODE.text}"  # {CODE.text}\n'
    author = f"Ada <ada@{EMAIL.text}>"
    files = {name: body.format(n=n, v=0) for n, name in enumerate(names)}
    history.commit(f"start\n\n{MESSAGE.text}", files, day=0, author=author)
    for step in range(1, int(years * 12)):
        n = step % len(names)
        message = f"fix: {MESSAGE.text} in m{n}\n\nReported-by: {author}"
        history.commit(message, {names[n]: body.format(n=n, v=step)}, day=step * 30, author=author)
    return history.write(path)


def mark_tokens(github: GitHub) -> None:
    """Every token that is minted from now on has the canary in it."""
    honest = github.mint

    def mint(*args, **kwargs):
        token = honest(*args, **kwargs)
        with github.lock:
            del github.tokens[token.text]
            token.text = f"ghs_{TOKEN.text}{token.text[-20:]}"
            github.tokens[token.text] = token
        return token

    github.mint = mint  # type: ignore[method-assign]


@dataclass
class Watch:
    """Looks, ten times a second, at the processes that Assay starts and at the names of the files that it makes."""

    stage: Stage
    commands: set[bytes] = field(default_factory=set)  # of every process of Assay's
    environments: set[bytes] = field(default_factory=set)  # of those that Assay itself has started
    names: set[bytes] = field(default_factory=set)
    children: set[int] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        for process in list(self.stage.assay.processes):
            own, *children = process.family() or [None]
            if own is None:
                continue
            arguments = _arguments_of(own)
            self.commands.add(arguments)
            for child in children:
                of_child = _arguments_of(child)
                if of_child != arguments:  # else it is its parent's copy still, about to become something else
                    self.children.add(child.pid)
                    self.commands.add(of_child)
                    with contextlib.suppress(psutil.Error, OSError):
                        self.environments.add(json.dumps(child.environ()).encode())
        self.names |= {os.fsencode(path.name) for path in paths(self.stage)}

    def run(self) -> None:
        while not self._over.wait(LOOKS_EVERY_S):
            self.look()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


def _arguments_of(process: psutil.Process) -> bytes:
    """Of a process that is there and lets somebody look; else nothing."""
    try:
        return "\0".join(process.cmdline()).encode()
    except (psutil.Error, OSError):
        return b""


def places(stage: Stage) -> tuple[Path, ...]:
    """Where Assay and the servers that it uses write."""
    return (stage.data_dir, stage.redis_folder, temporary(stage))


def temporary(stage: Stage) -> Path:
    return stage.folder / "tmp"


@contextlib.contextmanager
def full_of_canaries(folder: Path) -> Iterator[tuple[Stage, Watch]]:
    """`web` and `worker` on a Redis with a password; nothing runs yet."""
    with redis_server(find_server()) as server, set_stage(folder, pace=Pace(FACTOR), redis=server) as stage:
        with contextlib.closing(redis.Redis.from_url(server.url)) as connection:
            connection.config_set("requirepass", PASSWORD.text)
        temporary(stage).mkdir()
        known = Path(stage.assay.environment["ASSAY_WEBHOOK_SECRET_FILE"])
        known.write_text(WEBHOOK.text, encoding="ascii")
        stage.assay.environment |= {
            "ASSAY_REDIS_URL": with_password(server.url),
            "ASSAY_CLIENT_ID": stage.app.client_id,
            "ASSAY_CLIENT_SECRET": CLIENT.text,
            "TMPDIR": str(temporary(stage)),
        }
        hide_canaries(stage.github, stage.app)
        watch = Watch(stage)
        with watch.running():
            yield stage, watch


def hide_canaries(github: GitHub, app: App) -> None:
    app.webhook_secret, app.client_secret = WEBHOOK.text, CLIENT.text
    github.noise.canary, github.noise.email_domain = TALK.text, EMAIL.text
    mark_tokens(github)


def with_password(url: str) -> str:
    return url.replace("redis://", f"redis://:{PASSWORD.text}@")


def canaries(stage: Stage) -> tuple[Canary, ...]:
    return (*PRIVATE, *SECRETS, *lines_of_key(stage.app.private_key))


def leaks(stage: Stage, watch: Watch) -> list[str]:
    """Every canary that came to rest somewhere, and where."""
    everything = canaries(stage)
    found = [f"{what} in {where}" for where, content in said(stage) for what in find(everything, content)]
    for path, content in contents(stage):
        sought = everything[len(PRIVATE) :] if ".pack" in path.suffixes else everything  # a clone is what it is
        found += [f"{what} in the file {path.name}" for what in find(sought, content)]
    found += [f"{what} in a row of {path.name}" for path, row in rows(stage) for what in find(everything, row)]
    seen = {"arguments": watch.commands, "an environment": watch.environments, "a file's name": watch.names}
    found += [
        f"{what} in {where}" for where, all_of_it in seen.items() for it in all_of_it for what in find(everything, it)
    ]
    return sorted(set(found))


def paths(stage: Stage) -> Iterator[Path]:
    """Of every file and folder; what goes while it is looked at is passed over."""
    for place in places(stage):
        for folder, folders, names in os.walk(place):
            yield from (Path(folder, name) for name in (*folders, *names))


def contents(stage: Stage) -> Iterator[tuple[Path, bytes]]:
    """Every file that is there, to its last byte: a database's free pages and its log as well."""
    for path in paths(stage):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                yield path, content
                if path.name == FACTS:
                    yield path, unpacked(content)


def unpacked(content: bytes) -> bytes:
    """What is packed in a file of facts about issues, as far as it is whole."""
    frames, at = [], len(HEADER)
    while len(content) >= at + 8:
        size = int.from_bytes(content[at : at + 4], "big")  # and a checksum
        with contextlib.suppress(zlib.error):
            frames.append(zlib.decompressobj().decompress(content[at + 8 : at + 8 + size]))
        at += 8 + size
    return b"\n".join(frames)


def said(stage: Stage) -> Iterator[tuple[str, bytes]]:
    """Everything that left a process of Assay's: logs, answers to deliveries, check runs; and what is in Redis now."""
    for process in stage.assay.processes:
        yield process.log.name, process.log.read_bytes()
    for delivery in stage.github.deliveries:
        yield "the answer to a delivery", delivery.response_text.encode() + str(delivery.response_headers).encode()
    for run in stage.github.check_runs.values():
        yield "a check run", json.dumps([run["output"], run["external_id"], run.actions]).encode()
    with contextlib.closing(redis.Redis.from_url(stage.assay.environment["ASSAY_REDIS_URL"])) as connection:
        for key in connection.scan_iter():
            yield "Redis", key + b"\n" + b"\n".join(values_of(connection, key))


def values_of(connection: Any, key: bytes) -> list[bytes]:
    """What a key holds, as it was written: DUMP would compress it."""
    kind = connection.type(key)
    if kind == b"string":
        return [connection.get(key) or b""]
    assert kind in (b"zset", b"none"), f"a key of a kind that Assay has no use for: {kind!r}"
    return list(connection.zrange(key, 0, -1))


def rows(stage: Stage) -> Iterator[tuple[Path, bytes]]:
    """Of every table of every database: a value that lies across two pages of the file is whole here."""
    for path, content in contents(stage):
        if not content.startswith(b"SQLite format 3"):
            continue
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    yield path, b"\n".join(_bytes_of(value) for value in row)


def _bytes_of(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
