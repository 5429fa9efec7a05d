"""`assay setup`: register the App on GitHub, store the credentials of one there is, or look at the one in force."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bot.cli.app_settings import effective_credentials, github_server, given_credentials, source_of_credentials
from bot.cli.output import print_result
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

START = "assay up serves it; assay doctor checks that everything is in place"


def setup(
    host: Annotated[str, typer.Option(help="Where the setup page listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Its port; 0: any that is free.")] = 8_000,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Store an App there is: the .pem file of its private key.")
    ] = None,
    app_id: Annotated[int | None, typer.Option(min=1, help="With --import: the App's number.")] = None,
    webhook_secret_file: Annotated[
        Path | None, typer.Option(help="With --import: a file that holds the App's webhook secret.")
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Delete the stored credentials.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --forget: do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Register the App on GitHub, or look at the one there is."""
    settings = load_settings()
    if forget:
        _forget(settings, yes, as_json)
        return
    if import_ is not None or app_id is not None or webhook_secret_file is not None:
        credentials = _import(settings, import_, app_id, webhook_secret_file)
    else:
        found = effective_credentials(settings)
        credentials = found or _register(settings, host, port)
    _show(settings, credentials, as_json)


def _register(settings: Settings, host: str, port: int) -> AppCredentials:
    from bot.cli.server.setup_server import serve_setup  # slow to import, and needed only here

    print("No App is registered yet.", file=sys.stderr)
    return serve_setup(settings, host, port)


def _import(settings: Settings, key_file: Path | None, app_id: int | None, secret_file: Path | None) -> AppCredentials:
    """Store an App that exists. A new secret of the App that is stored stands beside the one it follows."""
    if key_file is None or app_id is None or secret_file is None:
        raise AssayError("give all three: --import FILE.pem --app-id NUMBER --webhook-secret-file FILE")
    if given_credentials(settings).any:
        raise AssayError("the environment names an App, which would win over a stored one: unset its ASSAY_ variables")
    stored = load_credentials(settings.data_dir)
    if stored is not None and stored.app_id != app_id:
        raise AssayError(f"App {stored.app_id} is stored already: assay setup --forget deletes its credentials")
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
            raise AssayError("--forget deletes credentials that GitHub does not show again: say --yes too")
        typer.confirm(f"Delete {path}? GitHub does not show these credentials again.", abort=True, err=True)
    gone = forget_credentials(settings.data_dir)
    result = {"forgotten": gone, "file": str(path), "in_environment": given_credentials(settings).any}
    print_result(result, as_json, _render_forgotten)


def _show(settings: Settings, credentials: AppCredentials, as_json: bool) -> None:
    """The App in force as GitHub knows it. Ends with 1 where GitHub does not."""
    result = describe(settings, credentials)
    print_result(result, as_json, render)
    if not result["ok"]:
        raise typer.Exit(1)


def describe(settings: Settings, credentials: AppCredentials) -> dict[str, Any]:
    """Numbers and names, where they come from, and what GitHub says to them."""
    slug, name, problem, to_do = credentials.slug, "", "", ""
    try:
        found = asyncio.run(fetch_app_status(credentials, github_server(settings), SystemClock()))
        slug, name = found.app.slug, found.app.name
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
    """What an operator can do where GitHub does not answer as it should."""
    if isinstance(problem, BadToken | NotFound):
        return (
            f"check that number and key are of one App on {settings.github_url}, and that this machine's clock is "
            "right; assay setup --import stores a new key"
        )
    return f"check ASSAY_GITHUB_URL, ASSAY_GITHUB_API_URL ({settings.api_url}), the proxy and ASSAY_CA_BUNDLE"


def render(result: dict[str, Any]) -> Text:
    name = f" ({result['name'] or result['slug']})" if result["name"] or result["slug"] else ""
    lines = [f"App {result['app_id']}{name}, from {result['source']}"]
    if not result["ok"]:
        lines += [f"GitHub does not confirm it: {result['problem']}", result["to_do"]]
    else:
        lines += [f"Install it: {result['install_url']}", f"Then: {result['next']}"]
    return Text("\n".join(lines))


def _render_forgotten(result: dict[str, Any]) -> Text:
    what = f"Deleted {result['file']}." if result["forgotten"] else f"There is no {result['file']}."
    if result["in_environment"]:
        what += " The environment still names an App: unset its ASSAY_ variables too."
    return Text(what)
