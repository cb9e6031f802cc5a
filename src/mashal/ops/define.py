"""How an operation is written once: the decorators, and the table of all definitions.

    @pointwise(result=floating)                      the body is a formula over elements
    @pointwise_backward of one                       where the derived gradient loses digits
    @reduction(result=same)                          the body is a formula over a row's elements
    @recorded("AddmmBackward0")                      a function of tensors, with its backward beside it
    @spelled(...)                                    a function of operations: composed

`where=` says under which names PyTorch's users find it: "torch" mashal.NAME, "method" Tensor.NAME, "in_place" Tensor.NAME_
(and mashal.NAME_), "functional" nn.functional.NAME, "special", "linalg"; `operators` its dunders. The table
`DEFINITIONS` is what methods, public modules, docs and tests are made from.

The function that users call is the door: key from the operands' forms, plan from the table, native call, record. A miss, an
odd operand or an option goes the long way round (`Pointwise.prepare`).
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Number as AnyNumber
from typing import Any

from mashal.core import tape
from mashal.core.dtypes import bool as bool_
from mashal.core.dtypes import dtype
from mashal.core.forms import Form, form
from mashal.core.nested import from_number
from mashal.core.saved import Result, check_version, packers, save, save_result, unpack
from mashal.core.shapes import broadcast
from mashal.core.tape import Node, mode
from mashal.core.tensor import Tensor, alias, bump, empty
from mashal.errors import message
from mashal.lang.derivative import adjoints
from mashal.lang.expression import Expression, cast, operand, rebuild, scalar, walk
from mashal.lang.nest import Nest, Operand
from mashal.ops.broadcast import sum_to
from mashal.ops.promotion import floating as as_floating
from mashal.ops.promotion import number_dtype, result_type_of
from mashal.ops.run import check_cast, check_floating, dense_result, plan_pointwise, remember, same_device

# ---------------------------------------------------------------- the table
WHERE = ("torch", "method")


@dataclass
class Definition:
    """One operation as users find it."""

    name: str
    function: Callable[..., Any]
    where: tuple[str, ...] = WHERE
    operators: tuple[str, ...] = ()
    samples: Callable[..., Any] | None = None
    aliases: tuple[str, ...] = ()
    in_place: Callable[..., Any] | None = None
    operation: Any = None
    operator: Callable[..., Any] | None = None
    extra: dict = field(default_factory=dict)


DEFINITIONS: dict[str, Definition] = {}


def define(definition: Definition) -> None:
    """Puts a definition into the table; two of one name are a mistake."""
    if definition.name in DEFINITIONS:
        raise RuntimeError(f"define: {definition.name} is defined twice")
    DEFINITIONS[definition.name] = definition


def spelled(
    where: Sequence[str] = WHERE,
    *,
    name: str = "",
    operators: Sequence[str] = (),
    aliases: Sequence[str] = (),
    samples: Any = None,
    in_place: Callable[..., Any] | None = None,
    operator: Callable[..., Any] | None = None,
    **extra: Callable[..., Any],
):
    """A plain function of tensors as a public operation (composed of others, or with its own way to plans).

    in_place: the function behind NAME_. operator: the one behind its operators, method: behind Tensor.NAME, if they are
    others. setter: what setting the property does.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        own = name or function.__name__.removesuffix("_op")
        function.in_place = in_place  # type: ignore[attr-defined]
        if in_place is not None and not in_place.__doc__:
            in_place.__doc__ = f"{own}, written into the tensor itself."
        define(
            Definition(
                own, function, tuple(where), tuple(operators), samples, tuple(aliases), in_place, None, operator, extra
            )
        )
        return function

    return register


# ---------------------------------------------------------------- subclasses
PLAIN: set[type] = {Tensor}
"""Subclasses of Tensor whose operations give plain tensors (Parameter adds itself): no override is looked for."""


class _Dispatch(threading.local):
    """Whether overrides are looked for in this thread; not while a subclass's own __torch_function__ calls the operation."""

    enabled = True


dispatch = _Dispatch()


def overrides(operands: Sequence[Any]) -> list[type]:
    """The operands' types that have their own __torch_function__, most derived first."""
    found: list[type] = []
    if not dispatch.enabled:
        return found
    for x in operands:
        kind = type(x)
        if kind in PLAIN or kind in found:
            continue
        hook = getattr(kind, "__torch_function__", None)
        if hook is not None and getattr(hook, "__func__", hook) is not _DISABLED:
            place = next((i for i, k in enumerate(found) if issubclass(kind, k)), len(found))
            found.insert(place, kind)
    return found


def _DISABLED(*_: Any) -> Any:
    """The __torch_function__ of subclasses whose operations give plain tensors."""
    return NotImplemented


disabled = _DISABLED


def dispatched(function: Callable[..., Any], kinds: list[type], args: tuple, kwargs: dict) -> Any:
    """What the first type that knows how makes of the call."""
    instances = {type(x): x for x in (*args, *(x for a in args if isinstance(a, (tuple, list)) for x in a))}
    for kind in kinds:
        answer = instances.get(kind, kind).__torch_function__(function, tuple(kinds), args, kwargs)
        if answer is not NotImplemented:
            return answer
    names = ", ".join(k.__name__ for k in kinds)
    raise TypeError(
        f"no implementation found for '{function.__name__}' on types that implement __torch_function__: [{names}]"
    )


