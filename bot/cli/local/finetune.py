"""`assay finetune`: the job from a repository to an adapter and what it is worth.

Nothing here imports torch before the pairs are mined: processes that mine are forked off a small one, and a missing
library is told at once. What is wrong with options, folder or repository ends the command with exit code 2; with the
model, the device or too few pairs with 1; SIGTERM with 143 and Ctrl-C with 130, after what was learned is saved.
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
from bot.cli.local.finetune_progress import planned_line, watching
from bot.cli.local.finetune_view import render
from bot.cli.local.screen import AsOf, Jobs
from bot.cli.output import print_result, progress_display
from bot.cli.repository_source import default_jobs, open_source, parse_as_of
from bot.settings import Settings, load_settings
from pipeline.classify.overlay import Overlay
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


class Masked(StrEnum):
    names = "names"
    code = "code"


def finetune(
    source: Annotated[
        str | None, typer.Argument(metavar="PATH|URL", help="A repository on this machine, or an https:// URL.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="A new folder; one of an unfinished job is resumed.")
    ] = None,
    model: Annotated[
        str, typer.Option("--base-model", metavar="NAME|DIR", help="A pinned model, or a directory (./MODEL).")
    ] = DEFAULT_MODEL.name,
    revision: Annotated[
        str, typer.Option("--revision", metavar="HASH", help="Commit of a model not pinned here.")
    ] = "",
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, metavar="N", help="Adapters, averaged.")] = 3,
    max_minutes: Annotated[
        float, typer.Option("--max-minutes", metavar="M", help="Of training and scoring; then what there is counts.")
    ] = FinetuneRecipe.max_minutes,
    as_of: AsOf = None,
    config: OwnConfig = None,
    head: Annotated[HeadChoice, typer.Option("--head", help="What the model answers with.")] = HeadChoice.logit,
    epochs: Annotated[int, typer.Option("--epochs", min=1, max=3, metavar="N")] = FinetuneRecipe.epochs,
    validations: Annotated[
        int,
        typer.Option("--validations", min=1, metavar="N", help="While the steps are chosen; each scores all pairs."),
    ] = FinetuneRecipe.validations,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", help="Of a prompt; longer ones keep head and tail.")
    ] = FinetuneRecipe.max_tokens,
    ablate: Annotated[
        Masked | None, typer.Option("--ablate", help="Mask names or code: what does the adapter live on?")
    ] = None,
    shuffled_labels: Annotated[
        bool, typer.Option("--shuffled-labels", help="The control: labels dealt out at random; ρ must be about 0.")
    ] = False,
    device: Annotated[str | None, typer.Option("--device", metavar="cpu|cuda", help="By default a GPU if any.")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="FILE", help="A pair set that was kept; nothing is mined."),
    ] = None,
    save_to: Annotated[
        Path | None, typer.Option("--save-pairs", metavar="FILE", help="Keep the pair set, for another machine.")
    ] = None,
    checkpoints: Annotated[
        str, typer.Option("--checkpoints", metavar="DIR|URL", help="Where to resume from; by default in --out.")
    ] = "",
    memory_gb: Annotated[
        float | None, typer.Option("--memory-gb", metavar="GB", help="Of the GPU, at most; by default all of it.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False,
    compiled: Annotated[bool, typer.Option("--compiled", help="Compile the layers first.")] = False,
    jobs: Jobs = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, metavar="N", help="Of a CPU.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would cost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Train a LoRA adapter on a repository's bug fixes and tell whether it ranks better than the baseline."""
    settings = load_settings()
    recipe = FinetuneRecipe(
        base_model=_named(base_model(model, revision)),
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
    when = parse_as_of(as_of)
    _check_options(source, out, pairs, as_of, config, dry_run)
    order = Order(
        source=source,
        out=out,
        pairs=pairs,
        save_pairs=save_to,
        recipe=recipe,
        device=device,
        checkpoints=checkpoints,
        as_of=when,
        overlay=read_overlay(config),
        jobs=jobs or default_jobs(),
        threads=threads,
        dry_run=dry_run,
    )
    with failures(as_json):
        require_libraries(FOR_TRAINING)
    pair_set = gather_pairs(order, settings)
    with failures(as_json):
        result = carry_out(order, pair_set)
    if dry_run:
        print_result(result, as_json, lambda found: Text(found["words"]))
        return
    print_result(result, as_json, render)


@dataclass(frozen=True)
class Order:
    """A job as the command line asks for it."""

    source: str | None
    out: Path | None
    pairs: Path | None
    save_pairs: Path | None
    recipe: FinetuneRecipe
    device: str | None
    checkpoints: str
    as_of: int | None
    overlay: Overlay
    jobs: int
    threads: int | None
    dry_run: bool


def _check_options(
    source: str | None, out: Path | None, pairs: Path | None, as_of: str | None, config: Path | None, dry_run: bool
) -> None:
    """Raises AssayError for options that do not go together."""
    if source is None and pairs is None:
        raise AssayError("name a repository (. is this folder), or --pairs FILE")
    if source is not None and pairs is not None:
        raise AssayError("a repository and --pairs are both named: keep one")
    if pairs is not None and as_of is not None:
        raise AssayError("--as-of has no meaning with --pairs: a pair set has its time")
    if pairs is not None and config is not None:
        raise AssayError("--config has no meaning with --pairs: a pair set was labelled when it was gathered")
    if out is None and not dry_run:
        raise AssayError("--out is missing: name a new folder for the adapter and its result")


def gather_pairs(order: Order, settings: Settings) -> PairSet:
    """Mine, or read what was kept. Raises AssayError, for a folder in which no job can begin as well."""
    if order.out is not None and not order.dry_run:
        from pipeline.finetuning.job_folder import require_usable

        require_usable(order.out)
    if order.save_pairs is not None:
        require_writable(order.save_pairs)
    pair_set = _pair_set(order, settings)
    if order.save_pairs is not None:
        save_pairs(pair_set, order.save_pairs)
    return pair_set


def _named(model: BaseModel) -> BaseModel:
    """A directory is known by what it holds, and kept with the adapter by its whole path: it is used from elsewhere."""
    if model.revision:
        return model
    folder = Path(model.name).absolute()
    return replace(model, name=str(folder), digest=weights_digest(folder))


def carry_out(order: Order, pair_set: PairSet) -> dict[str, Any]:
    """Train and judge, or say what it would cost; what `--json` prints. Raises AssayError, and Ended after a signal."""
    with quiet_libraries():
        return _preview(order, pair_set) if order.dry_run or order.out is None else _train(order, pair_set, order.out)


def _pair_set(order: Order, settings: Settings) -> PairSet:
    if order.source is None:
        assert order.pairs is not None
        return load_pairs(order.pairs)
    with progress_display() as progress:
        repository = open_source(order.source, settings, progress)
        store = facts_path(settings.data_dir, repository)
        miner = Miner(repository, MESSAGES, store, order.jobs, progress, order.overlay)
        with miner, repository.reader() as reader:
            read = blobs_of(reader)
            dataset = build_dataset(miner, MESSAGES, read, as_of=order.as_of)
            return build_pair_set(miner, dataset, MESSAGES, read, order.overlay.config_hash)


def _preview(order: Order, pair_set: PairSet) -> dict[str, Any]:
    """What the job would cost."""
    from pipeline.finetuning.training.finetune import plan

    planned = plan(pair_set, order.recipe.fitted_to(device := _device(order)), device)
    return {
        "repo": pair_set.repo,
        "head_sha": pair_set.head_sha,
        "trained_on": planned.trained_on,
        "held_out": planned.held_out,
        "tokens": planned.tokens,
        "flops": planned.flops,
        "minutes": None if planned.minutes is None else round(planned.minutes, 2),
        "device": planned.device,
        "recipe_id": order.recipe.recipe_id(pair_set.label_recipe_id),
        "pair_set_id": pair_set.id,
        "words": planned_line(planned),
    }


def _train(order: Order, pair_set: PairSet, out: Path) -> dict[str, Any]:
    from pipeline.finetuning.training.finetune import finetune as run_job
    from pipeline.finetuning.training.loop import Stopped
    from pipeline.reports.finetune_files import render_files

    device = _device(order)
    recipe = order.recipe.fitted_to(device)
    with watching() as watch, signals() as asked:
        try:
            result = run_job(
                pair_set,
                recipe,
                out=out,
                device=device,
                watch=watch,
                stop=asked,
                files=render_files,
                checkpoints=order.checkpoints,
            )
        except Stopped:
            raise ended_by(asked() or "SIGTERM") from None
    return finetune_json(result) | {"out": str(out)}


def _device(order: Order) -> str:
    import torch

    from pipeline.finetuning.training.devices import choose_device

    if order.threads is not None:
        torch.set_num_threads(order.threads)
    return choose_device(order.device)
