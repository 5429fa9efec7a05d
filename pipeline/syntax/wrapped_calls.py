"""Decide which calls of JavaScript and TypeScript return the function that they are given, wrapped.

`const Button = memo(() => ...)` is the function `Button`, `const total = items.reduce(...)` is a value. What a call
returns is not in the file, so that its name decides: calls by a plain name wrap unless they are known to use the
function themselves; methods wrap if they are known to or belong to a library's namespace (`React.memo`, `_.debounce`);
hooks wrap if they return what they are given. Nested calls wrap if each of them does.
"""

from __future__ import annotations

import re

from tree_sitter import Node

from pipeline.syntax.names import text

_MAX_CALLEE_DEPTH = 8
_MAX_NESTED_CALLS = 4
_FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function"})

# They call the function that they are given, now or later, and return something else.
_CONSUMERS = frozenset(
    b"""
    act addEventListener addListener after afterEach all allSettled any apply assign at autorun batch before beforeEach
    bench call catch chunk clone cloneWith compact concat count countBy describe each effect entries every expect fetch
    fill filter finally find findIndex findKey findLast findLastIndex first flatMap flatten forEach forIn forOwn from
    fromEntries get group groupBy head import inject isEqualWith it keyBy keys last listen log map mapKeys mapValues
    match max maxBy merge mergeWith min minBy mount nextTick none observe off omitBy on once only orderBy parse
    partition pick pickBy pipe post provide push queueMicrotask race range reaction reduce reduceRight reject remove
    render renderHook replace replaceAll requestAnimationFrame requestIdleCallback require resolve retry run runInAction
    select setImmediate setInterval setTimeout some sort sortBy spawn split startTransition stringify subscribe suite
    sum sumBy tap test then times toSorted transform uniq uniqBy unshift untrack update values waitFor watch watchEffect
    when zipWith
    """.split()
)
_WRAPPERS = re.compile(
    rb"(?:memo\w{0,40}|forwardRef|observer|debounce\w{0,40}|throttle\w{0,40}|curry\w{0,40}|partial\w{0,40}|wrap\w{0,40}"
    rb"|with[A-Z]\w{0,60}|create[A-Z]\w{0,60}|define[A-Z]\w{0,60}|make[A-Z]\w{0,60}|action\w{0,40}|flow|bound|handler"
    rb"|query|mutation|subscription|procedure|callback|async[A-Z]?\w{0,40}|promisify|extend|lazy|computed|task|fn|proxy"
    rb"|bind|on(?:Call|Request|Create|Update|Delete|Write|Schedule))"
)
_HOOK = re.compile(rb"use[A-Z]\w{0,60}")
_WRAPPING_HOOK = re.compile(rb"use\w{0,60}(?:Callback|Fn|Event|Handler|Debounce\w{0,40}|Throttle\w{0,40})")
_READER = re.compile(
    rb"(?:arrayTo|calculate|change|compute|count|fetch|find|from|get|has|is|load|map|parse|promise|read|set|sum|to|update)"
    rb"[A-Z]\w{0,60}"
)
_LISTENER = re.compile(rb"on[A-Z]\w{0,60}")
_NAMESPACE = re.compile(rb"[A-Z]\w{0,60}|_|fp|lodash|mobx|styled|util|utils")
_BUILT_IN = frozenset(b"Object Array Promise Number JSON Math String Map Set Reflect Iterator Buffer".split())


def wrapped_function(binding: Node, data: bytes) -> Node | None:
    """Return the function in the nested calls that a node binds to a name, None unless each of the calls wraps."""
    value = binding.child_by_field_name("value") or binding.child_by_field_name("right")
    if value is not None and value.type == "as_expression":
        value = value.named_child(0)
    callees = []
    for _ in range(_MAX_NESTED_CALLS):
        arguments = value.child_by_field_name("arguments") if value is not None else None
        if value is None or arguments is None:
            return None
        callees.append(value.child_by_field_name("function"))
        value = None
        for argument in arguments.named_children:
            if argument.type in _FUNCTIONS:
                return argument if all(wraps(callee, data) for callee in callees) else None
            if argument.type == "call_expression" and value is None:
                value = argument
    return None


def wraps(callee: Node | None, data: bytes) -> bool:
    """Return whether a called expression returns the function that it is given."""
    while callee is not None and callee.type == "call_expression":  # styled(Button)(...), connect(state)(...)
        callee = callee.child_by_field_name("function")
    if callee is None:
        return False
    if callee.type == "identifier":
        name = text(callee, data)
        if name in _CONSUMERS and name != b"once":
            return False
        if _HOOK.fullmatch(name):
            return _WRAPPING_HOOK.fullmatch(name) is not None
        uses = _LISTENER.fullmatch(name) or _READER.fullmatch(name)
        return not uses or _WRAPPERS.fullmatch(name) is not None
    if callee.type != "member_expression":
        return False
    name = text(callee.child_by_field_name("property"), data)
    owner = callee.child_by_field_name("object")
    for _ in range(_MAX_CALLEE_DEPTH):
        if owner is None or owner.type != "member_expression":
            break
        owner = owner.child_by_field_name("object")
    owned_by = text(owner, data) if owner is not None and owner.type == "identifier" else b""
    if _HOOK.fullmatch(name):
        return _WRAPPING_HOOK.fullmatch(name) is not None
    if _WRAPPERS.fullmatch(name) or (name == b"once" and owned_by in (b"_", b"lodash")):
        return True
    return name not in _CONSUMERS and owned_by not in _BUILT_IN and _NAMESPACE.fullmatch(owned_by) is not None