# ---------------------------------------------------------------- result rules
Rule = Callable[[dtype], tuple[dtype, dtype]]


def same(d: dtype) -> tuple[dtype, dtype]:
    """Computed in, and stored as, the promoted dtype."""
    return d, d


def floating(d: dtype) -> tuple[dtype, dtype]:
    """Integers and bools become the default floating dtype."""
    return as_floating(d), as_floating(d)


def only_floating(d: dtype) -> tuple[dtype, dtype]:
    """Computed in, and stored as, the promoted dtype, which must be floating (`Pointwise.dtypes_of` refuses others)."""
    return d, d


def boolean(d: dtype) -> tuple[dtype, dtype]:
    """Compared in the promoted dtype; the result is a bool."""
    return d, bool_


def real_part(d: dtype) -> tuple[dtype, dtype]:
    """The result of a complex operand is real."""
    return d, d.to_real()


# ---------------------------------------------------------------- pointwise
class Pointwise:
    """An operation whose value at each place depends on the operands' elements there.

    body: a function of expressions (and options). rule: which dtypes. `gradients[i]` states an operand's gradient by a body of
    its own: (g, y, *operands, **options) -> expression, where the derived one is worse.
    """

    def __init__(
        self, name: str, body: Callable[..., Any], rule: Rule, node_name: str, refuse: Callable[..., None] | None = None
    ):
        self.name, self.body, self.rule, self.refuse = name, body, rule, refuse
        parameters = inspect.signature(body).parameters.values()
        self.arity = sum(p.kind is not p.KEYWORD_ONLY for p in parameters)
        self.options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.tensors = 0
        self.entries: dict[Any, Entry] = {}
        self.in_place_plans: dict[Any, Any] = {}
        self.gradients: Callable[..., Any] | None = None
        self.node = type(node_name, (PointwiseNode,), {"__slots__": (), "operation": self, "frees": False})
        self._nests: dict[Any, Nest] = {}
        self._backward: dict[Any, Any] = {}

    rounds_numbers = False
    """Whether numbers are brought to the operands' half precision first (0.1 equals itself there)."""

    # ---------------------------------------------------------------- nests
    def nest(self, kinds: tuple[tuple[dtype, bool], ...], compute: dtype, result: dtype, options: tuple) -> Nest:
        """The nest for operands of these dtypes (True: a number), computed in one dtype and stored in another."""
        key = kinds, compute, result, options
        found = self._nests.get(key)
        if found is None:
            found = self._nests[key] = self._make_nest(kinds, compute, result, options)
        return found

    def elements(self, kinds: Sequence[tuple[dtype, bool]], compute: dtype) -> list[Expression]:
        """The operands as expressions, in the dtype of computation where it is given (None: as they are)."""
        raw = [scalar(i, d) if number else operand(i, d) for i, (d, number) in enumerate(kinds)]
        if self.rounds_numbers:
            raw = [cast(x, compute) if number else x for x, (_, number) in zip(raw, kinds)]
        return [cast(x, _in_registers(compute)) for x in raw]

    def _make_nest(self, kinds: tuple, compute: dtype, result: dtype, options: tuple) -> Nest:
        expression = self.body(*self.elements(kinds, compute), **dict(options))
        operands = tuple(Operand(d, number) for d, number in kinds)
        return Nest(((cast(expression, _in_registers(result)), result),), operands)

    # ---------------------------------------------------------------- the long way round
    def prepare(self, operands: tuple, options: tuple) -> Any:
        """(plan, operands as the plan takes them): checked, promoted, broadcast."""
        operands = tuple(map(self._normal, operands))
        self._check_numbers(operands)
        tensors = [x for x in operands if isinstance(x, Tensor)]
        if self.refuse is not None:
            self.refuse(*operands, **dict(options))
        device = same_device(self.name, tensors)
        compute, result = self.dtypes_of(operands)
        kinds = tuple(
            (x.form.dtype, False) if isinstance(x, Tensor) else (_number_kind(x, compute), True) for x in operands
        )
        shape = broadcast(self.name, *(x.form.shape for x in tensors))
        nest = self.nest(kinds, compute, result, options)
        forms = [x.form if isinstance(x, Tensor) else None for x in operands]
        made = dense_result([f for f in forms if f is not None], shape, result, device)
        return plan_pointwise(nest, forms, shape, [made]), operands

    def _check_numbers(self, operands: tuple) -> None:
        """TypeError for a number in place of an operand that must be a tensor."""
        for i, x in enumerate(operands[: self.tensors]):
            if not isinstance(x, Tensor):
                which = ("input", "other")[i] if self.arity == 2 or not i else f"operand {i + 1}"
                raise TypeError(
                    f"{self.name}(): argument '{which}' (position {i + 1}) must be Tensor, not {type(x).__name__}"
                )

    def dtypes_of(self, operands: Sequence[Any]) -> tuple[dtype, dtype]:
        """In which dtype to compute, and in which to store. NotImplementedError if the operation is of floating numbers only."""
        promoted = result_type_of(operands)
        if self.rule is only_floating:
            check_floating(self.name, promoted)
        return self.rule(promoted)

    def _normal(self, x: Any) -> Any:
        """An operand as plans take it: a tensor or a Python number."""
        if isinstance(x, (Tensor, bool, int, float)):
            return x
        if isinstance(x, complex):
            return from_number(x)
        if is_operand(x):
            return x.item() if hasattr(x, "item") else float(x)
        raise TypeError(f"{self.name}(): argument 'other' must be Tensor or Number, not {type(x).__name__}")

    def long(
        self, function: Callable[..., Any], operands: tuple, out: Tensor | None = None, options: tuple = ()
    ) -> Any:
        """A call that the table does not know yet."""
        kinds = overrides(operands)
        if kinds:
            return dispatched(function, kinds, operands, dict(options) | ({"out": out} if out is not None else {}))
        if not any(isinstance(x, Tensor) for x in operands):
            raise TypeError(
                f"{self.name}(): argument 'input' (position 1) must be Tensor, not {type(operands[0]).__name__}"
            )
        plan, normal = self.prepare(operands, options)
        entry = Entry(plan)
        if all(a is b for a, b in zip(operands, normal)):
            key = [x.form if isinstance(x, Tensor) else type(x) for x in normal]
            remember(self.entries, (*key, *options) if len(key) > 1 or options else key[0], entry)
        if out is not None and any_recorded(normal):
            refuse_recorded_out(self.name)
        result = plan(*normal)
        if out is not None:
            return write_out(self.name, out, result)
        if any_recorded(normal):
            self.record(entry, result, normal, options)
        return result

    # ---------------------------------------------------------------- recording
    def record(self, entry: Entry, result: Tensor, operands: tuple, options: tuple = ()) -> None:
        """Notes how the result came about, if its dtype can have a gradient."""
        backward = entry.backward or self._first_record(entry, result, operands, options)
        if backward is None:
            return
        edges = tuple([(x.node, x.output) if isinstance(x, Tensor) and x.node is not None else None for x in operands])
        result.node = self.node(edges, (backward, backward.save(operands, result) if backward.places else (), entry))

    def record_one(self, entry: Entry, result: Tensor, x: Tensor) -> None:
        """`record` for the one operand of a unary operation, which has a history."""
        backward = entry.backward or self._first_record(entry, result, (x,), ())
        if backward is not None:
            saved = backward.save((x,), result) if backward.places else ()
            result.node = self.node(((x.node, x.output),), (backward, saved, entry))

    def record_two(self, entry: Entry, result: Tensor, x: Any, y: Any, x_node: Any, y_node: Any) -> None:
        """`record` for the operands of a binary operation, given their nodes (None: no history, or a number)."""
        backward = entry.backward or self._first_record(entry, result, (x, y), ())
        if backward is not None:
            edges = None if x_node is None else (x_node, x.output), None if y_node is None else (y_node, y.output)
            saved = backward.save((x, y), result) if backward.places else ()
            result.node = self.node(edges, (backward, saved, entry))

    def _first_record(self, entry: Entry, result: Tensor, operands: tuple, options: tuple) -> Backward | None:
        """Finds the backward of a call's kind; None for a dtype without gradients."""
        if result.form.dtype.kind in "fc":
            entry.backward = self.backward_of(operands, options)
            entry.shapes = entry.backward.shapes_of(operands, result)
        return entry.backward

    def record_if_wanted(self, entry: Entry, result: Tensor, operands: tuple, options: tuple = ()) -> None:
        """`record`, if an operand has a history."""
        for x in operands:
            if isinstance(x, Tensor) and x.node is not None:
                return self.record(entry, result, operands, options)

    def backward_of(self, operands: tuple, options: tuple) -> Backward:
        """What the gradients of operands of these dtypes are made of."""
        key = (*(x.form.dtype if isinstance(x, Tensor) else type(x) for x in operands), options)
        found = self._backward.get(key)
        if found is None:
            found = self._backward[key] = Backward(self, operands, options)
        return found

    # ---------------------------------------------------------------- in place
    def in_place(self, operands: tuple, options: tuple = ()) -> Tensor:
        """Writes the result into the first operand."""
        x = operands[0]
        key = (*(o.form if isinstance(o, Tensor) else type(o) for o in operands), *options)
        apart = not any(isinstance(o, Tensor) and overlaps(o, x) for o in operands[1:])
        plan = self.in_place_plans.get(key) if apart else None
        if plan is None:
            plan = self._prepare_in_place(operands, options, key)
            operands = tuple(map(self._normal, operands))
        if any_recorded(operands):
            return change_in_place(self, plan, operands, options)
        plan(x, *operands)
        bump(x)
        return x

    def _prepare_in_place(self, operands: tuple, options: tuple, key: tuple) -> Any:
        normal = tuple(map(self._normal, operands))
        self._check_numbers(normal)
        x = normal[0]
        tensors = [o for o in normal if isinstance(o, Tensor)]
        if self.refuse is not None:
            self.refuse(*normal, **dict(options))
        same_device(self.name, tensors)
        shape = broadcast(self.name + "_", *(o.form.shape for o in tensors))
        if shape != tuple(x.form.shape):
            raise RuntimeError(
                message(
                    self.name + "_",
                    f"output with shape {list(x.form.shape)} doesn't match the broadcast shape {list(shape)}",
                )
            )
        check_not_expanded(x)
        compute, result = self.dtypes_of(normal)
        check_cast(self.name + "_", result, x.form.dtype)
        kinds = tuple(
            (o.form.dtype, False) if isinstance(o, Tensor) else (_number_kind(o, compute), True) for o in normal
        )
        nest = self._in_place_nest(kinds, compute, result, x.form.dtype, options)
        forms = [o.form if isinstance(o, Tensor) else None for o in normal]
        plan = plan_pointwise(nest, forms, shape, [x.form], in_place=True)
        if any(isinstance(o, Tensor) and o is not x and overlaps(o, x) for o in normal):
            return lambda out, *rest: plan(
                out, *(copied(o) if isinstance(o, Tensor) and o is not out and overlaps(o, out) else o for o in rest)
            )
        return remember(self.in_place_plans, key, plan) if all(a is b for a, b in zip(operands, normal)) else plan

    def _in_place_nest(self, kinds: tuple, compute: dtype, result: dtype, stored: dtype, options: tuple) -> Nest:
        made = self.nest(kinds, compute, result, options)
        if result is stored:
            return made
        key = made, stored
        found = self._nests.get(key)
        if found is None:
            ((expression, _),) = made.results
            found = self._nests[key] = Nest(((cast(expression, _in_registers(stored)), stored),), made.operands)
        return found


