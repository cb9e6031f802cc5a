"""Parametrizations, weight norms and pruning: what is particular to them."""

import copy
import pickle

import pytest

import mashal as torch
from mashal import nn
from mashal.nn.utils import parametrize, prune


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)

    def right_inverse(self, x):
        return x.triu()


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def test_what_is_trained_is_the_original():
    layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    assert [name for name, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    layer(torch.ones(1, 3)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)


def test_assigning_goes_through_right_inverse():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
    layer.weight = torch.tensor([[1.0, 2.0], [9.0, 3.0]])
    assert layer.weight.tolist() == [[1.0, 2.0], [2.0, 3.0]]
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Doubled())
    with pytest.raises(RuntimeError, match="Doubled does not implement right_inverse"):
        layer.weight = torch.ones(2, 2)


def test_parametrizations_follow_each_other_and_can_be_removed():
    layer = nn.Linear(2, 2, bias=False)
    weight, parameter = layer.weight.detach().clone(), layer.weight
    for _ in range(2):
        parametrize.register_parametrization(layer, "weight", Doubled())
    assert torch.equal(layer.weight, 4 * weight) and parametrize.is_parametrized(layer, "weight")
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    parametrize.remove_parametrizations(layer, "weight")
    assert torch.equal(layer.weight, 4 * weight) and layer.weight is parameter and type(layer) is nn.Linear


def test_a_cached_tensor_is_computed_once():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Doubled())
    assert layer.weight is not layer.weight
    with parametrize.cached():
        assert layer.weight is layer.weight


def test_a_parametrized_module_is_copied_and_not_pickled():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Doubled())
    other = copy.deepcopy(layer)
    with torch.no_grad():
        layer.parametrizations.weight.original.zero_()
    assert other.weight.any() and not layer.weight.any()
    other.load_state_dict(layer.state_dict())
    assert not other.weight.any()
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(layer)


class Longer(nn.Module):
    def forward(self, x):
        return torch.cat([x, x])


def test_a_parametrization_keeps_shape_and_dtype_unless_unsafe():
    with pytest.raises(ValueError, match=r"may not change the shape; it made \(4, 2\) of \(2, 2\)"):
        parametrize.register_parametrization(nn.Linear(2, 2), "weight", Longer())
    layer = parametrize.register_parametrization(nn.Linear(2, 2, bias=False), "weight", Longer(), unsafe=True)
    assert layer.weight.shape == (4, 2)
    with pytest.raises(ValueError, match="no parameter or buffer named 'nothing'"):
        parametrize.register_parametrization(nn.Linear(2, 2), "nothing", Doubled())


def test_files_of_the_old_weight_norm_are_read_by_the_new():
    old, new = nn.utils.weight_norm(nn.Linear(3, 2)), nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    new.load_state_dict(old.state_dict())
    x = torch.randn(4, 3)
    assert torch.allclose(old(x), new(x))


def test_norms_are_removed_with_the_weight_as_it_is():
    for add, remove in (
        (nn.utils.weight_norm, nn.utils.remove_weight_norm),
        (nn.utils.spectral_norm, nn.utils.remove_spectral_norm),
    ):
        layer, x = add(nn.Linear(3, 2)), torch.randn(4, 3)
        layer.eval()
        expected = layer(x)
        assert torch.allclose(remove(layer)(x), expected, atol=1e-6)
        assert sorted(layer.state_dict()) == ["bias", "weight"]
        with pytest.raises(ValueError, match="not found"):
            remove(layer)
        with pytest.raises(RuntimeError, match="Cannot register two"):
            add(add(layer))


def test_a_pruned_parameter_is_trained_within_its_mask_and_can_be_made_final():
    layer = prune.l1_unstructured(nn.Linear(4, 3), "weight", amount=0.5)
    assert prune.is_pruned(layer) and int((layer.weight == 0).sum()) == 6
    layer(torch.ones(1, 4)).sum().backward()
    assert torch.equal(layer.weight_orig.grad != 0, layer.weight_mask != 0)
    prune.remove(layer, "weight")
    assert sorted(layer.state_dict()) == ["bias", "weight"] and not prune.is_pruned(layer)
    assert int((layer.weight == 0).sum()) == 6


@pytest.mark.parametrize(
    ("amount", "error", "text"),
    [
        ("a", TypeError, "Invalid type for amount"),
        (1.5, ValueError, r"in the range \[0, 1\]"),
        (99, ValueError, "smaller than"),
    ],
)
def test_amounts_that_cannot_be_pruned_are_errors_and_leave_the_layer_as_it_was(amount, error, text):
    layer = nn.Linear(2, 2)
    with pytest.raises(error, match=text):
        prune.random_unstructured(layer, "weight", amount)
    assert sorted(layer.state_dict()) == ["bias", "weight"] and layer(torch.ones(1, 2)).shape == (1, 2)


def test_fusion_is_for_evaluation():
    with pytest.raises(AssertionError, match="only for eval"):
        nn.utils.fuse_conv_bn_eval(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    with pytest.raises(AssertionError, match=r"out_features 2 == bn.num_features 3"):
        nn.utils.fuse_linear_bn_eval(nn.Linear(2, 2).eval(), nn.BatchNorm1d(3).eval())


def test_functional_call_of_old_warns_and_works():
    with pytest.warns(FutureWarning, match=r"torch\.func\.functional_call"):
        found = nn.utils.stateless.functional_call(
            nn.Linear(2, 1, bias=False), {"weight": torch.ones(1, 2)}, torch.ones(2)
        )
    assert found.tolist() == [2.0]
