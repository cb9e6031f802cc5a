"""Sample calls of the operations whose arguments are not just operands of one shape: a line for each definition.

CALLS: name -> function of a samples.Source that makes the calls. ARITY: composed operations that take operands as pointwise ones do.
"""

# ruff: noqa: E501
import os
import tempfile

import mashal as torch
from ops import algebra_calls, fourier_calls
from ops.samples import POSITIVE, Source, call

low, high = POSITIVE

ARITY = {
    "add": 2, "sub": 2, "rsub": 2, "positive": 1, "div": 2, "true_divide": 2, "floor_divide": 2, "rdiv": 2, "remainder": 2,
    "fmod": 2, "pow": 2, "float_power": 2, "round": 1, "relu": 1, "isclose": 2, "nan_to_num": 1, "logit": 1, "real": 1,
    "conj": 1, "resolve_conj": 1, "resolve_neg": 1, "conj_physical": 1, "allclose": 2, "equal": 2,
    "frexp": 1, "complex": 2, "polar": 2, "angle": 1, "ldexp": 2, "gcd": 2, "lcm": 2, "heaviside": 2, "xlogy": 2, "lerp": 3, "addcmul": 3, "addcdiv": 3,
}  # fmt: skip

NUMBERS = os.path.join(tempfile.mkdtemp(), "numbers")  # 16 bytes in a file
with open(NUMBERS, "wb") as _file:
    _file.write(bytes(range(16)))
SIZES = lambda s: [call(2, 3), call((2, 3)), call(0, 3), call(())]
LIKE = lambda s: [call(s.real(3, 4)), call(s.real())]
ONE = lambda s: [call(s.real(3, 4)), call(s.real()), call(s.real(0, 3))]
REDUCED = lambda s: [
    call(s.distinct(3, 4)), call(s.distinct(3, 4), 1), call(s.distinct(3, 4), 0, keepdim=True),
    call(s.distinct(2, 3, 4), (0, 2)), call(s.distinct(2, 3, 4), dim=-2), call(s.distinct(2, 0, 3), 2 - 2 * 1),
]  # fmt: skip
ALONG = lambda s: [
    call(s.distinct(3, 4), 1), call(s.distinct(3, 4), 0), call(s.distinct(2, 3, 4), 1), call(s.distinct(3, 4), dim=-1),
]  # fmt: skip
TWO = lambda s: [call(s.real(3, 4), s.real(3, 4)), call(s.real(3, 4), s.real(3, 4), reduction="sum"),
                 call(s.real(3, 4), s.real(3, 4), reduction="none")]  # fmt: skip
CHANCE = lambda s: [call(s.real(3, 4), 0.4, True), call(s.real(3, 4), 0.4, False)]
SPLIT = lambda s: [call(s.real(4, 6), 2), call(s.real(4, 6), [1, 3]), call(s.real(4, 6, 2), 2)]
JOIN = lambda s: [call([s.real(3, 4), s.real(3, 4)]), call((s.real(2, 4), s.real(2, 4), s.real(2, 4)))]


def classes(s: Source, n: int = 5, c: int = 4) -> list:
    """Losses of classes: scores, their right places, weights, some ignored."""
    return [
        call(s.real(n, c), s.whole(n, high=c)),
        call(s.real(n, c), s.whole(n, high=c), reduction="sum"),
        call(s.real(n, c), s.whole(n, high=c), reduction="none"),
        call(s.real(n, c), s.whole(n, high=c), s.real(c, low=0.5, high=2.0)),
        call(s.real(n, c), torch.tensor([0, 1, 3, 1, 2]), ignore_index=1),
        call(s.real(n, c, 3), s.whole(n, 3, high=c)),
    ]