def is_operand(x: Any) -> bool:
    """Whether arithmetic takes x: a tensor, a number, or an array's element."""
    return isinstance(x, (Tensor, AnyNumber)) or (hasattr(x, "item") and getattr(x, "ndim", None) == 0)


def _in_registers(d: dtype) -> dtype:
    return operand(0, d).dtype


def _number_kind(x: Any, compute: dtype) -> dtype:
    """How a number is handed to a kernel: as a double for floating arithmetic, else as an integer."""
    d = number_dtype(x)
    if compute.kind in "fc" or d.kind == "f":
        return _in_registers(compute).to_real() if compute.kind in "fc" else d
    return compute if compute.kind != "b" or d.kind == "b" else d


def any_recorded(operands: Sequence[Any]) -> bool:
    """Whether a call on these is to be recorded."""
    return mode.recording and any(isinstance(x, Tensor) and x.node is not None for x in operands)


class Entry:
    """What is known of a call on operands of certain forms: its plan, and (once one was recorded) how to record it."""

    __slots__ = ("backward", "gradients", "plan", "shapes")

    def __init__(self, plan: Any):
        self.plan = plan
        self.gradients: dict[Form, list[Any]] = {}  # form of the incoming gradient -> plan of each operand's gradient
        self.backward: Backward | None = None
        self.shapes: tuple | None = None


