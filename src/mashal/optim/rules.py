"""Optimizers that are an update rule: one kernel call a step for all parameters of a group that are alike.

`prepare` finds what belongs together (dtype, and whether the states are just being made), makes missing states, has the kernel
of the rule made, and returns steppers (machine.table). These are kept and called step after step; as soon as one finds
anything changed (another option, a gradient that has come or gone, a state that was loaded), all are made again.

Parameters whose elements don't fill their memory in one piece, or whose gradient lies in another order, are updated as copies.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from ctypes import c_double, c_float, memset
from dataclasses import dataclass, field
from functools import cache, partial
from inspect import signature
from math import copysign
from operator import itemgetter
from typing import Any

from mashal.core import tensor as core
from mashal.core.devices import device
from mashal.core.dtypes import dtype, float32, float64, get_default_dtype
from mashal.core.forms import Form, form, like
from mashal.core.tape import enable_grad, no_grad
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.lang.update import Update, UpdateRule
from mashal.lower.update import ROW, update_kernel
from mashal.machine import jit
from mashal.machine.observing import watch
from mashal.machine.table import ACTIVE, ELSEWHERE, IDLE, Line, TableLayout
from mashal.optim.composed import evaluate
from mashal.optim.optimizer import Optimizer


class RuleOptimizer(Optimizer):
    """An optimizer whose step is an update rule.

    rule: its formula; its options are those of the groups. conditions: for a state that is not always needed, the
    option that asks for it.
    """

    rule: UpdateRule
    conditions: dict[str, str] = {}

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._prepared: dict[int, Prepared] = {}
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepared = {}
        for group in self.param_groups:  # what groups saved by older versions don't have
            for name, default in _defaults(type(self)).items():
                group.setdefault(name, default)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        rule = cls.rule
        cls._choices = staticmethod(
            _getter([*rule.vanishing, *cls.conditions.values(), *set(rule.switches) - {"first"}])
        )
        if cls._numbers is RuleOptimizer._numbers:
            cls._numbers = staticmethod(_tuple_getter(rule.scalars))

    def _numbers(self, group: dict[str, Any]) -> tuple[Any, ...]:
        """The options that are numbers, in the rule's order; here those of the scalars' names."""
        raise NotImplementedError

    def _initial(self, group: dict[str, Any], p: Tensor, name: str) -> Any:
        """What a state begins with."""
        return 0.0

    def _begins_apart(self, group: dict[str, Any]) -> bool:
        """Whether a parameter's first step follows a formula of its own (the rule's switch `first`)."""
        return "first" in self.rule.switches

    def _takes_sparse(self, group: dict[str, Any]) -> bool:
        """Whether the rule can do with a sparse gradient."""
        return False

    def _step_sparse(self, group: dict[str, Any], p: Tensor) -> None:
        """Changes a parameter by its sparse gradient."""
        raise NotImplementedError

    def _make_states(self, group: dict[str, Any], p: Tensor) -> bool:
        """Makes the states that a parameter does not have yet; whether there were any to make."""
        known = p in self.state
        own = self.state[p]
        missing = [name for name in _names(self, group) if own.get(name) is None]
        if not missing:
            return False

        def make() -> list[Any]:
            made = {name: _made(self, group, p, name) for name in missing}
            own.update(made)
            return list(made.values())

        recorder = watch.recorder
        if recorder is None:
            make()
            return True
        recorder.takes_back(partial(_unmake, self.state, p, missing if known else None))
        if self._begins_apart(group):  # this step is not like those that follow
            recorder.unfinished(f"{type(self).__name__} makes its states")
            make()
        else:
            recorder.aside(make)
        return True

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes all parameters that have a gradient. closure: computes the loss anew; it is what step returns."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if self.defaults.get("differentiable"):
            return self._step_differentiable(loss)
        for group in self.param_groups:
            prepared = (
                self._prepared.get(id(group)) if watch.recorder is None else None
            )  # what is noted must be what runs
            if prepared is None or prepared.group is not group or not prepared.fits(self._choices(group)):
                prepared = self._prepare(group)
            done = prepared.run(self)
            if done is not None:
                done = self._prepare(group, done).run(self)
                assert done is None, "steppers that have just been made fit"
        return loss

    def _step_differentiable(self, loss: Any) -> Any:
        """A step of recorded operations; parameters must not be leaves (clones of them, say)."""
        self._runs_in_python()
        for group in self.param_groups:
            options = dict(zip(self.rule.scalars, self._numbers(group)))
            for p in group["params"]:
                if p.grad_ is not None:
                    _step_composed(self, group, p, options)
        return loss

    def _prepare(self, group: dict[str, Any], done: frozenset[int] = frozenset()) -> Prepared:
        """What a step of this group needs; kept for the next one. done: places in its list that have had their step."""
        prepared = prepare(self, group, done)
        self._prepared.pop(id(group), None)
        if prepared.lasting:
            self._prepared[id(group)] = prepared
        return prepared


@cache
def _defaults(cls: type) -> dict[str, Any]:
    parameters = signature(cls.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _tuple_getter(names: Sequence[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """What stands under the names, as a tuple however many there are."""
    return itemgetter(*names) if len(names) > 1 else lambda group: tuple([group[name] for name in names])


def _getter(names: list[str]) -> Callable[[dict[str, Any]], Any]:
    return itemgetter(*names) if names else lambda group: ()


@dataclass
class Prepared:
    """Steppers for a group, each with the places in the list of parameters that it updates, and who is updated as a copy.

    choices: the options that the kernels depend on; of the first `counted` only whether they are 0.
    apart: those updated as copies, and whether their states are just being made. sparse: those with sparse gradients.
    done: places that have had their step.
    lasting: whether the next step can use it again.
    """

    group: dict[str, Any]
    choices: Any
    counted: int
    steppers: list[tuple[Callable[..., int], frozenset[int], Update]] = field(default_factory=list)
    apart: list[tuple[Tensor, bool]] = field(default_factory=list)
    sparse: list[Tensor] = field(default_factory=list)
    done: frozenset[int] = frozenset()
    lasting: bool = True

    def fits(self, choices: Any) -> bool:
        """Whether the kernels are right for options with these choices: of some only matters whether they are 0."""
        return choices == self.choices or self._alike(choices)

    def _alike(self, choices: Any) -> bool:
        was, is_ = (x if isinstance(x, tuple) else (x,) for x in (self.choices, choices))
        count = self.counted
        return was[count:] == is_[count:] and all(bool(a) is bool(b) for a, b in zip(was[:count], is_[:count]))

    def run(self, optimizer: RuleOptimizer) -> frozenset[int] | None:
        """Does a step. Where something is not as prepared for it stops, and returns the places of the parameters done."""
        params, numbers = self.group["params"], optimizer._numbers(self.group)
        recorder = watch.recorder
        if recorder is not None:  # a tensor among them is none of the call's kernels' business
            numbers = recorder.aside(lambda: tuple(map(float, numbers)))
        for stepper, places, update in self.steppers:
            step = stepper if recorder is None else _table().without_kernel(stepper)
            if not step(params, optimizer.state, *numbers):
                return self._done_before(stepper)
            if recorder is not None:  # which runs the kernel
                of = [params[i] for i in sorted(places)]
                recorder.update(**_noted(optimizer, self, update, of, _slots(optimizer, update, of)))
        for p, first in self.apart:
            _step_copy(optimizer, self, p, first, numbers)
        if self.sparse:
            optimizer._runs_in_python()
            with no_grad():
                for p in self.sparse:
                    optimizer._step_sparse(self.group, p)
        return None

    def _done_before(self, stepper: Callable[..., int]) -> frozenset[int]:
        """The places of the parameters that have had their step when this stepper is to do its own."""
        before = itertools.takewhile(lambda other: other[0] is not stepper, self.steppers)
        return self.done.union(*(places for _, places, _ in before))


# ---------------------------------------------------------------- preparing
def prepare(optimizer: RuleOptimizer, group: dict[str, Any], done: frozenset[int] = frozenset()) -> Prepared:
    """Steppers for the parameters of a group that have a gradient, but for those done."""
    group["params"] = params = list(group["params"]) if not isinstance(group["params"], list) else group["params"]
    counted = len(optimizer.rule.vanishing) + len(optimizer.conditions)
    prepared = Prepared(group, optimizer._choices(group), counted, lasting=not done, done=done)
    alike: defaultdict[tuple, dict[int, Line]] = defaultdict(dict)
    elsewhere = dict.fromkeys(range(len(params)), ELSEWHERE)
    shaped = [1, *(k for k, name in enumerate(_names(optimizer, group), 2) if name not in optimizer.rule.numbers)]
    seen: set[int] = set()
    for i, p in enumerate(params):
        if p.grad_ is None:
            elsewhere[i] = IDLE
            if watch.recorder is not None:
                watch.recorder.looks_at_gradient(p)
        elif i not in done and type(p.grad_) is not Tensor and p.grad_.is_sparse and optimizer._takes_sparse(group):
            prepared.sparse.append(p)
        elif i not in done:
            line, number_dtype, first = _line(optimizer, group, p)
            again = id(p) in seen
            seen.add(id(p))
            if p.form.device.type == "meta":
                continue
            if not _lie_alike(line, shaped):
                prepared.apart.append((p, first))
                continue
            prepared.lasting &= not first
            alike[p.dtype, number_dtype, first, i if again else 0][i] = line
    prepared.lasting &= (
        bool(alike) and not prepared.apart and not prepared.sparse
    )  # with nothing to do, nothing would notice a gradient
    for (stored, number_dtype, first, _), lines in alike.items():
        kinds = [ACTIVE if i in lines else kind for i, kind in elsewhere.items()]
        update = _update(optimizer, group, stored.to_real(), number_dtype, first)
        prepared.steppers.append((_stepper(update, params, kinds, list(lines.values())), frozenset(lines), update))
    return prepared


def _line(optimizer: RuleOptimizer, group: dict[str, Any], p: Tensor) -> tuple[Line, dtype, bool]:
    """The forms of a parameter, its gradient and its states (made if there are none); their numbers' dtype; whether they were made."""
    g, rule = p.grad_, optimizer.rule
    assert g is not None
    if getattr(g, "is_sparse", False):
        wrong, right = "a gradient is sparse", "this rule needs dense ones (SparseAdam takes sparse ones)"
        raise RuntimeError(message(type(optimizer).__name__, wrong, right))
    names = _names(optimizer, group)
    if not names:
        return Line((p.form, g.form)), float32, False
    made = optimizer._make_states(group, p)
    own = optimizer.state[p]
    for name in names:
        if name in rule.numbers:
            own[name] = _as_number(own[name])
    number_dtype = next((own[name].dtype for name in names if name in rule.numbers), float32)
    first = made and optimizer._begins_apart(group)
    return Line((p.form, g.form, *(own[name].form for name in names)), own), number_dtype, first


