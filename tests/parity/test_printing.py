"""The printer on PyTorch's own tensors: whatever it is given, it prints as PyTorch does."""

import math
import random

import pytest
import torch

from mashal.core import printing

DTYPES = [
    *[torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128],
    *[torch.int64, torch.int32, torch.uint8, torch.bool],
]
SIZES = [0, 1, 2, 3, 5, 7, 9, 12, 40]
UNUSUAL = [0.0, -0.0, math.nan, math.inf, -math.inf]


def random_options(draw):
    if draw.random() < 0.5:
        return {"profile": draw.choice(["default", "short", "full"])}
    return {
        "precision": draw.choice([0, 2, 4, 7]),
        "threshold": draw.choice([5, 100, 1000, math.inf]),
        "edgeitems": draw.choice([0, 1, 2, 3, 5]),
        "linewidth": draw.choice([20, 40, 80, 120]),
        "sci_mode": draw.choice([None, True, False]),
    }


def random_tensor(draw):
    """Up to four dimensions, any dtype, numbers of any size; some with gradients, some transposed or meta."""
    shape = [draw.choice(SIZES) for _ in range(draw.randrange(5))]
    dtype = draw.choice(DTYPES)
    if not (dtype.is_floating_point or dtype.is_complex):
        tensor = torch.randint(0, 200, shape).to(dtype)
    else:
        tensor = torch.randn(shape, dtype=torch.float64) * 10 ** draw.uniform(-6, 6)
        if draw.random() < 0.3:
            tensor = tensor.round()
        if draw.random() < 0.4:
            tensor = torch.where(torch.rand(shape) < 0.2, draw.choice(UNUSUAL), tensor)
        if dtype.is_complex:
            tensor = torch.complex(tensor, torch.randn(shape, dtype=torch.float64))
        tensor = tensor.to(dtype).requires_grad_(draw.random() < 0.3)
        if tensor.requires_grad and draw.random() < 0.5:
            tensor = tensor * 2
    if tensor.ndim > 1 and draw.random() < 0.2:
        tensor = tensor.transpose(0, 1)
    return tensor.to("meta") if draw.random() < 0.1 else tensor


@pytest.mark.parametrize("seed", range(10))
def test_random_tensors_print_as_pytorch_prints_them(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    try:
        for _ in range(60):
            tensor, options = random_tensor(draw), random_options(draw)
            torch.set_printoptions(**options)
            printing.set_printoptions(**options)
            if tensor.numel() < 20_000:
                assert printing.text(tensor, torch.float32) == str(tensor), options
    finally:
        torch.set_printoptions(profile="default")