class Backward:
    """The gradients of a pointwise operation for operands of certain dtypes, each an operation itself, and what they need.

    kept: the operands that gradients use, keeps_result: whether they use the result; only those are saved.
    """

    def __init__(self, operation: Pointwise, operands: Sequence[Any], options: tuple):
        self.operation, self.options = operation, options
        dtypes = [x.form.dtype if isinstance(x, Tensor) else None for x in operands]
        compute, _ = operation.rule(result_type_of(operands))
        kinds = [(d, False) if d is not None else (_number_kind(x, compute), True) for d, x in zip(dtypes, operands)]
        self.n = len(operands)
        x = operation.elements(kinds, compute)
        y = operation.body(*x, **dict(options))
        shift = self.n + 1  # in gradients: operands 0..n-1, result n, incoming gradient n + 1
        g = operand(shift, y.dtype)
        slots = [operand(i, e.dtype) for i, e in enumerate(x)]
        standing = operand(self.n, y.dtype)
        if operation.gradients is not None:
            parts = operation.gradients(g, standing, *slots, **dict(options))
            parts = list(parts) if isinstance(parts, (tuple, list)) else [parts]
        else:
            root = rebuild(y, dict(zip(x, slots)))
            parts = [None if p is None else rebuild(p, {root: standing}) for p in adjoints(root, g, slots)]
        self.rules = [
            None if p is None or d is None else self._rule(i, p, d) for i, (p, d) in enumerate(zip(parts, dtypes))
        ]
        used = [rule.used for rule in self.rules if rule is not None]
        self.kept = tuple(i for i in range(self.n) if any(i in u for u in used))
        self.keeps_result = any(self.n in u for u in used)
        self.places = (*self.kept, self.n) if self.keeps_result else self.kept
        if self.places:
            operation.node.frees = True

    def _rule(self, i: int, gradient: Expression, d: dtype) -> GradientRule:
        return GradientRule(f"{self.operation.name}_backward", gradient, d, self.n)

    def save(self, operands: Sequence[Any], result: Tensor) -> list[Any]:
        """What backward will need: of `kept` operands the tensors with their versions or the numbers, then the result."""
        hooked = packers.pairs
        entries: list[Any] = []
        for i in self.kept:
            x = operands[i]
            if hooked or not isinstance(x, Tensor):
                entries.append(save(x) if isinstance(x, Tensor) else x)
            else:
                entries.append((x, 0 if x.version is None else x.version[0]))
        if self.keeps_result:
            entries.append(save_result(result))
        return entries

    def unpacked(self, entries: Sequence[Any], g: Tensor, node: Node) -> list[Any]:
        """(*operands, result, g), those that are used."""
        tensors: list[Any] = [None] * (self.n + 2)
        for i, entry in zip(self.places, entries):
            if type(entry) is tuple:  # the usual one: an operand and its version (core.saved.unpack)
                x, version = entry
                if x.version is not None and x.version[0] != version:
                    check_version(x, version)
                tensors[i] = x
            elif type(entry) is Result and not mode.recording:  # the result itself (Result.unpacked)
                x = entry.tensor
                if x.version[0] != entry.version:  # type: ignore[index]
                    check_version(x, entry.version)
                tensors[i] = x
            else:
                tensors[i] = entry if isinstance(entry, (bool, int, float)) else entry.unpacked(node)
        tensors[-1] = g
        return tensors

    def shapes_of(self, operands: Sequence[Any], result: Tensor) -> tuple | None:
        """The operands' shapes, if one of them was broadcast."""
        shape = result.form.shape
        for x in operands:
            if isinstance(x, Tensor) and x.form.shape != shape:
                return tuple([x.form.shape if isinstance(x, Tensor) else None for x in operands])
        return None


