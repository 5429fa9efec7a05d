"""Cancel tasks reliably.

Before Python 3.12 `asyncio.wait_for`, which libraries call, can swallow a cancellation that arrives just as it
finishes (https://github.com/python/cpython/issues/86296), so the cancellation is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

REPEAT_AFTER_S: Final = 0.2


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]], again_after_s: float = REPEAT_AFTER_S) -> None:
    """Cancel the tasks and return once all have ended, in whatever way."""
    left = [task for task in tasks if not task.done()]
    while left:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=again_after_s)
        left = [task for task in left if not task.done()]
