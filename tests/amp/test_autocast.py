"""autocast: blocks within blocks, decorators, casts that are kept, functions of one's own."""

import pytest

import mashal as torch
from mashal import nn
from mashal.amp import custom_bwd, custom_fwd

A = torch.ones(2, 2)


def product():
    return (A @ A).dtype


def test_products_are_bfloat16_inside_and_float32_outside():
    with torch.autocast("cpu"):
        assert product() is torch.bfloat16
    assert product() is torch.float32


def test_a_block_inside_can_switch_it_off_and_on():
    with torch.autocast("cpu"):
        with torch.autocast("cpu", enabled=False):
            assert product() is torch.float32
            with torch.autocast("cpu", dtype=torch.float16):
                assert product() is torch.float16
        assert product() is torch.bfloat16


def test_as_a_decorator():
    assert torch.autocast("cpu")(product)() is torch.bfloat16
    assert product() is torch.float32


def test_an_error_inside_ends_it():
    with pytest.raises(ZeroDivisionError), torch.autocast("cpu"):
        1 // 0
    assert product() is torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_questions_about_it():
    with torch.autocast("cpu", dtype=torch.float16):
        assert torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_cpu_enabled()
        assert torch.get_autocast_dtype("cpu") is torch.float16
    assert torch.get_autocast_dtype("cpu") is torch.bfloat16


def test_a_parameter_is_cast_once_in_a_block():
    layer = nn.Linear(2, 2)
    with torch.autocast("cpu"):
        first, second = (layer(A).grad_fn for _ in range(2))
        casts = [
            [n for n, _ in node.next_functions if n is not None and "Copy" in n.name()] for node in (first, second)
        ]
        assert casts[0] == casts[1]
    (layer(A)).sum().backward()
    assert layer.weight.grad.dtype is torch.float32


def test_casts_are_not_kept_if_not_wished():
    layer = nn.Linear(2, 2)
    with torch.autocast("cpu", cache_enabled=False):
        (layer(A) + layer(A)).sum().backward()
    assert layer.weight.grad.tolist() == [[4, 4], [4, 4]]


def test_a_device_that_is_not_there_switches_it_off_with_a_warning():
    with pytest.warns(UserWarning, match="CUDA is not available"), torch.autocast("cuda"):
        assert product() is torch.float32


def test_functions_of_ones_own_are_told():
    seen = []

    class Mine(torch.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu")
        def forward(ctx, x):
            seen.append(product())
            return x * 2

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append(product())
            return g * 2

    x = torch.ones(2, requires_grad=True)
    with torch.autocast("cpu"):
        y = Mine.apply(x)
    y.sum().backward()
    assert seen == [torch.bfloat16, torch.bfloat16]


def test_inputs_of_ones_own_functions_can_be_cast():
    class Mine(torch.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu", cast_inputs=torch.float32)
        def forward(ctx, x):
            return x, product()

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, g, _):
            return g

    with torch.autocast("cpu"):
        x, d = Mine.apply((A @ A).detach())
    assert x.dtype is torch.float32
    assert d is torch.float32


def test_inside_vmap_too():
    with torch.autocast("cpu"):
        assert torch.vmap(torch.mm)(torch.ones(3, 2, 2), torch.ones(3, 2, 2)).dtype is torch.bfloat16
    assert torch.vmap(torch.autocast("cpu")(torch.mm))(torch.ones(3, 2, 2), torch.ones(3, 2, 2)).dtype is torch.bfloat16


def test_the_old_names_of_custom_functions():
    class Double(torch.autograd.Function):
        @staticmethod
        @torch.cuda.amp.custom_fwd
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @torch.cuda.amp.custom_bwd
        def backward(ctx, g):
            return g * 2

    x = torch.ones(2, requires_grad=True)
    Double.apply(x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