def _names(optimizer: RuleOptimizer, group: dict[str, Any]) -> list[str]:
    """The states that the options ask for."""
    conditions = optimizer.conditions
    return [name for name in optimizer.rule.states if name not in conditions or group[conditions[name]]]


def _made(optimizer: RuleOptimizer, group: dict[str, Any], p: Tensor, name: str) -> Tensor:
    rule = optimizer.rule
    if name in rule.numbers:
        return _number(float(optimizer._initial(group, p, name)))
    state = core.empty(like(p.form))
    if optimizer._begins_apart(group):  # the step itself gives it its first value
        return state
    value = optimizer._initial(group, p, name)
    if value != 0 or (not isinstance(value, complex) and copysign(1, value) < 0):
        with no_grad():
            return state.fill_(value)
    if state.capsule is not None:
        memset(state.data_ptr(), 0, state.form.nbytes)
    return state


def _unmake(states: dict[Any, Any], p: Tensor, names: list[str] | None) -> None:
    """Takes back the states of these names that a parameter was given; None: all."""
    if names is None:
        states.pop(p, None)
    for name in names or ():
        states[p].pop(name, None)


def _number(value: float) -> Tensor:
    """A 0-d tensor for one number, as PyTorch's optimizers keep it."""
    wide = get_default_dtype() is float64
    made = core.empty(form(float64 if wide else float32, device("cpu"), ()))
    (c_double if wide else c_float).from_address(made.data_ptr()).value = value
    return made