class GradientRule:
    """One operand's gradient: a pointwise operation of the tensors it uses."""

    def __init__(self, name: str, gradient: Expression, d: dtype, n: int):
        used = sorted({node.value for node in walk([gradient]) if node.kind == "operand"})
        if n + 1 not in used:
            used.append(n + 1)  # zero everywhere: it has the incoming gradient's shape
        self.used = used
        self.passes = gradient.kind == "operand" and used == [n + 1] and gradient.dtype is d
        dtypes = {node.value: node.dtype for node in walk([gradient]) if node.kind == "operand"}
        place = {i: k for k, i in enumerate(used)}

        def body(*x: Expression) -> Expression:
            swap = {node: cast(x[place[node.value]], node.dtype) for node in walk([gradient]) if node.kind == "operand"}
            return rebuild(gradient, swap)

        body.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(f"x{i}", inspect.Parameter.POSITIONAL_ONLY) for i in used]
        )
        self.operation = Pointwise(name, body, lambda _: (_in_registers(d), d), name.title().replace("_", "") + "0")
        self.operation.elements = lambda kinds, compute: [  # type: ignore[method-assign]
            scalar(i, k) if number else operand(i, k) for i, (k, number) in enumerate(kinds)
        ]
        self.call = door(self.operation)
        self._dtypes = dtypes

    def __call__(self, tensors: Sequence[Any]) -> Tensor:
        return self.call(*[tensors[i] for i in self.used])

    def plan(self, tensors: Sequence[Any]) -> Any:
        """The plan that the last call on operands of these forms was made with, if it is remembered."""
        key = [x.form if isinstance(x, Tensor) else type(x) for x in (tensors[i] for i in self.used)]
        entry = self.operation.entries.get(tuple(key) if len(key) > 1 else key[0])
        return None if entry is None else entry.plan


class PointwiseNode(Node):
    """A recorded pointwise operation. saved: (Backward, what it keeps of operands and result, Entry)."""

    __slots__ = ()
    operation: Pointwise

    def backward(self, *gradients: Any) -> tuple:
        (g,) = gradients
        backward, kept, entry = self.saved
        tensors = backward.unpacked(kept, g, self)
        plans = None if mode.recording else entry.gradients.get(g.form)
        if plans is not None and len(plans) == 1 and plans[0] is not None:
            return (plans[0](*[tensors[j] for j in backward.rules[0].used]),)  # type: ignore[union-attr]
        found: list[Any] = []
        for i, edge in enumerate(self.edges):
            rule = backward.rules[i]
            if edge is None or rule is None:
                found.append(None)
                continue
            if rule.passes:
                part = g
            elif plans is not None and plans[i] is not None:
                part = plans[i](*[tensors[j] for j in rule.used])
            else:
                part = rule(tensors)
            found.append(part if entry.shapes is None else sum_to(part, entry.shapes[i]))
        if plans is None and not mode.recording:
            known = [None if rule is None or rule.passes else rule.plan(tensors) for rule in backward.rules]
            remember(entry.gradients, g.form, known)
        return tuple(found)


# ---------------------------------------------------------------- the doors of pointwise operations
def door(op: Pointwise) -> Callable[..., Any]:
    """The function that users call: the shortest way for the usual operands, `long` for all else."""
    make = _door_with_options if op.options else {1: _unary_door, 2: _binary_door}.get(op.arity, _any_door)
    call = make(op)
    call.__name__ = call.__qualname__ = op.name
    return call


def _unary_door(op: Pointwise) -> Callable[..., Any]:
    entries = op.entries

    def call(input: Any, *, out: Tensor | None = None) -> Tensor:
        entry = entries.get(input.form) if type(input) in PLAIN else None
        if entry is None or out is not None:
            return op.long(call, (input,), out)
        result = entry.plan(input)
        if input.node is not None and mode.recording:
            op.record_one(entry, result, input)
        return result

    return call


def operator_door(op: Pointwise) -> Callable[..., Any]:
    """The door as Python's operators have it: NotImplemented for what is neither a tensor nor a number."""
    if op.arity != 2 or op.options:
        return door(op)

    def long(function: Callable[..., Any], operands: tuple, out: Tensor | None = None) -> Any:
        return op.long(function, operands, out) if all(map(is_operand, operands)) else NotImplemented

    call = _binary_door(op, long)
    call.__name__ = call.__qualname__ = op.name
    return call


