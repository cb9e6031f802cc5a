"""Recurrent layers: a sequence read step by step, one kernel for the gates of a step.

What the input contributes to the gates is one product for all steps, made and recorded by the caller. Here is the rest, a
function with a backward of its own: at every step a product with the state, then a kernel that computes gates and
states, and keeps what backward needs. Backward walks the steps the other way; the gradients of the weights are one product
over all steps then.

A `Cell` is its two formulas, which hold for expressions (in kernels) and for tensors alike: gradients of gradients are
computed by the same formulas, with recorded operations.

Rows: (step, sequence) as one dimension, as packed sequences have it; `sizes` says how many sequences each step has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mashal.core.forms import Form, form
from mashal.core.tape import mode
from mashal.core.tensor import Tensor, empty, make
from mashal.lang import expression as e
from mashal.lang.expression import cast, operand
from mashal.lang.nest import Nest, Operand
from mashal.ops.activation import relu
from mashal.ops.contraction import matmul, product, transposed
from mashal.ops.define import recorded, row_major
from mashal.ops.exponential import sigmoid
from mashal.ops.joining import cat
from mashal.ops.linear_map import linear
from mashal.ops.reductions import sum_
from mashal.ops.rules import in_registers
from mashal.ops.run import plan_pointwise, remember
from mashal.ops.trigonometric import tanh

__all__ = ["CELLS", "Cell", "step", "steps"]


class _OfTensors:
    """The functions in the formulas, for tensors."""

    sigmoid, tanh, relu = staticmethod(sigmoid), staticmethod(tanh), staticmethod(relu)


class _OfExpressions:
    """The functions in the formulas, for elements in a kernel."""

    sigmoid, tanh = staticmethod(e.sigmoid), staticmethod(e.tanh)
    relu = staticmethod(lambda x: e.where(x > 0, x, x * 0))


class Cell(NamedTuple):
    """gates: how many, states: how many, saved: how many values a state's element keeps for backward.

    forward(functions, inputs, recurrents, states) -> states, saved: inputs and recurrents are what input and state contribute to
    each gate. backward(functions, gradients of states, saved, states before) -> gradients of the inputs' share, of the
    recurrents' (None: the same), of the states directly (None: only by way of the product).
    """

    gates: int
    states: int
    saved: int
    forward: Callable[..., Any]
    backward: Callable[..., Any]


# ---------------------------------------------------------------- the cells
def _lstm(m: Any, x: Sequence, r: Sequence, states: Sequence) -> Any:
    i, f, g, o = m.sigmoid(x[0] + r[0]), m.sigmoid(x[1] + r[1]), m.tanh(x[2] + r[2]), m.sigmoid(x[3] + r[3])
    c = f * states[1] + i * g
    return (o * m.tanh(c), c), (i, f, g, o)


def _lstm_backward(m: Any, gradients: Sequence, saved: Sequence, states: Sequence) -> Any:
    dh, dc = gradients
    i, f, g, o = saved
    t = m.tanh(f * states[1] + i * g)
    dc = dc + dh * o * (1 - t * t)
    d = (dc * g * i * (1 - i), dc * states[1] * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o))
    return d, None, (None, dc * f)


def _gru(m: Any, x: Sequence, s: Sequence, states: Sequence) -> Any:
    r, z = m.sigmoid(x[0] + s[0]), m.sigmoid(x[1] + s[1])
    n = m.tanh(x[2] + r * s[2])
    return ((states[0] - n) * z + n,), (r, z, n, s[2])


def _gru_backward(m: Any, gradients: Sequence, saved: Sequence, states: Sequence) -> Any:
    (dh,), (r, z, n, s) = gradients, saved
    dn = dh * (1 - z) * (1 - n * n)
    dr, dz = dn * s * r * (1 - r), dh * (states[0] - n) * z * (1 - z)
    return (dr, dz, dn), (dr, dz, dn * r), (dh * z,)


def _rnn(function: str) -> Callable[..., Any]:
    def forward(m: Any, x: Sequence, r: Sequence, states: Sequence) -> Any:
        h = getattr(m, function)(x[0] + r[0])
        return (h,), (h,)

    return forward


def _tanh_backward(m: Any, gradients: Sequence, saved: Sequence, states: Sequence) -> Any:
    return (gradients[0] * (1 - saved[0] * saved[0]),), None, (None,)


def _relu_backward(m: Any, gradients: Sequence, saved: Sequence, states: Sequence) -> Any:
    return (_where_positive(m, saved[0], gradients[0]),), None, (None,)


def _where_positive(m: Any, x: Any, g: Any) -> Any:
    return e.where(x > 0, g, g * 0) if m is _OfExpressions else g * (x > 0)


CELLS = {
    "LSTM": Cell(4, 2, 4, _lstm, _lstm_backward),
    "GRU": Cell(3, 1, 4, _gru, _gru_backward),
    "RNN_TANH": Cell(1, 1, 1, _rnn("tanh"), _tanh_backward),
    "RNN_RELU": Cell(1, 1, 1, _rnn("relu"), _relu_backward),
}


# ---------------------------------------------------------------- public to nn
def steps(
    cell: Cell,
    inputs: Tensor,
    states: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    sizes: Sequence[int],
    reverse: bool = False,
    projection: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A sequence read by a cell: (the first state after each step, the states after the last).

    inputs: (rows, gates · hidden), what the input contributes. states: (batch, hidden) each. weight: (gates · hidden, hidden).
    sizes: how many sequences each step has, never growing. reverse: from the last step to the first. projection: of LSTM's
    first state, (projected, hidden).
    """
    if projection is not None or inputs.form.dtype.kind != "f":
        outputs, last, _ = _by_operations(cell, inputs, states, weight, bias, sizes, reverse, projection)
        return outputs, tuple(last)
    second = states[1] if cell.states == 2 else None
    everything = (inputs, states[0], second, weight, bias)
    keeps = mode.recording and any(x is not None and x.node is not None for x in everything)
    outputs, *last = _recurrence(*everything, cell, tuple(sizes), reverse, keeps)
    return outputs, tuple(last)


