"""rearrange: dimensions by names."""

import pytest

import mashal as torch
from mashal.func import rearrange

X = torch.arange(24).reshape(2, 3, 4)

SAME = {
    "a b c -> c b a": X.permute(2, 1, 0),
    "a b c -> a (c b)": X.transpose(1, 2).reshape(2, 12),
    "a b c->(a b c)": X.flatten(),
    "... c -> c ...": X.permute(2, 0, 1),
    "... -> (...)": X.flatten(),
    "a ... -> (... a)": X.permute(1, 2, 0).flatten(),
    "a b c -> a 1 b () c": X[:, None, :, None],
}


@pytest.mark.parametrize("pattern", SAME)
def test_patterns_mean_views(pattern):
    assert rearrange(X, pattern).equal(SAME[pattern])


def test_sizes_split_dimensions():
    assert rearrange(X, "a b (c d) -> d a b c", d=2).equal(X.reshape(2, 3, 2, 2).permute(3, 0, 1, 2))
    assert rearrange(X[:1], "1 b c -> b c").equal(X[0])


def test_several_tensors_are_stacked():
    assert rearrange([X, X + 1], "n a b c -> a (n b) c").equal(torch.cat([X, X + 1], 1))


def test_gradients_go_back():
    x = torch.ones(2, 3, requires_grad=True)
    (rearrange(x, "a b -> (b a)") * torch.arange(6.0)).sum().backward()
    assert x.grad.tolist() == [[0, 2, 4], [1, 3, 5]]


BAD = {
    "a b c -> a b": "c must stand on both sides",
    "a b -> b a": "2 dimensions, and the tensor has 3",
    "a b b -> a b": "b stands twice",
    "a b c": "one '->'",
    "a (b c -> a b c": "brackets do not match",
    "a (b (c)) -> a b c": "brackets inside brackets",
    "a (b d) c -> a b c d": "cannot both be found",
    "a 2 c -> a c": "size 2",
    "a _b c -> a c _b": "no name",
    "a (...) -> a ...": "before the arrow",
    "1 b c -> b c": "does not fit",
}


@pytest.mark.parametrize("pattern", BAD)
def test_bad_patterns_say_what_is_wrong(pattern):
    with pytest.raises(ValueError, match=BAD[pattern]):
        rearrange(X, pattern)
