"""How an operation that joins elements is written: `@reduction` over a formula of a row's elements.

    @reduction(whole, node=("SumBackward0", "SumBackward1"))
    def sum_(x): return sum_over(x)

A row is all elements, or those along `dim` (an int or several). The function users get has PyTorch's form
(input, dim=None, keepdim=False, *, dtype=None, out=None); its plans are found by (form, dim, keepdim, dtype, options).

A gradient is a function of operations, `backward(g, x, y, n, rows)`; it names what it needs of: g the incoming gradient and
y the result, both with dimensions of size 1 where x has rows; x the operand; n the length of a row; rows the
`Rows`; and the options. What it returns may be small: it is expanded to x's shape, and cast to x's dtype.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from math import prod
from typing import Any, NamedTuple

from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import dtype, int64, uint8
from mashal.core.forms import Form, form
from mashal.core.saved import kept
from mashal.core.shapes import contiguous_strides, wrap_dims
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, new_view, view_plan
from mashal.errors import message
from mashal.lang.expression import Expression, cast, operand, walk
from mashal.lang.nest import Nest, Operand
from mashal.ops.broadcast import expand_to, expanded
from mashal.ops.define import (
    PLAIN,
    WHERE,
    Definition,
    Pointwise,
    Rule,
    define,
    dispatched,
    door,
    in_registers,
    overrides,
    recorded,
    refuse_recorded_out,
    same,
    write_out,
)  # fmt: skip
from mashal.ops.planned import Part, Planned, PlanNode
from mashal.ops.run import plan_pointwise, plan_rowwise, remember


# ---------------------------------------------------------------- rows
class Rows(NamedTuple):
    """dims: reduced, in order. kept: the result's shape with size 1 in them. shape: the result's. length: of a row."""

    dims: tuple[int, ...]
    kept: tuple[int, ...]
    shape: tuple[int, ...]
    length: int


def rows_along(name: str, shape: tuple[int, ...], dim: Any, keepdim: bool = False) -> Rows:
    """The rows of a shape along dim: None or () for all dimensions, an int, or several."""
    if isinstance(dim, Tensor):
        dim = int(dim)
    return _rows(name, shape, tuple(dim) if isinstance(dim, (list, tuple)) else dim, bool(keepdim))


@lru_cache(maxsize=4096)
def _rows(name: str, shape: tuple[int, ...], dim: Any, keepdim: bool) -> Rows:
    rank = len(shape)
    if dim is None or dim == ():
        dims = tuple(range(rank))
    else:
        given = dim if isinstance(dim, tuple) else (dim,)
        dims = tuple(sorted(wrap_dims(name, given, rank))) if rank else (wrap_dims(name, given, rank) and ())
    kept = tuple(1 if d in dims else n for d, n in enumerate(shape))
    result = kept if keepdim else tuple(n for d, n in enumerate(shape) if d not in dims)
    return Rows(dims, kept, result, prod(shape[d] for d in dims))


# ---------------------------------------------------------------- small operations that gradients are made of
def formula(result: Rule = same) -> Callable[[Callable[..., Any]], Callable[..., Tensor]]:
    """A pointwise operation without a public name; its derivative follows from the formula."""

    def make(body: Callable[..., Any]) -> Callable[..., Tensor]:
        name = body.__name__.strip("_")
        title = "".join(part.capitalize() for part in name.split("_"))
        op = Pointwise(name, body, result, f"{title}Backward0")
        call = door(op)
        call.operation = op  # type: ignore[attr-defined]
        return call

    return make


@recorded("ViewBackward0")
def seen_as(x: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, tuple]:
    """x with dimensions of size 1 added or removed; a view of it."""
    return new_view(x, _seen_form(x.form, shape), x.offset), (tuple(x.form.shape),)


def _seen_form(of: Form, shape: tuple[int, ...]) -> Form:
    strides = iter([s for n, s in zip(of.shape, of.strides) if n != 1])
    compact = contiguous_strides(shape)
    return of.viewed(shape, tuple(c if n == 1 else next(strides) for n, c in zip(shape, compact)))


@seen_as.backward
def _(node: Any, g: Tensor) -> tuple:
    return (seen_as(g, node.saved[0]),)


def with_ones(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x in a shape that differs by dimensions of size 1."""
    if x.form.shape == shape:
        return x
    if x.node is not None and mode.recording:
        return seen_as(x, shape)
    key = x.form, shape
    return new_view(x, _seen.get(key) or remember(_seen, key, _seen_form(x.form, shape)), x.offset)


