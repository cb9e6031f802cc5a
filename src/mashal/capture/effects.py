"""What a replay would not repeat: `Effect`, and which builtins and which functions of mashal have one.

A replay runs kernels, no Python. So a change of a list that was there before, a printed line, a number from
`random` or the clock must be found while recording. Builtins are known by name, and one that is not known counts as an effect.
Functions of mashal have none, for what they do is kernels, but for those named here.

`Mutation` is a change of an object; whether it was there before the call is decided at its end (`watch`).
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from types import GeneratorType, ModuleType
from typing import Any

from mashal.capture.frames import Lines
from mashal.capture.guards import ABSENT, Guard
from mashal.capture.modules import is_module
from mashal.capture.places import Place

__all__ = ["Effect", "Mutation", "Unrepeatable", "changes", "of_builtin", "of_library", "of_mashal"]


class Unrepeatable(BaseException):
    """Raised in a program that is only rehearsed, in the place of what must not happen then. watch: what has seen it."""

    watch: Any = None


@dataclass(frozen=True)
class Effect:
    """Something that a replay would not repeat: where (frame by frame, the compiled function first), and what.

    settles: whether the next call may do without it, as where a cache was filled. place: what was set, if a replay may set it again.
    """

    frame_lines: Lines
    what: str
    settles: bool = False
    place: Place | None = None


@dataclass(frozen=True)
class Mutation:
    """A change of an object, an effect if the object was there before the call.

    tracked: the collector knew it. before: what one place in it was before; if it is that again in the end, there is no
    effect. entries: how many a dictionary had.
    """

    frame_lines: Lines
    what: str
    changed: Any
    tracked: bool
    before: Guard | None = None
    entries: int | None = None

    @property
    def settles(self) -> bool:
        """Whether something was set that had not been there."""
        if self.before is None:
            return self.entries is not None and len(self.changed) > self.entries
        return self.before.expected is ABSENT or self.before.expected is None


_CACHED = type(lru_cache(len))
_BUILTINS = frozenset(
    """abs all any ascii bin callable chr dir divmod format getattr hasattr hash hex id isinstance issubclass iter len locals max
    min next oct ord pow repr round sorted sum vars aiter __build_class__ setattr delattr""".split()
)  # print, open, input, exec, eval, compile, globals … are effects; next, setattr, delattr are read from the bytecode
_MODULES = frozenset(
    """math cmath operator _operator itertools functools _functools _bisect bisect _struct _collections _abc _weakref _string
    _sre re copy typing _typing array _json binascii zlib _codecs unicodedata contextlib numpy
    numpy.core._multiarray_umath numpy._core._multiarray_umath numpy.core.multiarray numpy._core.multiarray""".split()
)
_CHANGING = frozenset(
    """append extend insert pop remove clear sort reverse update setdefault popitem add discard appendleft extendleft popleft
    rotate move_to_end subtract difference_update intersection_update symmetric_difference_update __setitem__
    __delitem__ __iadd__ __ior__ __iand__ __isub__ __ixor__ __imul__ __setattr__ __delattr__ __init__ send throw close
    __next__ fill put resize itemset partition byteswap setfield setflags""".split()
)
_HARMLESS_TYPES = frozenset(
    """builtins collections re functools itertools operator _operator types fractions decimal datetime numpy _struct array
    enum typing string weakref _weakref _thread _contextvars contextlib""".split()
)
_CLOCKS = frozenset("now utcnow today uuid1 uuid4".split())
_NUMPY_CHANGING = frozenset("copyto put place putmask fill_diagonal shuffle".split())
_DENIED = frozenset(
    """time posix nt _io io _socket select _posixsubprocess signal _signal _random _pickle _queue _sqlite3
    _multiprocessing mmap fcntl termios""".split()
)
_NAMES_DENIED = frozenset("print input open breakpoint urandom getrandbits exec eval".split())


def changes(function: Any) -> Any:
    """The object that a builtin method changes; None for a function that changes nothing it is bound to."""
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, (ModuleType, type)) or function.__name__ not in _CHANGING:
        return None
    return None if isinstance(owner, (str, bytes, int, float, tuple, frozenset)) else owner


def _named(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, ModuleType):
        return function.__name__ if owner.__name__ == "builtins" else f"{owner.__name__}.{function.__name__}"
    name = getattr(function, "__name__", type(function).__name__)
    if owner is None:
        return f"{_module_of(function)}.{name}".removeprefix("builtins.")
    if owner is random._inst:  # type: ignore[attr-defined]
        return f"random.{name}"
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__name__}.{name}"


def of_builtin(function: Any) -> str | None:
    """The effect of a builtin that a program calls, in words; None if it has none.

    >>> of_builtin(print), of_builtin(len), of_builtin([].append)
    ('print()', None, None)
    """
    of_module = getattr(function, "__name__", "") == "__call__" and is_module(getattr(function, "__self__", None))
    if of_module or is_module(function):  # called natively; its forward is watched
        return None
    if isinstance(function, _CACHED):  # what it calls is watched
        return None
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    if isinstance(owner, Random) or _module_of(function).startswith("numpy.random"):
        return f"{_named(function)}() draws a random number"
    if isinstance(owner, ModuleType) or owner is None:
        module = _module_of(function)
        if module == "builtins":
            return None if name in _BUILTINS else f"{_named(function)}()"
        harmless = module in _MODULES or (module.startswith("numpy") and name not in _NUMPY_CHANGING)
        return None if harmless or module.startswith("mashal") else f"{_named(function)}()"
    if name in _CLOCKS:
        return f"{_named(function)}()"
    kind = owner if isinstance(owner, type) else type(owner)
    module = kind.__module__.partition(".")[0]
    harmless = (
        module in _HARMLESS_TYPES
        or module == "mashal"
        or isinstance(owner, (dict, list, set, deque, str, GeneratorType, tuple, type))
    )
    return None if harmless else f"{_named(function)}()"


def _module_of(function: Any) -> str:
    """The module of a builtin's owner, of the builtin itself, or of its type."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, ModuleType):
        return owner.__name__
    if owner is not None and type(owner).__module__ != "builtins":
        return type(owner).__module__
    return getattr(function, "__module__", None) or type(function).__module__


