"""Find words for a fix in English text: fix, bug, hotfix, regression, defect; not the words that look like them.

- Plurals count (bugs, bugfixes, hotfixes, regressions, defects): they describe the same work as the singular.
- Letters of alphabets, digits and `_` join words (`bug_report`, `fix2`, `fixé` are no evidence); hyphens, slashes and
  `#` separate them (`bug-fix`, `fix/foo`, `#fix` are), and so do scripts written without spaces (`修复bug`).
- Lookalikes do not count: `pre-fix`, `auto-fix`, `--fix`, `fix.go`, Go's `cmd/fix:`, "bug report", "fixed-size".
"""

from __future__ import annotations

import re
from typing import Final

# Characters that join words: letters of alphabets, digits, `_`. Scripts from U+2E80 on are written without spaces.
JOINED: Final = r"[^\W\u2e80-\U0010ffff]"
_KEYWORD = re.compile(
    rf"(?<!{JOINED})(?<!--)(?<!\bpre-)(?<!\bpost-)"
    r"(?a:fix(?:es|ed|ing)?|(?:bug|hot)fix(?:es)?|bugs?|regressions?|defects?)"
    rf"(?!{JOINED})(?!\.[a-z])",
    re.IGNORECASE,
)
_MEASURE = r"(?:size|width|length|point|position|height|rate|delay|header|column|array|time|layout)"
_STATISTICAL = (
    r"(?:linear|logistic|ridge|kernel|lasso|bayesian|process|poisson|quantile|isotonic|forest|tree|tweedie|gamma|pls"
    r"|svm|multi-?output|multinomial|ordinal|polynomial|sparse|robust|symbolic)"
)
_LOOKS_ALIKE = re.compile(
    r"(?<!\w)(?:"
    rf"fixed-{_MEASURE}\w{{0,2}}|(?<=\w )fixed {_MEASURE}d?"
    r"|(?:an?|of|with|use[sd]?|using|to) fixed(?! (?:in|by|for|#))"
    r"|bugs?[ -](?:report|tracker|template|bounty)(?:s|er|ers|ing)?"
    r"|bug[ -]?fix(?:es)? (?:releases?|versions?|branch(?:es)?|sections?)"
    r"|auto[ -]?fix(?:es|ed|ing)?|(?<=\w )(?<!\ba )quick[ -]fix(?:es)?"
    r"|(?:non-)?regressions? (?:tests?|testing|suites?|cases?)|non-regressions?"
    rf"|{_STATISTICAL} regressions?|for regression|classification ?(?:and|or|[/&+,]) ?regression"
    r"|regression (?:and classification|models?|metrics?|trees?|forests?|problems?|tasks?|targets?|examples?)"
    r")(?!\w)",
    re.IGNORECASE,
)


def has_keyword(text: str) -> bool:
    """Return whether a text contains a word for a fix."""
    return bool(_KEYWORD.search(without_lookalikes(text)))


def without_lookalikes(text: str) -> str:
    return _LOOKS_ALIKE.sub(" ", text)