_seen: dict[Any, Form] = {}


@recorded("ToCopyBackward0")
def as_dtype(x: Tensor, d: dtype) -> tuple[Tensor, tuple]:
    """x's elements in another dtype."""
    return _converted(x, d), (x.form.dtype,)


@as_dtype.backward
def _(node: Any, g: Tensor) -> tuple:
    return (in_dtype(g, node.saved[0]),)


def in_dtype(x: Tensor, d: dtype) -> Tensor:
    """x if it has the dtype, else a conversion of it."""
    return x if x.form.dtype is d else as_dtype(x, d)


def contiguous_copy(x: Tensor) -> Tensor:
    """x's elements in row-major order, without history."""
    return _converted(x, x.form.dtype)


_conversions: dict[Any, Any] = {}


def _converted(x: Tensor, d: dtype) -> Tensor:
    key = x.form, d
    plan = _conversions.get(key)
    if plan is None:
        nest = _conversion_nest(x.form.dtype, d)
        result = form(d, x.form.device, x.form.shape)
        plan = remember(_conversions, key, plan_pointwise(nest, [x.form], x.form.shape, [result]))
    return plan(x)


@cache
def _conversion_nest(a: dtype, b: dtype) -> Nest:
    return Nest(((cast(operand(0, a), in_registers(b)), b),), (Operand(a),))


# ---------------------------------------------------------------- result rules
def whole(d: dtype) -> tuple[dtype, dtype]:
    """Integers and bools are summed as int64."""
    return (d, d) if d.kind in "fc" else (int64, int64)


def index(d: dtype) -> tuple[dtype, dtype]:
    """The result is a place in the row."""
    return d, int64


def truth(d: dtype) -> tuple[dtype, dtype]:
    """The result is a bool; that of uint8 is uint8."""
    return d, uint8 if d is uint8 else bool_


