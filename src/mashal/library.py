"""torch.library: operations of one's own, with a name and a signature, their gradients, and what they give for shapes alone.

    @custom_op("mine::scale", mutates_args=())
    def scale(x: Tensor, by: float) -> Tensor: ...
    scale.register_autograd(backward, setup_context=setup_context)

Such an operation is called by itself or as torch.ops.mine.scale. `define` and `impl` make one from a signature and kernels.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mashal import ops
from mashal.autograd.function import Function
from mashal.core.tape import mode
from mashal.core.tensor import Tensor
from mashal.errors import message
from mashal.nearest import nearest
from mashal.signatures import Signature, infer_schema, parsed

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "get_ctx", "impl", "impl_abstract", "infer_schema", "opcheck", "register_autocast",
    "register_autograd", "register_fake", "register_kernel", "register_vmap",
]  # fmt: skip

_KEYS = {"CPU": "cpu", "CUDA": "cuda", "Meta": "meta", "CompositeExplicitAutograd": "default", "CompositeImplicitAutograd": "composed",
         "Autograd": "autograd", "AutogradCPU": "autograd", "default": "default", "cpu": "cpu", "cuda": "cuda", "meta": "meta"}  # fmt: skip


class CustomOpDef:
    """An operation of one's own: kernels by device, a gradient, what it gives for tensors without data."""

    def __init__(self, namespace: str, name: str, signature: Signature):
        self._namespace, self._name, self._signature = namespace, name, signature
        self._kernels: dict[str, Callable[..., Any]] = {}
        self._backward: Callable[..., Any] | None = None
        self._setup: Callable[..., Any] | None = None
        self._vmap: Callable[..., Any] | None = None
        self._casts: dict[str, Any] = {}
        self._off: set[str] = set()
        self.__name__ = self.__qualname__ = name
        self._function = _function_of(self)
        setattr(_namespace(namespace), name, self)

    @property
    def _qualname(self) -> str:
        return f"{self._namespace}::{self._name}"

    @property
    def default(self) -> CustomOpDef:
        """Itself: an operation has one signature here."""
        return self

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    # ---------------------------------------------------------------- calls
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = self._signature.bound(self._qualname, args, kwargs)
        composed = self._kernels.get("composed")
        if composed is not None and not {"cpu", "default"} & self._kernels.keys():
            return composed(*given)
        if "autograd" in self._kernels and mode.recording and _recorded(given):
            return self._kernels["autograd"](*given)
        if any(getattr(type(x), "inner", False) for x in given) or (mode.recording and _recorded(given)):
            return self._function.apply(*given)
        return self._run(given)

    def _run(self, given: tuple) -> Any:
        devices = {x.device.type for x in _tensors(given)}
        device = "meta" if "meta" in devices else next(iter(devices), "cpu")
        kernel = None if device in self._off else self._kernels.get(device)
        kernel = kernel or (None if device == "meta" else self._kernels.get("default"))
        if kernel is None:
            what = "a fake implementation (register_fake)" if device == "meta" else f"a kernel for {device}"
            raise NotImplementedError(
                message(self._qualname, f"there is no kernel for tensors on {device}", f"register {what}")
            )
        result = kernel(*given)
        self._check_alias(given, result)
        return result

    def _check_alias(self, given: tuple, result: Any) -> None:
        own = {id(x) for x in _tensors(given)}
        for y in _tensors(result if isinstance(result, (tuple, list)) else (result,)):
            if id(y) in own:
                raise RuntimeError(
                    message(self._qualname, "a result is one of the inputs itself", "return a clone of it")
                )

    # ---------------------------------------------------------------- what is registered
    def register_kernel(self, device_types: Any, func: Callable[..., Any] | None = None, /) -> Any:
        """What computes it on these devices ("cpu", several, or None for all); a decorator without func."""

        def register(kernel: Callable[..., Any]) -> Callable[..., Any]:
            kinds = (
                ("default",)
                if device_types is None
                else (device_types,)
                if isinstance(device_types, str)
                else device_types
            )
            for kind in kinds:
                self._kernels[_key(kind)] = kernel
            return kernel

        return register if func is None else register(func)

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """What it gives for tensors without data (on meta): tensors of the right shapes and dtypes."""
        self._kernels["meta"] = fn
        return fn

    def register_autograd(
        self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None
    ) -> None:
        """Its gradient: backward(ctx, *gradients); setup_context(ctx, inputs, output) notes what that needs."""
        if setup_context is not None:
            _check_setup(setup_context)
        self._backward, self._setup = backward, setup_context

    def register_vmap(self, func: Callable[..., Any] | None = None) -> Any:
        """How vmap runs it: func(info, in_dims, *args) gives (output, out_dims); a decorator without func."""
        if func is None:
            return self.register_vmap
        self._vmap = func
        self._function = _function_of(self)
        return func

    def register_autocast(self, device_type: str, cast_inputs: Any) -> None:
        """To which dtype its floating operands are cast inside autocast."""
        self._casts[device_type] = cast_inputs

    def set_kernel_enabled(self, device_type: str, enabled: bool = True) -> None:
        """Whether the kernel of a device is used; if not, the one for all devices is."""
        (self._off.discard if enabled else self._off.add)(device_type)


