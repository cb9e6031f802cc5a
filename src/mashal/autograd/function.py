"""Function: an operation whose forward and backward somebody wrote by hand.

The `ctx` that forward and backward are given is the node itself, as in PyTorch: what forward notes on it is there in
backward, and it goes when the graph goes. Each Function has a class of nodes of its own (`grad_fn` prints
`<MyFunctionBackward …>`), made when the Function is.

The order of an `apply`: forward without recording; the results get their place in the graph; then what was handed to
save_for_backward is kept, results among it without a cycle.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from mashal.autograd.gradients import fitting, zeros
from mashal.core import tape
from mashal.core.saved import FREED, FREED_TEXT, save, save_result, unpack
from mashal.core.tensor import Tensor, alias
from mashal.errors import message
from mashal.ops.interception import CALLED

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What a Function's forward can say about its operands and results."""

    to_save: tuple = ()
    dirty_tensors: tuple = ()
    non_differentiable: tuple = ()
    saved_for_forward: tuple = ()
    materialize_grads = True
    needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for backward, where `saved_tensors` gives them. Call it once; None is allowed."""
        for position, x in enumerate(tensors):
            if x is not None and not isinstance(x, Tensor):
                wrong = f"argument {position} is a {type(x).__name__}"
                raise TypeError(
                    message("save_for_backward", wrong, "only tensors and None; set others as attributes of ctx")
                )
        self.to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for jvp, where `saved_tensors` gives them."""
        self.saved_for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Says which operands forward has changed in place; each of them has to be a result as well."""
        self.dirty_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Says which results need no gradient; backward is given zeros for them."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward is given zeros (True, the default) or None where no gradient flowed."""
        self.materialize_grads = value


class FunctionNode(tape.Node, FunctionCtx):
    """The node of a Function; its ctx.

    operand_forms: for each argument of apply, the form of a tensor or None; forms: the forms of the results.
    """

    _forward_cls: type[Function]

    def __init__(self) -> None:
        super().__init__((), ())

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What was handed to save_for_backward."""
        if self.saved is FREED:
            raise RuntimeError(FREED_TEXT)
        if not self.saved:
            return self.to_save
        return tuple(None if entry is None else unpack(entry, self) for entry in self.saved)

    saved_variables = saved_tensors

    def backward(self, *gradients: Any) -> tuple:
        """The Function's backward, its gradients checked against the operands."""
        if self.materialize_grads and None in map(_presence, gradients):
            gradients = tuple(zeros(of) if g is None else g for g, of in zip(gradients, self.forms))
        rule = self._forward_cls.backward
        if rule is Function.backward:
            rule = self._forward_cls.vjp
        given = rule(self, *gradients)
        return fitting(
            given if isinstance(given, (tuple, list)) else (given,), self.operand_forms, self.name(), self.edges
        )

    def _keep(self, results: tuple) -> None:
        """Keeps what save_for_backward was given, now that the results have their place."""
        places = {id(y): position for position, y in enumerate(results) if isinstance(y, Tensor)}
        self.saved = tuple(
            None if x is None else save_result(x, places[id(x)]) if x.node is self and id(x) in places else save(x)
            for x in self.to_save
        )
        self.to_save = ()


def _presence(gradient: Any) -> bool | None:
    return None if gradient is None else True


class _WithNodes(type):
    """Gives each Function a class of nodes named after it."""

    def __init__(cls, name: str, bases: tuple, members: dict):
        super().__init__(name, bases, members)
        cls._backward_cls = type(
            f"{name}Backward", (FunctionNode,), {"_forward_cls": cls, "__module__": cls.__module__}
        )


