"""The Interchange Format for Bayesian networks (BIF), as published networks use it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from quincunx._errors import ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.files._bif_rows import Block, Known, Rows, split
from quincunx.graphs.files._text import RowSums, Source
from quincunx.graphs.variable import Variable

_ASIDE = re.compile(r'"[^"\n]*"|//[^\n]*|/\*.*?\*/|^[ \t]*#[^\n]*', re.DOTALL | re.MULTILINE)
_PROPERTY = re.compile(r"(?<=[{;}])\s*property\s++(?![,}|])[^;{}]*;")
_BLOCK = re.compile(
    r"\s*(?:(network)\b[^{}]*|(variable)\s+([^{}]*?)\s*|(probability)\s*\(([^{}()]*)\)\s*)\{"
)
_TYPE = re.compile(r"\s*type\s+discrete\s*\[\s*(\d+)\s*\]\s*\{([^{}]*)\}\s*;?\s*\}")
_PLAIN = re.compile(r"(?!#|property$)(?:(?!//|/\*)[^\s,;(){}|\[\]\"\0])+")


def loads(text: str, path: str = "<text>") -> BayesianNetwork:
    """Read a Bayesian network from the text of a BIF file.

    Properties and comments (``//``, ``/* */``, and lines that begin with ``#``) are skipped; a
    quoted name is the name without the quotes. A row gives the probabilities of the child's states
    for the parents' states in parentheses; ``table`` gives all numbers with the child's state
    changing slowest and the last parent's fastest; ``default`` fills the rows not given.
    Rows that miss one by at most 1e-2 are rescaled, with one warning for the file where a row
    was off by more than 1e-6.

    Arguments:
        text: the file's content.
        path: its name, for messages.

    Raises:
        FileFormatError: the text does not follow the format; the message gives the line.

    Reference:
        F. G. Cozman, "The Interchange Format for Bayesian Networks", version 0.15, 1998.
    """
    names = _Names()
    source = Source(path, names.clean(text))
    if '"' in source.text:
        raise source.fault(source.text.index('"'), "a quote is opened and never closed")
    variables, tables = _blocks(source, names)
    sums = RowSums(path)
    arcs: dict[str, Arc] = {}
    for block in tables:
        arc = _arc(source, names, block, variables, sums)
        (child,) = arc.target_names
        if child in arcs:
            raise source.fault(block.start, f"the table of {child!r} comes twice")
        arcs[child] = arc
    try:
        network = BayesianNetwork(arcs.values(), [s.variable for s in variables.values()])
    except ModelError as error:
        raise source.fault(len(source.text), error) from None
    sums.warn()
    return network


def dumps(model: BayesianNetwork) -> str:
    """Write a Bayesian network as the text of a BIF file.

    Numbers are written so that they read back the same; names with spaces or punctuation are
    quoted. Labels and confidences, which have no part in a network, are not written.

    Raises:
        ModelError: the model is no Bayesian network, a name holds a quote or a line break, or a
            state is not text (BIF would read it back as text).
    """
    if not isinstance(model, BayesianNetwork):
        raise ModelError(
            f"a BIF file holds a Bayesian network, not a {type(model).__name__}; write a .json file"
        )
    lines = ["network unknown {", "}"]
    for v in model.variables:
        states = ", ".join(_states(v))
        lines += [f"variable {_quoted(v.name)} {{", f"  type discrete [ {len(v)} ] {{ {states} }};"]
        lines.append("}")
    for arc in model.arcs:
        lines += [*_probability(arc), "}"]
    return "\n".join(lines) + "\n"


def _probability(arc: Arc) -> Iterator[str]:
    given = f" | {', '.join(map(_quoted, arc.source_names))}" if arc.sources else ""
    yield f"probability ( {_quoted(arc.target_names[0])}{given} ) {{"
    states = [_states(v) for v in arc.scope[:-1]]
    for index, row in enumerate(arc.rows.tolist()):
        key = np.unravel_index(index, [len(s) for s in states]) if states else ()
        parents = ", ".join(s[i] for s, i in zip(states, key, strict=True))
        head = f"({parents})" if states else "table"
        yield f"  {head} {', '.join(map(repr, row))};"


def _states(variable: Variable) -> list[str]:
    for state in variable.states:
        if not isinstance(state, str):
            raise ModelError(
                f"BIF holds states as text, and the state {state!r} of {variable.name!r} is not; "
                "make the states strings, or write a .json file"
            )
    return [_quoted(str(s)) for s in variable.states]


def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    if '"' in name or "\n" in name:
        raise ModelError(
            f"BIF cannot hold the name {name!r}, which has a quote or a line break; rename it, "
            "or write a .json file"
        )
    return f'"{name}"'


@dataclass(slots=True)
class _Names:
    """Quoted names that would upset the parser, each with the token that stands in for it."""

    token: dict[str, str] = field(default_factory=dict)
    name: dict[str, str] = field(default_factory=dict)

    def clean(self, text: str) -> str:
        """Drop comments and properties, keeping the lines, and replace quoted names by tokens."""
        if '"' in text or "//" in text or "/*" in text or "#" in text:
            text = _ASIDE.sub(self._aside, text)
        if "property" in text:
            text = _PROPERTY.sub(lambda m: "\n" * m[0].count("\n"), text)
        return text

    def _aside(self, match: re.Match[str]) -> str:
        found = match[0]
        if found[0] != '"':
            # A comment parts the words beside it, as a space does.
            return " " + "\n" * found.count("\n")
        name = found[1:-1]
        if _PLAIN.fullmatch(name):
            return name
        token = self.token.setdefault(name, f"\0{len(self.token)}\0")
        self.name[token] = name
        return token

    def read(self, token: str) -> str:
        """Return the name that a token stands for; a bare name stands for itself."""
        return self.name.get(token, token)


def _blocks(source: Source, names: _Names) -> tuple[dict[str, Known], list[Block]]:
    """Cut the text into blocks; return the variables by their token, and the tables unread."""
    text, at = source.text, 0
    variables: dict[str, Known] = {}
    tables: list[Block] = []
    while match := _BLOCK.match(text, at):
        at = match.end()
        if match[2]:
            declared = _TYPE.match(text, at)
            if not declared:
                name = names.read(match[3])
                raise source.fault(at, f"{name!r} lacks its type discrete [ n ] {{ a, b }}; }}")
            if match[3] in variables:
                raise source.fault(match.start(3), f"variable {names.read(match[3])!r} comes twice")
            variables[match[3]] = _known(source, names, match[3], declared)
            at = declared.end()
            continue
        end = text.find("}", at)
        if end < 0:
            raise source.fault(match.end() - 1, "this block is never closed by }")
        if match[4]:
            tables.append(Block(at, match[5], text[at:end]))
        at = end + 1
    rest = text[at:].lstrip()
    if rest or not variables:
        raise source.fault(
            len(text) - len(rest),
            "expected a block: network, variable name { ... } or probability ( a | b ) { ... }; "
            f"found {rest[:40]!r}",
        )
    return variables, tables


def _known(source: Source, names: _Names, token: str, declared: re.Match[str]) -> Known:
    count = int(declared[1])
    states = split(declared[2])
    if len(states) != count:
        states = declared[2].replace(",", " ").split()
    if len(states) != count:
        raise source.fault(
            declared.start(2), f"{names.read(token)!r} announces {count} states, not {len(states)}"
        )
    try:
        variable = Variable(names.read(token), map(names.read, states))
    except ModelError as error:
        raise source.fault(declared.start(2), error) from None
    # A name with a space may stand quoted in one place and bare in another.
    place = {s: i for written in (map(names.read, states), states) for i, s in enumerate(written)}
    return Known(variable, place)


def _arc(
    source: Source, names: _Names, block: Block, variables: Mapping[str, Known], sums: RowSums
) -> Arc:
    """Read one probability block."""
    child, _, parents = block.header.partition("|")
    members = [child.strip(), *split(parents)]
    # The older way to write it: names parted by spaces, the child first, without a bar.
    words = block.header.replace(",", " ").replace("|", " ").split()
    if words and all(w in variables for w in words):
        members = words
    for name in members:
        if name not in variables:
            raise source.fault(block.start, f"{names.read(name)!r} is not a variable of this file")
    known = [variables[m] for m in members]
    target, sources = known[0].variable, [k.variable for k in known[1:]]
    try:
        rows = Rows(source, block, known[0], known[1:]).read()
        rows = sums.scaled(rows, target.name, sources)
        shape = [len(v) for v in (*sources, target)]
        return Arc(sources, target, rows.reshape(shape))
    except ModelError as error:
        raise source.fault(block.start, error) from None
