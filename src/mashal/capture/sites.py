"""The places of a function that read or change something, found once for each code object (`bytecode` finds them)."""

from __future__ import annotations

from types import CodeType

from mashal.capture.bytecode import Expression, Site, Walk

__all__ = ["reads_of_first", "shown", "sites"]


def sites(code: CodeType) -> dict[int, list[Site]]:
    """The sites of a code object by the offset of their instruction."""
    known = _known.get(id(code))
    if known is None:
        if len(_known) > 4096:
            _known.clear()
        known = _known[id(code)] = (code, Walk(code).run())
    return known[1]


def reads_of_first(code: CodeType) -> list[Site]:
    """The sites at which a function reads attributes of its first argument, and of what it finds there."""
    known = _firsts.get(id(code))
    if known is None:
        reads = [site for found in sites(code).values() for site in found if site.kind == "read"]
        first = ("local", code.co_varnames[0])
        known = _firsts[id(code)] = (code, [site for site in reads if _root(site.expression) == first])
    return known[1]


def _root(expression: Expression) -> Expression:
    while expression is not None and expression[0] == "attribute":
        expression = expression[1]
    return expression


_firsts: dict[int, tuple[CodeType, list[Site]]] = {}  # of mashal's own layers: few
_known: dict[int, tuple[CodeType, dict[int, list[Site]]]] = {}  # equal code objects of two files are not the same


def shown(expression: Expression) -> str:
    """An expression as a program would write it.

    >>> shown(("attribute", ("local", "self"), "scale"))
    'self.scale'
    """
    match expression:
        case ("local" | "global" | "cell", name):
            return name
        case ("constant", value):
            return repr(value)
        case ("attribute", of, name):
            return f"{shown(of)}.{name}"
        case ("item", of, key):
            return f"{shown(of)}[{shown(key)}]"
        case ("call", callee, _):
            return f"{shown(callee)}(…)"
    return "…"
