"""state_dict and load_state_dict: what is saved, what is said where it doesn't fit, and the hooks."""

from collections import OrderedDict

import pytest

import mashal as torch
from mashal import nn


def model():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_keys_come_parameters_first_then_buffers():
    assert list(model().state_dict()) == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    ]


def test_versions_stand_in_the_metadata():
    assert model().state_dict()._metadata == OrderedDict(
        [("", {"version": 1}), ("0", {"version": 1}), ("1", {"version": 2})]
    )


def test_values_share_memory_and_are_detached():
    layer = nn.Linear(2, 3)
    weight = layer.state_dict()["weight"]
    assert not weight.requires_grad
    weight.zero_()
    assert layer.weight.abs().max().item() == 0.0


def test_keep_vars_keeps_the_parameters():
    layer = nn.Linear(2, 3)
    assert layer.state_dict(keep_vars=True)["weight"] is layer.weight


def test_prefix_and_destination():
    destination = OrderedDict(x=1)
    assert nn.Linear(2, 3).state_dict(destination=destination, prefix="p.") is destination
    assert list(destination) == ["x", "p.weight", "p.bias"]


def test_loading_copies_the_values():
    a, b = model(), model()
    assert repr(a.load_state_dict(b.state_dict())) == "<All keys matched successfully>"
    assert bool((a[0].weight == b[0].weight).all())
    assert a[0].weight is not b[0].weight


def test_everything_that_does_not_fit_is_named_at_once():
    state = model().state_dict()
    state["0.weight"] = torch.ones(3, 3)
    del state["0.bias"], state["1.running_mean"]
    state["2.weight"] = state["0.q"] = torch.ones(1)
    with pytest.raises(RuntimeError) as error:
        model().load_state_dict(state)
    assert str(error.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "0.bias", "1.running_mean". \n'
        '\tUnexpected key(s) in state_dict: "2.weight", "0.q". \n'
        "\tsize mismatch for 0.weight: copying a param with shape torch.Size([3, 3]) from checkpoint, "
        "the shape in current model is torch.Size([3, 2])."
    )


def test_what_fits_is_loaded_all_the_same():
    layer = nn.Linear(2, 3)
    with pytest.raises(RuntimeError):
        layer.load_state_dict({"bias": torch.ones(3)})
    assert layer.bias.tolist() == [1.0, 1.0, 1.0]


def test_not_strict_returns_the_keys():
    result = nn.Linear(2, 3).load_state_dict({"bias": torch.ones(3), "x": torch.ones(1)}, strict=False)
    assert result.missing_keys == ["weight"]
    assert result.unexpected_keys == ["x"]
    assert repr(result) == "_IncompatibleKeys(missing_keys=['weight'], unexpected_keys=['x'])"


def test_not_strict_still_refuses_another_shape():
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        nn.Linear(2, 3).load_state_dict({"weight": torch.ones(1, 1)}, strict=False)


def test_a_bias_that_the_layer_lacks_is_unexpected():
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"bias"'):
        nn.Linear(2, 3, bias=False).load_state_dict(nn.Linear(2, 3).state_dict())


def test_a_value_that_is_no_tensor_is_named():
    with pytest.raises(RuntimeError, match=r"named \"bias\", expected torch.Tensor.* received <class 'int'>"):
        nn.Linear(2, 3).load_state_dict({"weight": torch.ones(3, 2), "bias": 5})


def test_something_else_than_a_dictionary_is_refused():
    with pytest.raises(TypeError, match=r"Expected state_dict to be dict-like, got <class 'int'>\."):
        nn.Linear(2, 3).load_state_dict(5)


def test_the_dictionary_given_is_not_changed():
    state = nn.BatchNorm1d(2).state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = 1
    nn.BatchNorm1d(2).load_state_dict(state)
    assert "num_batches_tracked" not in state


def test_an_old_batch_norm_without_counter_loads():
    state = {name: value for name, value in nn.BatchNorm1d(2).state_dict().items() if "tracked" not in name}
    layer = nn.BatchNorm1d(2)
    layer.num_batches_tracked.fill_(7)
    assert repr(layer.load_state_dict(state)) == "<All keys matched successfully>"
    assert int(layer.num_batches_tracked) == 7


def test_loading_converts_to_the_dtype_of_the_module():
    layer = nn.Linear(2, 3)
    layer.load_state_dict(nn.Linear(2, 3).double().state_dict())
    assert layer.weight.dtype == torch.float32


def test_assign_takes_the_tensors_themselves():
    layer, state = nn.Linear(2, 3), nn.Linear(2, 3).double().state_dict()
    layer.load_state_dict(state, assign=True)
    assert layer.weight.dtype == torch.float64
    assert isinstance(layer.weight, nn.Parameter)
    assert layer.weight.data_ptr() == state["weight"].data_ptr()


def test_a_one_element_vector_loads_into_a_scalar():
    layer = nn.Module()
    layer.scale = nn.Parameter(torch.tensor(0.0))
    layer.load_state_dict({"scale": torch.tensor([3.0])})
    assert layer.scale.item() == 3.0


def test_extra_state_is_saved_and_loaded():
    class Counter(nn.Module):
        count = 3

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    a, b = Counter(), Counter()
    a.count = 8
    assert dict(a.state_dict()) == {"_extra_state": {"count": 8}}
    b.load_state_dict(a.state_dict())
    assert b.count == 8
    with pytest.raises(RuntimeError, match=r'Missing.*"_extra_state"'):
        b.load_state_dict({})
    with pytest.raises(RuntimeError, match=r'Unexpected.*"_extra_state"'):
        nn.Module().load_state_dict(a.state_dict())


# ---------------------------------------------------------------- hooks
def test_hooks_around_saving():
    layer, order = nn.Linear(1, 1), []
    layer.register_state_dict_pre_hook(lambda module, prefix, keep_vars: order.append(("pre", prefix)))

    def after(module, state_dict, prefix, local_metadata):
        state_dict["more"] = local_metadata["version"]

    layer.register_state_dict_post_hook(after)
    assert list(layer.state_dict(prefix="p.")) == ["p.weight", "p.bias", "more"]
    assert order == [("pre", "p.")]


def test_a_public_post_hook_must_return_none():
    layer = nn.Linear(1, 1)
    layer.register_state_dict_post_hook(lambda *_: {})
    with pytest.raises(RuntimeError, match="in place and return None"):
        layer.state_dict()


def test_a_private_hook_replaces_the_dictionary():
    layer = nn.Linear(1, 1)
    layer._register_state_dict_hook(lambda *_: {"other": 1})
    assert layer.state_dict() == {"other": 1}


def test_a_pre_hook_renames_keys():
    layer = nn.Linear(1, 1)

    def rename(module, state_dict, prefix, *rest):
        assert module is layer
        state_dict["weight"] = state_dict.pop("w")

    handle = layer.register_load_state_dict_pre_hook(rename)
    layer.load_state_dict({"w": torch.ones(1, 1), "bias": torch.ones(1)})
    handle.remove()
    with pytest.raises(RuntimeError, match=r'Unexpected.*"w"'):
        layer.load_state_dict({"w": torch.ones(1, 1), "bias": torch.ones(1)})


def test_a_post_hook_forgives_missing_keys():
    layer = nn.Linear(1, 1)
    layer.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    assert repr(layer.load_state_dict({})) == "<All keys matched successfully>"


def test_a_post_hook_must_return_none():
    layer = nn.Linear(1, 1)
    layer.register_load_state_dict_post_hook(lambda module, keys: keys)
    with pytest.raises(RuntimeError, match="in place and return None"):
        layer.load_state_dict(layer.state_dict())
