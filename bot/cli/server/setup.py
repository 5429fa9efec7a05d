"""`assay setup`: register the App on GitHub, import an existing one, or show the registered one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bot.cli.app_settings import effective_credentials, github_server, given_credentials, source_of_credentials
from bot.cli.output import AsJson, print_result
from bot.clock import SystemClock
from bot.github.credentials import (
    credentials_path,
    forget_credentials,
    load_credentials,
    parse_private_key,
    read_secret,
    save_credentials,
)
from bot.github.errors import BadToken, GitHubError, NotFound
from bot.records import AppCredentials
from bot.settings import Settings, load_settings
from bot.setup.app_status import fetch_app_status
from bot.setup.manifest import install_page_url
from pipeline.records import AssayError

START = "run assay doctor to check the installation, and assay up to start the App"


def setup(
    host: Annotated[str, typer.Option(help="Host of the setup page.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the setup page; 0: any free port.")] = 8_000,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Import an existing App: the .pem file of its private key.")
    ] = None,
    app_id: Annotated[int | None, typer.Option(min=1, help="With --import: the App ID.")] = None,
    webhook_secret_file: Annotated[
        Path | None, typer.Option(help="With --import: a file with the App's webhook secret.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Delete the stored credentials.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --forget: do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register the App on GitHub, or show the registered one."""
    settings = load_settings()
    if forget:
        _forget(settings, yes, as_json)
        return
    if import_ is not None or app_id is not None or webhook_secret_file is not None:
        credentials = _import(settings, import_, app_id, webhook_secret_file)
    else:
        credentials = effective_credentials(settings) or _register(settings, host, port)
    _show(settings, credentials, as_json)


def _register(settings: Settings, host: str, port: int) -> AppCredentials:
    from bot.cli.server.setup_server import serve_setup  # slow to import

    print("No App is registered yet.", file=sys.stderr)
    return serve_setup(settings, host, port)


def _import(settings: Settings, key_file: Path | None, app_id: int | None, secret_file: Path | None) -> AppCredentials:
    """Store the credentials of an existing App. A new webhook secret is stored beside the one it replaces."""
    if key_file is None or app_id is None or secret_file is None:
        raise AssayError("all three are required: --import FILE.pem --app-id NUMBER --webhook-secret-file FILE")
    if given_credentials(settings).any:
        raise AssayError("the environment sets an App, which would override a stored one: unset its ASSAY_ variables")
    stored = load_credentials(settings.data_dir)
    if stored is not None and stored.app_id != app_id:
        raise AssayError(f"App {stored.app_id} is already stored: run assay setup --forget first")
    secret = read_secret(secret_file, "--webhook-secret-file")
    previous = [] if stored is None or stored.webhook_secrets[0] == secret else [stored.webhook_secrets[0]]
    credentials = AppCredentials(
        app_id=app_id,
        private_key=parse_private_key(read_secret(key_file, "--import"), str(key_file)),
        webhook_secrets=(secret, *previous),
        client_id=stored.client_id if stored else "",
        client_secret=stored.client_secret if stored else "",
        slug=stored.slug if stored else "",
    )
    save_credentials(settings.data_dir, credentials)
    return credentials


def _forget(settings: Settings, yes: bool, as_json: bool) -> None:
    path = credentials_path(settings.data_dir)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise AssayError("--forget deletes credentials that GitHub will not show again: confirm with --yes")
        typer.confirm(f"Delete {path}? GitHub will not show these credentials again.", abort=True, err=True)
    forgotten = forget_credentials(settings.data_dir)
    result = {"forgotten": forgotten, "file": str(path), "in_environment": given_credentials(settings).any}
    print_result(result, as_json, _render_forgotten)


def _show(settings: Settings, credentials: AppCredentials, as_json: bool) -> None:
    """Show the App as GitHub knows it. Exits with 1 if GitHub does not confirm it."""
    result = describe(settings, credentials)
    print_result(result, as_json, render)
    if not result["ok"]:
        raise typer.Exit(1)


def describe(settings: Settings, credentials: AppCredentials) -> dict[str, Any]:
    """Return the App's JSON values: identity, source of its credentials, and GitHub's confirmation or the problem."""
    slug, name, problem, to_do = credentials.slug, "", "", ""
    try:
        registered = asyncio.run(fetch_app_status(credentials, github_server(settings), SystemClock()))
        slug, name = registered.app.slug, registered.app.name
    except GitHubError as error:
        problem, to_do = str(error), what_to_do(error, settings)
    return {
        "ok": not problem,
        "app_id": credentials.app_id,
        "slug": slug,
        "name": name,
        "source": source_of_credentials(settings),
        "install_url": install_page_url(settings.github_url, slug) if slug else "",
        "problem": problem,
        "to_do": to_do,
        "next": START,
    }


def what_to_do(problem: GitHubError | None, settings: Settings) -> str:
    """Return what the operator can do about a failed request to GitHub."""
    if isinstance(problem, BadToken | NotFound):
        return (
            f"check that App ID and key belong to the same App on {settings.github_url}, and that this machine's "
            "clock is correct; assay setup --import stores a new key"
        )
    return f"check ASSAY_GITHUB_URL, ASSAY_GITHUB_API_URL ({settings.api_url}), the proxy and ASSAY_CA_BUNDLE"


def render(result: dict[str, Any]) -> Text:
    """Render the App and the next step."""
    name = f" ({result['name'] or result['slug']})" if result["name"] or result["slug"] else ""
    lines = [f"App {result['app_id']}{name}, from {result['source']}"]
    if not result["ok"]:
        lines += [f"GitHub does not confirm it: {result['problem']}", result["to_do"]]
    else:
        lines += [f"Install it: {result['install_url']}", f"Then: {result['next']}"]
    return Text("\n".join(lines))


def _render_forgotten(result: dict[str, Any]) -> Text:
    line = f"Deleted {result['file']}." if result["forgotten"] else f"{result['file']} does not exist."
    if result["in_environment"]:
        line += " The environment still sets an App: unset its ASSAY_ variables too."
    return Text(line)
