"""vmap of every operation: what it gives for many samples is what the operation gives for each of them."""

import warnings

import numpy as np
import pytest

import mashal as torch
from mashal.func.batching import VmapError
from mashal.ops.define import DEFINITIONS
from mashal.utils._pytree import tree_flatten
from ops.samples import calls_of
from ops.test_definitions import ABOUT_MEMORY, RANDOM, SPARSE, UNDEFINED

MAKES = set("""tensor as_tensor asarray from_numpy frombuffer scalar_tensor zeros ones full arange range linspace logspace eye tril_indices
    triu_indices meshgrid empty_like""".split())  # fmt: skip
NAMES = sorted(
    set(DEFINITIONS)
    - RANDOM
    - UNDEFINED
    - SPARSE
    - MAKES
    - ABOUT_MEMORY
    - {"cuda", "set_", "data", "resize_as_", "resize_"}
)


def many(x, k):
    """Two samples like x."""
    other = x.flip(0) if x.ndim else x
    return torch.stack([x, other if k else other.clone()])


def plain(x):
    """Its elements in a dtype that NumPy has."""
    return x.resolve_conj().to(torch.complex128 if x.is_complex() else torch.float64).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_a_mapped_operation_gives_what_it_gives_for_each_sample(name):
    function = DEFINITIONS[name].function
    for call in calls_of(name)[:4]:
        flat, spec = tree_flatten((call.args, call.kwargs))
        places = [i for i, x in enumerate(flat) if isinstance(x, torch.Tensor)]
        if not places or not any(flat[i].numel() for i in places):
            continue
        for chosen in {tuple(places), (places[0],), (places[-1],)}:
            samples = [many(flat[i], i % 2) for i in chosen]

            def run(*given, chosen=chosen, flat=flat, spec=spec):
                full = list(flat)
                for i, x in zip(chosen, given):
                    full[i] = x
                args, kwargs = (
                    spec.unflatten(full)
                    if hasattr(spec, "unflatten")
                    else torch.utils._pytree.tree_unflatten(full, spec)
                )
                result = function(*args, **kwargs)
                return [y for y in tree_flatten(result)[0] if isinstance(y, torch.Tensor)]

            try:
                each = [run(*[s[k].clone() for s in samples]) for k in range(2)]
                if not each[0] or any(a.shape != b.shape for a, b in zip(*each)):
                    continue
                wanted = [torch.stack(list(pair)) for pair in zip(*each)]
            except Exception:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found = torch.vmap(run)(*[s.clone() for s in samples])
                except VmapError:
                    continue
            for a, b in zip(found, wanted):
                assert a.dtype is b.dtype
                np.testing.assert_allclose(plain(a), plain(b), rtol=1e-9, atol=1e-9)


LINALG_BASES = set(
    "eig linalg_eig svd linalg_svd qr linalg_qr geqrf lobpcg eigh linalg_eigh linalg_lstsq lstsq svd_lowrank pca_lowrank".split()
)


@pytest.mark.parametrize("name", sorted(set(NAMES) - LINALG_BASES))
def test_gradients_of_a_mapped_operation_are_those_of_the_samples(name):
    function = DEFINITIONS[name].function
    for call in calls_of(name)[:2]:
        flat, spec = tree_flatten((call.args, call.kwargs))
        chosen = [
            i for i, x in enumerate(flat) if isinstance(x, torch.Tensor) and x.dtype is torch.float64 and x.numel()
        ]
        if not chosen or name.endswith("_"):
            continue
        samples = [many(flat[i], i % 2).requires_grad_() for i in chosen]

        def run(*given, chosen=chosen, flat=flat, spec=spec):
            full = list(flat)
            for i, x in zip(chosen, given):
                full[i] = x
            args, kwargs = torch.utils._pytree.tree_unflatten(full, spec)
            result = function(*args, **kwargs)
            return [y for y in tree_flatten(result)[0] if isinstance(y, torch.Tensor)]

        def gradients(results, samples=samples):
            used = [y for y in results if y.requires_grad and y.is_floating_point()]
            torch.manual_seed(0)
            total = sum((y * torch.randn(y.shape, dtype=torch.float64)).sum() for y in used)
            return torch.autograd.grad(total, samples, allow_unused=True, materialize_grads=True) if used else None

        try:
            each = [run(*[s[k] for s in samples]) for k in range(2)]
            wanted = gradients([torch.stack(list(pair)) for pair in zip(*each)])
        except Exception:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = gradients(torch.vmap(run)(*samples))
            except VmapError:
                continue
        assert (found is None) == (wanted is None)
        for a, b in zip(found or (), wanted or ()):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-7, atol=1e-9)