def of_library(function: Any) -> str | None:
    """The effect of a builtin that the standard library calls for a program: clocks, files, random numbers, or None."""
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    module = _module_of(function).partition(".")[0]
    if isinstance(owner, Random) or module in _DENIED or name in _NAMES_DENIED or name in _CLOCKS:
        return f"{_named(function)}()"
    return None


# ---------------------------------------------------------------- functions of mashal
_ALWAYS = {  # by the beginning of the file inside mashal: the functions that read or change something outside tensors
    "utils/data/": None,  # None: all of them
    "serialization/": "save load",
    "random.py": "manual_seed seed fork_rng",
    "core/generator.py": "manual_seed seed set_state",
    "settings.py": "use_deterministic_algorithms",
    "optim/lr_scheduler/": "get_last_lr get_lr state_dict load_state_dict print_lr",
    "optim/": "state_dict",  # numbers in Python, others in each call
    "amp/": "get_scale state_dict load_state_dict",
}
_OWN = {  # those that change their first argument
    "nn/": "train eval requires_grad_ to float half double bfloat16 type cuda cpu to_empty add_module register_module "
    "register_parameter register_buffer load_state_dict append insert extend pop clear update __setitem__ __delitem__ "
    "register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook "
    "register_backward_hook set_extra_state share_memory register_parametrization remove_parametrizations weight_norm "
    "spectral_norm remove_weight_norm",
    "optim/": "add_param_group load_state_dict register_step_pre_hook register_step_post_hook",
    "methods/": "register_hook register_post_accumulate_grad_hook share_memory_ __setstate__",
    "core/tensor.py": "requires_grad_ retain_grad",
    "autograd/": "register_hook register_prehook",
}


def of_mashal(file: str, name: str, method: bool) -> str | None:
    """Whether a function of mashal, called by a program, has an effect: "always", "own" (on its first argument), None.

    file: its path inside mashal, such as "nn/module.py". Functions called set_… that are no methods always have one.
    """
    if name.startswith("set_") and not method and name != "set_grad_enabled":
        return "always"
    for kind, table in (("always", _ALWAYS), ("own", _OWN)):
        for beginning, names in table.items():
            if file.startswith(beginning) and (names is None or name in names.split()):
                return kind
    return None