def _binary_door(op: Pointwise, long: Callable[..., Any] | None = None) -> Callable[..., Any]:
    entries, long = op.entries, long or op.long

    def call(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        a, b = type(input), type(other)
        a_tensor, b_tensor = a in PLAIN, b in PLAIN
        entry = entries.get((input.form if a_tensor else a, other.form if b_tensor else b))
        if entry is None or out is not None:
            return long(call, (input, other), out)
        result = entry.plan(input, other)
        a_node = input.node if a_tensor else None
        b_node = other.node if b_tensor else None
        if (a_node is not None or b_node is not None) and mode.recording:
            op.record_two(entry, result, input, other, a_node, b_node)
        return result

    return call


def _any_door(op: Pointwise) -> Callable[..., Any]:
    def call(*operands: Any, out: Tensor | None = None) -> Tensor:
        entry = op.entries.get(tuple([x.form if type(x) in PLAIN else type(x) for x in operands]))
        if entry is None or out is not None:
            return op.long(call, operands, out)
        result = entry.plan(*operands)
        if mode.recording:
            op.record_if_wanted(entry, result, operands)
        return result

    return call


def _door_with_options(op: Pointwise) -> Callable[..., Any]:
    """Calls are known by how the options were given, so that the usual ones need not sort them."""
    n, defaults = op.arity, op.options
    names = tuple(defaults)
    known: dict[Any, tuple[Entry, tuple]] = {}

    def call(input: Any, *arguments: Any, out: Tensor | None = None, **options: Any) -> Tensor:
        found = None
        if n == 1 and type(input) in PLAIN:
            found = known.get((input.form, arguments, *options.items()))
        if found is None or out is not None:
            return others(input, *arguments, out=out, **options)
        entry, chosen = found
        result = entry.plan(input)
        if input.node is not None and mode.recording:
            op.record(entry, result, (input,), chosen)
        return result

    def others(*arguments: Any, out: Tensor | None = None, **options: Any) -> Tensor:
        operands, more = arguments[:n], arguments[n:]
        values = {**defaults, **dict(zip(names, more)), **options} if more or options else defaults
        if len(values) > len(defaults) or len(operands) < n:
            operands, values = _bound(op, arguments, options)
        chosen = tuple(values.items())
        entry = op.entries.get((*[x.form if type(x) in PLAIN else type(x) for x in operands], *chosen))
        if entry is None or out is not None:
            return op.long(call, operands, out, chosen)
        if n == 1 and arguments:
            remember(known, (operands[0].form, arguments[1:], *options.items()), (entry, chosen))
        result = entry.plan(*operands)
        if mode.recording:
            op.record_if_wanted(entry, result, operands, chosen)
        return result

    return call


def _bound(op: Pointwise, arguments: tuple, options: dict) -> tuple[tuple, dict]:
    """Operands given by name sorted into their places."""
    names = list(inspect.signature(op.body).parameters)
    public = ["input" if i == 0 else "other" if i == 1 and op.arity == 2 else name for i, name in enumerate(names)]
    given = dict(zip(public, arguments))
    for name, value in options.items():
        if name not in public or name in given:
            wrong = "got multiple values for" if name in given else "got an unexpected keyword"
            raise TypeError(f"{op.name}() {wrong} argument '{name}'")
        given[name] = value
    missing = [name for name in public[: op.arity] if name not in given]
    if missing:
        raise TypeError(
            f"{op.name}() missing {len(missing)} required positional argument(s): {', '.join(map(repr, missing))}"
        )
    values = {name: given.get(name, default) for name, default in op.options.items()}
    return tuple(given[name] for name in public[: op.arity]), values


# ---------------------------------------------------------------- in place, out=
class _Late:
    """What stands above ops and is put in place when it is imported: how a change in place enters the graph."""

    @staticmethod
    def rebase(x: Tensor, node: Node) -> None:
        """x's history is from now on `node` (autograd.inplace knows of views)."""
        x.node, x.output = node, False


late = _Late()


def check_writable(x: Tensor, name: str) -> None:
    """RuntimeError for a leaf that requires grad, which must not be changed in place while recording."""
    if x.node is not None and mode.recording and x.is_leaf:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if x.node is not None and mode.recording and x.base is not None and x.base.is_leaf and x.base.node is not None:
        raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")


def change_in_place(op: Pointwise, plan: Any, operands: tuple, options: tuple) -> Tensor:
    """An in-place operation that is recorded."""
    x = operands[0]
    check_writable(x, op.name)
    if x.form.dtype.kind not in "fc":
        plan(x, *operands)
        bump(x)
        return x
    backward = op.backward_of(operands, options)
    edges = tape.edges(*[o if isinstance(o, Tensor) else None for o in operands])
    before = tuple([_as_it_was(o) if o is x and i in backward.kept else o for i, o in enumerate(operands)])
    entry = Entry(plan)
    entry.shapes = backward.shapes_of(operands, x)
    saved = backward.save(before, x)  # with the versions before the change: another operand may be a view of x
    plan(x, *operands)
    bump(x)
    if backward.keeps_result:
        saved[-1] = save_result(x)
    late.rebase(x, op.node(edges, (backward, saved, entry)))
    return x


def _as_it_was(x: Tensor) -> Tensor:
    """A copy with x's history, for gradients of gradients, before x is changed."""
    copy = copied(x)
    copy.node, copy.output = x.node, x.output
    return copy


def copied(x: Tensor) -> Tensor:
    """A copy without history."""
    return COPY.prepare((alias(x),), ())[0](x)


def row_major(x: Tensor) -> Tensor:
    """A contiguous copy without history."""
    y = empty(form(x.form.dtype, x.form.device, tuple(x.form.shape)))
    return COPY.in_place_plan(y, x)(y, y, x) if x.form.numel else y


def overlaps(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors over one storage may have elements in common at different places."""
    if a.storage is not b.storage or a.storage is None:
        return False
    if a.offset == b.offset and a.form.strides == b.form.strides and a.form.shape == b.form.shape:
        return False
    size = a.form.dtype.itemsize, b.form.dtype.itemsize
    return (
        a.offset * size[0] < (b.offset + b.form.extent) * size[1]
        and b.offset * size[1] < (a.offset + a.form.extent) * size[0]
    )


def check_not_expanded(x: Tensor) -> None:
    """RuntimeError if several elements of x are the same memory."""
    if x.form.numel and any(s == 0 and n > 1 for n, s in zip(x.form.shape, x.form.strides)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def refuse_recorded_out(name: str) -> None:
    """out= cannot take part in backward."""
    raise RuntimeError(
        f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
    )


def write_out(name: str, out: Tensor, result: Tensor) -> Tensor:
    """Puts a result into out=, which is resized if its shape is another; returns out."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if out.node is not None and mode.recording:
        refuse_recorded_out(name)
    check_cast(name, result.form.dtype, out.form.dtype)
    if out.form.device is not result.form.device:
        raise RuntimeError(
            f"{name}: Expected out tensor to have device {result.form.device}, but got {out.form.device} instead"
        )
    if out.form.shape != result.form.shape:
        resize_out(name, out, result.form)
    check_not_expanded(out)
    if result.form.numel:
        COPY.in_place_plan(out, result)(out, out, result)
    bump(out)
    return out


def resize_out(name: str, out: Tensor, to: Form) -> None:
    """Gives an out= tensor another shape; a warning if it was not empty."""
    if out.form.numel:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(out.form.shape)}, which does not match the "
            f"required output shape {list(to.shape)}. This behavior is deprecated, and in a future PyTorch release outputs will not "
            "be resized unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, inplace, to zero "
            "elements with t.resize_(0).",
            stacklevel=4,
        )
    new = form(out.form.dtype, out.form.device, tuple(to.shape))
    fresh = empty(new)
    out.storage, out.offset, out.form = fresh.storage, 0, new


