"""Makes docs/pictures from the demo's history and the committed figures: `make pictures`.

1. play the App against the local GitHub until it has posted a RUN on the demo's busiest history
2. render that check run, the benchmark chart and, with `--readme FOLDER`, the README as GitHub-like pages
3. photograph each page in a headless Chromium, light and dark
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from tests.builders.app_processes import deployment, settings_for
from tests.flows.demo_scenes import CALM, CARELESS, Scene, asked, write_histories
from tests.flows.demo_shown import Missed, Watched
from tests.simulator.github import serve_github
from tests.simulator.repositories import Repository
from tests.simulator.run_page import render_markdown
from tests.simulator.state import CheckRun

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
FIGURES = ROOT / "bench" / "figures.json"
MAX_BYTES = 200_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--font-render-hinting=none")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTH_PX, CHECK_HEIGHT_PX, SCALE = 640, 580, 1.75  # narrow, so that it can be read on a telephone
WITHIN_S = 240.0  # for a verdict, on a busy machine
BASE_MODEL = "Qwen/Qwen2.5-Coder-1.5B"  # which switches the button on; nothing is trained here

STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --muted: #59636e; --page: #ffffff; --line: #d1d9e0; --fill: #f6f8fa;
  --good: #1a7f37; --link: #0969da; --one: #0969da; --two: #8250df; --three: #818b98 }
@media (prefers-color-scheme: dark) { :root { --text: #f0f6fc; --muted: #9198a1; --page: #0d1117; --line: #3d444d;
  --fill: #151b23; --good: #3fb950; --link: #4493f8; --one: #4493f8; --two: #ab7df8; --three: #656c76 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); font: 14px/1.5 "DejaVu Sans", system-ui, sans-serif }
a { color: var(--link); text-decoration: none }
h1, h2, h3 { line-height: 1.25; margin: 20px 0 12px }
h1, h2 { border-bottom: 1px solid var(--line); padding-bottom: 6px }
p, ul, ol, table, pre { margin: 0 0 14px } ul, ol { padding-left: 2em } img { max-width: 100% }
code, pre { font: 12px/1.45 "DejaVu Sans Mono", ui-monospace, monospace; background: var(--fill); border-radius: 6px }
code { padding: 2px 5px } pre { padding: 12px; overflow: auto } pre code { padding: 0; background: none }
table { border-collapse: collapse; display: block; overflow: auto; max-width: 100% }
td, th { border: 1px solid var(--line); padding: 5px 11px } tr:nth-child(2n) td { background: var(--fill) }
.page { max-width: 880px; margin: 0 auto; padding: 16px }
.run { border: 1px solid var(--line); border-radius: 6px; margin: 12px; overflow: hidden }
.run header { display: flex; align-items: center; gap: 10px; padding: 12px 16px; background: var(--fill);
  border-bottom: 1px solid var(--line) }
.run header b { font-size: 15px } .run header small { color: var(--muted); flex: 1 }
.tick { color: #fff; background: var(--good); border-radius: 50%; width: 20px; height: 20px; text-align: center;
  line-height: 20px; font-size: 12px; flex: none }
.button { border: 1px solid var(--line); border-radius: 6px; padding: 3px 12px; font-size: 12px;
  background: var(--page) }
.cut { position: fixed; inset: auto 0 0; height: 56px; background: linear-gradient(transparent, var(--page)) }
.run main { padding: 0 16px } .run h2 { border: 0 }
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make pictures", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the pictures go")
    parser.add_argument(
        "--readme", type=Path, help="also photograph the README, at 1,280 and 390 pixels, into this folder"
    )
    parser.add_argument("--chart-only", action="store_true", help="leave the check run as it is")
    options = parser.parse_args()
    with chromium() as browser:
        chart = chart_page(json.loads(FIGURES.read_text(encoding="utf-8"))["screening"])
        take(browser, "benchmark", chart, options.out)
        if not options.chart_only:
            with tempfile.TemporaryDirectory(prefix="assay-pictures-") as folder:
                repository, run = posted_run(Path(folder))
            take(browser, "check-run", check_page(repository, run), options.out, height_px=CHECK_HEIGHT_PX)
        if options.readme:
            photograph_readme(browser, options.readme)
    return 0


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser. Exits with a sentence where it is missing."""
    sync_playwright = import_module("playwright.sync_api").sync_playwright
    place = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if place is None:
        sys.exit("make pictures needs chromium (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def posted_run(root: Path) -> tuple[str, CheckRun]:
    """The check run that a RUN gets in an installation that may fine-tune. Raises Missed."""
    scenes = [Scene(story, ("RUN", "SKIP"), False, "") for story in (CALM, CARELESS)]
    histories = write_histories(scenes, root / "histories")
    with serve_github(root / "github") as github:
        app = github.register_app()
        environment = settings_for(app.credentials, root / "assay", github.url, github.api_url)
        environment["ASSAY_BASE_MODELS"] = BASE_MODEL
        with deployment(root / "assay", environment) as assay:
            assay.start("up")
            assay.ready()
            app.webhook_url = assay.webhook_url
            organization = github.account("demo", type="Organization")
            calm, busy = (organization.repository(n, git_dir=p, private=True) for n, p in histories.items())
            installation = app.install(organization, [calm])
            _wait_for_verdict(calm, Watched([], assay))
            asked(assay, "budget", "set", "demo", "--minutes", "600")
            installation.add(busy)
            _wait_for_verdict(busy, Watched([], assay))
            run = busy.check_runs[0]
            if run["conclusion"] != "success":
                raise Missed(f"a RUN: the check run says {run['output']['title']}")
            assay.processes[0].stop()
            return busy.full_name, run


def _wait_for_verdict(repository: Repository, watched: Watched) -> None:
    watched.until(f"the verdict on {repository.name}", lambda: repository.check_runs, WITHIN_S)


def check_page(repository: str, run: CheckRun) -> str:
    """A check run as GitHub's Checks tab lays it out."""
    output = run["output"]
    buttons = "".join(f'<span class="button">{escape(action["label"])}</span>' for action in run.actions)
    return page(
        f'<div class="run"><header><span class="tick">&#10003;</span><b>{escape(run["name"])}</b>'
        f"<small>{escape(repository)} at {escape(run['head_sha'][:7])}</small>{buttons}</header>"
        f"<main><h2>{escape(output['title'] or '')}</h2>{render_markdown(output['summary'] or '')}"
        f"{render_markdown(output['text'] or '')}</main></div>"
        '<div class="cut"></div>'
    )


def chart_page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Seconds of a first and a second screening beside `git log -p`, a group of bars for each history."""
    bars = (("git_log_s", "git log -p", "var(--three)"),
            ("cold_s", "first assay screen", "var(--one)"),
            ("second_s", "the next, 50 landings later", "var(--two)"))  # fmt: skip
    longest = max(row[key] for row in rows for key, _, _ in bars)
    left, right, bar_px, gap_px, group_px = 20, 70, 18, 4, 104
    full_px = WIDTH_PX - left - right
    parts = []
    for number, row in enumerate(rows):
        top = 84 + number * group_px
        parts.append(
            f'<text x="{left}" y="{top}" font-weight="700">{escape(row["history"])}</text>'
            f'<text x="{WIDTH_PX - 16}" y="{top}" text-anchor="end" fill="var(--muted)">'
            f"{row['commits']:,} commits; PyDriller: {row['pydriller']:g} &#215; the CPU time</text>"
        )
        for place, (key, _, colour) in enumerate(bars):
            y, width = top + 10 + place * (bar_px + gap_px), max(2, full_px * row[key] / longest)
            parts.append(
                f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{bar_px}" rx="3" fill="{colour}"/>'
                f'<text x="{left + width + 7:.1f}" y="{y + 14}" fill="var(--muted)">{row[key]:g} s</text>'
            )
    keys, x = [], left
    for _, label, colour in bars:
        keys.append(f'<rect x="{x}" y="39" width="12" height="12" rx="2" fill="{colour}"/>')
        keys.append(f'<text x="{x + 18}" y="50" fill="var(--muted)">{escape(label)}</text>')
        x += 48 + round(7.2 * len(label))
    height = 84 + len(rows) * group_px - 20
    return page(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{height}" fill="currentColor" '
        f'font-size="12"><text x="{left}" y="25" font-size="15" font-weight="700">Seconds to screen a history, '
        f"two cores</text>{''.join(keys)}{''.join(parts)}</svg>"
    )


def page(body: str) -> str:
    head = f'<head><meta charset="utf-8"><style>{STYLE}</style></head>'
    return f'<!doctype html><html lang="en">{head}<body>{body}</body></html>'


def take(browser: Any, name: str, html: str, folder: Path, height_px: int | None = None) -> None:
    """Write NAME-light.png and NAME-dark.png, cut off at a height where one is given."""
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in SCHEMES:
        size = {"width": WIDTH_PX, "height": height_px or 100}
        context = browser.new_context(viewport=size, device_scale_factor=SCALE, color_scheme=scheme)
        shown = context.new_page()
        shown.set_content(html)
        place = folder / f"{name}-{scheme}.png"
        shown.screenshot(path=place, full_page=height_px is None)
        context.close()
        if place.stat().st_size > MAX_BYTES:
            sys.exit(f"{place} has {place.stat().st_size:,} bytes: at most {MAX_BYTES:,} are wanted")
        print(f"{place.relative_to(ROOT) if place.is_relative_to(ROOT) else place}: {place.stat().st_size:,} bytes")


def photograph_readme(browser: Any, folder: Path) -> None:
    """Photograph the README, light and dark, on a wide and a narrow screen: to look at, not for the repository."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "readme.html"
    file.write_text(readme_page((ROOT / "README.md").read_text(encoding="utf-8")), encoding="utf-8")
    for scheme in SCHEMES:
        for width in (1280, 390):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            shown = context.new_page()
            shown.goto(file.as_uri())
            shown.screenshot(path=folder / f"readme-{scheme}-{width}.png", full_page=True)
            context.close()


def readme_page(text: str) -> str:
    """Markdown with the README's own HTML and pictures; the diagram stays code."""
    markdown = import_module("markdown_it").MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    html = re.sub(r'((?:src|srcset)=")docs/', rf"\1{ROOT.as_uri()}/docs/", markdown.render(text))
    return page(f'<div class="page">{html}</div>')


if __name__ == "__main__":
    sys.exit(main())
