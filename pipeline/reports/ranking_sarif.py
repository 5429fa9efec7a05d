"""A ranking as SARIF 2.1.0 that GitHub's code scanning takes: one result a function, or a file, riskiest first.

Every property is there that GitHub requires or makes use of ("SARIF support for code scanning" in its documentation).
Results are notes, the mildest level there is: a ranking says where to look, and finds nothing wrong.
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

MOST_RESULTS = 25_000  # GitHub refuses a file with more, and shows the first 5,000
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

Level = Literal["function", "file"]
LEVELS: tuple[Level, ...] = ("function", "file")


@dataclass(frozen=True, slots=True)
class Located:
    """A place in the ranking, and what tells it apart and bounds it in its file."""

    ranked: Ranked
    ordinal: int  # among functions of one name in one file, from 0
    end_column: int  # after the last character of its last line, from 1, in UTF-16 code units


@dataclass(frozen=True, slots=True)
class Ranking:
    """What was ranked, and how."""

    level: Level
    ranked: int  # functions or files in all
    scorer: str
    head_sha: str
    as_of: int  # seconds since 1970
    label_recipe_id: str
    repository_uri: str = ""  # empty where it is not known


def end_column(code: bytes, line: int) -> int:
    """The column after the last character of `line` (from 1) in UTF-16 code units; 1 for a line that is not there."""
    lines = code.split(b"\n")[line - 1 : line] if line > 0 else []
    text = b"".join(lines).removesuffix(b"\r").decode("utf-8", "replace")
    return len(text.encode("utf-16-le")) // 2 + 1


def ranking_sarif(places: Sequence[Located], ranking: Ranking, *, version: str) -> dict[str, Any]:
    """The whole file, as a JSON object: the same ranking gives the same one. `version` is Assay's own.

    Raises ValueError for more places than GitHub takes.
    """
    if len(places) > MOST_RESULTS:
        raise ValueError(f"{len(places)} results: GitHub takes {MOST_RESULTS}")
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
        "automationDetails": {"id": f"assay/rank/{ranking.level}/"},  # a category of its own for each level
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
        f"Assay ranks every {level} of a repository by how likely it is to need a fix next: by its structure (size, "
        "complexity, calls) and its past (how often it was changed and fixed, by how many people), or by a language "
        "model that was fine-tuned on past fixes where one was asked for. The ranking points "
        "at places that deserve a look, a test or a careful review. It has found no defect: most of what it points at "
        "is in order."
    )
    advice = (
        "Read what the message says about the place. Where it is long, changed often and fixed before, a test of its "
        "edge cases or a split may pay. Dismiss the note where you have looked and all is well. `assay evaluate` tells "
        "how good the ranking of this repository would have been a year ago."
    )
    return {
        "id": f"assay/look-here-first/{level}",
        "name": f"LookHereFirst{level.title()}",
        "shortDescription": {"text": f"A {level} that is likelier than others to need a fix"},
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
    of = f"{count(place)} of {count(ranking.ranked)} {ranking.level}s"
    name = _plain(ranked.qualified_name)
    what = name if ranking.level == "function" else f"{_plain(ranked.path)}, most of all {name}"
    why = _plain(", ".join(ranked.reasons))
    return f"Look here first ({of}): {what}: {why}. A ranking of where fixes are likeliest; no defect was found here."


def _plain(text: str) -> str:
    """Text in which a reader of SARIF sees no placeholder and no link (SARIF 2.1.0, 3.11.5 and 3.11.6)."""
    return re.sub(r"\](?=\()", "] ", inert(text)).replace("{", "{{").replace("}", "}}")


def uri_of(path: str) -> str:
    """A path relative to the root of the repository as a URI reference; a colon in it ends no scheme.

    Paths that are not UTF-8 come written with escapes; their URI names no file.
    """
    return quote(path.encode("utf-8", "backslashreplace"), safe="/")


def _fingerprint(located: Located, level: Level) -> str:
    """Stays the same while the function keeps its name and its file, whatever becomes of its lines, rank or score."""
    ranked = located.ranked
    parts = [level, ranked.path] if level == "file" else [level, ranked.path, ranked.qualified_name]
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()
    return f"{digest[:16]}:{1 if level == 'file' else located.ordinal + 1}"
