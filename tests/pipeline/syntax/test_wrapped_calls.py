"""A function that is wrapped in calls is named by its binding; a value computed with a callback is no function."""

from __future__ import annotations

from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import parse_file
from tests.rows import each_row

ARROW = "() => {\n  a()\n  b()\n}"
NAMED = "function Inner() {\n  a()\n  b()\n}"


def functions_of(path: str, source: str, version: int = 2) -> list[str]:
    language = language_of(path.encode())
    assert language is not None
    return [f.qualified_name for f in parse_file(language, source.encode(), version=version).functions]


WRAPPED = [
    (f"const X = memo({ARROW})", ["X"]),
    (f"export const X = React.memo(forwardRef({NAMED}))", ["X"]),
    (f"const X = withA(withB(observer({ARROW})))", ["X"]),
    (f"const X = connect(state, actions)({ARROW})", ["X"]),
    (f"const X = styled(Button)({ARROW})", ["X"]),
    (f"const X = styled.div({ARROW})", ["X"]),
    (f"export default memo({ARROW})", ["default"]),
    (f"export default observer({NAMED})", ["default"]),
    (f"class C {{\n  handler = debounce({ARROW}, 100)\n}}", ["C.handler"]),
    (f"const o = {{\n  go: throttle({ARROW}),\n}}", ["o.go"]),
    (f"this.go = _.debounce({ARROW}, 5)", ["this.go"]),
    (f"module.exports = asyncHandler({ARROW})", ["module.exports"]),
    (f"const load = createAsyncThunk('items/load', async {ARROW})", ["load"]),
    (f"const f = once({ARROW})", ["f"]),
    (f"function F() {{\n  const go = useCallback({ARROW}, [])\n  return go\n}}", ["F", "F.go"]),
    ("const X = memo(function Named() {\n  useEffect(function sync() {\n    a()\n    b()\n  })\n})", ["X", "X.sync"]),
]
VALUES = [
    f"const total = items.reduce({ARROW}, 0)",
    f"const names = items.filter(Boolean).map({ARROW})",
    f"const sorted = sortBy(items, {ARROW})",
    f"const timer = setTimeout({ARROW}, 100)",
    f"const data = load().then({ARROW})",
    f"const list = Array.from(items, {ARROW})",
    f"const value = useMemo({ARROW}, [])",
    f"const [state] = useState({ARROW})",
    f"const user = useSelector({ARROW})",
    f"const stop = onSnapshot(query, {ARROW})",
    f"const result = wrap(map({ARROW}))",
    f"const stop = store.subscribe({ARROW})",
    f"const first = getValue(elements, {ARROW})",
]


@each_row(("source", "names"), WRAPPED)
def test_a_wrapped_function_is_named_by_its_binding(source: str, names: list[str]) -> None:
    for path in ("a.js", "a.ts", "a.tsx"):
        assert functions_of(path, source) == names, path


@each_row("source", VALUES)
def test_a_value_computed_with_a_callback_is_no_function(source: str) -> None:
    for path in ("a.js", "a.tsx"):
        assert functions_of(path, source) == [], path


def test_type_arguments_and_assertions_make_no_difference() -> None:
    assert functions_of("a.tsx", f"const X = forwardRef<HTMLElement, Props>({NAMED})") == ["X"]
    assert functions_of("a.tsx", f"const X = memo({ARROW}) as Component") == ["X"]


def test_a_function_that_is_passed_on_keeps_its_own_name() -> None:
    assert functions_of("a.js", f"const total = items.map({NAMED})") == ["Inner"]


def test_version_1_knows_no_wrapped_functions() -> None:
    assert functions_of("a.tsx", f"const X = memo({ARROW})", version=1) == []
    assert functions_of("a.tsx", f"export default observer({NAMED})", version=1) == ["Inner"]


@each_row("callee", ["items.map", "memo", "React.memo", "_.map"])
def test_another_callee_is_seen_by_an_incremental_parse(callee: str) -> None:
    language = language_of(b"a.js")
    assert language is not None
    before, after = (f"start()\nconst X = {name}({NAMED})\nend()\n".encode() for name in ("memo", callee))
    edited = parse_file(language, after, parse_file(language, before), diff_hunks(before, after))
    assert edited.functions == parse_file(language, after).functions
    back = parse_file(language, before, edited, diff_hunks(after, before))
    assert back.functions == parse_file(language, before).functions
