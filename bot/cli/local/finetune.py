"""`assay finetune`: train adapters on a repository and compare their ranking with the baseline.

    1. parse the options into records                               exit code 2 for wrong options
    2. mine the pair set, or load a saved one                       2 for a wrong folder or repository
    3. train and compare, or with --dry-run estimate the cost       1 for the model, the device, or too few pairs

SIGTERM ends it with 143 and Ctrl-C with 130, after a checkpoint. Only step 3 imports torch: the processes that mine are
forked from a small one, and a missing library is reported immediately.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bot.cli.config_option import OwnConfig, read_overlay
from bot.cli.files import require_writable
from bot.cli.job_exit import ended_by, failures, signals
from bot.cli.local.evaluate import blobs_of
from bot.cli.local.finetune_progress import planned_line, progress_output
from bot.cli.local.finetune_view import render
from bot.cli.local.screen import AsOf, Jobs
from bot.cli.output import print_result, progress_display
from bot.cli.repository_source import default_jobs, open_source, parse_as_of
from bot.settings import Settings, load_settings
from pipeline.classify.overlay import Overlay
from pipeline.finetuning.job_folder import require_usable
from pipeline.finetuning.libraries import FOR_TRAINING, quiet_libraries, require_libraries
from pipeline.finetuning.model_digest import weights_digest
from pipeline.finetuning.pair_file import load_pairs, save_pairs
from pipeline.finetuning.pair_set import PairSet, build_pair_set
from pipeline.finetuning.recipe import DEFAULT_MODEL, BaseModel, FinetuneRecipe, base_model
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.dataset import build_dataset
from pipeline.records import AssayError
from pipeline.reports.finetune_json import finetune_json
from pipeline.screening.measure import facts_path


class HeadChoice(StrEnum):
    logit = "logit"
    digits = "digits"


class Ablate(StrEnum):
    names = "names"
    code = "code"


def finetune(
    source: Annotated[
        str | None, typer.Argument(metavar="PATH|URL", help="A repository on this machine, or an https:// URL.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A new folder, or that of an unfinished job to resume.")
    ] = None,
    model: Annotated[
        str, typer.Option("--base-model", metavar="NAME|DIR", help="A pinned model, or a directory (./MODEL).")
    ] = DEFAULT_MODEL.name,
    revision: Annotated[
        str, typer.Option("--revision", metavar="HASH", help="Commit of a model that Assay does not pin.")
    ] = "",
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=100, metavar="N", help="Number of adapters; their ranks are averaged.")
    ] = 3,
    max_minutes: Annotated[
        float,
        typer.Option("--max-minutes", metavar="M", help="Time limit for training and scoring; partial results count."),
    ] = FinetuneRecipe.max_minutes,
    as_of: AsOf = None,
    config: OwnConfig = None,
    head: Annotated[HeadChoice, typer.Option("--head", help="How the model expresses its score.")] = HeadChoice.logit,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=3, metavar="N", help="Passes over the training pairs.")
    ] = FinetuneRecipe.epochs,
    validations: Annotated[
        int, typer.Option("--validations", min=1, metavar="N", help="Validations to choose the number of steps by.")
    ] = FinetuneRecipe.validations,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", help="Limit per prompt; longer ones keep head and tail.")
    ] = FinetuneRecipe.max_tokens,
    ablate: Annotated[
        Ablate | None, typer.Option("--ablate", help="Mask names or code, to see what the adapter relies on.")
    ] = None,
    shuffled_labels: Annotated[
        bool, typer.Option("--shuffled-labels", help="Control run on shuffled labels: its ρ must be about 0.")
    ] = False,
    device: Annotated[
        str | None, typer.Option("--device", metavar="cpu|cuda", help="Default: a GPU if there is one.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option("--pairs", metavar="FILE", help="Train on a saved pair set instead of mining.")
    ] = None,
    save_to: Annotated[
        Path | None, typer.Option("--save-pairs", metavar="FILE", help="Save the pair set, for another machine.")
    ] = None,
    checkpoints: Annotated[
        str, typer.Option("--checkpoints", metavar="DIR|URL", help="Where to keep checkpoints; default: in --out.")
    ] = "",
    memory_gb: Annotated[
        float | None, typer.Option("--memory-gb", metavar="GB", help="Limit on GPU memory; default: all of it.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Use less memory and more time.")
    ] = False,
    compiled: Annotated[bool, typer.Option("--compiled", help="Compile the model's layers first.")] = False,
    jobs: Jobs = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, metavar="N", help="CPU threads.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the expected cost and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Train a LoRA adapter on a repository's bug fixes and tell whether it ranks better than the baseline."""
    settings = load_settings()
    recipe = FinetuneRecipe(
        base_model=_identified(base_model(model, revision)),
        max_tokens=max_tokens,
        ablation=ablate.value if ablate else "none",
        head=head.value,
        shuffled_labels=shuffled_labels,
        epochs=epochs,
        validations=validations,
        seeds=tuple(range(1, seeds + 1)),
        max_minutes=max_minutes,
        memory_limit_gb=memory_gb,
        gradient_checkpointing=gradient_checkpointing,
        compiled=compiled,
    )
    request = FinetuneRequest(
        _parse_source(source, pairs, as_of, config, jobs, save_to),
        recipe,
        Resources(device, threads),
        _parse_outputs(out, checkpoints, dry_run),
    )
    with failures(as_json):
        require_libraries(FOR_TRAINING)
    pair_set = prepare_pairs(request, settings)
    with failures(as_json):
        result = run(request, pair_set)
    print_result(result, as_json, render if request.outputs else lambda preview: Text(preview["words"]))


