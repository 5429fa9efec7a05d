"""Find words for a fix in subjects that are not in English: a table for ten languages.

Public labels exist for English only, so the table is chosen by meaning and errs on the side of precision. A word that
also means change, amend or settle is left out: Chinese 修改, Korean 수정 alone, Russian правка, German ändern, French
modifier and correction (English uses it for gamma and the like), Spanish arreglo (an array), Polish poprawka. Subjects
about documents, comments and typing errors claim nothing.
"""

from __future__ import annotations

import re
from types import MappingProxyType

FIX_WORDS = MappingProxyType(
    {
        "Chinese": r"修复|修復|修正|修補|修补|解决.{0,40}(?:问题|错误|崩溃)|解決.{0,40}(?:問題|錯誤)",
        "Japanese": r"修正|不具合|バグ|直した|を直す",
        "Korean": r"버그|(?:오류|에러|문제|결함).{0,20}(?:수정|해결)|고침",
        "Russian": r"\b(?:по)?исправ[а-яё]+\b"
        r"|\b(?:баг[аиу]?|багов|багфикс[а-яё]*|фикс[аы]?|фиксит|пофиксил[аи]?|починил[аи]?)\b"
        r"|\bустран\w+ (?:\w+ )?(?:ошиб\w+|баг\w*|проблем\w+)",
        "German": r"\b(?:behebt|beheben|behob\w*|behebe|behebung|korrigier\w+|reparier\w*|gefixt|fehlerbehebung\w*"
        r"|fehlerkorrektur\w*)\b",
        "French": r"\b(?:corrig\w+|correctifs?|corrections? (?:d[ue]s?\b|d'|de l)"
        r"|répar\w+|résou(?:t|d|dre)|résolu\w*)\b",
        "Spanish": r"\b(?:corrig\w+|corregi\w+|corrección|arregla(?:d[oa]s?|r|ndo|n)?|arregl[óé]|soluciona\w*"
        r"|reparad[oa])\b",
        "Portuguese": r"\b(?:corrig\w+|correção|correções|conserta\w*|arruma(?:d[oa]|ndo|r)?)\b",
        "Italian": r"\b(?:corregg\w+|corrett[oaie]|correzion[ei]|risol(?:to|ti|ve|vere)|sistemat[oaie])\b",
        "Polish": r"\b(?:napraw\w*|popraw\w* (?:\w+ )?bł[ąę]d\w*)\b",
    }
)
_NO_CODE = (
    r"文档|文檔|注释|註釋|错别字|ドキュメント|コメント|誤字|문서|주석|오타|документац|комментари|опечат|tippfehler|rechtschreib"
    r"|dokumentation|kommentar|orthograph|faute|documentation|commentaire|documentación|comentario|ortogr|errata"
    r"|documentação|comentário|documentazione|comment[oi]\b|refus[oi]\b|literówk|dokumentacj|komentarz|readme|typo"
)
_FIX = re.compile("|".join(FIX_WORDS.values()), re.IGNORECASE)
_OTHER = re.compile(_NO_CODE, re.IGNORECASE)


def has_foreign_word(subject: str) -> bool:
    """Return whether a subject contains a word of another language for a fix, of code."""
    return bool(_FIX.search(subject)) and not _OTHER.search(subject)
