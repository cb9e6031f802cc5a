"""Floating numbers of 8 bits: what their bits stand for, how numbers are rounded to them, and what they take part in."""

import math

import pytest

import mashal as torch
from mashal.core.eighths import EIGHTHS, number_of

DTYPES = sorted(EIGHTHS, key=str)


def same(a, b):
    return a == b and math.copysign(1, a) == math.copysign(1, b) or (a != a and b != b)


@pytest.mark.parametrize("d", DTYPES)
def test_every_byte_is_read_alike_by_kernels_and_by_lists(d):
    x = torch.arange(256, dtype=torch.uint8).view(d)
    wanted = [number_of(bits, EIGHTHS[d]) for bits in range(256)]
    assert all(map(same, x.tolist(), wanted))
    assert all(map(same, x.double().tolist(), wanted))


@pytest.mark.parametrize("d", DTYPES)
def test_every_number_is_written_as_it_was_read(d):
    x = torch.arange(256, dtype=torch.uint8).view(d)
    numbers = x == x
    assert x.float().to(d).view(torch.uint8)[numbers].tolist() == x.view(torch.uint8)[numbers].tolist()
    made = torch.tensor(x.tolist(), dtype=d)
    assert made.view(torch.uint8)[numbers].tolist() == x.view(torch.uint8)[numbers].tolist()


@pytest.mark.parametrize("d", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_numbers_between_two_go_to_the_nearer_one_and_ties_to_even(d):
    x = torch.arange(0x7A, dtype=torch.uint8).view(d).double()
    low, high = x[:-1], x[1:]
    assert ((low * 0.51 + high * 0.49).to(d).double() == low).all()
    assert ((low * 0.49 + high * 0.51).to(d).double() == high).all()
    middle = ((low + high) / 2).to(d).view(torch.uint8)
    assert (middle % 2 == 0).all()


def test_what_is_too_large():
    x = torch.tensor([1e9, -1e9, float("inf")])
    assert x.to(torch.float8_e4m3fn).tolist() == [448, -448, 448]
    assert x.to(torch.float8_e5m2).tolist() == [float("inf"), -float("inf"), float("inf")]
    assert x.to(torch.float8_e4m3fnuz).isnan().all()


def test_they_do_not_mix_with_other_dtypes():
    with pytest.raises(RuntimeError, match=r"float8_e4m3fn and torch\.float32 have no common dtype"):
        torch.ones(1, dtype=torch.float8_e4m3fn) + torch.ones(1)


def test_dtypes_without_operations_say_so():
    x = torch.empty(2, dtype=torch.uint4)
    with pytest.raises(NotImplementedError, match=r"torch\.uint4: there are no operations"):
        x + x


def test_short_names_of_dtypes():
    assert [d.abbr for d in (torch.float32, torch.bfloat16, torch.bool, torch.float8_e5m2)] == [
        "f32",
        "bf16",
        "b8",
        "f8e5m2",
    ]