# ---------------------------------------------------------------- decorators
def pointwise(
    result: Rule = same,
    *,
    name: str = "",
    node: str = "",
    where: Sequence[str] = WHERE,
    operators: Sequence[str] = (),
    aliases: Sequence[str] = (),
    samples: Any = None,
    refuse: Callable[..., None] | None = None,
    tensors: int = 0,
):
    """A formula over elements as an operation: positional parameters are operands, keyword-only ones options.

    result: the dtype rule. node: grad_fn's name, by default NameBackward0. refuse: called with the operands before anything is
    computed, raises for those that PyTorch refuses. tensors: how many leading operands may not be numbers.
    """

    def make(body: Callable[..., Any]) -> Callable[..., Any]:
        own = name or body.__name__.strip("_")
        title = "".join(part.capitalize() for part in own.split("_"))
        op = Pointwise(own, body, result, node or f"{title}Backward0", refuse)
        op.tensors = tensors
        call = _named(door(op), own, body)
        in_place = _in_place_door(op, own, body) if "in_place" in where else None
        operator = operator_door(op) if operators else None
        define(Definition(own, call, tuple(where), tuple(operators), samples, tuple(aliases), in_place, op, operator))
        call.operation = op  # type: ignore[attr-defined]
        call.backward = _stated(op)  # type: ignore[attr-defined]
        call.in_place = in_place  # type: ignore[attr-defined]
        return call

    return make


def _stated(op: Pointwise) -> Callable[..., Any]:
    def backward(rule: Callable[..., Any]) -> Callable[..., Any]:
        """States the gradients: rule(g, y, *operands, **options) -> an expression or None for each operand."""
        op.gradients = rule
        return rule

    return backward


def _named(call: Callable[..., Any], name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    call.__name__ = call.__qualname__ = name
    call.__doc__, call.__module__ = body.__doc__, body.__module__
    parameters = list(inspect.signature(body).parameters.values())
    public = [
        p.replace(
            name="input" if i == 0 else "other" if i == 1 and p.kind is p.POSITIONAL_OR_KEYWORD else p.name,
            annotation=p.empty,
        )
        for i, p in enumerate(parameters)
    ]
    public.append(inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None))
    if len({p.name for p in public}) == len(public):
        call.__signature__ = inspect.Signature(public)  # type: ignore[attr-defined]
    return call


