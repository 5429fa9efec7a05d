"""Read the messages of the commits that landed in a window, with the evidence of linked issues and pull requests."""

from __future__ import annotations

from pipeline.classify.messages import MessageFacts, read_message
from pipeline.classify.overlay import OverlayRules
from pipeline.classify.references import might_refer, read_references
from pipeline.git.history import MAY_FIX, History, RawCommit, commits_landing_in, parse_commit
from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.issue_links import LandingUnit, Linked, Tracked, landing_units, link


class MessageReader:
    """Read messages, without a tracker from the commits alone. `units` are the pull requests that were found."""

    def __init__(
        self, reader: ObjectReader, recipe: LabelRecipe, rules: OverlayRules, tracked: Tracked | None = None
    ) -> None:
        self._reader = reader
        self._recipe = recipe
        self._rules = rules
        self.tracked = tracked
        self.units: dict[int, LandingUnit] = {}

    def without_tracker(self) -> MessageReader:
        """Return a reader of commits alone."""
        return MessageReader(self._reader, self._recipe, self._rules)

    def read(self, history: History, after: int, upto: int, until: int) -> dict[int, MessageFacts]:
        """Read the messages with possible evidence of the commits that landed in (after, upto].

        Issues and pull requests opened after `until` (seconds since 1970) are ignored.
        """
        messages: dict[int, MessageFacts] = {}
        links = self._links(history, after, upto, until)
        for commit in commits_landing_in(history, after, upto):
            linked = links.get(commit, Linked())
            flagged = bool(history.graph.flags[commit] & MAY_FIX)
            if not (flagged or self._rules.reads_every_message or linked.evidence):
                continue
            if raw := self._commit(history, commit):
                facts = read_message(
                    raw.message, raw.author, raw.encoding, self._recipe, linked.evidence, rules=self._rules
                )
                facts = facts._replace(evidence=linked.strongest(facts.evidence))
                if flagged or facts.evidence:
                    messages[commit] = facts
        return messages

    def _links(self, history: History, after: int, upto: int, until: int) -> dict[int, Linked]:
        """Link those commits to issues and pull requests; empty without a tracker."""
        if self.tracked is None:
            return {}
        references = {}
        for commit in commits_landing_in(history, after, upto):
            raw = self._commit(history, commit)
            if raw and might_refer(raw.message):
                references[commit] = read_references(raw.message, self.tracked.home)
        links = link(history, references, self.tracked.tracker, until, self._recipe)
        self.units |= landing_units(history, links)
        return links

    def _commit(self, history: History, commit: int) -> RawCommit | None:
        try:
            return parse_commit(self._reader.commit(history.graph.ids[commit]), self._recipe.miner_version)
        except (ObjectProblem, ValueError):
            return None