CALLS = {
    # arithmetic with options
    "threshold": lambda s: [call(s.real(3, 4), 0.1, 20.0)],
    "clamp": lambda s: [call(s.real(3, 4), -0.5, 0.7), call(s.real(3, 4), min=0.1), call(s.real(3, 4), max=0.1),
                        call(s.real(3, 4), s.real(4, low=-1, high=0), s.real(3, 1, low=0.1, high=1))],
    "where": lambda s: [call(s.truth(3, 4), s.real(3, 4), s.real(4)), call(s.truth(3, 1), s.real(3, 4), 2.0),
                        call(s.truth(3, 4), s.real(), s.real(3, 4)), call(s.truth(0, 3), s.real(0, 3), s.real(3))],
    "where_method": lambda s: [call(s.real(3, 4), s.truth(3, 4), s.real(3, 4))],
    "glu": lambda s: [call(s.real(3, 4)), call(s.real(4, 3), 0)],
    "prelu": lambda s: [call(s.real(3, 4), s.real(4)), call(s.real(3, 4), s.real(1))],
    # reductions
    **dict.fromkeys(("sum", "mean", "nansum", "nanmean", "count_nonzero", "any", "all", "var", "std", "var_mean", "std_mean"), REDUCED),
    "amax": lambda s: REDUCED(s)[:5], "amin": lambda s: REDUCED(s)[:5],
    "logsumexp": lambda s: REDUCED(s)[1:5],
    "prod": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), 1), call(s.real(3, 4), 0, keepdim=True), call(s.real(2, 0, 3), 1)],
    **{name: lambda s: [call(s.distinct(3, 4)), *ALONG(s), call(s.distinct(3, 4), 0, keepdim=True)]
       for name in ("argmax", "argmin", "max", "min", "median", "nanmedian")},
    "aminmax": lambda s: [call(s.distinct(3, 4)), call(s.distinct(3, 4), dim=1), call(s.distinct(3, 4), dim=0, keepdim=True)],
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"), ALONG),
    # products
    "matmul": lambda s: [call(s.real(3, 4), s.real(4, 2)), call(s.real(4), s.real(4)), call(s.real(3, 4), s.real(4)),
                         call(s.real(4), s.real(4, 2)), call(s.real(2, 3, 4), s.real(4, 2)),
                         call(s.real(2, 3, 4), s.real(2, 4, 5)), call(s.real(2, 1, 3, 4), s.real(3, 4, 5)),
                         call(s.real(3, 0), s.real(0, 2))],
    "mm": lambda s: [call(s.real(3, 4), s.real(4, 2)), call(s.real(0, 4), s.real(4, 2))],
    "bmm": lambda s: [call(s.real(2, 3, 4), s.real(2, 4, 5))],
    "mv": lambda s: [call(s.real(3, 4), s.real(4))],
    "dot": lambda s: [call(s.real(4), s.real(4)), call(s.real(0), s.real(0))],
    "inner": lambda s: [call(s.real(4), s.real(4)), call(s.real(2, 4), s.real(3, 4))],
    "vdot": lambda s: [call(s.real(4), s.real(4))],
    "outer": lambda s: [call(s.real(3), s.real(4))],
    "linear": lambda s: [call(s.real(3, 4), s.real(2, 4), s.real(2)), call(s.real(2, 3, 4), s.real(5, 4)),
                         call(s.real(4), s.real(2, 4), s.real(2))],
    "addmm": lambda s: [call(s.real(3, 2), s.real(3, 4), s.real(4, 2)), call(s.real(2), s.real(3, 4), s.real(4, 2), beta=3, alpha=2)],
    "baddbmm": lambda s: [call(s.real(2, 3, 5), s.real(2, 3, 4), s.real(2, 4, 5)),
                          call(s.real(3, 1), s.real(2, 3, 4), s.real(2, 4, 5), beta=3, alpha=2)],
    "gradient": lambda s: [call(s.real(5)), call(s.real(4, 5), spacing=2.0, dim=1), call(s.real(4, 5), dim=(0, 1), edge_order=2)],
    "native_layer_norm": lambda s: [call(s.real(2, 3), (3,), s.real(3), s.real(3), 1e-5), call(s.real(2, 3, 4), (3, 4), None, None, 0.5)],
    "native_group_norm": lambda s: [call(s.real(2, 4, 3), s.real(4), s.real(4), 2, 4, 3, 2, 1e-5), call(s.real(2, 4, 3), None, None, 2, 4, 3, 4, 0.5)],
    "native_batch_norm": lambda s: [call(s.real(4, 3), s.real(3), s.real(3), None, None, True, 0.1, 1e-5)],
    "native_channel_shuffle": lambda s: [call(s.real(2, 4, 3), 2)],
    "segment_reduce": lambda s: [call(s.real(6), "sum", lengths=torch.tensor([2, 4])), call(s.distinct(6, 2), "max", offsets=torch.tensor([0, 1, 6])),
                                 call(s.real(2, 3), "mean", lengths=torch.tensor([[1, 2], [2, 1]]), axis=1)],
    "detach": ONE, "detach_": ONE, "rrelu_": ONE, "from_file": lambda s: [call(NUMBERS, False, 3)], "_shape_as_tensor": lambda s: [call(s.real(3, 4))],
    "unravel_index": lambda s: [call(s.whole(3, high=6), (2, 3)), call(s.whole(high=6), 6)],
    "hash_tensor": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), 1), call(s.whole(5, high=9), 0, keepdim=True)],
    "addbmm": lambda s: [call(s.real(3, 5), s.real(2, 3, 4), s.real(2, 4, 5))],
    "addmv": lambda s: [call(s.real(3), s.real(3, 4), s.real(4)), call(s.real(3), s.real(3, 4), s.real(4), beta=3, alpha=2)],
    "addr": lambda s: [call(s.real(3, 4), s.real(3), s.real(4)), call(s.real(4), s.real(3), s.real(4), beta=0.5, alpha=2)],
    "bilinear": lambda s: [call(s.real(3, 4), s.real(3, 2), s.real(5, 4, 2), s.real(5)), call(s.real(3, 4), s.real(3, 2), s.real(5, 4, 2))],
    "scaled_dot_product_attention": lambda s: [
        call(s.real(2, 3, 4), s.real(2, 5, 4), s.real(2, 5, 6)), call(s.real(2, 3, 4), s.real(2, 3, 4), s.real(2, 3, 4), is_causal=True),
        call(s.real(2, 3, 4), s.real(2, 5, 4), s.real(2, 5, 4), s.real(3, 5)),
    ],
    # new tensors
    "tensor": lambda s: [call([[1.0, 2.0], [3.0, 4.0]]), call(2), call([])],
    "as_tensor": lambda s: [call([1.0, 2.0]), call(s.real(2))], "asarray": lambda s: [call([1.0, 2.0]), call(s.real(2))],
    "from_numpy": lambda s: [call(s.real(2, 3).numpy())],
    "frombuffer": lambda s: [call(bytearray(16), dtype=torch.float32)],
    "scalar_tensor": lambda s: [call(2.5), call(2, dtype=torch.int64)],
    **dict.fromkeys(("zeros", "ones", "empty", "rand", "randn"), SIZES),
    "empty_strided": lambda s: [call((2, 3), (1, 2))], "empty_permuted": lambda s: [call((2, 3), (1, 0))],
    "full": lambda s: [call((2, 3), 1.5), call((), 2), call((2,), True)],
    **dict.fromkeys(("zeros_like", "ones_like", "empty_like", "rand_like", "randn_like"), LIKE),
    "full_like": lambda s: [call(s.real(3, 4), 1.5)],
    "new_zeros": lambda s: [call(s.real(3), 2, 3), call(s.real(3), (2, 3))], "new_ones": lambda s: [call(s.real(3), (2, 3))],
    "new_empty": lambda s: [call(s.real(3), (2, 3))], "new_full": lambda s: [call(s.real(3), (2, 3), 2.5)],
    "new_empty_strided": lambda s: [call(s.real(3), (2, 3), (1, 2))], "new_tensor": lambda s: [call(s.real(3), [1.0, 2.0])],
    "arange": lambda s: [call(5), call(1, 7, 2), call(0.0, 1.0, 0.25), call(3, 3)], "range": lambda s: [call(0, 4), call(1, 2, 0.5)],
    "linspace": lambda s: [call(0, 1, 5), call(-2.0, 3.0, 1), call(0, 1, 0)], "logspace": lambda s: [call(0, 2, 5), call(0, 3, 4, 2.0)],
    "eye": lambda s: [call(3), call(2, 4), call(0)],
    "randint": lambda s: [call(5, (2, 3)), call(-2, 5, (4,))], "randperm": lambda s: [call(5), call(0)],
    "normal": lambda s: [call(0.0, 1.0, (2, 3)), call(s.real(3), 0.5), call(s.real(3), s.real(3, low=0.1))],
    "randint_like": lambda s: [call(s.real(3, 4), 5), call(s.real(3), 2, 7)],
    **dict.fromkeys(("uniform_", "normal_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_"), LIKE),
    "geometric_": lambda s: [call(s.real(3, 4), 0.3)],
    **dict.fromkeys(("dropout", "dropout_", "alpha_dropout", "alpha_dropout_"), CHANCE),
    **{name: lambda s: [call(s.real(2, 3, 4), 0.4, True), call(s.real(2, 3, 4), 0.4, False)]
       for name in ("feature_dropout", "feature_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_")},
    "bernoulli": lambda s: [call(s.real(3, 4, low=0, high=1)), call(s.real(3, 4), 0.3)],
    "poisson": lambda s: [call(s.real(3, 4, low=0, high=9))],
    "binomial": lambda s: [call(torch.full((3,), 9.0, dtype=torch.float64), s.real(3, low=0, high=1))],
    "_standard_gamma": lambda s: [call(s.real(3, 4, low=0.5, high=4))], "_sample_dirichlet": lambda s: [call(s.real(3, 4, low=0.5, high=4))],
    "multinomial": lambda s: [call(s.real(3, 4, low=0.1, high=1), 2), call(s.real(4, low=0.1, high=1), 6, True)],
    # losses
    **dict.fromkeys(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"), TWO),
    "binary_cross_entropy": lambda s: [call(s.real(3, 4, low=0.1, high=0.9), s.real(3, 4, low=0, high=1)),
                                       call(s.real(3, 4, low=0.1, high=0.9), s.real(3, 4, low=0, high=1), weight=s.real(3, 4), reduction="sum")],
    "binary_cross_entropy_with_logits": lambda s: [call(s.real(3, 4), s.real(3, 4, low=0, high=1)),
                                                   call(s.real(3, 4), s.real(3, 4, low=0, high=1), s.real(3, 4), s.real(4, low=low))],
    "kl_div": lambda s: [call(s.real(3, 4), s.real(3, 4, low=0.1, high=1)), call(s.real(3, 4), s.real(3, 4), log_target=True, reduction="sum")],
    "nll_loss": classes,
    "cross_entropy": lambda s: [*classes(s), call(s.real(5, 4), s.real(5, 4, low=0, high=1)),
                                call(s.real(5, 4), s.whole(5, high=4), label_smoothing=0.1)],
    "layer_norm": lambda s: [call(s.real(3, 4), (4,)), call(s.real(2, 3, 4), (3, 4), s.real(3, 4), s.real(3, 4)),
                             call(s.real(3, 4), (4,), s.real(4))],
    "rms_norm": lambda s: [call(s.real(3, 4), (4,)), call(s.real(2, 3, 4), (3, 4), s.real(3, 4))],
    "group_norm": lambda s: [call(s.real(2, 4, 3), 2), call(s.real(2, 4, 3), 2, s.real(4), s.real(4))],
    "batch_norm": lambda s: [call(s.real(4, 3), None, None, training=True), call(s.real(4, 3, 2), None, None, s.real(3), s.real(3), True),
                             call(s.real(4, 3), s.real(3), s.real(3, low=low), s.real(3), s.real(3))],
    "instance_norm": lambda s: [call(s.real(2, 3, 4), None, None, None, None, True, 0.1, 1e-5),
                                call(s.real(2, 3, 4), s.real(3), s.real(3), None, None, True, 0.1, 1e-5)],
    # questions
    **dict.fromkeys(("is_tensor", "is_storage", "is_floating_point", "is_complex", "is_signed", "is_inference", "is_conj", "is_neg", "numel", "typename"), ONE),
    "is_nonzero": lambda s: [call(s.real())], "is_same_size": lambda s: [call(s.real(3, 4), s.real(4))],
    "is_set_to": lambda s: [call(s.real(3), s.real(3))], "result_type": lambda s: [call(s.real(3), 1)],
    "promote_types": lambda s: [call(torch.int32, torch.float16)], "can_cast": lambda s: [call(torch.float32, torch.int64)],
    "imag": lambda s: [call(torch.view_as_complex(s.real(3, 2)))],
    "mvlgamma": lambda s: [call(s.real(3, 4, low=3, high=6), 2)], "polygamma": lambda s: [call(1, s.real(3, 4, low=0.5, high=4))],
    # masks and places
    "argwhere": lambda s: [call(s.truth(3, 4))],
    "nonzero_static": lambda s: [call(s.truth(3, 4), size=3), call(s.truth(3, 4), size=20, fill_value=-2)],
    "nonzero": lambda s: [call(s.truth(3, 4)), call(s.truth(3, 4), as_tuple=True)],
    "masked_fill": lambda s: [call(s.real(3, 4), s.truth(3, 4), 2.0), call(s.real(3, 4), s.truth(4), s.real())],
    "masked_select": lambda s: [call(s.real(3, 4), s.truth(3, 4)), call(s.real(3, 4), s.truth(4))],
    "masked_scatter": lambda s: [call(s.real(3, 4), s.truth(3, 4), s.real(12))],
    **{name: lambda s: [call(s.real(3, 4), (torch.tensor([0, 2]),), s.real(2, 4)),
                        call(s.real(3, 4), (torch.tensor([0, 0]), torch.tensor([1, 1])), s.real(2), accumulate=True)]
       for name in ("index_put", "index_put_")},
    # by index
    "gather": lambda s: [call(s.real(3, 4), 1, s.whole(3, 2, high=4)), call(s.real(3, 4), 0, s.whole(2, 4, high=3))],
    "take": lambda s: [call(s.real(3, 4), s.whole(2, 3, high=12))],
    "take_along_dim": lambda s: [call(s.real(3, 4), s.whole(3, 2, high=4), 1), call(s.real(3, 4), s.whole(5, high=12))],
    "index_select": lambda s: [call(s.real(3, 4), 1, s.whole(5, high=4)), call(s.real(3, 4), 0, s.whole(2))],
    **{name: lambda s: [call(s.real(3, 4), 0, torch.tensor([2, 0]), s.real(2, 4)), call(s.real(3, 4), 1, torch.tensor([1, 3]), s.real(3, 2))]
       for name in ("index_copy", "index_copy_", "index_add", "index_add_")},
    "index_reduce": lambda s: [call(s.distinct(3, 4), 0, torch.tensor([2, 0]), s.distinct(2, 4), "mean")],
    "index_fill": lambda s: [call(s.real(3, 4), 0, torch.tensor([2, 0]), 1.5)],
    "put": lambda s: [call(s.real(3, 4), torch.tensor([7, 0]), s.real(2)), call(s.real(3, 4), torch.tensor([7, 7]), s.real(2), accumulate=True)],
    "scatter": lambda s: [call(s.real(3, 4), 1, torch.tensor([[0, 3], [2, 1]]), s.real(2, 2)), call(s.real(3, 4), 0, torch.tensor([[0, 2]]), value=2.0)],
    "scatter_add": lambda s: [call(s.real(3, 4), 1, torch.tensor([[0, 0], [2, 1]]), s.real(2, 2))],
    "scatter_reduce": lambda s: [call(s.distinct(3, 4), 1, torch.tensor([[0, 0], [2, 1]]), s.distinct(2, 2), how) for how in ("sum", "mean", "amax")],
    "embedding": lambda s: [call(s.real(5, 3), s.whole(2, 4, high=5)), call(s.real(5, 3), s.whole(4, high=5), 1)],
    "one_hot": lambda s: [call(s.whole(4)), call(s.whole(2, 3), 5)],
    "as_strided_scatter": lambda s: [call(s.real(3, 4), s.real(2, 2), (2, 2), (4, 1))],
    "diagonal_scatter": lambda s: [call(s.real(3, 4), s.real(3))], "select_scatter": lambda s: [call(s.real(3, 4), s.real(4), 0, 1)],
    "slice_scatter": lambda s: [call(s.real(3, 4), s.real(3, 2), 1, 1, 3)],
    # arranging
    "flip": lambda s: [call(s.real(3, 4), 0), call(s.real(3, 4), (0, 1))], "fliplr": lambda s: [call(s.real(3, 4))], "flipud": lambda s: [call(s.real(3, 4))],
    "roll": lambda s: [call(s.real(3, 4), 1, 0), call(s.real(3, 4), 2), call(s.real(3, 4), (1, -1), (0, 1))],
    "rot90": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), 2)],
    "repeat": lambda s: [call(s.real(3, 2), 2, 1), call(s.real(3), (2, 2))], "tile": lambda s: [call(s.real(3, 2), (2, 1)), call(s.real(3, 2), (2,))],
    "repeat_interleave": lambda s: [call(s.real(3, 2), 2), call(s.real(3, 2), torch.tensor([1, 0, 2]), 0)],
    "tril": lambda s: [call(s.real(3, 4)), call(s.real(2, 3, 3), 1)], "triu": lambda s: [call(s.real(3, 4)), call(s.real(2, 3, 3), -1)],
    "tril_indices": lambda s: [call(3, 4)], "triu_indices": lambda s: [call(3, 4, 1)],
    "diag": lambda s: [call(s.real(3)), call(s.real(3, 4), 1)], "diagflat": lambda s: [call(s.real(2, 2))],
    "diag_embed": lambda s: [call(s.real(2, 3)), call(s.real(3), 1)],
    "block_diag": lambda s: [call(s.real(2, 2), s.real(3), s.real())], "combinations": lambda s: [call(s.real(4)), call(s.real(3), 2, True)],
    "resize_": lambda s: [call(s.real(3, 4), 2, 3), call(s.real(3, 4), (4, 2))], "resize_as_": lambda s: [call(s.real(3, 4), s.real(2, 3))],
    "slice_copy": lambda s: [call(s.real(3, 4), 1, 1, 3)], "alias_copy": ONE, "detach_copy": ONE, "cuda": ONE,
    # rows in order
    **{name: lambda s: [call(s.distinct(3, 4)), call(s.distinct(3, 4), 0), call(s.distinct(3, 4), descending=True)] for name in ("sort", "argsort")},
    "msort": lambda s: [call(s.distinct(3, 4))], "topk": lambda s: [call(s.distinct(3, 4), 2), call(s.distinct(3, 4), 2, 0, False)],
    "kthvalue": lambda s: [call(s.distinct(3, 4), 2), call(s.distinct(3, 4), 2, 0, keepdim=True)],
    "mode": lambda s: [call(s.distinct(3, 4))], "unique": lambda s: [call(s.whole(8))], "unique_consecutive": lambda s: [call(s.whole(8))],
    "searchsorted": lambda s: [call(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), s.real(4, high=4))],
    "bucketize": lambda s: [call(s.real(4, high=4), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))],
    "isin": lambda s: [call(s.whole(4), s.whole(2))], "bincount": lambda s: [call(s.whole(6))],
    "quantile": lambda s: [call(s.distinct(3, 4), 0.4), call(s.distinct(3, 4), 0.4, 1)], "nanquantile": lambda s: [call(s.distinct(3, 4), 0.4)],
    "trapezoid": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), dx=0.5)], "cumulative_trapezoid": lambda s: [call(s.real(3, 4))],
    "fill": lambda s: [call(s.real(3, 4), 2.0)], "native_dropout": CHANCE, "rrelu": ONE,
    # norms and differences
    "norm": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), 1, 1), call(s.real(3, 4), 2, 0, keepdim=True), call(s.real(3, 4), 3.0)],
    "renorm": lambda s: [call(s.real(3, 4), 2, 0, 1.0)], "dist": lambda s: [call(s.real(3, 4), s.real(3, 4)), call(s.real(3, 4), s.real(3, 4), 1)],
    "cdist": lambda s: [call(s.real(3, 4), s.real(5, 4)), call(s.real(3, 4), s.real(5, 4), 1.0)],
    "diff": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), 2, 0)], "trace": lambda s: [call(s.real(3, 4))],
    "cosine_similarity": lambda s: [call(s.real(3, 4), s.real(3, 4))], "pairwise_distance": lambda s: [call(s.real(3, 4), s.real(3, 4))],
    "normalize": lambda s: [call(s.real(3, 4))], "cross": lambda s: [call(s.real(4, 3), s.real(4, 3))], "kron": lambda s: [call(s.real(2, 3), s.real(3, 2))],
    "vector_norm": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), 1, 1), call(s.real(3, 4), 3.0, 0, keepdim=True), call(s.distinct(3, 4), float("inf"))],
    "matrix_norm": lambda s: [call(s.real(3, 4)), call(s.real(2, 3, 4), 1), call(s.real(3, 4), float("inf"))],
    "histc": lambda s: [call(s.real(8), 4, -2, 2)],
    **{name: lambda s: [call(s.real(3, 4), 0.3), call(s.real(3, 4), s.real(4))] for name in ("clamp_min", "clamp_max")},
    **{f"{name}_window": lambda s: [call(6), call(5, False), call(1)] for name in ("bartlett", "blackman", "hamming", "hann", "kaiser")},
    "constant_pad_nd": lambda s: [call(s.real(3, 4), (1, 2)), call(s.real(3, 4), (1, 0, 0, 2), 2.0), call(s.real(3, 4), (-1, 1))],
    "pad": lambda s: [call(s.real(3, 4), (1, 2)), call(s.real(1, 3, 4), (1, 2), mode="reflect"), call(s.real(1, 3, 4), (1, 2), mode="replicate"),
                      call(s.real(1, 3, 4), (1, 2), mode="circular")],
    "einsum": lambda s: [call("ij,jk->ik", s.real(3, 4), s.real(4, 2)), call("bij,bj->bi", s.real(2, 3, 4), s.real(2, 4)), call("ii", s.real(3, 3))],
    "tensordot": lambda s: [call(s.real(3, 4), s.real(4, 2), 1), call(s.real(2, 3, 4), s.real(4, 3, 5), ([1, 2], [1, 0]))],
    **{name: (lambda s, n=n: [call(s.real(2, 2, *[4] * n), s.real(4, 2, *[3] * n), s.real(4)), call(s.real(1, 2, *[5] * n), s.real(2, 1, *[2] * n), None, 2, 1, groups=2)])
       for name, n in (("conv1d", 1), ("conv2d", 2), ("conv3d", 3))},
    **{name: (lambda s, n=n: [call(s.real(1, 2, *[3] * n), s.real(2, 3, *[2] * n), s.real(3)), call(s.real(1, 2, *[3] * n), s.real(2, 1, *[3] * n), None, 2, 1, 1)])
       for name, n in (("conv_transpose1d", 1), ("conv_transpose2d", 2), ("conv_transpose3d", 3))},
    # windows, sizes, grids
    **{f"{kind}_pool{n}d": (lambda s, n=n: [call(s.distinct(2, 2, *[5] * n), 2), call(s.distinct(2, *[5] * n), 3, 2, 1)])
       for kind in ("max", "avg") for n in (1, 2, 3)},
    **{f"lp_pool{n}d": (lambda s, n=n: [call(s.real(2, 2, *[4] * n, low=0.5), 2.0, 2)]) for n in (1, 2, 3)},
    **{f"adaptive_{kind}_pool{n}d": (lambda s, n=n: [call(s.distinct(2, 2, *[5] * n), 3), call(s.distinct(2, *[4] * n), 1)])
       for kind in ("max", "avg") for n in (1, 2, 3)},
    **{f"{kind}max_pool{n}d_with_indices": (lambda s, n=n: [call(s.distinct(2, 2, *[5] * n), 2)]) for kind in ("", "adaptive_") for n in (1, 2, 3)},
    **{f"fractional_max_pool{n}d{end}": (lambda s, n=n: [call(s.distinct(2, 2, *[5] * n), 2, 3, _random_samples=s.real(2, 2, n, low=0, high=1))])
       for end in ("", "_with_indices") for n in (2, 3)},
    **{f"max_unpool{n}d": (lambda s, n=n: [call(s.real(1, 2, *[2] * n), torch.arange(2**n).reshape(1, 1, *[2] * n).expand(1, 2, *[2] * n) * 2, 2)])
       for n in (1, 2, 3)},
    "interpolate": lambda s: [call(s.real(1, 2, 4), scale_factor=1.5), call(s.real(1, 2, 3), 5, mode="linear"), call(s.real(1, 1, 3, 4), (5, 3), mode="bicubic"),
                              call(s.real(1, 1, 3, 4), (2, 6), mode="bilinear", align_corners=True), call(s.real(1, 1, 6, 6), 3, mode="bilinear", antialias=True),
                              call(s.real(1, 1, 2, 3, 2), 4, mode="trilinear"), call(s.real(1, 1, 5), 3, mode="area"), call(s.real(1, 1, 5), 7, mode="nearest-exact")],
    **dict.fromkeys(("upsample", "upsample_nearest", "upsample_bilinear"), lambda s: [call(s.real(1, 2, 3, 4), scale_factor=2)]),
    "unfold_images": lambda s: [call(s.real(2, 2, 4, 5), 2), call(s.real(2, 4, 5), (2, 3), 1, 1, 2)],
    "fold": lambda s: [call(s.real(2, 8, 12), (4, 5), 2), call(s.real(4, 4), (3, 3), 2)],
    "grid_sample": lambda s: [call(s.real(1, 2, 3, 4), s.real(1, 2, 2, 2, low=-0.9, high=0.9), mode=m, align_corners=c) for m in ("bilinear", "bicubic") for c in (True, False)],
    **{f"grid_sampler{end}": lambda s: [call(s.real(1, 2, 3, 4), s.real(1, 2, 2, 2, low=-0.9, high=0.9), 0, 0, False)] for end in ("", "_2d")},
    "grid_sampler_3d": lambda s: [call(s.real(1, 2, 3, 4, 3), s.real(1, 2, 2, 2, 3, low=-0.9, high=0.9), 0, 0, False)],
    "affine_grid": lambda s: [call(s.real(2, 2, 3), (2, 1, 3, 4), False), call(s.real(1, 3, 4), (1, 1, 2, 2, 3), True)],
    "affine_grid_generator": lambda s: [call(s.real(2, 2, 3), (2, 1, 3, 4), False)],
    "linalg_norm": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), 1), call(s.real(4), 3.0)],
    "cov": lambda s: [call(s.real(3, 5)), call(s.real(3, 5), correction=0)], "corrcoef": lambda s: [call(s.real(3, 5))],
    "histogram": lambda s: [call(s.real(8), 4, range=(-2.0, 2.0))], "sum_to_size": lambda s: [call(s.real(3, 4), 3, 1), call(s.real(3, 4), (4,))],
    # copies and conversions
    **dict.fromkeys(("clone", "contiguous", "is_contiguous", "zero_", "float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte", "bool", "cfloat", "cdouble", "chalf", "cpu", "ravel"), ONE),
    "copy_": lambda s: [call(s.real(3, 4), s.real(4)), call(s.real(3, 4), s.real(3, 4))], "fill_": lambda s: [call(s.real(3, 4), 2.0)],
    "to": lambda s: [call(s.real(3, 4), torch.float32), call(s.real(3, 4), dtype=torch.int64)],
    "type": lambda s: [call(s.real(3, 4), torch.float32)], "type_as": lambda s: [call(s.real(3, 4), torch.zeros(1))],
    # views
    "select": lambda s: [call(s.real(3, 4), 0, 1), call(s.real(3, 4), -1, -2)],
    "narrow": lambda s: [call(s.real(3, 4), 1, 1, 2)], "narrow_copy": lambda s: [call(s.real(3, 4), 1, 1, 2)],
    **{name: lambda s: [call(s.real(5, 4), [2, 3]), call(s.real(3, 4), [1, 0, 3], 1)]
       for name in ("split_with_sizes", "unsafe_split_with_sizes")},
    "split": lambda s: [call(s.real(5, 4), 2), call(s.real(5, 4), [1, 4]), call(s.real(3, 4), 3, 1)],
    "chunk": lambda s: [call(s.real(5, 4), 2), call(s.real(3, 4), 3, 1)], "unsafe_split": lambda s: [call(s.real(5, 4), 2)],
    "tensor_split": lambda s: [call(s.real(5, 4), 3), call(s.real(5, 4), [1, 3]), call(s.real(3, 4), 2, dim=1)],
    "hsplit": SPLIT, "vsplit": SPLIT, "dsplit": lambda s: [call(s.real(2, 3, 4), 2)],
    "unbind": lambda s: [call(s.real(3, 4)), call(s.real(3, 4), 1)],
    "diagonal": lambda s: [call(s.real(3, 4)), call(s.real(2, 3, 4), 1, 1, 2), call(s.real(3, 4), -1)],
    "as_strided": lambda s: [call(s.real(3, 4), (2, 2), (4, 1)), call(s.real(3, 4), (2, 3), (1, 2), 1)],
    "unfold": lambda s: [call(s.real(3, 6), 1, 3, 2), call(s.real(5), 0, 2, 1)],
    "view": lambda s: [call(s.real(3, 4), 2, 6), call(s.real(3, 4), (-1,)), call(s.real(0, 3), (3, 0))],
    "reshape": lambda s: [call(s.real(3, 4), 2, 6), call(s.real(3, 4), (-1,)), call(s.real(0, 3), (3, 0))],
    "view_as": lambda s: [call(s.real(3, 4), s.real(2, 6))], "reshape_as": lambda s: [call(s.real(3, 4), s.real(2, 6))],
    "flatten": lambda s: [call(s.real(2, 3, 4)), call(s.real(2, 3, 4), 1), call(s.real())],
    "unflatten": lambda s: [call(s.real(3, 4), 1, (2, 2)), call(s.real(3, 4), 1, (-1, 2))],
    "permute": lambda s: [call(s.real(2, 3, 4), 2, 0, 1), call(s.real(2, 3), (1, 0))],
    **{name: lambda s: [call(s.real(3, 4), 0, 1), call(s.real(2, 3, 4), 0, -1)] for name in ("transpose", "swapaxes", "swapdims")},
    "t": lambda s: [call(s.real(3, 4)), call(s.real(3))], "T": lambda s: [call(s.real(3, 4))], "mT": lambda s: [call(s.real(2, 3, 4))],
    "H": lambda s: [call(s.real(3, 4))], "mH": lambda s: [call(s.real(2, 3, 4))], "adjoint": lambda s: [call(s.real(2, 3, 4))],
    "movedim": lambda s: [call(s.real(2, 3, 4), 0, 2), call(s.real(2, 3, 4), (0, 1), (1, 2))],
    "squeeze": lambda s: [call(s.real(1, 3, 1)), call(s.real(1, 3, 1), 0), call(s.real(1, 3, 1), (0, 2)), call(s.real(3), 0)],
    "unsqueeze": lambda s: [call(s.real(3, 4), 0), call(s.real(3), -1), call(s.real(), 0)],
    "expand": lambda s: [call(s.real(3, 1), 3, 4), call(s.real(3, 1), (2, -1, 4)), call(s.real(), (2, 3))],
    "expand_as": lambda s: [call(s.real(3, 1), s.real(3, 4))],
    "broadcast_to": lambda s: [call(s.real(3, 1), (2, 3, 4))],
    "broadcast_tensors": lambda s: [call(s.real(3, 1), s.real(4))], "broadcast_shapes": lambda s: [call((3, 1), (4,))],
    **{name: lambda s: [call(s.real()), call(s.real(3)), call(s.real(3, 4)), call(s.real(3), s.real())]
       for name in ("atleast_1d", "atleast_2d", "atleast_3d")},
    "view_as_real": lambda s: [call(s.real(3, 2).to(torch.complex128))], "view_as_complex": lambda s: [call(s.real(3, 2))],
    # indexing, joining
    "getitem": lambda s: [call(s.real(3, 4), 1), call(s.real(3, 4), (slice(None), 2)), call(s.real(3, 4), (None, ..., slice(1, 4, 2))),
                          call(s.real(3, 4), torch.tensor([2, 0, 2])), call(s.real(3, 4), (torch.tensor([0, 2]), torch.tensor([1, 1]))),
                          call(s.real(3, 4), (slice(None), torch.tensor([3, 0]))), call(s.real(3, 4), s.truth(3, 4))],
    "setitem": lambda s: [call(s.real(3, 4), 1, s.real(4)), call(s.real(3, 4), (slice(None), 2), 5.0),
                          call(s.real(3, 4), torch.tensor([2, 0]), s.real(2, 4))],
    "cat": lambda s: [*JOIN(s), call([s.real(3, 4), s.real(3, 2)], 1), call([s.real(0), s.real(3, 4)])],
    "stack": lambda s: [*JOIN(s), call([s.real(3), s.real(3)], 1)],
    **dict.fromkeys(("hstack", "vstack", "dstack", "column_stack"), JOIN),
    "meshgrid": lambda s: [call(s.real(3), s.real(4), indexing="ij"), call(s.real(3), s.real(4), indexing="xy")],
    "cartesian_prod": lambda s: [call(s.real(3), s.real(2)), call(s.real(3))],
    "to_dense": ONE,
    "linalg_cross": lambda s: [call(s.real(4, 3), s.real(4, 3)), call(s.real(3, 4), s.real(3, 1), dim=0)],
    "histogramdd": lambda s: [call(s.real(9, 2), bins=[3, 4]), call(s.real(9, 2), bins=2, weight=s.real(9), density=True)],
    **algebra_calls.CALLS,
    **fourier_calls.CALLS,
}  # fmt: skip
