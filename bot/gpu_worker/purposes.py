"""What a run is for, and which job of the pipeline that is: one row a purpose. Runs in the process that trains.

What a job made is uploaded, and the worker told, from within its `files`: before the job forgets its checkpoints. So
whoever is killed before the worker has written the result down is followed by somebody who has only to score and judge
again, if that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from bot.base_models import identified
from bot.gpu_worker.training_task import TrainingTask
from bot.records import RunPurpose
from bot.run_progress import KEEPING, Meter, Pace, Progress, dump_progress
from pipeline.finetuning.artifact_store import open_store
from pipeline.finetuning.events import CheckpointSaved
from pipeline.finetuning.job_events import JobEvent
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.refit_events import RefitEvent
from pipeline.records import AssayError

TOLD_EVERY_S: Final = 1.0
_ADAPTERS: Final = "adapter-seed-*/*"

Say = Callable[[Mapping[str, Any]], None]


class Halt(Exception):
    """It was told to stop, and a checkpoint is kept."""


@dataclass(frozen=True, kw_only=True)
class TrainingSession:
    """An order, and the way to whoever gave it."""

    order: TrainingTask
    say: Say
    stop: Callable[[], str | None]
    clock: Callable[[], float]
    delivered: Callable[[], object]  # the worker writes it down and ends this process; does not return
    device: str = ""  # the one that was chosen

    def watch(self) -> Callable[[JobEvent | RefitEvent], None]:
        meter, pace = Meter(), Pace(TOLD_EVERY_S)
        self._tell(meter.progress)

        def see(event: JobEvent | RefitEvent) -> None:
            progress = dump_progress(meter.see(event))
            if isinstance(event, CheckpointSaved):
                self.say({"checkpoint": event.sha256})
            if pace.is_due(progress, self.clock()):
                self.say({"progress": progress})

        return see

    def recipe(self) -> FinetuneRecipe:
        recipe = self.order.recipe
        return replace(recipe, base_model=identified(recipe.base_model)).fitted_to(self.device)

    def read(self, found: str) -> None:
        """Raises AssayError unless what was read is what was ordered."""
        if found != self.order.input_id:
            raise AssayError("the functions that were read are not those that were gathered for this run: ask again")

    def deliver(self, result: Mapping[str, Any], recipe_id: str, rendered: Mapping[str, bytes]) -> None:
        """Upload adapters and what is rendered, then say so."""
        self._tell(Progress(KEEPING, device=str(result.get("device", ""))))
        store = open_store(self.order.done)
        files = {f"{path.parent.name}/{path.name}": path for path in _adapter_files(self.order.out)}
        hashes = {name: store.write(name, path.read_bytes()) for name, path in files.items()}
        for name, content in rendered.items():
            hashes[name] = store.write(name, content)
        self.say({"done": {"result": result, "recipe_id": recipe_id, "files": hashes}})
        self.delivered()

    def _tell(self, progress: Progress) -> None:
        self.say({"progress": dump_progress(progress)})


def judge(session: TrainingSession) -> None:
    """Train, and tell on the holdout what that is worth."""
    from pipeline.finetuning.pair_file import load_pairs
    from pipeline.finetuning.refit_result import judged_of
    from pipeline.finetuning.result import FinetuneResult
    from pipeline.finetuning.training.finetune import finetune
    from pipeline.reports.finetune_files import render_files
    from pipeline.reports.finetune_json import finetune_json
    from pipeline.reports.refit_json import judged_json

    order = session.order
    pairs = load_pairs(order.input_file)
    session.read(pairs.id)

    def deliver(result: FinetuneResult) -> Mapping[str, bytes]:
        told = finetune_json(result)
        if result.judgement.outcome == "WIN":
            told["judged"] = judged_json(judged_of(result, run_id=order.name, judged_at=order.asked_at))
        rendered = render_files(result)
        session.deliver(told, result.recipe_id, rendered)
        return rendered

    finetune(
        pairs,
        session.recipe(),
        out=order.out,
        device=session.device,
        files=deliver,
        watch=session.watch(),
        stop=session.stop,
        clock=session.clock,
        checkpoints=order.checkpoints,
        known_checkpoints=order.known_checkpoints,
    )


def refit(session: TrainingSession) -> None:
    """After a win: train once more on the latest window, and rank the head."""
    from pipeline.finetuning.job_state import JobState
    from pipeline.finetuning.rank_by_adapter import rank_by, retrained_of
    from pipeline.finetuning.ranking_file import decode_ranking_set
    from pipeline.finetuning.refit_result import RefitRecord
    from pipeline.finetuning.training.head_scores import average_of
    from pipeline.finetuning.training.refit import refit as train_once_more
    from pipeline.ranking.shortlist import dump_shortlist
    from pipeline.reports.refit_json import load_judged, refit_json, render_refit_files

    order = session.order
    ranking = decode_ranking_set(order.input_file.read_bytes())
    session.read(ranking.id)
    judged = load_judged(order.judged)

    def deliver(record: RefitRecord) -> Mapping[str, bytes]:
        ids = {"pair_set_id": ranking.id, "recipe_id": judged.recipe_id}
        state = JobState(open_store(order.checkpoints), **ids)
        scores = [run.scores for each in record.adapters if (run := state.run(each.seed)) is not None]
        shortlist = rank_by(ranking, average_of(scores), judged.scorer, retrained_of(record))
        rendered = render_refit_files(record)
        session.deliver(refit_json(record) | {"shortlist": dump_shortlist(shortlist)}, record.recipe_id, rendered)
        return rendered

    train_once_more(
        ranking,
        session.recipe(),
        judged,
        out=order.out,
        device=session.device,
        files=deliver,
        watch=session.watch(),
        stop=session.stop,
        clock=session.clock,
        checkpoints=order.checkpoints,
        known_checkpoints=order.known_checkpoints,
    )


def score(session: TrainingSession) -> None:
    """Rank a newer head with the adapters of the refit."""
    from pipeline.finetuning.rank_by_adapter import rank_by, retrained_of
    from pipeline.finetuning.ranking_file import decode_ranking_set
    from pipeline.finetuning.training.head_scores import score_head
    from pipeline.finetuning.training.loaded import device_name
    from pipeline.ranking.shortlist import dump_shortlist
    from pipeline.reports.refit_json import refit_of

    order = session.order
    ranking = decode_ranking_set(order.input_file.read_bytes())
    session.read(ranking.id)
    session.watch()
    record = refit_of(order.refitted)
    began_s = session.clock()
    scores = score_head(ranking, open_store(order.adapters), record.hashes, device=session.device, stop=session.stop)
    shortlist = rank_by(ranking, scores, record.judged.scorer, retrained_of(record))
    told = {
        "head_sha": ranking.head_sha,
        "ranking_set_id": ranking.id,
        "ranked": len(ranking.head),
        "seconds": session.clock() - began_s,
        "device": device_name(session.device),
        "shortlist": dump_shortlist(shortlist),
    }
    session.deliver(told, record.recipe_id, {})


Purpose = Callable[[TrainingSession], None]


def on_a_device(job: Purpose) -> Purpose:
    """With the device chosen, and with what only torch can say said in words that need no torch."""

    def purpose(session: TrainingSession) -> None:
        from pipeline.finetuning.training.devices import choose_device, is_out_of_memory
        from pipeline.finetuning.training.loop import Stopped

        try:
            job(replace(session, device=choose_device(session.order.device or None)))
        except Stopped:
            raise Halt from None
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise MemoryError from None
            raise

    return purpose


PURPOSES: Final[Mapping[RunPurpose, Purpose]] = MappingProxyType(
    {"judge": on_a_device(judge), "refit": on_a_device(refit), "score": on_a_device(score)}
)


def _adapter_files(out: Path) -> list[Path]:
    return sorted(path for path in out.glob(_ADAPTERS) if path.is_file())
