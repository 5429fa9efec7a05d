"""What a person would see on GitHub while the demo is played: printed as it comes, and kept for reading."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders.app_processes import Deployment
from tests.simulator.repositories import Repository
from tests.simulator.state import CheckRun, Comment

KEPT = Path(".demo")
LOOKS_EVERY_S = 0.1


class Missed(Exception):
    """Something that belongs to the story did not come. The argument says what."""


@dataclass
class Watched:
    """Repositories on the simulated GitHub, and what of them was shown already."""

    repositories: Sequence[Repository]
    assay: Deployment
    texts: list[str] = field(default_factory=list)  # of our comments, each as it was edited
    _runs: dict[int, int] = field(default_factory=dict)  # check runs shown, by repository
    _said: dict[int, str] = field(default_factory=dict)  # the text of each of our comments
    _reactions: dict[int, int] = field(default_factory=dict)

    def until(self, what: str, is_so: Callable[[], object], within_s: float) -> None:
        """Show what is new until something is so. Raises Missed where it takes too long or a process has ended."""
        give_up_at_s = time.monotonic() + within_s
        while True:
            so = is_so()
            self.show_news()
            if so:
                return
            ended = [process for process in self.assay.processes if not process.running]
            if ended or time.monotonic() > give_up_at_s:
                why = f"assay {ended[0].command[0]} has ended" if ended else f"it did not come within {within_s:.0f} s"
                raise Missed(f"{what}: {why}; the end of what Assay said:\n{self.assay.said()[-4_000:]}")
            time.sleep(LOOKS_EVERY_S)

    def show_news(self) -> None:
        for repository in self.repositories:
            shown = self._runs.get(repository.repository_id, 0)
            for number, run in enumerate(list(repository.check_runs)[shown:], start=shown + 1):
                show_check(repository, run, f"{repository.name}-{number}")
                self._runs[repository.repository_id] = number
            for comment in repository.comments:
                self._show_comment(repository, comment)

    def _show_comment(self, repository: Repository, comment: Comment) -> None:
        for reaction in comment.reactions[self._reactions.get(comment.comment_id, 0) :]:
            say(f"\n--- {repository.full_name}: the App reacts to that comment with :{reaction['content']}:")
        self._reactions[comment.comment_id] = len(comment.reactions)
        if comment.app is None or self._said.get(comment.comment_id) == comment.body:
            return
        edited = comment.comment_id in self._said
        self._said[comment.comment_id] = comment.body
        self.texts.append(comment.body)
        place = keep(f"reply-{len(self.texts)}", comment.body)
        act = "edits its" if edited else "writes a"
        say(f"\n--- {repository.full_name}, issue {comment.issue_number}: the App {act} comment ---")
        say(_indented(comment.body))
        say(f"  (kept in {place})")


def show_check(repository: Repository, run: CheckRun, name: str) -> None:
    """Print a check run as it stands on GitHub, and keep all of it."""
    output = run["output"]
    place = keep(name, f"# {output['title']}\n\n{output['summary']}\n\n{output['text'] or ''}\n")
    say(f"\n--- {repository.full_name}, check run {run['name']} at {run['head_sha'][:7]}: {run['conclusion']} ---")
    say(output["title"])
    say("")
    say(_indented(output["summary"]))
    say(f"  (all of it: {place})")


def keep(name: str, content: str) -> Path:
    KEPT.mkdir(exist_ok=True)
    place = KEPT / f"{name}.md"
    place.write_text(content, encoding="utf-8")
    return place


def say(line: str) -> None:
    print(
        line.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(sys.stdout.encoding or "utf-8"),
        flush=True,
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
