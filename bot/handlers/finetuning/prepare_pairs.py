"""Gather the file that a run reads: a child process writes it at the pinned commit, and the store keeps it by hash."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from bot.handlers.finetuning.prepare_checks import Preparation
from bot.handlers.screening.clone_slot import CloneSlot, clone_slot
from bot.handlers.screening.evidence import evidence_file, read_evidence
from bot.jobs.context import JobContext
from bot.messages.reasons import EVIDENCE_UNREADABLE, too_much_to_read
from bot.sandbox.pair_task import MAX_PAIR_FILE_BYTES, PairResult
from bot.sandbox.screening_task import EvidenceFile, ScreeningFailed, ScreeningTask
from pipeline.label_recipe import MESSAGES, RECIPES, LabelRecipe


async def gather(context: JobContext, prepared: Preparation) -> PairResult:
    """Gather the file and store it. Raises ScreeningFailed and StoreError."""
    ids = context.installation_id, context.repository_id
    async with clone_slot(context) as slot:
        evidence = await _evidence(context, prepared, slot)
        gathered = await context.parts.supervisor.prepare_pairs(_task(context, prepared, slot, evidence))
        file = slot.folder / prepared.gathering.file_name
        content = await asyncio.to_thread(_read, file)
        await asyncio.to_thread(context.parts.artifacts.put_pairs, *ids, content, gathered.id)
        await asyncio.to_thread(file.unlink, missing_ok=True)
    return gathered


async def _evidence(context: JobContext, prepared: Preparation, slot: CloneSlot) -> EvidenceFile | None:
    """Fetch issues and pull requests if the verdict was based on them. Raises ScreeningFailed."""
    recipe = _recipe_of(prepared)
    if not recipe.reads_tracker:
        return None
    repository, head_sha = prepared.repository, prepared.run.head_sha
    client = context.parts.github.installation_client(context.installation_id, prepared.token)
    fetched = await read_evidence(
        context, prepared.installation, client, repository, head_sha, slot.folder, deciding=recipe
    )
    if fetched.recipe is not recipe:
        raise ScreeningFailed("unreadable", EVIDENCE_UNREADABLE)
    return evidence_file(context, fetched, repository, prepared.seen_at)


def _task(context: JobContext, prepared: Preparation, slot: CloneSlot, evidence: EvidenceFile | None) -> ScreeningTask:
    policy = context.parts.policy
    return ScreeningTask(
        url=f"{policy.web_url}/{prepared.repository.full_name}.git",
        folder=slot.folder,
        max_pack_bytes=slot.max_bytes,
        token=prepared.token,
        seen_at=int(prepared.seen_at.timestamp()),
        ca_bundle=policy.ca_bundle,
        proxies=policy.proxies,
        memory_mb=policy.screening_memory_mb,
        wall_s=policy.screening_s,
        cpu_s=policy.screening_s,
        overlay=prepared.config.overlay,
        recipe=_recipe_of(prepared).name,
        evidence=evidence,
        pair_task=prepared.gathering,
    )


def _recipe_of(prepared: Preparation) -> LabelRecipe:
    return RECIPES.get(prepared.run.label_recipe_id, MESSAGES)


def _read(file: Path) -> bytes:
    """Read the file, refusing a link that a compromised child may have left. Raises ScreeningFailed."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            content = opened.read(MAX_PAIR_FILE_BYTES + 1)
    except OSError as error:
        raise ScreeningFailed("crash", f"left no file that can be read ({error.strerror})") from None
    if len(content) > MAX_PAIR_FILE_BYTES:
        raise ScreeningFailed("unreadable", too_much_to_read(MAX_PAIR_FILE_BYTES))
    return content
