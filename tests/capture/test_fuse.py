"""Fused steps: how many kernels known functions come down to, and that results keep every bit of the eager ones."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

import mashal as torch
import mashal.nn.functional as F
from capture.steps import check, recorded
from mashal.capture.fuse import fused


# ---------------------------------------------------------------- known functions
def test_a_chain_of_pointwise_operations_is_one_kernel():
    x, y = torch.randn(1000), torch.randn(1000)
    steps = check(lambda x, y: ((x * 2 + y).tanh() * torch.sigmoid(y) - x.abs().sqrt() + 1).log(), x, y)
    assert len(steps) == 1


def test_a_fused_step_names_the_steps_it_came_from():
    steps = check(lambda x: (x + 1).exp(), torch.randn(10))
    assert [s.name for s in steps[0].parts][-1] == "exp" and len(steps[0].parts) == 2


def test_results_needed_in_between_are_stored_by_the_same_kernel():
    steps = check(lambda x: ((x + 1).exp(), (x + 1).tanh()), torch.randn(100))
    assert len(steps) == 1


def test_a_softmax_written_out_is_one_kernel():
    def softmax(x):
        e = (x - x.amax(-1, keepdim=True)).exp()
        return e / e.sum(-1, keepdim=True)

    steps = check(softmax, torch.randn(32, 100))
    assert len(steps) == 1


def test_a_mask_joins_the_softmax_that_follows():
    mask = torch.ones(16, 16, dtype=torch.bool).tril()
    steps = check(lambda x, m: torch.softmax(x.masked_fill(~m, float("-inf")) * 0.5, -1), torch.randn(4, 16, 16), mask)
    assert len(steps) == 2


def test_a_mean_of_squares_is_one_kernel():
    steps = check(lambda x, y: ((x - y) ** 2).mean(), torch.randn(64, 100), torch.randn(64, 100))
    assert len(steps) == 1


def test_changes_in_place_join_in_order():
    def change(x, y):
        x += y
        x *= 2
        return x.exp()

    steps = check(change, torch.randn(50), torch.randn(50))
    assert len(steps) == 1


def test_what_is_read_before_a_change_keeps_its_old_value():
    def change(x):
        before = x * 3
        x.add_(1)
        return before, x * 3

    check(change, torch.randn(50))


def test_what_each_row_reads_is_not_changed_by_the_same_kernel():
    def function(x, y, row):
        total = x.sum(0, keepdim=True) + y
        sums = row + (y + 1)
        row.mul_(0.5)
        return total, sums * 2

    check(function, torch.randn(3, 3), torch.randn(3, 3), torch.randn(3))


def test_overlapping_views_stay_in_order():
    def change(x):
        x[1:] += x[:-1] * 1.0
        return x * 2

    check(change, torch.randn(9))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precisions_are_rounded_at_every_step(dtype):
    check(lambda x, y: ((x * y) + x) / y - x, torch.randn(257).to(dtype), torch.randn(257).to(dtype))


def test_a_result_that_nobody_reads_is_not_stored():
    steps = check(lambda x: torch.native_layer_norm(x, (200,), None, None, 1e-5)[1], torch.randn(200, 200))
    assert [len(step.results) for step in steps] == [1]


def test_two_reductions_of_the_same_rows_are_one_kernel():
    steps = check(lambda x: (x.sum(-1), x.amax(-1)), torch.randn(50, 60))
    assert len(steps) == 1


def test_a_result_takes_the_place_of_an_operand_that_dies():
    def steps_apart(x):  # the products keep the pointwise steps from joining
        for _ in range(3):
            x = torch.tanh(x @ x)
        return x.sum()

    trail, results = recorded(steps_apart, torch.randn(8, 8))
    made = fused(trail, {v.buffer for v in results})
    buffers = {v.buffer for step in made.steps for v in step.written}
    assert len(made.steps) == 6 and len(buffers) == 4


def test_what_nobody_reads_is_not_computed():
    def wasteful(x):
        x.exp().sum()
        return x + 1

    steps = check(wasteful, torch.randn(10))
    assert len(steps) == 1


def test_heads_taken_apart_and_put_together_join_through_transposed_views():
    def heads(x):
        y = (x.view(2, 5, 3, 4).transpose(1, 2) * 2).contiguous()
        return (y.transpose(1, 2).contiguous() + 1).view(2, 5, 12)

    steps = check(heads, torch.randn(2, 5, 12))
    assert len(steps) == 1


# ---------------------------------------------------------------- random programs
_UNARY = ["exp", "tanh", "abs", "neg", "sigmoid", "sin", "relu"]
_BINARY = ["add", "sub", "mul", "maximum"]
_VIEWS = [lambda x: x.transpose(-1, -2) if x.dim() > 1 else x, lambda x: x.reshape(-1), lambda x: x[..., 1:], lambda x: x[:2],
          lambda x: x.unsqueeze(0), lambda x: x.contiguous(), lambda x: x.clone()]  # fmt: skip
_ROWS = [lambda x, d: x.sum(d), lambda x, d: x.amax(d, keepdim=True), lambda x, d: torch.softmax(x, d), lambda x, d: x.mean(d),
         lambda x, d: F.layer_norm(x, x.shape[-1:])]  # fmt: skip
_INPLACE = ["add_", "mul_", "sub_"]


@st.composite
def programs(draw):
    """Steps of a program: (kind, which, operands)."""
    steps = []
    for _ in range(draw(st.integers(2, 9))):
        kind = draw(
            st.sampled_from(
                ["unary", "binary", "binary", "in_place", "view", "rows", "number", "cast", "where", "fill", "into"]
            )
        )
        steps.append((kind, draw(st.integers(0, 20)), draw(st.integers(0, 20)), draw(st.integers(0, 20))))
    return steps


def _run(steps, *operands):
    pool = list(operands)
    for kind, a, b, c in steps:
        x, y = pool[a % len(pool)], pool[b % len(pool)]
        try:
            if kind == "unary":
                made = getattr(x, _UNARY[c % len(_UNARY)])()
            elif kind == "binary":
                made = getattr(torch, _BINARY[c % len(_BINARY)])(x, y)
            elif kind == "number":
                made = x * 1.5 if c % 2 else 2 - x
            elif kind == "in_place":
                made = getattr(x, _INPLACE[c % len(_INPLACE)])(y if b % 3 else 0.5)
            elif kind == "view":
                made = _VIEWS[c % len(_VIEWS)](x)
            elif kind == "rows":
                made = _ROWS[c % len(_ROWS)](x, b % x.dim())
            elif kind == "fill":
                made = [torch.zeros_like, torch.ones_like, lambda x: torch.full_like(x, 0.3)][c % 3](x)
            elif kind == "into":
                made = torch.zeros_like(x)
                made[:1], made[1:] = y[:1], x[1:]
            elif kind == "cast":
                made = x.to([torch.float32, torch.float16, torch.bfloat16, torch.float64][c % 4])
            else:
                made = torch.where(x > y, x, y)
        except (RuntimeError, IndexError, ZeroDivisionError):
            continue  # shapes that do not fit, a view that is written over itself
        if made.numel() and made.dim() and made.numel() < 1000:
            pool.append(made)
    return tuple(pool[len(operands) :])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(0, 3))
def test_random_programs_keep_their_bits(steps, seed):
    torch.manual_seed(seed)
    operands = torch.randn(3, 4), torch.randn(4), torch.randn(2, 3, 4), torch.randn(3, 1)
    made = _run(steps, *[x.clone() for x in operands])
    if not made:
        return
    kept = [i for i in range(len(made)) if (i * 7 + seed) % 3 or i == len(made) - 1]
    check(lambda *x: tuple(_run(steps, *x)[i].clone() for i in kept), *operands)


def test_a_result_does_not_take_the_place_of_what_its_own_step_changes():
    def function(x, y, z):
        made = torch.zeros_like(x)
        made[:1], made[1:] = y[:1], x[1:]
        other = x.exp()
        made.add_(other)
        return made.clone(), (z + other).clone()

    check(function, torch.randn(3, 1), torch.randn(4), torch.randn(3, 4))


# ---------------------------------------------------------------- products and what follows them
SHAPES = [((300, 70), (70, 130)), ((64, 500), (500, 300)), ((4, 100, 60), (60, 90)), ((3, 5, 40, 60), (3, 5, 60, 33))]


@pytest.mark.parametrize("a, b", SHAPES)
def test_what_follows_a_product_is_computed_with_it(a, b):
    follow = lambda x, w, r: torch.relu(x @ w) * r + r
    steps = check(follow, torch.randn(a), torch.randn(b), torch.randn(*a[:-1], b[-1]))
    assert len(steps) == 1


def test_a_linear_layer_takes_its_bias_and_activation_along():
    steps = check(
        lambda x, w, b: F.gelu(F.linear(x, w, b)), torch.randn(300, 64), torch.randn(100, 64), torch.randn(100)
    )
    assert len(steps) == 1


def test_the_product_itself_is_stored_too_if_it_is_needed():
    def both(x, w):
        y = x @ w
        return y, y.tanh()

    assert len(check(both, torch.randn(200, 1000), torch.randn(1000, 100))) == 1


def test_a_product_is_added_to_what_is_there():
    def accumulate(x, w, g):
        g += x @ w
        return g * 1.0

    assert len(check(accumulate, torch.randn(200, 1000), torch.randn(1000, 100), torch.randn(200, 100))) == 1


def test_what_a_product_reads_is_computed_before_it():
    steps = check(lambda x, w: torch.relu(x) @ w + torch.relu(x), torch.randn(200, 200), torch.randn(200, 200))
    assert len(steps) == 2


def test_a_large_product_does_not_read_what_is_far_away():
    steps = check(lambda x, w, r: x @ w + r, torch.randn(600, 20), torch.randn(20, 600), torch.randn(600, 600))
    assert len(steps) == 2


def test_where_a_walk_starts_is_a_one_also_after_others():
    w = torch.ones(3, requires_grad=True)

    def step(x):
        w.grad = None
        loss = F.cross_entropy(w * x, torch.tensor(1))
        loss.backward()
        return loss

    kernels = lambda: [len(region.kernels) for region in torch.explain(step, torch.ones(3)).regions]
    first = kernels()
    F.cross_entropy(torch.ones(3, requires_grad=True), torch.tensor(1)).backward()
    assert kernels() == first
