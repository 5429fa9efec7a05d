"""Map each run purpose to its pipeline job. Runs in the training process.

A job's results are uploaded and reported from its `files` callback, before the job deletes its checkpoints. If the
process is killed before the worker saved the result, the next attempt resumes at scoring and judging.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bot.base_models import identified
from bot.gpu_worker.training_task import TrainingTask
from bot.messages.reasons import PAIRS_CHANGED
from bot.records import RunPurpose
from bot.run_progress import KEEPING, Meter, Pace, Progress, dump_progress
from pipeline.finetuning.artifact_store import open_store
from pipeline.finetuning.events import CheckpointSaved, JobEvent
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError

REPORT_EVERY_S: Final = 1.0
_ADAPTERS: Final = "adapter-seed-*/*"

Send = Callable[[Mapping[str, Any]], None]


class StopRequested(Exception):
    """Training stopped on request, after a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class TrainingSession:
    """A training task with the connection to the worker that sent it."""

    task: TrainingTask
    send: Send
    stop: Callable[[], str | None]  # why to stop; None: go on
    clock: Callable[[], float]
    wait_for_exit: Callable[[], object]  # after the result: the worker saves it and kills this process
    device: str = ""  # the chosen device

    def watch(self) -> Callable[[JobEvent], None]:
        """Return an event handler that reports progress and checkpoints to the worker."""
        meter, pace = Meter(), Pace(REPORT_EVERY_S)
        self._report(meter.progress)

        def on_event(event: JobEvent) -> None:
            progress = dump_progress(meter.update(event))
            if isinstance(event, CheckpointSaved):
                self.send({"checkpoint": event.sha256})
            if pace.is_due(progress, self.clock()):
                self.send({"progress": progress})

        return on_event

    def recipe(self) -> FinetuneRecipe:
        """Return the recipe for this device, with a local base model identified by its digest."""
        recipe = self.task.recipe
        return replace(recipe, base_model=identified(recipe.base_model)).fitted_to(self.device)

    def require_input(self, input_id: str) -> None:
        """Raise AssayError unless the loaded input is the one the task names."""
        if input_id != self.task.input_id:
            raise AssayError(PAIRS_CHANGED)

    def deliver(self, result: Mapping[str, Any], recipe_id: str, rendered: Mapping[str, bytes]) -> None:
        """Upload the adapters and the rendered files, report the result, and wait to be killed."""
        self._report(Progress(KEEPING, device=str(result.get("device", ""))))
        store = open_store(self.task.results_url)
        files = {f"{path.parent.name}/{path.name}": path for path in _adapter_files(self.task.out)}
        hashes = {name: store.write(name, path.read_bytes()) for name, path in files.items()}
        for name, content in rendered.items():
            hashes[name] = store.write(name, content)
        self.send({"done": {"result": result, "recipe_id": recipe_id, "files": hashes}})
        self.wait_for_exit()

    def _report(self, progress: Progress) -> None:
        self.send({"progress": dump_progress(progress)})


def judge(session: TrainingSession) -> None:
    """Train on the pairs and judge the adapter on the holdout."""
    from pipeline.finetuning.pair_file import load_pairs
    from pipeline.finetuning.result import FinetuneResult
    from pipeline.finetuning.result_assembly import winning_run
    from pipeline.finetuning.training.finetune import finetune
    from pipeline.finetuning.training.job import JobOptions
    from pipeline.reports.curves import render_files
    from pipeline.reports.finetune_json import finetune_json, winning_run_json

    task = session.task
    pairs = load_pairs(task.input_file)
    session.require_input(pairs.id)

    def deliver(result: FinetuneResult) -> Mapping[str, bytes]:
        values = finetune_json(result)
        if result.judgement.outcome == "WIN":
            values["judged"] = winning_run_json(winning_run(result, run_id=task.name, judged_at=task.requested_at))
        rendered = render_files(result)
        session.deliver(values, result.recipe_id, rendered)
        return rendered

    options = JobOptions(
        out=task.out,
        device=session.device,
        watch=session.watch(),
        stop=session.stop,
        clock=session.clock,
        checkpoints=task.checkpoints_url,
        known_checkpoints=task.known_checkpoints,
    )
    finetune(pairs, session.recipe(), options, deliver)


def refit(session: TrainingSession) -> None:
    """After a WIN, retrain on the latest window and rank the head."""
    from pipeline.finetuning.rank_by_adapter import rank_by, retrained_of
    from pipeline.finetuning.ranking_file import decode_ranking_set
    from pipeline.finetuning.result import RefitResult
    from pipeline.finetuning.training.job import JobOptions
    from pipeline.finetuning.training.refit import refit as retrain
    from pipeline.ranking.shortlist import dump_shortlist
    from pipeline.reports.finetune_json import load_winning_run, refit_json, render_refit_files

    task = session.task
    ranking = decode_ranking_set(task.input_file.read_bytes())
    session.require_input(ranking.id)
    judged = load_winning_run(task.judged)

    def deliver(result: RefitResult) -> Mapping[str, bytes]:
        record = result.record
        shortlist = rank_by(ranking, result.scores, judged.scorer, retrained_of(record))
        rendered = render_refit_files(result)
        session.deliver(refit_json(record) | {"shortlist": dump_shortlist(shortlist)}, record.recipe_id, rendered)
        return rendered

    options = JobOptions(
        out=task.out,
        device=session.device,
        watch=session.watch(),
        stop=session.stop,
        clock=session.clock,
        checkpoints=task.checkpoints_url,
        known_checkpoints=task.known_checkpoints,
    )
    retrain(ranking, session.recipe(), judged, options, deliver)


def score(session: TrainingSession) -> None:
    """Rank a newer head with the refit's adapters."""
    from pipeline.finetuning.rank_by_adapter import rank_by, retrained_of
    from pipeline.finetuning.ranking_file import decode_ranking_set
    from pipeline.finetuning.training.device import device_name
    from pipeline.finetuning.training.head_scores import score_head
    from pipeline.ranking.shortlist import dump_shortlist
    from pipeline.reports.finetune_json import load_refit

    task = session.task
    ranking = decode_ranking_set(task.input_file.read_bytes())
    session.require_input(ranking.id)
    session.watch()
    record = load_refit(task.refitted)
    started_s = session.clock()
    scores = score_head(ranking, open_store(task.adapters_url), record.hashes, device=session.device, stop=session.stop)
    shortlist = rank_by(ranking, scores, record.judged.scorer, retrained_of(record))
    values = {
        "head_sha": ranking.head_sha,
        "ranking_set_id": ranking.id,
        "ranked": len(ranking.head),
        "seconds": session.clock() - started_s,
        "device": device_name(session.device),
        "shortlist": dump_shortlist(shortlist),
    }
    session.deliver(values, record.recipe_id, {})


Purpose = Callable[[TrainingSession], None]


def on_device(job: Purpose) -> Purpose:
    """Wrap a job: choose the device first, and translate torch's exceptions into ones that need no torch."""

    def purpose(session: TrainingSession) -> None:
        from pipeline.finetuning.training.device import choose_device, is_out_of_memory
        from pipeline.finetuning.training.loop import Stopped

        try:
            job(replace(session, device=choose_device(session.task.device or None)))
        except Stopped:
            raise StopRequested from None
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise MemoryError from None
            raise

    return purpose


PURPOSES: Final[Mapping[RunPurpose, Purpose]] = MappingProxyType(
    {"judge": on_device(judge), "refit": on_device(refit), "score": on_device(score)}
)


def _adapter_files(out: Path) -> list[Path]:
    return sorted(path for path in out.glob(_ADAPTERS) if path.is_file())
