"""Say when many fixes are probably missed because subjects name issues of another tracker. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.classify.messages import MessageFacts
from pipeline.git.history import KEYED, History

# On public labels the rules find half of the fixes of such histories, and seven of ten elsewhere.
MIN_COMMITS = 50
MIN_KEYED = 0.5
FEW_FIXES = 0.3  # of the keyed commits


def recall_notes(history: History, messages: Mapping[int, MessageFacts], commits: Sequence[int]) -> list[str]:
    """Return a note if most of `commits` (indexes of the graph) name an issue and few of those say that they fix it."""
    graph = history.graph
    own = [c for c in commits if len(graph.parents[c]) < 2]
    keyed = [c for c in own if graph.flags[c] & KEYED]
    if len(own) < MIN_COMMITS or len(keyed) < MIN_KEYED * len(own):
        return []
    fixes = sum(c in messages and messages[c].evidence is not None and not messages[c].not_a_fix for c in keyed)
    if fixes >= FEW_FIXES * len(keyed):
        return []
    return [
        f"{len(keyed):,} of {len(own):,} commits begin with an issue key such as ABC-123 and only {fixes:,} of "
        "them say that they fix something, so recall is probably low: label bugs on GitHub and let their evidence "
        "count, start subjects of fixes with `fix:`, or describe them by `fix_patterns` in `.github/assay.yml`"
    ]