def in_place_door(op: Pointwise) -> Callable[..., Any]:
    """The function behind NAME_ of an operation without options: the shortest way for what is known and not recorded."""
    plans = op.in_place_plans

    def change(input: Any) -> Tensor:
        plan = plans.get((input.form,)) if type(input) in PLAIN else None
        if plan is None or (input.node is not None and mode.recording):
            return op.in_place((input,))
        plan(input, input)
        bump(input)
        return input

    def change_by(input: Any, other: Any) -> Tensor:
        if type(input) in PLAIN and (input.node is None or not mode.recording):
            kind = type(other)
            if kind not in PLAIN:
                plan = plans.get((input.form, kind))
            elif other.storage is input.storage or (other.node is not None and mode.recording):
                plan = None
            else:
                plan = plans.get((input.form, other.form))
            if plan is not None:
                plan(input, input, other)
                bump(input)
                return input
        return op.in_place((input, other))

    def change_by_several(*operands: Any) -> Tensor:
        return op.in_place(operands)

    return {1: change, 2: change_by}.get(op.arity, change_by_several)


def _in_place_door(op: Pointwise, name: str, body: Callable[..., Any]) -> Callable[..., Any]:
    n, defaults = op.arity, op.options

    def call(*arguments: Any, **options: Any) -> Tensor:
        operands, more = arguments[:n], arguments[n:]
        values = {**defaults, **dict(zip(defaults, more)), **options} if more or options else defaults
        if len(values) > len(defaults) or len(operands) < n:
            operands, values = _bound(op, arguments, options)
        return op.in_place(operands, tuple(values.items()))

    if not op.options and n <= 2:
        call = in_place_door(op)
    call.__name__ = call.__qualname__ = f"{name}_"
    call.__doc__, call.__module__ = f"{name}, written into the tensor itself.", body.__module__
    return call


class Recorded:
    """A function of tensors with a backward of its own: what it computes inside is not recorded.

    The function returns (result or tuple of results, what backward needs); backward(node, *gradients) gives a gradient for each of
    the function's leading tensor arguments. `keep` and `kept` are how backward gets saved tensors.
    """

    def __init__(self, function: Callable[..., Any], node_name: str, tensors: int):
        self.function, self.tensors = function, tensors
        self.node = type(node_name, (RecordedNode,), {"__slots__": (), "frees": False})
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if not mode.recording:
            return self.function(*arguments, **options)[0]
        operands = arguments[: self.tensors]
        if not any(isinstance(x, Tensor) and x.node is not None for x in operands):
            return self.function(*arguments, **options)[0]
        mode.recording = False
        try:
            result, saved = self.function(*arguments, **options)
        finally:
            mode.recording = True
        results = result if isinstance(result, tuple) else (result,)
        node = self.node(tape.edges(*[x if isinstance(x, Tensor) else None for x in operands]), None)
        node.saved = tuple([keep(s, node, results) if isinstance(s, Tensor) else s for s in saved])
        node.n_results = len(results)
        if any(isinstance(s, Tensor) for s in saved):
            self.node.frees = True
        for i, y in enumerate(results):
            if y.form.dtype.kind in "fc":
                y.node, y.output = node, i or False
        return result

    def backward(self, rule: Callable[..., tuple]) -> Callable[..., tuple]:
        """States the gradients: rule(node, *gradients of results) -> a gradient (or None) for each tensor argument."""
        self.node.rule = staticmethod(rule)
        return rule


def keep(x: Tensor, node: Node, results: tuple) -> Any:
    """A tensor as the node keeps it: its own results without history."""
    for i, y in enumerate(results):
        if x is y:
            return save_result(x, i)
    return save(x)


class RecordedNode(Node):
    """The node of a `recorded` function; `rule` is the class's, `kept()` the saved values."""

    __slots__ = ("n_results",)
    rule: Callable[..., tuple]

    @property
    def results(self) -> int:  # type: ignore[override]
        return self.n_results

    def kept(self) -> list[Any]:
        """What the function returned for backward, tensors checked for changes."""
        return [
            unpack(s, self)
            if type(s) is tuple and len(s) == 2 and isinstance(s[0], Tensor) or hasattr(s, "unpacked")
            else s
            for s in self.saved
        ]

    def wants(self, i: int) -> bool:
        """Whether the gradient of tensor argument i is asked for."""
        return self.edges[i] is not None

    def backward(self, *gradients: Any) -> tuple:
        return tuple(g if e is not None else None for g, e in zip(self.rule(self, *gradients), self.edges))


def recorded(node: str, tensors: int = 1) -> Callable[[Callable[..., Any]], Recorded]:
    """A function with a backward of its own; its first `tensors` arguments are those that get gradients."""

    def make(function: Callable[..., Any]) -> Recorded:
        return Recorded(function, node, tensors)

    return make


# ---------------------------------------------------------------- two operations that all others stand on
class _Copy(Pointwise):
    """Copies elements, converting the dtype."""

    def in_place_plan(self, out: Tensor, source: Tensor) -> Any:
        """The plan that writes source (broadcast) into out: plan(out, out, source)."""
        key = out.form, source.form
        plan = self.in_place_plans.get(key)
        if plan is None:
            d = _in_registers(out.form.dtype)
            kinds = (Operand(out.form.dtype), Operand(source.form.dtype))
            nest_key = kinds
            nest = self._nests.get(nest_key)
            if nest is None:
                nest = self._nests[nest_key] = Nest(((cast(operand(1, source.form.dtype), d), out.form.dtype),), kinds)
            plan = remember(
                self.in_place_plans,
                key,
                plan_pointwise(nest, [out.form, source.form], out.form.shape, [out.form], in_place=True),
            )
        return plan


COPY = _Copy("clone", lambda x: x, same, "CloneBackward0")
