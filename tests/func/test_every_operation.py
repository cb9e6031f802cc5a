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
