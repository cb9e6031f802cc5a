"""First and second derivatives of every operation, against differences of the operation itself along random directions.

Along a direction v, (f(x + εv) − f(x − εv)) / 2ε is ⟨∇f, v⟩ up to ε². One number a call says whether the whole gradient is right;
the second derivative is the same check of the gradient, as a function of the operands and of what backward starts from.
"""

import numpy as np
import pytest

import mashal as torch
from mashal.ops.define import DEFINITIONS
from ops.algebra_calls import SYMMETRIC_ONLY, UNLIKE, WITHOUT_GRADIENT
from ops.samples import Call, calls_of
from ops.test_definitions import RANDOM, UNDEFINED, copies

CONSTANT = set(
    """
    eq ne lt le gt ge isnan isinf isfinite isposinf isneginf isreal signbit isclose allclose equal logical_and logical_or
    logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift gcd lcm
    argmax argmin any all count_nonzero is_contiguous is_tensor is_storage is_floating_point is_complex is_signed
    is_inference is_nonzero is_conj is_neg numel is_same_size is_set_to result_type promote_types can_cast typename
    broadcast_shapes int long short char byte bool type zeros_like ones_like full_like new_zeros new_ones new_full
    new_tensor tensor as_tensor asarray scalar_tensor
    argsort searchsorted histc histogram histogramdd bucketize argwhere nonzero nonzero_static one_hot isin
    bincount unique unique_consecutive tril_indices detach_copy detach detach_ hash_tensor _shape_as_tensor
""".split()
)
"""Give what does not change with the operands, or has no derivative."""
MUTATING = {name for name in DEFINITIONS if name.endswith("_")} | {"setitem"}
"""Change their first operand, which must not be a leaf."""
UNDIFFERENTIATED = {
    "nll_loss": (1, 2),
    "cross_entropy": (2,),
    "binary_cross_entropy": (2,),
    "type_as": (1,),
    "view_as": (1,),
    "reshape_as": (1,),
    "expand_as": (1,),
    "binary_cross_entropy_with_logits": (2, 3),
    "zeta": (0,),
    "igamma": (0,),
    "igammac": (0,),
    "resize_as_": (1,),
}
"""Operands that get no gradient, counted among all tensors of a call."""
ROUGH = {
    "native_layer_norm",  # only the first of its results has a gradient
    "native_batch_norm",
    "to_sparse",
    "sparse_coo_tensor",
    "nextafter",
    "resize_",
    "resize_as_",
    "cuda",
    "float",
    "half",
    "bfloat16",
    "cfloat",
    "chalf",
    "to",
    "type",
    "type_as",
}
"""Give too few digits for differences, or are not differentiable but say so in backward."""
WITHOUT = {name for name in DEFINITIONS if "_polynomial_" in name or "modified_bessel_k" in name}
WITHOUT |= {"airy_ai", "_standard_gamma_grad", "_dirichlet_grad"}
"""Have no gradient in PyTorch either."""
NAMES = sorted(
    set(DEFINITIONS) - WITHOUT_GRADIENT - SYMMETRIC_ONLY - UNLIKE - RANDOM - UNDEFINED - CONSTANT - ROUGH - WITHOUT
)
EPS = 1e-5


def smooth(call: Call, name: str) -> tuple[list, Call]:
    """The float tensors of a call that get gradients, as leaves, and the call with them."""
    skipped = UNDIFFERENTIATED.get(name, ())
    leaves, places = [], iter(range(100))

    def leaf(x):
        if next(places) in skipped or not x.is_floating_point() or x.dtype is not torch.float64:
            return x
        leaves.append(x.requires_grad_())
        return x

    return leaves, copies(call).map(leaf)


def flat(x):
    if isinstance(x, torch.Tensor):
        return [x]
    return [t for part in x for t in flat(part)] if isinstance(x, (tuple, list)) else []


