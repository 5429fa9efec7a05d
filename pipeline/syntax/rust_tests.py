r"""Find the tests within Rust files: items behind `#[test]` and its kin, or behind a `cfg` that needs `test`.

`#[cfg(test)]` and `#[cfg(all(test, unix))]` hold in tests only; `#[cfg(any(test, fuzzing))]` and `#[cfg(not(test))]`
also hold in the product. An item ends with its `;` or the brace that closes its first one.
"""

from __future__ import annotations

import re

from pipeline.syntax.shadow.blanks import blank_rust

_HINT = re.compile(rb"#!?\s*\[[^\]]{0,400}(?:test|bench|quickcheck)")
_ATTRIBUTE = re.compile(rb"#(!?)\s*+\[")
_BRACKET = re.compile(rb"[\[\]]")
_TOKEN = re.compile(rb"[{}()\[\];,]")
_PATH = re.compile(rb"\s*+(?:[A-Za-z_]\w*+\s*+::\s*+){0,9}+([A-Za-z_]\w*+)\s*+(\(?)")
_PREDICATE = re.compile(rb"[(),=]|[A-Za-z_]\w*+")
# Attributes of test functions, by the last part of their path: `#[tokio::test]`, `#[test_case(1)]`.
_TESTS = frozenset({b"test", b"bench", b"rstest", b"test_case", b"wasm_bindgen_test", b"quickcheck", b"proptest"})

_MAX_ATTRIBUTE_BYTES = 2_000


def test_spans(data: bytes) -> tuple[tuple[int, int], ...]:
    """Return the bytes of all items that are tests, attributes included, ascending and disjoint."""
    if not _HINT.search(data):
        return ()
    code = blank_rust(data)
    first_brace = code.find(b"{")
    spans = []
    at = 0
    while (attribute := _ATTRIBUTE.search(code, at)) is not None:
        at = end = _attribute_end(code, attribute.end())
        if not _is_test(code[attribute.end() : end]):
            continue
        if attribute[1]:
            # An inner attribute is about what encloses it: at the top of a file, all of it.
            if not 0 <= first_brace < attribute.start():
                return ((0, len(data)),)
            continue
        at = _item_end(code, end)
        spans.append((attribute.start(), at))
    return tuple(spans)


def _attribute_end(code: bytes, at: int) -> int:
    """Return the end of an attribute whose bracket opened before `at`, or of the bytes that were searched for it."""
    depth = 1
    limit = min(at + _MAX_ATTRIBUTE_BYTES, len(code))
    for bracket in _BRACKET.finditer(code, at, limit):
        depth += 1 if bracket[0] == b"[" else -1
        if not depth:
            return bracket.end()
    return limit


def _item_end(code: bytes, at: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(code, at):
        if token[0] in b"{([":
            depth += 1
        elif token[0] in b"})]":
            depth -= 1
            if depth < 0:
                return token.start()  # of a field or variant, the last of its list
            if token[0] == b"}" and not depth:
                return token.end()
        elif token[0] == b";" and not depth:
            return token.end()
    return len(code)


def _is_test(attribute: bytes) -> bool:
    path = _PATH.match(attribute)
    if path is None:
        return False
    if path[1] != b"cfg":
        return path[1] in _TESTS
    return bool(path[2]) and _needs_test(_PREDICATE.findall(attribute, path.end()))


def _needs_test(tokens: list[bytes]) -> bool:
    """Return whether a predicate of `cfg` holds in tests only."""
    open_calls: list[tuple[bytes, list[bool]]] = []
    arguments: list[bool] = []
    for number, token in enumerate(tokens):
        following = tokens[number + 1] if number + 1 < len(tokens) else b""
        if token == b")":
            if not open_calls:
                break
            name, outer = open_calls.pop()
            needed = (any(arguments) if name == b"all" else bool(arguments) and all(arguments)) and name != b"not"
            arguments = [*outer, needed]
        elif token not in b"(,=":
            if following == b"(":
                open_calls.append((token, arguments))
                arguments = []
            else:
                arguments.append(token == b"test" and following != b"=")
    return any(arguments)
