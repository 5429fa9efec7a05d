"""`assay labels`: estimate the quality of the fix labels from hand-labelled commits.

1. `sample` draws commits and writes a file to fill in, and a sealed file that says which commits count as fixes
2. a person reads each diff and writes fix, not or unsure after its SHA, without opening the sealed file
3. `score` reads both and prints precision and recall

`classify` says what the rules make of commit messages that were labelled elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bot.cli.files import read_whole, require_writable, write_whole
from bot.cli.local.classify_messages import classify_file
from bot.cli.local.screen import AsOf, Jobs, Source
from bot.cli.output import AsJson, print_result, progress_display
from bot.cli.repository_source import default_jobs, open_source, parse_as_of
from bot.settings import load_settings
from pipeline.calibration.seed_records import iso_day
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.records import AssayError, printable
from pipeline.screening.label_population import read_population
from pipeline.screening.label_quality import ANSWERS, Answer, Estimate, LabelQuality, LabelSample, draw_sample, score
from pipeline.screening.measure import facts_path

app = typer.Typer(add_completion=False, help="Estimate the quality of the fix labels from hand-labelled commits.")
app.command("classify")(classify_file)

SCHEMA = "assay-labels/1"
MAX_FILE_BYTES = 8 << 20
_TSV_HEAD = "# sha\tanswer: fix, not or unsure. Judge by the diff; do not look into {}\n"


@app.command("sample")
def sample(
    source: Source,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to fill in: .tsv or .json.")],
    n: Annotated[int, typer.Option("--n", min=2, max=100_000, help="Number of commits.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of the sample.")] = 0,
    as_of: AsOf = None,
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Draw commits of the training window to label by hand: half count as fixes, half do not."""
    if out.suffix not in (".tsv", ".json"):
        raise AssayError(f"--out {out}: the name must end in .tsv or .json")
    sealed = sealed_path(out)
    for path in (out, sealed):
        require_writable(path)
        if path.exists():
            raise AssayError(f"{path} already exists and may hold answers: give another name")
    settings = load_settings()
    with progress_display() as progress:
        repository = open_source(source, settings, progress)
        store = facts_path(settings.data_dir, repository)
        with Miner(repository, MESSAGES, store, jobs or default_jobs(), progress) as miner:
            if (time := parse_as_of(as_of)) is not None:
                miner.cut(time)
            population = read_population(miner, MESSAGES)
    drawn = draw_sample(population.fixes, population.others, n, seed)
    record = {
        "schema": SCHEMA,
        "repo": repository.name,
        "head_sha": population.head_sha,
        "label_recipe_id": MESSAGES.id,
        "landed_after": iso_day(population.windows.train_start),
        "landed_until": iso_day(population.windows.eval_start),
        **dataclasses.asdict(drawn),
    }
    write_whole(sealed, json.dumps(record, indent=1) + "\n")
    write_whole(out, _to_fill_in(drawn, out))
    result = {"commits": n, "file": str(out), "sealed": str(sealed), "repo": repository.name, "seed": seed}
    print_result(
        result, as_json, lambda _: Text(f"Wrote {n} commits to label to {out}, and which count as fixes to {sealed}")
    )


@app.command("score")
def score_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Filled-in files of `sample`.")],
    as_json: AsJson = False,
) -> None:
    """Print precision and recall of the fix labels with 95 % intervals; for several repositories also combined."""
    read = [read_filled_in(path) for path in files]
    rows = [(repo, score([(drawn, answers)])) for repo, drawn, answers in read]
    if len(read) > 1:
        rows.append(("together", score([(drawn, answers) for _, drawn, answers in read])))
    result = {"schema": "assay-label-quality/1", "rows": [_row(name, quality) for name, quality in rows]}
    print_result(result, as_json, lambda _: Text("\n".join(_line(name, quality) for name, quality in rows)))


def sealed_path(out: Path) -> Path:
    """Return the path of the sealed file: labels.strata.json for labels.tsv."""
    return out.with_name(f"{out.stem}.strata.json")


def _to_fill_in(drawn: LabelSample, out: Path) -> str:
    if out.suffix == ".tsv":
        return _TSV_HEAD.format(sealed_path(out).name) + "".join(f"{sha}\t\n" for sha in drawn.order)
    return json.dumps({"commits": [{"sha": sha, "answer": ""} for sha in drawn.order]}, indent=1) + "\n"


def read_filled_in(path: Path) -> tuple[str, LabelSample, dict[str, Answer]]:
    """Return (repository, sample, answers by SHA). Raises AssayError naming the invalid line or commit."""
    repo, drawn = _read_sealed(sealed_path(path))
    text = read_whole(path, MAX_FILE_BYTES).decode("utf-8-sig", "replace")
    pairs = _json_answers(text, path) if path.suffix == ".json" else _tsv_answers(text)
    known, answers = {*drawn.fixes, *drawn.others}, dict[str, Answer]()
    for sha, written in pairs:
        answer = written.strip().casefold()
        if sha not in known:
            raise AssayError(f"{path}: {_shown(sha)} is not in the sample")
        if sha in answers:
            raise AssayError(f"{path}: {sha} is listed twice")
        if answer and answer not in ANSWERS:
            raise AssayError(f"{path}: {sha} has the answer {_shown(written)}: write fix, not or unsure")
        if answer:
            answers[sha] = answer
    return repo, drawn, answers


def _tsv_answers(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(parts[0].strip(), parts[2]) for parts in (line.partition("\t") for line in lines)]


def _json_answers(text: str, path: Path) -> list[tuple[str, str]]:
    try:
        return [(str(row["sha"]), str(row["answer"])) for row in json.loads(text)["commits"]]
    except (ValueError, KeyError, TypeError):
        raise AssayError(f'{path} must have the form {{"commits": [{{"sha": ..., "answer": ...}}]}}') from None


def _read_sealed(path: Path) -> tuple[str, LabelSample]:
    try:
        record = json.loads(read_whole(path, MAX_FILE_BYTES))
        drawn = LabelSample(
            fixes=tuple(map(str, record["fixes"])),
            others=tuple(map(str, record["others"])),
            fixes_in_all=int(record["fixes_in_all"]),
            others_in_all=int(record["others_in_all"]),
            seed=int(record["seed"]),
        )
        return str(record["repo"]), drawn
    except (ValueError, KeyError, TypeError):
        raise AssayError(f"{path} is damaged: draw a new sample with `assay labels sample`") from None


def _row(name: str, quality: LabelQuality) -> dict[str, Any]:
    return {
        "repo": name,
        "precision": dataclasses.asdict(quality.precision),
        "recall": dataclasses.asdict(quality.recall),
        "counted_as_fix": [dataclasses.asdict(stratum) for stratum in quality.fixes],
        "others": [dataclasses.asdict(stratum) for stratum in quality.others],
    }


def _line(name: str, quality: LabelQuality) -> str:
    judged = sum(s.judged for s in (*quality.fixes, *quality.others))
    unsure = sum(s.unsure for s in (*quality.fixes, *quality.others))
    figures = f"precision {_percent(quality.precision)}, recall {_percent(quality.recall)}"
    return f"{_shown(name)}: {figures}; {judged} commits judged, {unsure} unsure and left out"


def _percent(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "unknown"
    return f"{100 * estimate.value:.0f} % ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"


def _shown(text: str) -> str:
    return printable(text[:60].encode("utf-8", "backslashreplace"))