class Checked:
    """One operation on one call: its value along a direction and its gradients."""

    def __init__(self, name: str, call: Call):
        self.name = name
        self.leaves, self.call = smooth(call, name)
        rng = np.random.default_rng(2)
        self.weights = [
            torch.from_numpy(np.asarray(rng.uniform(-1, 1, tuple(y.shape)))) for y in self.results(self.call)
        ]
        self.along = [torch.from_numpy(np.asarray(rng.uniform(-1, 1, tuple(x.shape)))) for x in self.leaves]
        self.turn = [torch.from_numpy(np.asarray(rng.uniform(-1, 1, tuple(w.shape)))) for w in self.weights]

    def total(self, leaves, weights):
        """Σ weights · f(leaves)"""
        found = dict(zip(map(id, self.leaves), leaves))
        parts = self.results(self.call.map(lambda x: found.get(id(x), x)))
        return sum([(y * w).sum() for y, w in zip(parts, weights)], start=torch.zeros((), dtype=torch.float64))

    def results(self, call):
        """The differentiable results of a call, as real numbers."""
        now = call.map(lambda x: x.clone()) if self.name in MUTATING else call
        given = now.of(DEFINITIONS[self.name].function)
        given = now.args[0] if given is None else given
        parts = [torch.view_as_real(y) if y.is_complex() else y for y in flat(given)]
        return [y.double() for y in parts if y.is_floating_point()]

    def moved(self, step):
        return [(x.detach() + step * v).requires_grad_() for x, v in zip(self.leaves, self.along)]

    def slope(self, function):
        """The difference of a function of (leaves, weights) along the directions."""
        ends = []
        for step in (EPS, -EPS):
            weights = [(w + step * t).requires_grad_() for w, t in zip(self.weights, self.turn)]
            ends.append(function(self.moved(step), weights).item())
        return (ends[0] - ends[1]) / (2 * EPS)

    def derivative(self, function):
        """The same by backward."""
        leaves, weights = self.moved(0.0), [w.clone().requires_grad_() for w in self.weights]
        total = function(leaves, weights)
        if not total.requires_grad:
            return 0.0
        gradients = torch.autograd.grad(total, [*leaves, *weights], allow_unused=True)
        return sum((g * v).sum().item() for g, v in zip(gradients, [*self.along, *self.turn]) if g is not None)

    def first(self, leaves, weights):
        """⟨∇ total, v⟩, as a function of leaves and weights: what the second derivative is the derivative of."""
        total = self.total(leaves, weights)
        gradients = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
        parts = [(g * v).sum() for g, v in zip(gradients, self.along) if g is not None]
        return sum(parts, start=torch.zeros((), dtype=torch.float64))


def checks(name):
    for call in calls_of(name):
        if any(x.dtype is torch.float64 for x in call.tensors()):
            yield Checked(name, call)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_derivative(name):
    for check in checks(name):
        assert check.total(check.moved(0.0), check.weights).requires_grad
        expected = check.slope(check.total)
        assert check.derivative(check.total) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_second_derivative(name):
    for check in checks(name):
        expected = check.slope(check.first)
        assert check.derivative(check.first) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", sorted(CONSTANT & set(DEFINITIONS)))
def test_has_no_gradient(name):
    for call in calls_of(name):
        _, now = smooth(call, name)
        given = now.of(DEFINITIONS[name].function)
        assert not any(y.requires_grad for y in flat(given)) or name in {"asarray", "as_tensor", "type"}


@pytest.mark.parametrize("layer", ["LayerNorm", "RMSNorm"])
def test_a_norms_gradient_is_added_to_what_its_input_has_already(layer):
    x = torch.randn(70, 5, requires_grad=True)
    norm = getattr(torch.nn, layer)(5)
    g = torch.randn(70, 5)
    (once,) = torch.autograd.grad(norm(x), x, g)
    norm(x).backward(g)
    norm(x).backward(g)
    assert torch.allclose(x.grad, 2 * once, atol=1e-5)
