"""Weights divided by their largest singular value, which two vectors approach by power iteration."""

from __future__ import annotations

from typing import Any

from mashal import ops
from mashal.core.tape import no_grad
from mashal.core.tensor import Tensor
from mashal.later import later
from mashal.nn import functional as F
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter

__all__ = [
    "SpectralNorm",
    "SpectralNormLoadStateDictPreHook",
    "SpectralNormStateDictHook",
    "remove_spectral_norm",
    "spectral_norm",
]


linalg = later("mashal.linalg")


class SpectralNorm:
    """The hook before forward that computes the weight from NAME_orig and the buffers NAME_u and NAME_v."""

    _version = 1

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        if n_power_iterations <= 0:
            raise ValueError(f"spectral_norm: Expected n_power_iterations to be positive, but got {n_power_iterations}")
        self.name, self.dim, self.n_power_iterations, self.eps = name, dim, n_power_iterations, eps

    def reshape_weight_to_matrix(self, weight: Tensor) -> Tensor:
        """The weight with dim first and all others joined."""
        if self.dim:
            weight = weight.permute(self.dim, *[d for d in range(weight.dim()) if d != self.dim])  # type: ignore[attr-defined]
        return weight.reshape(weight.size(0), -1)  # type: ignore[attr-defined]

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight divided by its largest singular value; do_power_iteration: u and v come nearer first."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v = F.normalize(ops.mv(matrix.t(), u), dim=0, eps=self.eps, out=v)  # type: ignore[attr-defined]
                    u = F.normalize(ops.mv(matrix, v), dim=0, eps=self.eps, out=u)
                if self.n_power_iterations > 0:
                    u, v = u.clone(), v.clone()  # type: ignore[attr-defined]
        return weight / ops.dot(u, ops.mv(matrix, v))

    def remove(self, module: Module) -> None:
        """Makes the weight a parameter again, as it is."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        delattr(module, self.name)
        for part in ("u", "v", "orig"):
            delattr(module, f"{self.name}_{part}")
        module.register_parameter(self.name, Parameter(weight.detach()))  # type: ignore[attr-defined]

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    def _solve_v_and_rescale(self, weight_mat: Tensor, u: Tensor, target_sigma: Any) -> Tensor:
        """The v that belongs to u and the largest singular value, for files of version None, which lack it."""
        turned = weight_mat.t()  # type: ignore[attr-defined]
        v = ops.mv(linalg.pinv(turned.mm(weight_mat)), ops.mv(turned, u))
        return v.mul_(target_sigma / ops.dot(u, ops.mv(weight_mat, v)))

    @staticmethod
    def apply(module: Module, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Puts the hook into a module. RuntimeError: it is there already."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"spectral_norm: `SpectralNorm` cannot be applied as parameter `{name}` is None")
        with no_grad():
            matrix = hook.reshape_weight_to_matrix(weight)
            height, width = matrix.size()
            u = F.normalize(weight.new_empty(height).normal_(0, 1), dim=0, eps=eps)
            v = F.normalize(weight.new_empty(width).normal_(0, 1), dim=0, eps=eps)
        delattr(module, name)
        module.register_parameter(f"{name}_orig", weight)
        setattr(module, name, weight.data)
        module.register_buffer(f"{name}_u", u)
        module.register_buffer(f"{name}_v", v)
        module.register_forward_pre_hook(hook)
        module._register_state_dict_hook(SpectralNormStateDictHook(hook))
        module._register_load_state_dict_pre_hook(SpectralNormLoadStateDictPreHook(hook))
        return hook


class SpectralNormLoadStateDictPreHook:
    """Makes what files of before version 1 lack."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing: Any,
        unexpected: Any,
        errors: Any,
    ) -> None:
        fn = self.fn
        version = local_metadata.get("spectral_norm", {}).get(f"{fn.name}.version")
        key = prefix + fn.name
        if version is not None and version >= 1:
            return
        names = [f"{key}_{part}" for part in ("orig", "u", "v")]
        if all(name in state_dict for name in names) and key not in state_dict:
            return  # a file written without its metadata
        if key not in state_dict or names[0] not in state_dict or names[1] not in state_dict:
            return
        with no_grad():
            original, weight, u = state_dict[names[0]], state_dict.pop(key), state_dict[names[1]]
            sigma = (original / weight).mean()
            state_dict[names[2]] = fn._solve_v_and_rescale(fn.reshape_weight_to_matrix(original), u, sigma)


class SpectralNormStateDictHook:
    """Notes the version of the format in a state_dict's metadata."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(self, module: Module, state_dict: Any, prefix: str, local_metadata: Any) -> None:
        known = local_metadata.setdefault("spectral_norm", {})
        key = f"{self.fn.name}.version"
        if key in known:
            raise RuntimeError(f"spectral_norm: unexpected key in metadata['spectral_norm']: {key}")
        known[key] = self.fn._version


def dim_of(module: Module) -> int:
    """Which dimension of a layer's weight is that of its outputs."""
    kinds = {"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"}
    return 1 if any(cls.__name__ in kinds for cls in type(module).__mro__) else 0


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divides a weight by its largest singular value before every forward; returns the module.

    n_power_iterations: steps towards it each time, while training. dim: that of the outputs, by default 1 for transposed
    convolutions, 0 for all others. New code takes nn.utils.parametrizations.spectral_norm.

    >>> sorted(nn.utils.spectral_norm(nn.Linear(4, 3)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    SpectralNorm.apply(module, name, n_power_iterations, dim_of(module) if dim is None else dim, eps)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undoes spectral_norm; the weight keeps its value. ValueError: there is none."""
    for number, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[number]
            break
    else:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    for hooks, kind in (
        (module._state_dict_hooks, SpectralNormStateDictHook),
        (module._load_state_dict_pre_hooks, SpectralNormLoadStateDictPreHook),
    ):
        for number, hook in list(hooks.items()):
            inner = getattr(hook, "hook", hook)
            if isinstance(inner, kind) and inner.fn.name == name:
                del hooks[number]
    return module
