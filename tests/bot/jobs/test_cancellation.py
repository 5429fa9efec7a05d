"""A swallowed cancellation is repeated."""

from __future__ import annotations

import asyncio
import contextlib

from bot.jobs.cancellation import cancel_and_wait


def test_tasks_that_swallow_a_cancellation_end_nevertheless() -> None:
    async def deaf(times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        await asyncio.sleep(60)

    async def test() -> None:
        tasks = [asyncio.create_task(deaf(times)) for times in range(3)]
        await asyncio.sleep(0)
        await cancel_and_wait(tasks, again_after_s=0.01)
        assert all(task.cancelled() for task in tasks)
        await cancel_and_wait(tasks)
        await cancel_and_wait([])

    asyncio.run(test())