def _key(kind: str) -> str:
    if kind not in _KEYS:
        raise ValueError(
            message("impl", f"there is no dispatch key or device {kind!r}", f"expected one of {', '.join(_KEYS)}")
        )
    return _KEYS[kind]


def _tensors(given: Iterable[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for x in given:
        found += (
            [x]
            if isinstance(x, Tensor)
            else [e for e in x if isinstance(e, Tensor)]
            if isinstance(x, (tuple, list))
            else []
        )
    return found


def _recorded(given: tuple) -> bool:
    return any(x.requires_grad for x in _tensors(given))


def _check_setup(setup: Callable[..., Any]) -> None:
    names = [p.name for p in inspect.signature(setup).parameters.values()]
    if names[1:3] != ["inputs", "output"] and "keyword_only_inputs" not in names:
        raise RuntimeError(
            message("register_autograd", f"setup_context takes {names}", "it must take (ctx, inputs, output)")
        )


def _function_of(op: CustomOpDef) -> type[Function]:
    """The autograd.Function through which an operation is recorded."""

    def forward(*args: Any) -> Any:
        return op._run(args)

    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        if op._setup is not None:
            op._setup(ctx, inputs, output)

    def backward(ctx: Any, *gradients: Any) -> Any:
        if op._backward is None:
            raise RuntimeError(
                f"Trying to backward through {op._qualname}.default but no autograd formula was registered. Please use "
                "register_autograd to add one."
            )
        return op._backward(ctx, *gradients)

    members: dict[str, Any] = {"forward": forward, "setup_context": setup_context, "backward": backward}
    if op._vmap is not None:
        members["vmap"] = op._vmap
    made = {name: staticmethod(f) for name, f in members.items()}
    return type(Function)(op._name, (Function,), {**made, "generate_vmap_rule": op._vmap is None})  # type: ignore[return-value]


# ---------------------------------------------------------------- namespaces
class _Namespace:
    """torch.ops.NAME: the operations of a namespace."""

    def __init__(self, name: str):
        self.__dict__["_name"] = name

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'_OpNamespace' '{self._name}' object has no attribute '{name}'")


def _namespace(name: str) -> Any:
    found = vars(ops).get(name)
    if found is None:
        found = _Namespace(name)
        setattr(ops, name, found)
    if not isinstance(found, _Namespace):
        raise RuntimeError(message("library", f"the namespace {name!r} is taken", "choose another one"))
    return found


def _split(qualname: str) -> tuple[str, str]:
    parts = qualname.split("::")
    if len(parts) != 2 or not all(re.fullmatch(r"[\w.]+", p) for p in parts):
        raise ValueError(message("library", f"{qualname!r} is no name of an operation", "expected 'namespace::name'"))
    return parts[0], parts[1].partition(".")[0]


def _found(op: Any) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    if not isinstance(op, str):
        raise ValueError(message("library", f"expected an operation or its name, got {type(op).__name__}"))
    namespace, name = _split(op)
    made = vars(vars(ops).get(namespace, object)).get(name) if namespace in vars(ops) else None
    if not isinstance(made, CustomOpDef):
        raise RuntimeError(
            message("library", f"there is no operation {op}", "define it first, with custom_op or define")
        )
    return made


# ---------------------------------------------------------------- the functions
def custom_op(
    name: str,
    fn: Callable[..., Any] | None = None,
    /,
    *,
    mutates_args: Any = (),
    device_types: Any = None,
    schema: str | None = None,
    tags: Sequence[Any] | None = None,
) -> Any:
    """A function as an operation "namespace::name"; its annotations are the signature, unless schema says it.

    mutates_args: the names of arguments that it changes in place, or "unknown". device_types: where it works, None for everywhere.

    >>> @torch.library.custom_op("example::twice", mutates_args=())
    ... def twice(x: torch.Tensor) -> torch.Tensor:
    ...     return x * 2
    >>> twice(torch.ones(2)), torch.ops.example.twice(torch.ones(1))
    (tensor([2., 2.]), tensor([2.]))
    """

    def make(function: Callable[..., Any]) -> CustomOpDef:
        namespace, own = _split(name)
        text = schema or infer_schema(function, mutates_args=mutates_args)
        made = CustomOpDef(namespace, own, parsed(text, function))
        made.__doc__ = function.__doc__
        made.register_kernel(device_types, function)
        return made

    return make if fn is None else make(fn)


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> Any:
    """A new operation with a signature, "(Tensor x, int n=1) -> Tensor"; its kernels come by `impl`."""
    namespace, name = _split(qualname)
    return CustomOpDef(namespace, name, parsed(schema))


def impl(qualname: Any, types: Any, func: Callable[..., Any] | None = None, *, lib: Any = None) -> Any:
    """What computes an operation on devices ("cpu", "default" for all); a decorator without func."""
    return _found(qualname).register_kernel(types, func)


def register_kernel(op: Any, device_types: Any, func: Callable[..., Any] | None = None, /, *, lib: Any = None) -> Any:
    """`CustomOpDef.register_kernel` of an operation or its name."""
    return _found(op).register_kernel(device_types, func)


def register_fake(
    op: Any,
    func: Callable[..., Any] | None = None,
    /,
    *,
    lib: Any = None,
    _stacklevel: int = 1,
    allow_override: bool = False,
) -> Any:
    """`CustomOpDef.register_fake` of an operation or its name; a decorator without func."""
    made = _found(op)
    return made.register_fake if func is None else made.register_fake(func)


impl_abstract = register_fake


def register_autograd(
    op: Any, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None, lib: Any = None
) -> None:
    """`CustomOpDef.register_autograd` of an operation or its name."""
    _found(op).register_autograd(backward, setup_context=setup_context)


def register_vmap(op: Any, func: Callable[..., Any] | None = None, /, *, lib: Any = None) -> Any:
    """`CustomOpDef.register_vmap` of an operation or its name; a decorator without func."""
    return _found(op).register_vmap(func)


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Any = None) -> None:
    """`CustomOpDef.register_autocast` of an operation or its name."""
    _found(op).register_autocast(device_type, cast_inputs)


class Library:
    """Operations of a namespace, defined (kind "DEF") or given kernels ("IMPL", "FRAGMENT") one by one."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = ""):
        if kind not in ("DEF", "IMPL", "FRAGMENT"):
            raise ValueError(message("Library", f"unsupported kind: {kind}", "expected 'DEF', 'IMPL' or 'FRAGMENT'"))
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """A new operation: "name(Tensor x) -> Tensor"; gives its name."""
        name, _, rest = schema.partition("(")
        define(f"{self.ns}::{name.strip()}", f"({rest}")
        return name.strip()

    def impl(
        self,
        op_name: Any,
        fn: Callable[..., Any],
        dispatch_key: str = "",
        *,
        with_keyset: bool = False,
        allow_override: bool = False,
    ) -> None:
        """What computes an operation for a dispatch key ("CPU", "Meta", "Autograd", "CompositeImplicitAutograd" …)."""
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        name = op_name if isinstance(op_name, str) else op_name._name
        qualname = name if "::" in name else f"{self.ns}::{name}"
        _found(qualname)._kernels[_key(dispatch_key or self.dispatch_key or "CompositeImplicitAutograd")] = fn

    def _register_fake(self, op_name: str, fn: Callable[..., Any], **_: Any) -> None:
        _found(f"{self.ns}::{op_name}").register_fake(fn)


class _Context:
    """What a fake implementation may ask for."""

    def new_dynamic_size(self, *, min: int = 0, max: int | None = None) -> int:
        """A size that depends on data; without data it is the least."""
        return min


def get_ctx() -> Any:
    """The context of the fake implementation that is running."""
    return _Context()


def opcheck(
    op: Any, args: tuple, kwargs: dict | None = None, *, test_utils: Any = (), raise_exception: bool = True, **_: Any
) -> dict[str, str]:
    """Tries an operation: its signature, its fake implementation against its results, its gradient; "SUCCESS" for each."""
    made, found = _found(op), {}
    result = made(*args, **(kwargs or {}))
    found["test_schema"] = "SUCCESS"
    if "meta" in made._kernels:
        fake = made(*[x.to("meta") if isinstance(x, Tensor) else x for x in args], **(kwargs or {}))  # type: ignore[attr-defined]
        shapes = [
            [(tuple(y.shape), y.dtype) for y in _tensors(r if isinstance(r, (tuple, list)) else (r,))]
            for r in (result, fake)
        ]
        if shapes[0] != shapes[1]:
            wrong = f"the fake implementation gives {shapes[1]}, the operation {shapes[0]}"
            raise RuntimeError(message(made._qualname, wrong, "they must agree"))
    found["test_faketensor"] = "SUCCESS"
    if made._backward is not None and _recorded(args):
        sum(y.sum() for y in _tensors(result if isinstance(result, (tuple, list)) else (result,))).backward()  # type: ignore[union-attr,attr-defined]
    found["test_autograd_registration"] = "SUCCESS"
    return found


__getattr__ = nearest(__name__)
