"""Kernels of running sums, products, extremes: each element joined with all before it in its row.

    words: result[, places] | x[, factors] | outer, length, inner

All tensors are contiguous, (outer, length, inner). Sums and products of floats are carried in double precision.
"""

from __future__ import annotations

from typing import Any

from mashal.core.dtypes import complex128, dtype
from mashal.lang.expression import Expression, logaddexp
from mashal.lower import vectormath
from mashal.lower.emit import (
    Complex,
    Emitter,
    complex_operation,
    load_element,
    real_operation,
    register_type,
    store_element,
)
from mashal.machine.text import Function, Module, Value
from mashal.machine.threads import PARALLEL_FOR


def scan(d: dtype, kind: str, reverse: bool) -> Module:
    """kind: sum, prod, logsumexp, max, min (the last two with places). reverse: joined with all after it."""
    return _Scan(d, kind, reverse).module


def recurrence(d: dtype, reverse: bool) -> Module:
    """s[k] = x[k] + factors[k]·s[k - 1]; from the end, s[k] = x[k] + factors[k + 1]·s[k + 1]."""
    return _Scan(d, "recurrence", reverse).module


class _Scan:
    def __init__(self, d: dtype, kind: str, reverse: bool):
        self.d, self.kind, self.reverse = d, kind, reverse
        self.places = kind in ("max", "min")
        self.module = Module()
        parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
        f = self.module.function("kernel_chunk", "void", parameters, linkage="internal")
        words, o, _ = f.parameters
        inner = self._size(f, words, 2)
        f.loop(0, inner, 1, lambda i: self._row(f, words, o, i, inner))
        f.end()
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, self._size(f, words, 0))
        f.end(f.constant("i64", -1))

    def _size(self, f: Function, words: Value, i: int) -> Value:
        pointers = 2 + self.places + (self.kind == "recurrence")
        return f.word(words, pointers + i)

    def _row(self, f: Function, words: Value, o: Value, i: Value, inner: Value) -> None:
        length = self._size(f, words, 1)
        x = f.word(words, 1 + self.places, "ptr")
        result = f.word(words, 0, "ptr")

        def step(j: Value, *carried: Value) -> list[Value]:
            k = length - 1 - j if self.reverse else j
            at = (o * length + k) * inner + i
            v = load_element(f, self.d, x, at, 0)
            if self.places:
                return self._extreme(f, words, v, k, at, result, *carried)
            if self.kind == "recurrence":
                return self._recur(f, f.word(words, 2, "ptr"), v, at, result, carried)
            total = self._join(f, self.kind, self._carried(carried), self._wide(f, v))
            store_element(f, self.d, self._narrow(f, total), result, at)
            return self._listed(total)

        f.loop(0, length, 1, step, self._start(f))

    def _recur(self, f: Function, factors: Value, v: Any, at: Value, result: Value, carried: tuple) -> list[Value]:
        factor = self._wide(f, load_element(f, self.d, factors, at, 0))
        before = self._carried(carried)
        if not self.reverse:
            before = self._join(f, "prod", before, factor)
        total = self._join(f, "sum", self._wide(f, v), before)
        store_element(f, self.d, self._narrow(f, total), result, at)
        return self._listed(self._join(f, "prod", total, factor) if self.reverse else total)

    # ---------------------------------------------------------------- what is carried
    def _type(self) -> str:
        return "double" if self.d.kind in "fc" else register_type(self.d)

    def _start(self, f: Function) -> list[Value]:
        if self.places:
            type = register_type(self.d)
            return [f.constant(type, 0), f.constant("i64", -1)]
        first = {"prod": 1, "logsumexp": float("-inf")}.get(self.kind, 0)
        return [f.constant(self._type(), first), *([f.constant("double", 0.0)] if self.d.is_complex else [])]

    def _carried(self, carried: tuple[Value, ...]) -> Any:
        return Complex(*carried) if self.d.is_complex else carried[0]

    def _listed(self, v: Any) -> list[Value]:
        return [v.re, v.im] if self.d.is_complex else [v]

    def _wide(self, f: Function, v: Any) -> Any:
        if self.d.is_complex:
            return Complex(*(p if p.type == "double" else f.convert("fpext", p, "double") for p in (v.re, v.im)))
        return f.convert("fpext", v, "double") if v.type == "float" else v

    def _narrow(self, f: Function, v: Any) -> Any:
        type = register_type(self.d)
        if self.d.is_complex:
            return Complex(*(p if p.type == type else f.convert("fptrunc", p, type) for p in (v.re, v.im)))
        return f.convert("fptrunc", v, type) if v.type != type else v

    def _join(self, f: Function, kind: str, a: Any, b: Any) -> Any:
        name = {"sum": "add", "prod": "mul"}.get(kind)
        if name is None and self.d.is_complex:
            x, y = (Expression("operand", (), complex128, i) for i in range(2))
            values = {x: a, y: b}
            return Emitter(f, 0, lambda node: values[node])(logaddexp(x, y))
        if name is None:
            return vectormath.emit("logaddexp", f, a, b)
        if self.d.is_complex:
            return complex_operation(f, name, a, b)
        return real_operation(f, name, self.d, a, b)

    def _extreme(
        self, f: Function, words: Value, v: Value, k: Value, at: Value, result: Value, best: Value, where: Value
    ) -> list[Value]:
        """The last of equals counts; nan is the extreme."""
        unsigned = self.d.kind in "ub"
        if self.d.kind == "f":
            better = v.compare("oge" if self.kind == "max" else "ole", best)
            better = better | v.compare("uno", 0.0)
        else:
            better = v.compare(("u" if unsigned else "s") + ("ge" if self.kind == "max" else "le"), best)
        better = better | where.compare("slt", 0)
        best, where = f.select(better, v, best), f.select(better, k, where)
        store_element(f, self.d, best, result, at)
        f.store(where, f.word(words, 1, "ptr"), at)
        return [best, where]
