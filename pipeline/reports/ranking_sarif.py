"""Render a ranking as SARIF 2.1.0 for GitHub code scanning: one result per function or file, riskiest first.

Includes every property that GitHub requires or uses ("SARIF support for code scanning" in its documentation). Results
are notes, the mildest level, because a ranking says where to look and does not find defects.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from pipeline.ranking.rank import Ranked
from pipeline.reports.escape import inert
from pipeline.reports.numbers import count, iso

MAX_RESULTS = 25_000  # GitHub rejects files with more, and displays only the first 5,000
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

Level = Literal["function", "file"]
LEVELS: tuple[Level, ...] = ("function", "file")


@dataclass(frozen=True, slots=True)
class Located:
    """A place in the ranking with its exact location in the file."""

    ranked: Ranked
    ordinal: int  # 0-based, among functions of the same name in the file
    end_column: int  # 1-based, after its last line, in UTF-16 code units


@dataclass(frozen=True, slots=True)
class Ranking:
    """What was ranked, by which scorer."""

    level: Level
    ranked: int  # total number of functions or files
    scorer: str
    head_sha: str
    as_of: int  # Unix seconds
    label_recipe_id: str
    repository_uri: str = ""  # empty if unknown


def end_column(code: bytes, line: int) -> int:
    """Return the column after the last character of 1-based `line` in UTF-16 code units; 1 for a missing line."""
    lines = code.split(b"\n")[line - 1 : line] if line > 0 else []
    text = b"".join(lines).removesuffix(b"\r").decode("utf-8", "replace")
    return len(text.encode("utf-16-le")) // 2 + 1


def ranking_sarif(places: Sequence[Located], ranking: Ranking, *, version: str) -> dict[str, Any]:
    """Return the SARIF file as a deterministic JSON object. `version` is that of Assay.

    Raises ValueError for more places than GitHub accepts.
    """
    if len(places) > MAX_RESULTS:
        raise ValueError(f"{len(places)} results: GitHub accepts at most {MAX_RESULTS}")
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(places, ranking, version)]}


def _run(places: Sequence[Located], ranking: Ranking, version: str) -> dict[str, Any]:
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "Assay",
                "version": version,
                "semanticVersion": version,
                "rules": [_rule(level) for level in LEVELS],
            }
        },
        "automationDetails": {"id": f"assay/rank/{ranking.level}/"},  # one category per level
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The root of the repository."}}},
        "columnKind": "utf16CodeUnits",
        "results": [_result(place, located, ranking) for place, located in enumerate(places, 1)],
        "properties": {
            "head_sha": ranking.head_sha,
            "as_of": iso(ranking.as_of),
            "scorer": ranking.scorer,
            "ranked": ranking.ranked,
            "label_recipe_id": ranking.label_recipe_id,
        },
    }
    if ranking.repository_uri:
        source = {"repositoryUri": ranking.repository_uri, "revisionId": ranking.head_sha}
        run["versionControlProvenance"] = [source | {"mappedTo": {"uriBaseId": "%SRCROOT%"}}]
    return run


def _rule(level: Level) -> dict[str, Any]:
    text = (
        f"Assay ranks every {level} of a repository by how likely it is to need a fix next, based on its structure "
        "(size, complexity, calls) and history (how often it was changed and fixed, by how many people), or on a "
        "language model fine-tuned on past fixes if one was requested. The ranking points to code that deserves a "
        "look, a test or a careful review. It has found no defect, and most of the code it points to is correct."
    )
    advice = (
        "Read the reasons in the message. If the code is long, changes often and has been fixed before, testing its "
        "edge cases or splitting it may pay off. Dismiss the note once you have looked and found nothing wrong. `assay "
        "evaluate` measures how good the ranking of this repository would have been a year ago."
    )
    return {
        "id": f"assay/look-here-first/{level}",
        "name": f"LookHereFirst{level.title()}",
        "shortDescription": {"text": f"A {level} that is more likely than others to need a fix"},
        "fullDescription": {"text": text},
        "help": {
            "text": f"{text}\n\nWhat to do: {advice}",
            "markdown": f"{text}\n\n**What to do.** {advice}",
        },
        "defaultConfiguration": {"level": "note"},
        "properties": {
            "tags": ["maintainability", "risk-ranking"],
            "precision": "low",
            "problem.severity": "recommendation",
        },
    }


def _result(place: int, located: Located, ranking: Ranking) -> dict[str, Any]:
    ranked = located.ranked
    return {
        "ruleId": f"assay/look-here-first/{ranking.level}",
        "ruleIndex": LEVELS.index(ranking.level),
        "level": "note",
        "rank": 100 * (ranking.ranked - place + 1) / ranking.ranked,
        "message": {"text": _message(place, located, ranking)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri_of(ranked.path), "uriBaseId": "%SRCROOT%"},
                    "region": {
                        "startLine": ranked.start_line,
                        "startColumn": 1,
                        "endLine": ranked.end_line,
                        "endColumn": located.end_column,
                    },
                },
                "logicalLocations": [{"fullyQualifiedName": inert(ranked.qualified_name), "kind": "function"}],
            }
        ],
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(located, ranking.level)},
        "properties": {"place": place, "score": ranked.score, "reasons": list(ranked.reasons)},
    }


def _message(place: int, located: Located, ranking: Ranking) -> str:
    ranked = located.ranked
    position = f"{count(place)} of {count(ranking.ranked)} {ranking.level}s"
    name = _plain(ranked.qualified_name)
    what = name if ranking.level == "function" else f"{_plain(ranked.path)}, especially {name}"
    reasons = _plain(", ".join(ranked.reasons))
    return (
        f"Look here first ({position}): {what}: {reasons}. This ranks where fixes are most likely; no defect was found "
        "here."
    )


def _plain(text: str) -> str:
    """Escape text so that SARIF viewers see no placeholders or links in it (SARIF 2.1.0, 3.11.5 and 3.11.6)."""
    return re.sub(r"\](?=\()", "] ", inert(text)).replace("{", "{{").replace("}", "}}")


def uri_of(path: str) -> str:
    """Return a repository-relative path as a URI reference, in which a colon does not end a scheme.

    Paths that are not UTF-8 contain escapes, so their URI does not name a file.
    """
    return quote(path.encode("utf-8", "backslashreplace"), safe="/")


def _fingerprint(located: Located, level: Level) -> str:
    """Return a fingerprint that depends on name and file only, not on lines, rank or score."""
    ranked = located.ranked
    parts = [level, ranked.path] if level == "file" else [level, ranked.path, ranked.qualified_name]
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()
    return f"{digest[:16]}:{1 if level == 'file' else located.ordinal + 1}"
