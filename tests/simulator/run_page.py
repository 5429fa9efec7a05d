"""Render check runs as a page, with Markdown like GitHub's and no active content."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

from tests.simulator.state import CheckRun

if TYPE_CHECKING:
    from tests.simulator.repositories import Repository

_REFRESH_S = 3
_MARKS = {"success": "&#10003;", "neutral": "&#9632;", "cancelled": "&#8856;", "failure": "&#10007;"}
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1f2328}"
    "section{border:1px solid #d1d9e0;border-radius:6px;padding:0 1em 1em;margin:1em 0}"
    "pre{background:#f6f8fa;padding:1em;overflow:auto}table{border-collapse:collapse}"
    "td,th{border:1px solid #d1d9e0;padding:.2em .6em}.success{color:#1a7f37}button{margin-right:.5em}"
)
# HTML is shown as text and images are not fetched, so that what a check run says cannot act in the browser.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


def page(title: str, body: str, refresh_s: int | None = None) -> str:
    refresh = "" if refresh_s is None else f'<meta http-equiv="refresh" content="{refresh_s}">'
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}<title>{escape(title)}</title>'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def render_markdown(text: str) -> str:
    """Render Markdown to HTML without scripts, images or links other than http(s)."""
    rendered: str = _MARKDOWN.render(text)
    return rendered


def runs_page(repositories: Sequence[Repository]) -> str:
    """Render every repository with its check runs, newest first."""
    parts = []
    for repo in repositories:
        runs = "".join(_run(run) for run in reversed(repo.check_runs)) or "<p>No check run yet.</p>"
        parts.append(f"<h2>{escape(repo.full_name)}</h2>{runs}")
    title = repositories[0].full_name if len(repositories) == 1 else "Check runs"
    refresh = f'<p><a href="">Refresh</a> (by itself every {_REFRESH_S} s)</p>'
    return page(title, refresh + "".join(parts), _REFRESH_S)


def _run(run: CheckRun) -> str:
    output, conclusion = run["output"], run["conclusion"] or run["status"]
    buttons = "".join(
        f'<button disabled title="{escape(action["description"])}">{escape(action["label"])}</button>'
        for action in run.actions
    )
    return (
        f'<section><h3 class="{escape(conclusion)}">{_MARKS.get(conclusion, "&#8226;")} {escape(run["name"])}: '
        f"{escape(output['title'] or '')}</h3><p>{escape(conclusion)} on {escape(run['head_sha'][:7])} {buttons}</p>"
        f"{render_markdown(output['summary'] or '')}{render_markdown(output['text'] or '')}</section>"
    )