@dataclass(frozen=True)
class Repository:
    """A repository to mine."""

    source: str  # path or URL
    as_of: int | None  # seconds since 1970
    overlay: Overlay
    jobs: int


@dataclass(frozen=True)
class Source:
    """Where the pairs come from, and where else to keep them."""

    origin: Repository | Path  # a path is a saved pair set
    save_to: Path | None


@dataclass(frozen=True)
class Resources:
    device: str | None  # None: a GPU if there is one
    threads: int | None  # of a CPU


@dataclass(frozen=True)
class Outputs:
    out: Path
    checkpoints: str  # folder or fsspec URL; empty: in `out`


@dataclass(frozen=True)
class FinetuneRequest:
    """The parsed command line."""

    source: Source
    recipe: FinetuneRecipe
    resources: Resources
    outputs: Outputs | None  # None: a dry run


def _parse_source(
    source: str | None,
    pairs: Path | None,
    as_of: str | None,
    config: Path | None,
    jobs: int | None,
    save_to: Path | None,
) -> Source:
    """Parse where the pairs come from. Raises AssayError for options that exclude each other."""
    when = parse_as_of(as_of)
    if pairs is not None:
        if source is not None:
            raise AssayError("a repository and --pairs are both named: keep one")
        if as_of is not None:
            raise AssayError("--as-of has no effect with --pairs: a pair set has its own time")
        if config is not None:
            raise AssayError("--config has no effect with --pairs: a pair set is labelled when it is mined")
        return Source(pairs, save_to)
    if source is None:
        raise AssayError("name a repository (. is this folder), or --pairs FILE")
    return Source(Repository(source, when, read_overlay(config), jobs or default_jobs()), save_to)


def _parse_outputs(out: Path | None, checkpoints: str, dry_run: bool) -> Outputs | None:
    """Parse where results go; None for a dry run. Raises AssayError for a job without a folder."""
    if dry_run:
        return None
    if out is None:
        raise AssayError("--out is missing: name a new folder for the adapter and its result")
    return Outputs(out, checkpoints)


def prepare_pairs(request: FinetuneRequest, settings: Settings) -> PairSet:
    """Mine or load the pair set. Raises AssayError, also for an output folder or file that cannot be used."""
    save_to = request.source.save_to
    if request.outputs is not None:
        require_usable(request.outputs.out)
    if save_to is not None:
        require_writable(save_to)
    origin = request.source.origin
    pair_set = load_pairs(origin) if isinstance(origin, Path) else _mine_pairs(origin, settings)
    if save_to is not None:
        save_pairs(pair_set, save_to)
    return pair_set


def _identified(model: BaseModel) -> BaseModel:
    """Identify a directory by its content, and keep its absolute path: the adapter is used from elsewhere."""
    if model.revision:
        return model
    folder = Path(model.name).absolute()
    return replace(model, name=str(folder), digest=weights_digest(folder))


def run(request: FinetuneRequest, pair_set: PairSet) -> dict[str, Any]:
    """Train and compare, or estimate the cost, and return the JSON. Raises AssayError, and Ended after a signal."""
    with quiet_libraries():
        if request.outputs is None:
            return _preview(request, pair_set)
        return _train(request, pair_set, request.outputs)


def _mine_pairs(repository: Repository, settings: Settings) -> PairSet:
    overlay = repository.overlay
    with progress_display() as progress:
        opened = open_source(repository.source, settings, progress)
        store = facts_path(settings.data_dir, opened)
        miner = Miner(opened, MESSAGES, store, repository.jobs, progress, overlay)
        with miner, opened.reader() as reader:
            read = blobs_of(reader)
            dataset = build_dataset(miner, MESSAGES, read, as_of=repository.as_of)
            return build_pair_set(miner, dataset, MESSAGES, read, overlay.config_hash)


def _preview(request: FinetuneRequest, pair_set: PairSet) -> dict[str, Any]:
    from pipeline.finetuning.training.device import choose_device
    from pipeline.finetuning.training.finetune import plan

    device = choose_device(request.resources.device, request.resources.threads)
    planned = plan(pair_set, request.recipe.fitted_to(device), device)
    return {
        "repo": pair_set.repo,
        "head_sha": pair_set.head_sha,
        "trained_on": planned.trained_on,
        "held_out": planned.scored,
        "tokens": planned.tokens,
        "flops": planned.flops,
        "minutes": None if planned.minutes is None else round(planned.minutes, 2),
        "device": planned.device,
        "recipe_id": request.recipe.recipe_id(pair_set.label_recipe_id),
        "pair_set_id": pair_set.id,
        "words": planned_line(planned),
    }


def _train(request: FinetuneRequest, pair_set: PairSet, outputs: Outputs) -> dict[str, Any]:
    from pipeline.finetuning.training.device import choose_device
    from pipeline.finetuning.training.finetune import finetune as train
    from pipeline.finetuning.training.job import JobOptions
    from pipeline.finetuning.training.loop import Stopped
    from pipeline.reports.curves import render_files

    device = choose_device(request.resources.device, request.resources.threads)
    with progress_output() as watch, signals() as stop:
        options = JobOptions(out=outputs.out, device=device, watch=watch, stop=stop, checkpoints=outputs.checkpoints)
        try:
            result = train(pair_set, request.recipe.fitted_to(device), options, render_files)
        except Stopped:
            raise ended_by(stop() or "SIGTERM") from None
    return finetune_json(result) | {"out": str(outputs.out)}