# ---------------------------------------------------------------- the operation
class Reduction:
    """An operation with one value (or several) for each row of its operand.

    body: a function of the row's elements and options, that gives an expression or a tuple of them. rule: which dtypes. nodes:
    the names of grad_fn without and with a dim. identity: whether an empty row has a value.
    """

    def __init__(self, name: str, body: Callable[..., Any], rule: Any, nodes: Sequence[str], identity: bool,
                 refuse: Callable[..., None] | None, results: Any):  # fmt: skip
        self.name, self.body, self.rule, self.identity, self.refuse = name, body, rule, identity, refuse
        self.results = results
        parameters = inspect.signature(body).parameters.values()
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.calls: dict[Any, _Call] = {}
        self.gradient: Any = None
        self.needs: tuple[str, ...] = ()
        self.nodes = [type(n, (ReductionNode,), {"__slots__": ()}) for n in nodes]
        self._nests: dict[Any, Nest] = {}

    def nest(self, of: dtype, to: dtype | None, options: tuple) -> Nest:
        """The nest for elements of a dtype (converted to another first)."""
        key = of, to, options
        found = self._nests.get(key)
        if found is None:
            compute, result = self.rule(to or of)
            if to is not None and self.rule is whole:
                result = to  # integers are added up as int64 only where no dtype was asked for
            x = cast(operand(0, of), in_registers(to or of))
            values = self.body(cast(x, in_registers(compute)), **dict(options))
            values = values if isinstance(values, tuple) else (values,)
            stored = result if isinstance(result, tuple) else (result,) * len(values)
            made = tuple((cast(v, in_registers(d)), d) for v, d in zip(values, stored))
            found = self._nests[key] = Nest(made, (Operand(of),))
        return found

    def prepare(self, x: Tensor, dim: Any, keepdim: bool, to: dtype | None, options: tuple) -> Any:
        """The plan of a call, and the form of its first result."""
        of = x.form
        if self.refuse is not None:
            self.refuse(self.name, to or of.dtype)
        rows = rows_along(self.name, of.shape, dim, keepdim)
        if rows.length == 0 and not self.identity and prod(rows.shape):
            raise _no_identity(self.name, tuple(of.shape), dim)
        nest = self.nest(of.dtype, to, options)
        kept = [form(d, of.device, rows.kept) for _, d in nest.results]
        given = [form(d, of.device, rows.shape) for _, d in nest.results]
        in_order = (
            len(rows.dims) > 1 and not of.contiguous and any(_placed(e) for e in walk(e for e, _ in nest.results))
        )
        if not in_order:
            return plan_rowwise(nest, [of], of.shape, rows.dims, kept, given), given[0]
        plan = plan_rowwise(nest, [form(of.dtype, of.device, of.shape)], of.shape, rows.dims, kept, given)
        return lambda x: plan(contiguous_copy(x)), given[0]

    def long(
        self, function: Callable[..., Any], x: Any, dim: Any, keepdim: bool, to: dtype | None, out: Any, options: tuple
    ) -> Any:
        """A call that the table does not know yet."""
        kinds = overrides((x,))
        if kinds:
            given = {"dim": dim, "keepdim": keepdim} if dim is not None else {}
            return dispatched(function, kinds, (x,), given | ({"dtype": to} if to else {}) | dict(options))
        if not isinstance(x, Tensor):
            raise TypeError(f"{self.name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
        dim = tuple(dim) if isinstance(dim, list) else dim
        keepdim = bool(keepdim)
        key = (x.form, dim, keepdim, to, *options)
        call = self.calls.get(key) or remember(self.calls, key, _Call(self, x, dim, keepdim, to, options))
        if out is None:
            return call(x)
        if x.node is not None and mode.recording:
            refuse_recorded_out(self.name)
        return write_out(self.name, out, call.bare(x))


class _Call(Planned):
    """What is known of a reduction of a form along certain rows: call(x)."""

    __slots__ = ("form", "operation", "options", "rows")

    def __init__(self, op: Reduction, x: Tensor, dim: Any, keepdim: bool, to: dtype | None, options: tuple):
        self.operation, self.form, self.options = op, x.form, options
        self.rows = rows_along(op.name, x.form.shape, dim, keepdim)
        bare, first = op.prepare(x, dim, keepdim, to, options)
        super().__init__(
            bare,
            op.nodes[-1 if dim is not None else 0],
            (True,),
            1,
            kept=(0,) if "x" in op.needs else (),
            keeps_result="y" in op.needs,
            recorded=op.gradient is not None and first.dtype.kind in "fc" and op.results is None,
        )

    def __call__(self, x: Tensor) -> Any:
        """The result, or several in their type; only of one does native code take note."""
        op = self.operation
        if op.results is None:
            return self.plan(x)
        results = self.bare(x)
        if x.node is not None and mode.recording and op.gradient is not None and results[0].form.dtype.kind in "fc":
            self.record(results[0], x)
        return op.results(*results)

    def parts(self, things: list[Any], g: Tensor) -> Sequence[Part]:
        """A view, if g just goes to all elements of its row; else the rule."""
        named = self._named(g, things)
        if g.form.dtype is self.form.dtype and self.operation.gradient(**named) is named["g"]:
            return [Part(view_plan(expanded(named["g"].form, self.form.shape), 0), (0,))]
        return [Part(self.gradient_of_operand, (len(things), *range(len(things))))]

    def gradient_of_operand(self, g: Tensor, *things: Tensor) -> Tensor:
        """The gradient by its rule, written with operations."""
        d, shape = self.form.dtype, self.form.shape
        part = in_dtype(self.operation.gradient(**self._named(g, things)), d)
        return expand_to(part, shape) if part.form.shape != shape else part

    def _named(self, g: Tensor, things: Sequence[Tensor]) -> dict[str, Any]:
        """What the rule needs, by name."""
        needs, rows = self.operation.needs, self.rows
        have: dict[str, Any] = {"n": rows.length, "rows": rows, **dict(self.options)}
        have["g"] = with_ones(g, rows.kept)
        rest = list(things)
        if "x" in needs:
            have["x"] = rest.pop(0)
        if "y" in needs:
            have["y"] = with_ones(rest.pop(0), rows.kept)
        return {name: have[name] for name in needs}


def _placed(e: Expression) -> bool:
    return e.kind == "place" or (e.kind == "over" and e.value.startswith("arg"))


def _no_identity(name: str, shape: tuple, dim: Any) -> Exception:
    if dim is None:
        wrong = f"{name}(): Expected reduction dim to be specified for input.numel() == 0, and the input is {shape}. "
        kind = IndexError if name.startswith("arg") else RuntimeError
        return kind(wrong + "Specify the reduction dim with the 'dim' argument.")
    wrong = f"{name}(): Expected reduction dim {dim} to have non-zero size"
    return IndexError(message(name, wrong.split(": ")[1], f"the input is {shape}"))


class ReductionNode(PlanNode):
    """A recorded reduction; saved: x, result, whichever its rule needs."""

    __slots__ = ()

    def by_operations(self, g: Tensor) -> tuple:
        """The gradient by its rule."""
        return (self.entry.gradient_of_operand(g, *kept(self)),)


# ---------------------------------------------------------------- the function
def _reduction_door(op: Reduction) -> Callable[..., Any]:
    calls, several = op.calls, op.results is not None

    def call(
        input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None, **options: Any
    ) -> Any:
        if options or op.options:
            dim, keepdim, chosen = _sorted(op, dim, keepdim, options)
            return op.long(call, input, dim, keepdim, dtype, out, chosen)
        try:
            found = calls[input.form, dim, keepdim, dtype]
        except (KeyError, AttributeError, TypeError):
            return op.long(call, input, dim, keepdim, dtype, out, ())
        if out is not None or type(input) not in PLAIN:
            return op.long(call, input, dim, keepdim, dtype, out, ())
        return found(input) if several else found.plan(input)

    return call


def _sorted(op: Reduction, dim: Any, keepdim: bool, options: dict) -> tuple[Any, bool, tuple]:
    """NumPy's spellings (axis, keepdims), and the operation's own options in their order."""
    if "axis" in options:
        dim = options.pop("axis")
    if "keepdims" in options:
        keepdim = options.pop("keepdims")
    unknown = options.keys() - op.options.keys()
    if unknown:
        raise TypeError(f"{op.name}() got an unexpected keyword argument '{min(unknown)}'")
    return dim, keepdim, tuple((name, options.get(name, default)) for name, default in op.options.items())


def reduction(result: Any = same, *, name: str = "", node: Sequence[str] = (), where: Sequence[str] = WHERE, aliases: Sequence[str] = (),
              samples: Any = None, identity: bool = True, refuse: Callable[..., None] | None = None, results: Any = None):  # fmt: skip
    """A formula over a row's elements as an operation; keyword-only parameters are options.

    result: the dtype rule. node: grad_fn's names without and with a dim. identity: False if an empty row has no value.
    refuse: refuse(name, dtype) raises for dtypes that PyTorch refuses. results: the type that several results are
    returned in. where=() keeps it private.
    """

    def make(body: Callable[..., Any]) -> Callable[..., Any]:
        own = name or body.__name__.strip("_")
        title = "".join(part.capitalize() for part in own.split("_"))
        op = Reduction(own, body, result, node or (f"{title}Backward0",), identity, refuse, results)
        call = _reduction_door(op)
        call.__name__ = call.__qualname__ = own
        call.__doc__, call.__module__ = body.__doc__, body.__module__
        if where:
            define(Definition(own, call, tuple(where), (), samples, tuple(aliases), None, op))
        call.operation = op  # type: ignore[attr-defined]

        def backward(rule: Callable[..., Any]) -> Callable[..., Any]:
            """States the gradient: rule(g, x, y, n, rows, options), any of these by name."""
            op.gradient, op.needs = rule, tuple(inspect.signature(rule).parameters)
            for node in op.nodes:
                node.frees = "x" in op.needs or "y" in op.needs
            return rule

        call.backward = backward  # type: ignore[attr-defined]
        return call

    return make