def _as_number(state: Any) -> Tensor:
    """A state that is one number a parameter, as a 0-d tensor; old files have Python numbers."""
    fits = isinstance(state, Tensor) and state.dtype in (float32, float64) and state.device.type == "cpu"
    return state if fits and state.numel() == 1 else _number(float(state))


def _lie_alike(line: Line, shaped: list[int]) -> bool:
    """Whether the elements in these slots all lie in the same order as the parameter's, without gaps."""
    first = line.forms[0]
    return first.dense and all(_same_places(first, line.forms[k]) for k in shaped)


def _same_places(a: Form, b: Form) -> bool:
    strides = zip(a.shape, a.strides, b.strides)
    return a.dtype is b.dtype and a.shape == b.shape and all(n == 1 or s == t for n, s, t in strides)


def _update(optimizer: RuleOptimizer, group: dict[str, Any], stored: dtype, number_dtype: dtype, first: bool) -> Update:
    rule = optimizer.rule
    switches = {name: first if name == "first" else bool(group[name]) for name in rule.switches}
    zero = [name for name in rule.vanishing if group[name] == 0]
    return rule.update(stored, number_dtype, _names(optimizer, group), switches, zero)


@cache
def _kernel(update: Update) -> int:
    return jit.compile(update_kernel(update))


@cache
def _table() -> TableLayout:
    return TableLayout(Tensor, "grad_", "version")


def _stepper(update: Update, params: list[Tensor], kinds: list[int], lines: list[Line]) -> Callable[..., int]:
    rows = _rows([line.forms[0] for line in lines])
    sizes = [lines[0].forms[k].dtype.itemsize for k in range(len(update.slots))]
    return _table().stepper(
        _kernel(update),
        params,
        kinds,
        lines,
        update.slots,
        sizes,
        rows,
        numbers=len(update.scalars),
        spare=len(update.numbers),
    )


