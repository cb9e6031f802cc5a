"""Operations on lists of tensors give what the operation gives for each."""

import pytest

import mashal as torch
from mashal.ops.foreach import BINARY, UNARY
from mashal.testing import assert_close


def tensors():
    return [torch.tensor([0.3, 0.7]), torch.tensor(0.5), torch.rand(2, 3)]


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name):
    xs = tensors()
    found = getattr(torch, f"_foreach_{name}")(xs)
    assert_close(found, tuple(getattr(torch, name)(x) for x in xs))
    changed = [x.clone() for x in xs]
    getattr(torch, f"_foreach_{name}_")(changed)
    assert_close(tuple(changed), found)


@pytest.mark.parametrize("name", [name for name in BINARY if name != "lerp"])
def test_two_operands_or_a_number_for_all(name):
    xs, ys = tensors(), tensors()
    by_lists = getattr(torch, f"_foreach_{name}")(xs, ys)
    assert_close(by_lists, tuple(getattr(torch, name)(x, y) for x, y in zip(xs, ys)))
    by_number = getattr(torch, f"_foreach_{name}")(xs, 0.4)
    assert_close(by_number, tuple(getattr(torch, name)(x, torch.tensor(0.4)) for x in xs))


def test_values_one_for_each():
    xs, ys, zs = tensors(), tensors(), tensors()
    found = torch._foreach_addcmul(xs, ys, zs, [1.0, 2.0, 3.0])
    assert_close(found, tuple(torch.addcmul(x, y, z, value=v) for x, y, z, v in zip(xs, ys, zs, (1.0, 2.0, 3.0))))


def test_lists_must_be_of_one_length():
    with pytest.raises(RuntimeError, match="_foreach_add: lists must have the same length, got 3 and 2"):
        torch._foreach_add(tensors(), tensors()[:2])


def test_an_empty_list_is_refused():
    with pytest.raises(RuntimeError, match="at least one tensor"):
        torch._foreach_sqrt([])
