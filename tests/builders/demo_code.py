"""Made-up functions of a shop, in Python and TypeScript: each does one thing the careless or the careful way.

Both ways are one call with as many arguments, so no count of lines, branches or calls tells them apart; reading does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

WAYS = (  # who to call, carelessly, carefully
    ("lock", "acquire", "within"),
    ("clock", "local", "utc"),
    ("parser", "guess", "strict"),
    ("cache", "peek", "read"),
    ("query", "concat", "bind"),
    ("retry", "forever", "limited"),
)
NOUNS = (
    "order", "parcel", "claim", "quote", "route", "stock", "entry", "batch", "ticket", "refund", "tariff", "voucher",
    "basket", "invoice", "courier", "pallet", "ledger", "buyer", "seller", "region", "depot", "season", "bundle",
    "sample",
)  # fmt: skip
FIELDS = (
    "amount", "weight", "price", "score", "delay", "volume", "origin", "owner", "status", "margin", "number", "rank",
    "state", "title", "width", "height", "quota", "share", "grade", "level",
)  # fmt: skip
VERBS = (
    "sum", "pick", "match", "count", "scale", "trim", "blend", "shift", "probe", "merge", "order", "weigh", "label",
    "pack", "split", "clamp",
)  # fmt: skip


@dataclass
class Function:
    """A function that can be mended: its careless call stays, as it does where symptoms are treated."""

    name: str
    call: str  # `clock.local`
    careless: bool
    takes: tuple[str, str]
    keeps: str  # what it returns
    about: tuple[str, str]  # fields
    before: tuple[int, ...]  # statements above the call, as numbers of `_PLAIN`
    after: tuple[int, ...]
    nouns: tuple[str, ...]
    factor: int
    guards: list[int] = field(default_factory=list)

    def mend(self, number: int) -> None:
        """Change one line or add two, never the same twice."""
        if number % 2:
            self.factor = 1_000 + number
        else:
            self.guards.append(number)

    def python(self) -> str:
        lines = [f"def {self.name}({', '.join(self.takes)}):", f"    {self.keeps} = {self.factor}"]
        for guard in self.guards:
            lines += [f"    if {self.takes[0]}.{self.about[0]} == {guard}:", f"        return {guard % 7}"]
        lines += [line for number in self.before for line in self._plain(number, _PYTHON)]
        lines += [f"    {self.about[0]} = {self.call}({self.takes[0]}, {self.takes[1]})"]
        lines += [line for number in self.after for line in self._plain(number, _PYTHON)]
        return "\n".join([*lines, f"    return {self.keeps}", ""])

    def typescript(self) -> str:
        parameters = ", ".join(f"{name}: {name.capitalize()}" for name in self.takes)
        lines = [f"export function {self.name}({parameters}): number {{", f"  let {self.keeps} = {self.factor};"]
        for guard in self.guards:
            lines += [f"  if ({self.takes[0]}.{self.about[0]} === {guard}) {{", f"    return {guard % 7};", "  }"]
        lines += [line for number in self.before for line in self._plain(number, _TYPESCRIPT)]
        lines += [f"  const {self.about[0]} = {self.call}({self.takes[0]}, {self.takes[1]});"]
        lines += [line for number in self.after for line in self._plain(number, _TYPESCRIPT)]
        return "\n".join([*lines, f"  return {self.keeps};", "}", ""])

    def _plain(self, number: int, forms: tuple[str, ...]) -> list[str]:
        noun, other = self.nouns[number % len(self.nouns)], self.nouns[(number + 1) % len(self.nouns)]
        return (
            forms[number % len(forms)]
            .format(keeps=self.keeps, noun=noun, other=other, field=FIELDS[number % len(FIELDS)], taken=self.takes[0])
            .split("\n")
        )


_PYTHON = (
    "    {keeps} += {taken}.{field}",
    "    {noun} = {taken}.{other}({keeps})",
    "    for {noun} in {taken}.{other}s:\n        {keeps} -= {noun}.{field}",
    "    if {taken}.{field} is None:\n        {keeps} = {keeps} * 2",
    "    {taken}.{noun}.{field} = {keeps}",
    '    log.info("{noun} of {other}", {keeps})',
)
_TYPESCRIPT = (
    "  {keeps} += {taken}.{field};",
    "  const {noun} = {taken}.{other}({keeps});",
    "  for (const {noun} of {taken}.{other}s) {{\n    {keeps} -= {noun}.{field};\n  }}",
    "  if ({taken}.{field} === null) {{\n    {keeps} = {keeps} * 2;\n  }}",
    "  {taken}.{noun}.{field} = {keeps};",
    '  log.info("{noun} of {other}", {keeps});',
)


def make_function(careless: bool, chance: random.Random, taken_names: set[str]) -> Function:
    """A function of six to some twenty lines whose name is not among `taken_names`, which it joins."""
    nouns = tuple(chance.sample(NOUNS, 7))
    about = (chance.choice(FIELDS), chance.choice(FIELDS))
    name = f"{chance.choice(VERBS)}_{nouns[0]}_{about[0]}"
    while name in taken_names:
        name = f"{chance.choice(VERBS)}_{chance.choice(NOUNS)}_{chance.choice(FIELDS)}"
    taken_names.add(name)
    whom, carelessly, carefully = chance.choice(WAYS)
    statements = tuple(chance.randrange(10_000) for _ in range(chance.randint(2, 8)))
    middle = chance.randint(0, len(statements))
    return Function(
        name=name,
        call=f"{whom}.{carelessly if careless else carefully}",
        careless=careless,
        takes=(nouns[0], nouns[1]),
        keeps=f"found_{about[1]}",
        about=about,
        before=statements[:middle],
        after=statements[middle:],
        nouns=nouns[2:],
        factor=chance.randint(2, 99),
    )