class Function(FunctionCtx, metaclass=_WithNodes):
    """An operation of your own: subclass it, give `forward` and `backward` as static methods, call `apply`.

    forward(ctx, *arguments) gives a tensor or a tuple of them; backward(ctx, *gradients of the results) gives the gradient
    of each argument, None for those that are no tensors. Or forward(*arguments), and setup_context(ctx, inputs, output)
    to note what backward needs.

    >>> class Square(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * g
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    _backward_cls: type[FunctionNode]
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any):
        name = type(self).__name__
        warnings.warn(
            f"{name} should not be instantiated: its methods are static, call {name}.apply. To instantiate it will be an error",
            DeprecationWarning,
            stacklevel=2,
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The operation itself; nothing in it is recorded."""
        raise NotImplementedError(message("Function", "a subclass has to define forward as a static method"))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Notes on ctx what backward needs, if forward is written without ctx."""
        raise NotImplementedError(message("Function", "setup_context is not defined"))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments."""
        raise NotImplementedError(message("Function", "a subclass has to define backward (or vjp) as a static method"))

    @staticmethod
    def vjp(ctx: Any, *grad_outputs: Any) -> Any:
        """Another name of backward."""
        raise NotImplementedError(message("Function", "a subclass has to define backward (or vjp) as a static method"))

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The derivatives of the results along those of the arguments (forward mode)."""
        raise NotImplementedError(message("Function", "jvp is not defined; forward mode needs it"))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """The operation on a batch, for vmap."""
        raise NotImplementedError(message("Function", "vmap is not defined"))

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward on the arguments and records the operation."""
        separate = cls.setup_context is not Function.setup_context
        if kwargs:
            if not separate:
                raise TypeError(
                    message(f"{cls.__name__}.apply", "it takes no keyword arguments", "unless there is setup_context")
                )
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        node = cls._backward_cls()
        node.needs_input_grad = tuple(isinstance(a, Tensor) and a.node is not None for a in args)
        recorded = tape.mode.recording and any(node.needs_input_grad)
        with tape.no_grad():
            if separate:
                given = cls.forward(*args)
                cls.setup_context(node, args, given)
            else:
                given = cls.forward(node, *args)
        results = given if isinstance(given, tuple) else (given,)
        results = _placed(node, args, results, recorded)
        if recorded:
            node._keep(results)
        return results if isinstance(given, tuple) else results[0]


CALLED.append(vars(Function)["apply"].__func__)


def _placed(node: FunctionNode, args: tuple, results: tuple, recorded: bool) -> tuple:
    """The results with their place in the graph, new tensors where a result is an operand."""
    operands = {id(a) for a in args if isinstance(a, Tensor)}
    dirty = {id(x) for x in node.dirty_tensors}
    without = {id(y) for y in node.non_differentiable}
    if dirty - {id(y) for y in results}:
        wrong = "a tensor that mark_dirty was given is not among the results"
        raise RuntimeError(message(node.name(), wrong, "return what forward has changed in place"))
    if recorded:
        edges = tuple((a.node, a.output) if isinstance(a, Tensor) and a.node is not None else None for a in args)
        node.edges = edges
        node.operand_forms = tuple(a.form if isinstance(a, Tensor) else None for a in args)
        node.results = len(results)
        node.forms = tuple(y.form if isinstance(y, Tensor) else None for y in results)
    placed = []
    for output, y in enumerate(results):
        if not isinstance(y, Tensor):
            placed.append(y)
            continue
        differentiable = recorded and id(y) not in without and (y.is_floating_point() or y.is_complex())
        if id(y) in dirty:
            if differentiable:
                if y.is_leaf and y.node is not None:
                    raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
                y.node, y.output = node, output
        elif id(y) in operands or y.node is not None:
            y = _seen_again(y)
        if differentiable:
            y.node, y.output = node, output
        placed.append(y)
    return tuple(placed)


def _seen_again(x: Tensor) -> Tensor:
    """A view of all of x, for a result that is an operand unchanged."""
    y = alias(x)
    y.base = x if x.base is None else x.base
    return y


def once_differentiable(fn: Callable) -> Callable:
    """For a backward that can't itself be differentiated: doing so is an error instead of a wrong gradient."""

    @functools.wraps(fn)
    def wrapped(ctx: Any, *gradients: Any) -> Any:
        with tape.no_grad():
            outputs = fn(ctx, *gradients)
        if not (tape.is_grad_enabled() and any(isinstance(g, Tensor) and g.node is not None for g in gradients)):
            return outputs
        several = isinstance(outputs, tuple)
        marked = [
            _Refusal.of(y, gradients) if isinstance(y, Tensor) else y for y in (outputs if several else (outputs,))
        ]
        return tuple(marked) if several else marked[0]

    return wrapped


class _Refusal(tape.Node):
    """Where a gradient that may not be differentiated comes from."""

    def backward(self, *gradients: Any) -> tuple:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")

    @classmethod
    def of(cls, y: Tensor, gradients: tuple) -> Tensor:
        """y, as a result of this node."""
        y = alias(y)
        y.node = cls(tape.edges(*(g for g in gradients if isinstance(g, Tensor))), None)
        return y
