"""Signatures of operations as text, "(Tensor x, int[] dims, float eps=1e-5) -> Tensor": read, and inferred from annotations."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mashal.core.devices import device
from mashal.core.dtypes import dtype
from mashal.core.tensor import Tensor
from mashal.errors import message

__all__ = ["Signature", "infer_schema", "parsed"]

_WORDS: dict[Any, str] = {Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str", dtype: "ScalarType", device: "Device",
                          complex: "complex", int | float | bool: "Scalar"}  # fmt: skip
_MISSING = object()


@dataclass
class Signature:
    """text: as it was written. names: of the arguments; defaults: by name; keyword: which are by keyword only."""

    text: str
    names: list[str]
    defaults: dict[str, Any]
    keyword: set[str]

    def bound(self, operation: str, args: tuple, kwargs: dict) -> tuple:
        """A call's arguments in order; TypeError if they don't fit."""
        positional = [n for n in self.names if n not in self.keyword]
        if len(args) > len(positional):
            raise TypeError(
                f"{operation}() takes {len(positional)} positional argument(s), got {len(args)}; it is {self.text}"
            )
        given = dict(zip(positional, args))
        for name, value in kwargs.items():
            if name not in self.names or name in given:
                raise TypeError(f"{operation}() has no free argument {name!r}; it is {self.text}")
            given[name] = value
        found = [given.get(n, self.defaults.get(n, _MISSING)) for n in self.names]
        missing = [n for n, v in zip(self.names, found) if v is _MISSING]
        if missing:
            raise TypeError(f"{operation}() is missing {', '.join(missing)}; it is {self.text}")
        return tuple(found)


def parsed(text: str, function: Callable[..., Any] | None = None) -> Signature:
    """A signature read from its text. ValueError if it is none."""
    start, end = text.find("("), text.rfind("->")
    if start < 0 or end < 0 or ")" not in text[start:end]:
        raise ValueError(message("define", f"{text!r} is no signature", "expected '(Tensor x, …) -> Tensor'"))
    inside = text[start + 1 : text.rfind(")", start, end)]
    names, defaults, keyword, starred = [], {}, set(), False
    for part in _parts(inside):
        if part == "*":
            starred = True
            continue
        left, equals, default = part.partition("=")
        name = left.split()[-1]
        names.append(name)
        if equals:
            defaults[name] = _value(default.strip())
        if starred:
            keyword.add(name)
    if function is not None:
        given = inspect.signature(function).parameters.values()
        defaults |= {p.name: p.default for p in given if p.default is not p.empty}
    return Signature(text, names, defaults, keyword)


def _parts(inside: str) -> list[str]:
    """The arguments of a signature, split at commas outside of brackets."""
    found, depth, current = [], 0, ""
    for c in inside:
        depth += (c in "[(") - (c in "])")
        if c == "," and not depth:
            found.append(current.strip())
            current = ""
        else:
            current += c
    return [p for p in [*found, current.strip()] if p]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval({"true": "True", "false": "False", "None": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


# ---------------------------------------------------------------- from annotations
def infer_schema(prototype_function: Callable[..., Any], /, *, mutates_args: Any, op_name: str | None = None) -> str:
    """The signature of a function by its annotations. ValueError for parameters without one, or of other types.

    >>> def f(x: torch.Tensor, n: int = 2) -> torch.Tensor: ...
    >>> torch.library.infer_schema(f, mutates_args=())
    '(Tensor x, SymInt n=2) -> Tensor'
    """
    signature = inspect.signature(prototype_function)
    hints = typing.get_type_hints(prototype_function)
    changed = set(signature.parameters) if mutates_args == "unknown" else set(mutates_args)
    unknown = changed - set(signature.parameters)
    if unknown:
        raise ValueError(message("infer_schema", f"mutates_args names {sorted(unknown)}", "they are no parameters"))
    parts, starred = [], False
    for i, (name, p) in enumerate(signature.parameters.items()):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ValueError(message("infer_schema", f"{p} stands for any number of arguments", "name each of them"))
        if name not in hints:
            raise ValueError(message("infer_schema", f"parameter {name} has no annotation", "give its type"))
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        word = _word(hints[name], name)
        if name in changed and "Tensor" in word:
            word = word.replace("Tensor", f"Tensor(a{i}!)", 1)
        parts.append(f"{word} {name}" + ("" if p.default is p.empty else f"={_shown(p.default)}"))
    result = hints.get("return", type(None))
    return f"{op_name or ''}({', '.join(parts)}) -> {_result(result)}"


def _shown(default: Any) -> str:
    return f'"{default}"' if isinstance(default, str) else str(default).removeprefix("mashal.")


def _word(kind: Any, name: str) -> str:
    if kind in _WORDS:
        return _WORDS[kind]
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        rest = [k for k in inside if k is not type(None)]
        if len(rest) == 1 and len(inside) == 2:
            return f"{_word(rest[0], name)}?"
        if set(rest) == {int, float, bool}:
            return "Scalar"
    if origin in (list, tuple, Sequence) and inside and all(k is inside[0] or k is ... for k in inside):
        return f"{_word(inside[0], name)}[]"
    raise ValueError(
        message(
            "infer_schema",
            f"parameter {name} is of type {kind}",
            "tensors, numbers, strings, and lists of these are possible",
        )
    )


def _result(kind: Any) -> str:
    if kind in (None, type(None)):
        return "()"
    if typing.get_origin(kind) is tuple:
        return f"({', '.join(_word(k, 'return') for k in typing.get_args(kind))})"
    return _word(kind, "return")
