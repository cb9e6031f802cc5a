"""A module's state as a dictionary from paths to tensors, and back.

`state_dict` is what `save` writes: parameters and persistent buffers under their paths, extra state under
"path._extra_state", and the version of every module's format in its `_metadata`. `load_state_dict` copies such a
dictionary into a module and names everything that doesn't fit at once.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any
from weakref import ref

from mashal.core.handles import RemovableHandle
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.nn.hooks import put
from mashal.nn.parameter import Parameter

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """The keys that a state_dict lacks, and those that no module wanted."""

    __slots__ = ()

    def __repr__(self) -> str:
        if self.missing_keys or self.unexpected_keys:
            return super().__repr__()
        return "<All keys matched successfully>"

    __str__ = __repr__


class StateMethods:
    """The part of Module that saves and loads its state."""

    _version: int = 1  # of the format of this class's own entries; modules that change it override the loading

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_hooks: OrderedDict[int, Callable]
    _state_dict_pre_hooks: OrderedDict[int, Callable]
    _load_state_dict_pre_hooks: OrderedDict[int, Callable]
    _load_state_dict_post_hooks: OrderedDict[int, Callable]

    # ---------------------------------------------------------------- extra state
    def get_extra_state(self) -> Any:
        """What a module wants saved besides tensors; a subclass defines it, together with set_extra_state."""
        raise RuntimeError(f"get_extra_state: {type(self).__name__} does not define it")

    def set_extra_state(self, state: Any) -> None:
        """Take back what get_extra_state gave."""
        raise RuntimeError(f"set_extra_state: {type(self).__name__} does not define it, but was given extra state")

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not StateMethods.get_extra_state

    # ---------------------------------------------------------------- saving
    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Parameters and persistent buffers under their paths, in an OrderedDict; they share the module's memory.

        destination: a dictionary to put them into. prefix: put before every path. keep_vars: the tensors
        themselves, not detached from autograd.

        >>> list(nn.Linear(2, 3).state_dict())
        ['weight', 'bias']
        """
        for name, value in zip(("destination", "prefix", "keep_vars"), args, strict=False):  # an older signature
            destination = value if name == "destination" else destination
            prefix = value if name == "prefix" else prefix
            keep_vars = value if name == "keep_vars" else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            returned = hook(self, destination, prefix, local_metadata)
            if returned is None:
                continue
            if getattr(hook, "_from_public_api", False):
                raise RuntimeError("state_dict: a post-hook must change the state_dict in place and return None")
            destination = returned
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put this module's own entries into destination; a subclass may add to them."""
        for name, own in self._own_entries().items():
            destination[prefix + name] = own if keep_vars else own.detach()
        if self._has_extra_state():
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    # ---------------------------------------------------------------- loading
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy a state_dict into this module and all below it.

        strict: missing and unexpected keys are errors. assign: take the tensors themselves, with their dtype and
        device, in place of copying their values.
        Returns the missing and the unexpected keys. Raises one RuntimeError naming everything that doesn't fit,
        TypeError if state_dict is no mapping.

        >>> a, b = nn.Linear(2, 3), nn.Linear(2, 3)
        >>> a.load_state_dict(b.state_dict())
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None)
        remaining = OrderedDict(state_dict)
        if metadata is not None:
            remaining._metadata = metadata
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        _load(self, remaining, "", metadata, assign, missing, unexpected, errors)
        if strict:
            errors = _key_errors(unexpected, missing) + errors
        if errors:
            lines = "".join(f"\n\t{error}" for error in errors)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:{lines}")
        return _IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Copy this module's own entries, which begin with `prefix`; add what doesn't fit to the three lists."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        entries = self._own_entries()
        for name, own in entries.items():
            if prefix + name in state_dict:
                error = self._take(name, own, prefix + name, state_dict[prefix + name], assign)
                if error:
                    error_msgs.append(error)
            elif strict:
                missing_keys.append(prefix + name)
        extra = prefix + EXTRA_STATE
        if self._has_extra_state():
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        elif strict and extra in state_dict:
            unexpected_keys.append(extra)
        if strict:
            unexpected_keys += self._unexpected(state_dict, prefix, entries)

    def _own_entries(self) -> dict[str, Tensor]:
        """The parameters and persistent buffers of this module alone that exist (are not None)."""
        persistent = {n: b for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set}
        return {name: own for name, own in (*self._parameters.items(), *persistent.items()) if own is not None}

    def _take(self, name: str, own: Tensor, key: str, value: Any, assign: bool) -> str:
        """Copy value into the parameter or buffer `own`, or put it in its place; returns what doesn't fit."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
                f"checkpoint but received {type(value)}"
            )
        if own.dim() == 0 and value.dim() == 1 and len(value) == 1:
            value = value[0]  # 0-d tensors were once saved with one dimension
        if value.shape != own.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
                f"the shape in current model is {own.shape}."
            )
        try:
            if assign:
                if isinstance(own, Parameter) and not isinstance(value, Parameter):
                    value = Parameter(value, requires_grad=own.requires_grad)
                elif isinstance(own, Parameter):
                    value.requires_grad_(own.requires_grad)
                setattr(self, name, value)
            else:
                with no_grad():
                    own.copy_(value)
        except Exception as error:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are {own.size()} and '
                f"whose dimensions in the checkpoint are {value.size()}, an exception occurred : {error.args}."
            )
        return ""

    def _unexpected(self, state_dict: dict[str, Any], prefix: str, entries: dict[str, Tensor]) -> list[str]:
        """Keys below this module that name neither an entry of its own nor one of a child."""
        unexpected = []
        for key in state_dict:
            if key.startswith(prefix) and key != prefix + EXTRA_STATE:
                name, *below = key[len(prefix) :].split(".", 1)
                if name not in (self._modules if below else entries):
                    unexpected.append(key)
        return unexpected

    # ---------------------------------------------------------------- hooks
    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call hook(module, prefix, keep_vars) before the module's state is collected."""
        return put(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call hook(module, state_dict, prefix, local_metadata) after; it may change state_dict in place."""
        hook._from_public_api = True
        return put(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """As register_state_dict_post_hook, but what the hook returns, unless None, is the state_dict."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError("_register_state_dict_hook: the hook is registered as a post-hook; pass another one")
        return put(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors) before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> RemovableHandle:
        return put(self._load_state_dict_pre_hooks, _LoadHook(hook, self if with_module else None))

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call hook(module, incompatible_keys) after loading; it may change the two lists in place."""
        return put(self._load_state_dict_post_hooks, hook)


class _LoadHook:
    """A hook before loading, which gets its module as first argument if it asked for it."""

    def __init__(self, hook: Callable, module: Any) -> None:
        self.hook = hook
        self.module = None if module is None else ref(module)

    def __call__(self, *args: Any) -> Any:
        if self.module is None:
            return self.hook(*args)
        module = self.module()
        if module is None:
            raise RuntimeError("load_state_dict: a pre-hook's module no longer exists; remove the hook with its handle")
        return self.hook(module, *args)

    def __getstate__(self) -> tuple[Callable, Any]:
        return self.hook, None if self.module is None else self.module()

    def __setstate__(self, state: tuple[Callable, Any]) -> None:
        self.__init__(*state)


def _load(
    module: Any,
    state_dict: dict[str, Any],
    prefix: str,
    metadata: Any,
    assign: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Load a module's own entries, then its children's; each child sees only the keys below it."""
    local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
    if assign:
        local_metadata["assign_to_params_buffers"] = True
    module._load_from_state_dict(state_dict, prefix, local_metadata, True, missing, unexpected, errors)
    for name, child in module._modules.items():
        if child is not None:
            path = f"{prefix}{name}."
            below = {key: value for key, value in state_dict.items() if key.startswith(path)}
            _load(child, below, path, metadata, assign, missing, unexpected, errors)
    incompatible = _IncompatibleKeys(missing, unexpected)
    for hook in module._load_state_dict_post_hooks.values():
        if hook(module, incompatible) is not None:
            raise RuntimeError(
                "load_state_dict: a post-hook must change missing_keys and unexpected_keys in place and return None"
            )


def _key_errors(unexpected: list[str], missing: list[str]) -> list[str]:
    """The lines that name missing and unexpected keys."""
    kinds = ("Missing", missing), ("Unexpected", unexpected)
    return [f"{kind} key(s) in state_dict: {_quoted(keys)}. " for kind, keys in kinds if keys]


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)
