"""Generate small source files for test histories."""

from __future__ import annotations


def function(name: str, body: str = "1", language: str = "py", extra: str = "") -> str:
    """Return a function of four lines with `body` in the third: changing it touches exactly this function."""
    if language == "py":
        return f"def {name}(value):\n    total = value + 1{extra}\n    total += {body}\n    return total\n"
    return f"function {name}(value) {{\n  let total = value + {body}{extra};\n  return total;\n}}\n"


def module(*bodies: str, language: str = "py", **named: str) -> str:
    """Return functions `f0`, `f1`, ... with the given bodies, then the named ones, separated by blank lines."""
    functions = {f"f{i}": body for i, body in enumerate(bodies)} | named
    return "\n".join(function(name, body, language) for name, body in functions.items())
