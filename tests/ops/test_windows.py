"""Windows over space: their largest elements and means, other sizes, and what is read between elements."""

import pytest

import mashal as torch
from mashal.nn import functional as F


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation"), [
    ((2, 3, 40), 3, 2, 1, 1), ((2, 3, 40), 2, 1, 0, 3), ((1, 2, 9, 70), 3, 2, 1, 1), ((1, 2, 9, 70), (2, 3), (3, 1), (1, 0), (1, 2)),
    ((1, 1, 5, 6, 40), 2, 2, 1, 1),
])  # fmt: skip
def test_max_pool_gives_what_lies_at_its_indices(shape, kernel, stride, padding, dilation):
    x = torch.randn(shape)
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(shape) - 3]
    y, places = pool(x, kernel, stride, padding, dilation, return_indices=True)
    assert torch.equal(x.flatten(2).gather(2, places.flatten(2)), y.flatten(2))
    assert torch.equal(pool(x, kernel, stride, padding, dilation), y)


def test_max_pool_shows_the_last_nan_and_the_first_of_equal_elements():
    x = torch.tensor([[1.0, float("nan"), 5.0, 7.0, 7.0, 7.0]])
    y, places = F.max_pool1d(x, 3, return_indices=True)
    assert places.tolist() == [[1, 3]]
    assert y.isnan().tolist() == [[True, False]]


def test_max_pool_of_channels_last_is_that_of_contiguous():
    x = torch.randn(2, 5, 8, 8)
    assert torch.equal(F.max_pool2d(x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), 2), F.max_pool2d(x, 2))


@pytest.mark.parametrize("size", [(1, 2, 64, 64), (1, 2, 7, 5)])
def test_an_average_of_ones_is_one(size):
    assert (F.avg_pool2d(torch.ones(size), 3, 2) == 1).all()


def test_the_gradient_of_a_mean_is_shared_out_evenly():
    x = torch.zeros(1, 4, requires_grad=True)
    F.avg_pool1d(x, 2).sum().backward()
    assert x.grad.tolist() == [[0.5] * 4]


def test_unfold_then_fold_counts_windows():
    x = torch.ones(1, 1, 4, 4)
    assert F.fold(F.unfold(x, 3), (4, 4), 3)[0, 0].tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]


def test_nearest_keeps_every_element_of_twice_the_size():
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert torch.equal(F.interpolate(F.interpolate(x, scale_factor=2), scale_factor=0.5), x)


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_the_identity_grid_reads_every_element(padding_mode):
    x = torch.randn(2, 3, 4, 5)
    grid = F.affine_grid(torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]).expand(2, -1, -1), (2, 3, 4, 5), align_corners=False)
    assert torch.allclose(F.grid_sample(x, grid, padding_mode=padding_mode, align_corners=False), x, atol=1e-5)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda x: F.max_pool2d(x, 0), RuntimeError, "kernel_size should be greater than zero"),
    (lambda x: F.max_pool2d(x, 2, padding=2), RuntimeError, "at most half"),
    (lambda x: F.max_pool2d(x, 9), RuntimeError, "Output size is too small"),
    (lambda x: F.avg_pool2d(x, 2, divisor_override=0), RuntimeError, "divisor"),
    (lambda x: F.interpolate(x), ValueError, "either size or scale_factor"),
    (lambda x: F.interpolate(x, size=3, mode="linear"), NotImplementedError, "mode 'linear' is for 3D"),
    (lambda x: F.unfold(x, 9), RuntimeError, "at least one"),
    (lambda x: F.grid_sample(x, torch.zeros(2, 1, 1, 2), align_corners=False), RuntimeError, "same batch size"),
])  # fmt: skip
def test_bad_windows_are_refused(call, error, text):
    with pytest.raises(error, match=text):
        call(torch.ones(1, 1, 4, 4))


def test_a_grid_that_points_outside_reads_zeros_whatever_the_image_holds():
    x = torch.full((1, 1, 3, 3), float("nan"))
    assert F.grid_sample(x, torch.full((1, 1, 1, 2), 5.0), align_corners=False).item() == 0
    assert F.grid_sample(x, torch.full((1, 1, 1, 2), float("nan")), align_corners=False).item() == 0


def test_images_of_bytes_are_rounded_after_each_dimension():
    image = torch.tensor([[172, 47, 117, 192], [67, 251, 195, 103], [9, 211, 21, 242], [36, 87, 70, 216]]).to(
        torch.uint8
    )
    smaller = F.interpolate(image[None, None], (3, 3), mode="bilinear")
    assert smaller[0, 0].tolist() == [[142, 105, 170], [71, 170, 162], [44, 85, 194]]  # PyTorch's
