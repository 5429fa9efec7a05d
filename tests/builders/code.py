"""Small source files for test histories."""

from __future__ import annotations


def function(name: str, body: str = "1", language: str = "py", extra: str = "") -> str:
    """A function of four lines whose third line is `body`: change it and exactly this function is touched."""
    if language == "py":
        return f"def {name}(value):\n    total = value + 1{extra}\n    total += {body}\n    return total\n"
    return f"function {name}(value) {{\n  let total = value + {body}{extra};\n  return total;\n}}\n"


def module(*bodies: str, language: str = "py", **named: str) -> str:
    """Functions `f0`, `f1`, ... with the bodies given, then those given by name, a blank line after each."""
    functions = {f"f{i}": body for i, body in enumerate(bodies)} | named
    return "\n".join(function(name, body, language) for name, body in functions.items())
