"""Find claims to fix a bug in a message, beyond a conventional prefix. These are the rules of version 2.

In this order; docs/concepts/evidence.md has the words and what they are worth:

1. a trailer that names the faulty commit: `Fixes: 12ab34cd56ef ("x")`
2. the emoji for a bug, at the start of the subject, as a character or as `:bug:`
3. a word for a fix in the subject, unless a number makes a name of it (`Bug 1234 - Add x`) or it is denied (`No bug -`)
4. words for what was wrong (`crash`, `leak`, `missing`), or for a fix in another language
5. what the body says at its beginning that the commit fixes, unless the body is a list, as of a squashed branch

4 and 5 count only where the subject neither adds nor reshapes something ("Add x", "Refactor y", "feat: z"), and the
same goes for a reference that the subject closes ("Add x (fixes #12)"). A reference that the body closes claims
nothing: in some projects "Fixes #12" stands under features, documentation and tests alike.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pipeline.classify.foreign_words import has_foreign_word
from pipeline.classify.keywords import has_keyword, without_lookalikes
from pipeline.classify.vetoes import find_veto, without_vetoed

Claim = Literal["prefix", "keyword"]

BODY_CHARACTERS: Final = 400
_SUBJECT_CHARACTERS: Final = 400  # strong words beyond are not what the commit is about
_MOST_ITEMS: Final = 1  # a body with more items is a list

_FIXED_COMMIT = re.compile(
    r"^[ \t]{0,4}Fixes:[ \t]{0,4}(?:commit[ \t]{1,4}|https?://\S{1,200}/commit/)?"
    r"(?:(?=[0-9a-f]{0,39}[a-f])[0-9a-f]{7,40}|[0-9]{12,40}|[0-9]{7,11}(?=[ \t]{1,4}\(?\"))(?![0-9a-z])",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)

# Gitmoji for fixes: bug, lady beetle, beetle, ambulance (hotfix), adhesive bandage (small fix), lock (security).
_EMOJI = re.compile(
    r"(?:\[[\w. -]{0,80}\]|\s|[\ufe0e\ufe0f]){0,9}(?:[\w()./-]{1,60}: {0,2})?[\[(]?"
    r"(?:[\U0001f41b\U0001f41e\U0001fab2\U0001f691\U0001fa79\U0001f512]"
    r"|:(?:bug|lady_beetle|ladybug|beetle|ambulance|adhesive_bandage|lock):)",
    re.ASCII,
)

_REFERENCE = (
    r"(?:(?:issues?|bugs?|tickets?|PR|CID|defects?|(?:bug|issue) ?id)[:\s]{0,3})?"
    r"(?:https?://\S{1,300}|[\w./-]{0,100}[#!]\d{1,9}|(?:gh|[A-Z][A-Z0-9_]{1,15})-\d{1,9}|(?:\w{1,15}:)?\d{2,9}\b)"
)
_CLOSED = re.compile(
    rf"(?<![\w-])(?:fix(?:e[sd])?|bug)(?:[:\s]|-for:?){{1,4}}{_REFERENCE}"
    rf"(?:(?:,| and| &)\s{{1,2}}{_REFERENCE}){{0,9}}"
    r"|^[ \t]{0,8}(?:CRs?-)?(?:closes|fix(?:es|ed)|bugs?)[-\w]{0,12}[ \t]?[:=].{0,300}$",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)
# Numbers of a tracker: `Bug 1234 - `, `(bug #12)`, `Bugs 12, 13 and 14: `, `[BUG-12]`. "Fix bug 12" keeps its verb.
_NUMBERED = re.compile(
    r"(?<![\w-])(?:bugs?|defects?|regressions?)(?: ?(?:id|no\.?|nr\.?|number)(?=[ :#]))?"
    r"(?:[ #=/(-]{0,3}|: ?#|: ?(?=\d{3}))(?:[A-Z][A-Z0-9]{1,9}-)?\d{1,9}\b"
    r"(?:(?:, ?| and | & )#?\d{1,9}\b){0,9}|(?<!\w)b/\d{4,9}\b",
    re.IGNORECASE | re.ASCII,
)
_DENIED = re.compile(
    r"(?<![\w-])(?:no|non|not|never|isn't|isn\u2019t|without|neither)[ -]{1,2}"
    r"(?:(?:an?|any|the|really|actually|just|known|real|strictly|longer|related|to) ){0,3}"
    r"(?:(?:bug|hot)-?)?(?:bugs?|fix(?:es|ed|ing)?|regressions?|defects?)\b"
    r"|\bfix(?:es|ed|ing)? (?:no|nothing)(?![\w-])(?: (?:known )?(?:bugs?|regressions?|defects?)\b)?"
    r"|\b(?:nobugs?|bug-?free|won'?t ?fix|(?:does|do|did|would|will|can)(?:n['\u2019]t| not) fix|cannot fix)\b",
    re.IGNORECASE | re.ASCII,
)
_DENIES = re.compile(
    r"(?:\[|\()?(?:no[- ]?bugs?\b|not[- ](?:really )?an? (?:bug|fix|regression|defect)\b|non-?bug\b|bug-?free\b)",
    re.IGNORECASE | re.ASCII,
)

# What precedes the first word of a subject: tags, keys and numbers of trackers, the names of components.
_LEAD = re.compile(
    r"(?:\[[^\]]{0,80}\][ :]{0,3}|:[a-z_]{1,40}:\s?|[^\x00-\x7f\w]|\s|[-*$]\s"
    r"|(?-i:(?!CVE-)[A-Z][A-Z0-9_]{1,15})-\d{1,9}[ :.,-]{1,4}|(?:issue |ticket |bug )?#?\d{1,9}[ :.,-]{1,4})*+",
    re.IGNORECASE,
)
_COMPONENT = re.compile(r"[\w.,/(){}*+ -]{1,60}: {1,2}", re.ASCII)
# First words, and types of conventional subjects, of commits that add or reshape.
_ADDS = re.compile(
    r"(?:add(?:s|ed|ing)?(?! (?:a |an |the |some |back |in )?(?:missing|missed|forgotten|lost|workaround|null|nil)\b)"
    r"|implement\w*|introduc\w+|support(?:s|ed|ing)?|new|feat\w*|enhanc\w+|improv\w+|optimi[sz]\w+|creat\w+|initial"
    r"|refactor\w*|clean\w*|renam\w+|mov(?:e[sd]?|ing)|simplif\w+|rewr\w+|rework\w*|extract\w*|split\w*|convert\w*"
    r"|bump\w*|upgrad\w+|updat\w+|merg\w+|deprecat\w+|document\w*|docs?|tests?|releas\w+|prepar\w+|version|tid(?:y|ied)"
    r"|format\w*|reformat\w*|style|chore|build|ci|perf|enh|reorgani\w+|restructur\w+|moderni[sz]\w+|port(?:ed|ing)?"
    r"|migrat\w+|translat\w+|locali[sz]\w+|reorder\w*|unify|unified|consolidat\w+|revert\w*|back ?out|undo|enabl\w+"
    r"|increas\w+|polish\w*|minor|wip|todo)(?![\w-])",
    re.IGNORECASE | re.ASCII,
)

_SHEDS = re.compile(r"(?:remov\w+|delet\w+|drop\w*|get rid|no need|don't need)(?![\w-])", re.IGNORECASE | re.ASCII)
# The first of them, under which not even a reference that the subject closes is a claim.
_PLAINLY_ADDS = re.compile(
    r"(?:add(?:s|ed|ing)?|implement\w*|introduc\w+|support(?:s|ed|ing)?|new|feat\w*|enhanc\w+|docs?|document\w*)(?![\w-])",
    re.IGNORECASE | re.ASCII,
)

_NOT = r"(?:doesn't|doesnt|does not|can't|cannot|can not|couldn't|could not|didn't|did not"
# What may be missing without a bug.
_PROSE_THING = (
    r"(?:docs?|documentation|doc ?strings?|comments?|javadocs?|licen[cs]es?|copyright|newlines?|translations?|tests?"
    r"|type ?hints?|annotations?|change ?log|readme|news)\b"
)
_STRONG = re.compile(
    r"(?<![\w-])(?:"
    # what went wrong
    r"crash(?:e[sd]|ing)?|seg-?faults?|segmentation faults?|npes?|nullpointers?(?:exceptions?)?|null[- ]pointers?"
    r"|(?:null|nil|none)[- ](?:check|deref\w*)s?|use[- ]after[- ]free|double[- ]free|out[- ]of[- ](?:bounds?|range)"
    r"|(?:stack|buffer|integer|heap|int)[- ](?:over|under)flows?|off[- ]by[- ]one"
    r"|leak(?:s|ed|ing|age)?|race[- ]conditions?|data[- ]races?|races?|racy|(?:dead|live)[- ]?lock(?:s|ed|ing)?"
    r"|hangs?|hung|infinite (?:loops?|recursion)|oops(?:es)?|panics"
    r"|(?:don't|not|no|avoid|prevent|cause|kernel) (?:a )?panic|corrupt(?:s|ed|ion)?|uninitiali[sz]ed"
    r"|incorrect(?:ly)?|wrong(?:ly)?|broken|breakages?|fails|failed|failing|improper(?:ly)?|erroneous(?:ly)?"
    r"|accidental(?:ly)?|mistaken(?:ly)?|by mistake|inconsisten(?:t|tly|cy|cies)|bogus|unable to|mishandl\w+"
    rf"|missing(?! (?:[\w-]{{1,30}} ){{0,2}}{_PROSE_THING})|missed|forg[eo]t(?:ten)?|lost"
    r"|invalid|fixup|faulty|violat(?:es?|ed|ing|ions?)|unexpected(?:ly)?"
    r"|false (?:positive|negative)s?|too (?:many|few|early|late|long|large|small|eager(?:ly)?|aggressive(?:ly)?)"
    r"|not working|not (?:being |get |getting )?\w{2,30}ed|failures?|overflows?|underflows?|(?-i:OOM)|outofmemory\w*"
    r"|(?-i:[A-Z][A-Za-z]{2,60}(?:Exception|Error))(?= (?:in|on|when|while|for|from|with|if|after|at|during|thrown|is))"
    rf"|{_NOT}|won't|wasn't|weren't)"
    # what was done about it
    r"|properly|correctly|workarounds?|work(?:s|ed)? around"
    r"|(?:handl|avoid|prevent|ensur|catch|ignor|suppress|check|guard|protect)\w*(?: \S{1,40}){0,4}?"
    r" (?:\w*errors?|\w*exceptions?|failures?|null|nil|none|empty|zero|division|duplicates?|timeouts?|conflicts?)"
    r"|cves?-\d{4}-\d{1,9}|vulnerabilit(?:y|ies)"
    r")(?![\w-])",
    re.IGNORECASE | re.ASCII,
)
# Verbs that begin the description of a repair.
_REPAIRS = re.compile(
    r"(?:correct(?:s|ed|ing)?|prevent(?:s|ed|ing)?|guard\w*|repair\w*"
    r"|resolv(?:e[sd]?|ing)|solv(?:e[sd]?|ing)|rectif(?:y|ied|ies)|never)(?![\w-])",
    re.IGNORECASE | re.ASCII,
)

# Under these subjects, words of the body speak of something else.
_TIDIES = re.compile(
    r"(?:clean(?:s|ed|ing)?[ -]?ups?|tid(?:y|ying|ied)|style|white ?spaces?|comments?|unused|obsolete|dead code"
    r"|cosmetic|rename\w*|refactor\w*|remov(?:e[sd]?|al|ing)|drop(?:s|ped)?|skip(?:s|ped|ping)?|typos?|docs?|documentation|tests?"
    r"|warnings?)(?![\w-])",
    re.IGNORECASE | re.ASCII,
)
# What a body says of its own commit: "this fixes", "to fix", "Fixes", "wrong". Bugs, failures and what "was fixed" do
# not count, because it tells of those of others too.
_TELLS = re.compile(
    r"(?<![\w-])(?:(?:this|these|it|which|that|patch|commit|change|cl|pr|also|should|to|and|will|would|we|by|thus|hence"
    r"|so)\s(?:(?!(?:was|were|been|is|are|be|got)\s)\w{1,20}\s)?fix(?:es|ed)?|fixing|fixes|(?:bug|hot)fix(?:es)?|incorrect(?:ly)?|wrong(?:ly)?)(?![\w-])"
    r"|(?:^|[.!?\n][ \t]{0,4})fix(?:ed)?(?![\w-])",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)
_ITEM = re.compile(r"[ \t]{0,8}(?:[*+\u2022-]|\d{1,3}[.)])[ \t]{1,4}\S")
_NO_PROSE = re.compile(r"[ \t]{0,4}(?:>|[A-Z][\w-]{2,30}-by:|git-svn-id:|Merge |commit [0-9a-f]{7}|#)", re.IGNORECASE)


# In lower case; a subject in ASCII that claims a fix without a word for one contains a match (a fast test).
CHEAP: Final = re.compile(
    rb"(?<![a-z])(?:crash|seg|npe|null|nil|none|use[- ]after|double|out|off|leak|rac|dead|live|hang|hung|infinite|oops"
    rb"|panic|corrupt|uninit|incorrect|wrong|broken|breakage|fail|improper|errone|accident|mistake|inconsisten|bogus"
    rb"|unable|mishandl|miss|forg[eo]t|lost|invalid|fault|violat|unexpected|false|too\b|not\b|overflow|underflow|oom|can"
    rb"|(?:does|is|are|could|did|wo|was|were)n't|doesnt|proper|correct|work|handl|avoid|prevent|catch|ignor|suppress"
    rb"|check|guard|protect|cve|vulnerab|ensur|make sure|repair|resolv|solv|rectif|never"
    rb"|corr|korrig|behebt|beheb|behob|repar|fehler|arregl|solucion|conserta|arruma|risol|sistemat|napraw)"
    rb"|error|exception|:(?:beetle|lady|ambulance|adhesive|lock)"
)


def fix_claim(subject: str, body: str) -> Claim | None:
    """Return what a subject (decoded, without lead) and body claim, None if they claim no fix."""
    if _FIXED_COMMIT.search(body):
        return "prefix"
    if _EMOJI.match(subject):
        return "keyword"
    text = _DENIED.sub(" ", _NUMBERED.sub(" ", subject))
    start = first_words(subject)
    adds = bool(_ADDS.match(start))
    if has_keyword(_CLOSED.sub(" ", text) if _PLAINLY_ADDS.match(start) else text):
        return "keyword"
    if adds or _SHEDS.match(start) or _DENIES.match(start) or _DENIES.match(subject):
        return None
    near = _DENIED.sub(" ", subject[_end(_LEAD, subject) :][:_SUBJECT_CHARACTERS])
    if _REPAIRS.match(start) or _STRONG.search(near) or has_foreign_word(near):
        return "keyword"
    return "keyword" if not _TIDIES.search(near) and _body_claims(body[:BODY_CHARACTERS]) else None


def vetoed_claim(subject: str) -> str | None:
    """Return the class of a subject whose only claim is to fix what nobody saw (a warning, a comment), else None."""
    veto = find_veto(subject)
    if veto is None:
        return None
    reason, rest = veto
    start = first_words(rest)
    claims = has_keyword(_CLOSED.sub(" ", _NUMBERED.sub(" ", rest))) or _STRONG.search(start) or _REPAIRS.match(start)
    return None if claims else reason


def first_words(subject: str) -> str:
    """Return a subject without tags, keys of a tracker and names of components."""
    rest = subject[_end(_LEAD, subject) :]
    for _ in range(3):
        if _ADDS.match(rest) or not (component := _COMPONENT.match(rest)):
            break
        rest = rest[component.end() :]
        rest = rest[_end(_LEAD, rest) :]
    return rest


def _body_claims(body: str) -> bool:
    if not _TELLS.search(body):
        return False
    lines = body.splitlines()
    if sum(bool(_ITEM.match(line)) for line in lines) > _MOST_ITEMS:
        return False
    prose = "\n".join(line for line in lines if not _NO_PROSE.match(line))
    for pattern in (_CLOSED, _NUMBERED, _DENIED):
        prose = pattern.sub(" ", prose)
    return bool(_TELLS.search(without_vetoed(without_lookalikes(prose))))


def _end(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.match(text)
    return match.end() if match else 0