def step(
    cell: Cell, inputs: Tensor, states: Sequence[Tensor], weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """One step: the states after it; see steps."""
    return steps(cell, inputs, states, weight, bias, (inputs.form.shape[0],))[1]


# ---------------------------------------------------------------- kernels
class _Rows:
    """Pieces of a tensor of rows: some rows, of them one gate's columns."""

    def __init__(self, x: Tensor, hidden: int):
        self.capsule, self.offset, self.hidden, self.width = x.capsule, x.offset, hidden, x.form.shape[1]
        self.dtype, self.device, self.count = x.form.dtype, x.form.device, -1

    def part(self, start: int, count: int) -> Tensor:
        """Rows of the first gate."""
        return make(self.capsule, self.offset + start * self.width, self._piece(count))

    def parts(self, start: int, count: int) -> list[Tensor]:
        """Rows of each gate."""
        first, capsule, piece = self.offset + start * self.width, self.capsule, self._piece(count)
        return [make(capsule, first + gate, piece) for gate in range(0, self.width, self.hidden)]

    def rows(self, start: int, count: int) -> Tensor:
        """Rows of all gates."""
        return make(self.capsule, self.offset + start * self.width, form(self.dtype, self.device, (count, self.width)))

    def _piece(self, count: int) -> Form:
        """The form of some rows of a gate; most steps have as many as the one before."""
        if count != self.count:
            self.count = count
            self.piece = form(self.dtype, self.device, (count, self.hidden), (self.width, 1))
        return self.piece


_plans: dict[Any, Any] = {}


def _run(formula: Callable[..., Any], results: list[Tensor], operands: list[Tensor]) -> None:
    """Runs the kernel of a formula over elements: its values are written into the results."""
    key = (formula, *[x.form for x in results], *[x.form for x in operands])
    plan = _plans.get(key) or remember(_plans, key, _plan(formula, results, operands))
    plan(*results, *operands)


def _plan(formula: Callable[..., Any], results: list[Tensor], operands: list[Tensor]) -> Any:
    d = results[0].form.dtype
    compute = in_registers(d)
    values = formula(*[cast(operand(i, d), compute) for i in range(len(operands))])
    nest = Nest(tuple((cast(v, compute), d) for v in values), (Operand(d),) * len(operands))
    forms = [x.form for x in results]
    return plan_pointwise(nest, [x.form for x in operands], forms[0].shape, forms, in_place=True)


_formulas: dict[Any, Callable[..., Any]] = {}


def _forward_formula(cell: Cell, keeps: bool) -> Callable[..., Any]:
    """(inputs, recurrents, states) -> output, [saved, states before], states after: what is overwritten comes last."""
    if (cell, keeps) not in _formulas:
        n = cell.gates

        def formula(*x: Any) -> list[Any]:
            before = x[2 * n :]
            after, saved = cell.forward(_OfExpressions, x[:n], x[n : 2 * n], before)
            return [after[0], *((*saved, *before) if keeps else ()), *after]

        _formulas[cell, keeps] = formula
    return _formulas[cell, keeps]


def _backward_formula(cell: Cell) -> Callable[..., Any]:
    """(gradient of the output, of the states, saved, states before) -> of the inputs, [recurrents], states."""
    if cell not in _formulas:
        n = cell.states

        def formula(g: Any, *x: Any) -> list[Any]:
            after = (x[0] + g, *x[1:n])
            inputs, recurrents, states = cell.backward(
                _OfExpressions, after, x[n : n + cell.saved], x[n + cell.saved :]
            )
            return [*inputs, *(recurrents or ()), *(e.constant(0.0, g.dtype) if s is None else s for s in states)]

        _formulas[cell] = formula
    return _formulas[cell]


def _add(x: Any, y: Any) -> list[Any]:
    return [x + y]


# ---------------------------------------------------------------- the fast way
def _walk(sizes: Sequence[int], reverse: bool) -> list[tuple[int, int]]:
    """(first row, rows) of each step, in the order in which they are read."""
    found, start = [], 0
    for count in sizes:
        found.append((start, count))
        start += count
    return found[::-1] if reverse else found


def _rows_like(x: Tensor, rows: int, width: int) -> Tensor:
    return empty(form(x.form.dtype, x.form.device, (rows, width)))


@recorded("RecurrenceBackward0", tensors=5)
def _recurrence(inputs: Tensor, h: Tensor, c: Tensor | None, weight: Tensor, bias: Tensor | None, cell: Cell, sizes: tuple[int, ...],
                reverse: bool, keeps: bool) -> Any:  # fmt: skip
    hidden, count = h.form.shape[1], inputs.form.shape[0]
    states = [row_major(s) for s in (h, c) if s is not None]
    turned = row_major(transposed(weight))
    output, gates = _rows_like(inputs, count, hidden), _Rows(row_major(inputs), hidden)
    kept = [_rows_like(inputs, count, cell.saved * hidden), *(_rows_like(inputs, count, hidden) for _ in states)]
    formula = _forward_formula(cell, keeps)
    pieces, y = [_Rows(s, hidden) for s in states], _Rows(output, hidden)
    saved = [_Rows(k, hidden) for k in kept] if keeps else []
    for start, n in _walk(sizes, reverse):
        before = [s.part(0, n) for s in pieces]
        recurrent = _Rows(product("linear", before[0], turned, bias), hidden)
        results = [y.part(start, n), *(p for k in saved for p in k.parts(start, n)), *before]
        _run(formula, results, [*gates.parts(start, n), *recurrent.parts(0, n), *before])
    return (output, *states), (inputs, h, c, weight, bias, cell, sizes, reverse, *(kept if keeps else ()))


@_recurrence.backward
def _(node: Any, g_output: Tensor | None, *g_states: Tensor | None) -> tuple:
    inputs, h, c, weight, bias, cell, sizes, reverse, *kept = node.kept()
    if mode.recording:
        return _gradients_by_operations(cell, inputs, h, c, weight, bias, sizes, reverse, g_output, g_states)
    hidden, count = h.form.shape[1], inputs.form.shape[0]
    given = [x if x is not None else inputs.new_zeros(h.form.shape) for x in g_states]  # type: ignore[attr-defined]
    states = [row_major(x) for x in given]
    g = inputs.new_zeros((count, hidden)) if g_output is None else row_major(g_output)  # type: ignore[attr-defined]
    of_inputs = _rows_like(inputs, count, cell.gates * hidden)
    of_recurrents = _rows_like(inputs, count, cell.gates * hidden) if cell.gates == 3 else of_inputs
    written = [_Rows(of_inputs, hidden)] + ([_Rows(of_recurrents, hidden)] if cell.gates == 3 else [])
    pieces, saved = [_Rows(s, hidden) for s in states], [_Rows(k, hidden) for k in kept]
    rows, formula, flat = _Rows(g, hidden), _backward_formula(cell), row_major(weight)
    for start, n in reversed(_walk(sizes, reverse)):
        before = [s.part(0, n) for s in pieces]
        results = [*(p for w in written for p in w.parts(start, n)), *before]
        _run(formula, results, [rows.part(start, n), *before, *(p for k in saved for p in k.parts(start, n))])
        through = product("linear", written[-1].rows(start, n), flat, None)
        _run(_add, [before[0]], [before[0], through])
    of_weight = product("linear", transposed(of_recurrents), kept[1], None) if node.wants(3) else None
    of_bias = sum_(of_recurrents, 0) if node.wants(4) else None
    return of_inputs, states[0], states[1] if c is not None else None, of_weight, of_bias


# ---------------------------------------------------------------- by operations, recorded
def _by_operations(cell: Cell, inputs: Tensor, states: Sequence[Tensor], weight: Tensor, bias: Tensor | None, sizes: Sequence[int],
                   reverse: bool, projection: Tensor | None = None) -> Any:  # fmt: skip
    """(outputs, states after, what each step saw: first row, rows, saved, states before)."""
    states, outputs, seen = list(states), {}, []
    for start, n in _walk(sizes, reverse):
        before = [s[:n] for s in states]
        x, r = inputs[start : start + n], linear(before[0], weight, bias)
        after, saved = cell.forward(_OfTensors, _gates(cell, x), _gates(cell, r), before)
        after = list(after)
        if projection is not None:
            after[0] = linear(after[0], projection)
        outputs[start] = after[0]
        seen.append((start, n, saved, before))
        states = [a if n == s.form.shape[0] else cat([a, s[n:]]) for a, s in zip(after, states)]
    return cat([outputs[start] for start, _ in _walk(sizes, False)]), states, seen


def _gates(cell: Cell, x: Tensor) -> Sequence[Tensor]:
    return x.chunk(cell.gates, 1)  # type: ignore[attr-defined]


def _gradients_by_operations(cell: Cell, inputs: Tensor, h: Tensor, c: Tensor | None, weight: Tensor, bias: Tensor | None, sizes: Any,
                             reverse: bool, g_output: Tensor | None, g_states: Sequence[Tensor | None]) -> tuple:  # fmt: skip
    """The gradients as recorded operations of everything they depend on, for gradients of gradients."""
    first = [h] if c is None else [h, c]
    _, _, seen = _by_operations(cell, inputs, first, weight, bias, sizes, reverse)
    grads = [h.new_zeros(h.form.shape) if g is None else g for g in g_states]  # type: ignore[attr-defined]
    of_inputs, of_recurrents, before_all = {}, {}, {}
    for start, n, saved, before in reversed(seen):
        now = [g[:n] for g in grads]
        if g_output is not None:
            now[0] = now[0] + g_output[start : start + n]
        x, r, direct = cell.backward(_OfTensors, now, saved, before)
        of_inputs[start] = cat(list(x), 1)
        of_recurrents[start], before_all[start] = (of_inputs[start] if r is None else cat(list(r), 1)), before[0]
        through = matmul(of_recurrents[start], weight)
        new = [through if direct[0] is None else direct[0] + through, *direct[1:]]
        grads = [a if n == g.form.shape[0] else cat([a, g[n:]]) for a, g in zip(new, grads)]
    order = [start for start, _ in _walk(sizes, False)]
    gates, read = cat([of_recurrents[k] for k in order]), cat([before_all[k] for k in order])
    of_bias = None if bias is None else sum_(gates, 0)
    return (
        cat([of_inputs[k] for k in order]), grads[0], grads[1] if c is not None else None,
        matmul(transposed(gates), read), of_bias,
    )  # fmt: skip