def _rows(forms: list[Form]) -> list[tuple[int, int, int]]:
    """(line, first element, elements) of the rows in which parameters of these forms are walked."""
    rows = []
    for i, of in enumerate(forms):
        elements = of.numel * (2 if of.dtype.is_complex else 1)
        rows += [(i, start, min(ROW, elements - start)) for start in range(0, elements, ROW)]
    return rows


_IDLE = {"params", "param_names", "foreach", "fused", "capturable", "differentiable"}  # no rule's step depends on them


def _slots(optimizer: RuleOptimizer, update: Update, params: list[Tensor]) -> list[tuple[Any, ...]]:
    """For each parameter what stands in the slots of the kernel."""
    return [(p, p.grad_, *(optimizer.state[p][name] for name in update.slots[2:])) for p in params]


def _noted(
    optimizer: RuleOptimizer, prepared: Prepared, update: Update, params: list[Tensor], lines: list[tuple[Any, ...]]
) -> dict[str, Any]:
    """What a recording (capture.recorder) keeps of an update of parameters that is about to run on these lines."""
    group = prepared.group
    return {
        "kernel": _kernel(update),
        "lines": lines,
        "states": [
            (optimizer.__dict__, "state", optimizer.state),
            *((optimizer.state[p], name, optimizer.state[p][name]) for p in params for name in update.slots[2:]),
        ],
        "rows": _rows([line[0].form for line in lines]),
        "spare": len(update.numbers),
        "changed": tuple(e is not None for e in update.results),
        "results": update.results,
        "fits": _fits(optimizer, params),
        "numbers": lambda: optimizer._numbers(group) if prepared.fits(optimizer._choices(group)) else None,
        "watched": [(group, name) for name in group if name not in _IDLE],
        "name": type(optimizer).__name__,
    }


def _fits(optimizer: RuleOptimizer, params: list[Tensor]) -> Callable[[], bool]:
    """Tells whether the optimizer still has the same groups, and these parameters the same states."""
    groups, states = list(optimizer.param_groups), [optimizer.state.get(p) for p in params]

    def same() -> bool:
        now = optimizer.param_groups
        return (
            len(now) == len(groups)
            and all(a is b for a, b in zip(now, groups))
            and all(optimizer.state.get(p) is own for p, own in zip(params, states))
        )

    return same


# ---------------------------------------------------------------- parameters that don't lie in one piece
def _step_copy(optimizer: RuleOptimizer, prepared: Prepared, p: Tensor, first: bool, numbers: tuple[Any, ...]) -> None:
    """Updates a parameter, and its states, by way of contiguous copies."""
    group = prepared.group
    own, names = optimizer.state.get(p, {}), _names(optimizer, group)
    elements = [name for name in names if name not in optimizer.rule.numbers]
    assert p.grad_ is not None
    with no_grad():
        twin = _contiguous(p, p.dtype)
        twin.grad_ = _contiguous(p.grad_, p.dtype)
        states = own | {name: _contiguous(own[name], p.dtype) for name in elements}
        forms = twin.form, twin.grad_.form, *(states[name].form for name in names)
        number_dtype = next((own[name].dtype for name in names if name in optimizer.rule.numbers), float32)
        update = _update(optimizer, group, p.dtype.to_real(), number_dtype, first)
        if watch.recorder is None:
            _stepper(update, [twin], [ACTIVE], [Line(forms, states)])([twin], {twin: states}, *numbers)
        else:
            line = twin, twin.grad_, *(states[name] for name in update.slots[2:])
            watch.recorder.update(**_noted(optimizer, prepared, update, [p], [line]))
        p.copy_(twin)
        for name in elements:
            own[name].copy_(states[name])


def _step_composed(optimizer: RuleOptimizer, group: dict[str, Any], p: Tensor, options: dict[str, Any]) -> None:
    """Updates a parameter, and its states, by operations that are recorded."""
    line, number_dtype, first = _line(optimizer, group, p)
    update = _update(optimizer, group, p.dtype, number_dtype, first)
    own = line.state or {}
    slots = {name: own[name].item() if name in update.numbers else own[name] for name in update.slots[2:]}
    new = evaluate(update, {"p": p, "g": p.grad_, **slots}, options)
    p.copy_(new.pop("p"))
    for name, value in new.items():
        own[name] = value if isinstance(value, Tensor) else _number(value)


def _contiguous(x: Tensor, dtype: dtype) -> Tensor:
    return core.empty(form(dtype, x.device, x.shape)).copy_(x)
