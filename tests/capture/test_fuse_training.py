"""Random training programs: what is compiled and fused loses and gains no bit, step after step."""

import random
from collections import defaultdict

import pytest

import mashal as torch
import mashal.nn.functional as F

UNARY = [torch.tanh, torch.exp, F.gelu, F.silu, torch.relu, torch.sigmoid, torch.abs]
BINARY = [torch.add, torch.mul, torch.sub, torch.maximum]
ROWS = [
    lambda x: torch.softmax(x, -1), lambda x: F.layer_norm(x, x.shape[-1:]), lambda x: x - x.mean(-1, keepdim=True),
    lambda x: x.sum(0, keepdim=True), lambda x: x / (1 + x.norm(dim=-1, keepdim=True)), lambda x: x.logsumexp(-1, keepdim=True),
]  # fmt: skip
VIEWS = [
    lambda x: x.transpose(-1, -2), lambda x: x[..., 1:], lambda x: x.reshape(-1), lambda x: x.unsqueeze(0),
    lambda x: x.contiguous(), lambda x: torch.cat([x, x], -1),
]  # fmt: skip
DTYPES = [torch.float64, torch.float32, torch.bfloat16]
KINDS = {
    "unary": lambda x, y, c: UNARY[c % 7](x * 0.3),
    "binary": lambda x, y, c: BINARY[c % 4](x, y),
    "rows": lambda x, y, c: ROWS[c % 6](x),
    "view": lambda x, y, c: VIEWS[c % 6](x),
    "product": lambda x, y, c: torch.matmul(x, y) * 0.2,
    "dropout": lambda x, y, c: F.dropout(x, 0.3),
    "in place": lambda x, y, c: (x * 1.0).mul_(0.5).add_(1),
    "cast": lambda x, y, c: x.to(DTYPES[c % 3]).to(torch.float32),
}


def step_of(seed):
    """A training step made of random operations."""
    draw = random.Random(seed)
    program = [
        (draw.choice(list(KINDS)), *(draw.randrange(50) for _ in range(3))) for _ in range(draw.randrange(3, 12))
    ]
    accumulates = draw.random() < 0.4

    def step(parameters, x, optimizer):
        if not accumulates:
            optimizer.zero_grad()
        pool = [x, *parameters]
        for kind, a, b, c in program:
            try:
                y = KINDS[kind](pool[a % len(pool)], pool[b % len(pool)], c)
            except (RuntimeError, IndexError):
                continue  # shapes that do not fit
            if 0 < y.numel() < 5000:
                pool.append(y)
        loss = sum((y**2).mean() for y in pool[1:] if y.requires_grad)
        loss.backward()
        optimizer.step()
        return loss

    return step


def trained(seed, compiled):
    """Losses of some steps, and the parameters after them."""
    torch.manual_seed(seed)
    parameters = [torch.randn(4, 4) * 0.5, torch.randn(4), torch.randn(3, 4, 4) * 0.5]
    parameters = [x.requires_grad_() for x in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=0.01) if seed % 2 else torch.optim.SGD(parameters, lr=0.01)
    step = torch.compile(step_of(seed)) if compiled else step_of(seed)
    losses = [step(parameters, torch.randn(5, 4), optimizer).detach().clone() for _ in range(4)]
    return [*losses, *(x.detach() for x in parameters)]


@pytest.mark.parametrize("seed", range(12))
def test_a_random_training_step_keeps_its_bits(seed):
    for a, b in zip(trained(seed, False), trained(seed, True), strict=True):
        assert bool(((a == b) | ((a != a) & (b != b))).all())


@pytest.mark.parametrize(
    "reset",
    [
        lambda update, w: update.state.clear(),
        lambda update, w: update.state.pop(w),
        lambda update, w: update.state[w].clear(),
        lambda update, w: setattr(update, "state", defaultdict(dict)),
        lambda update, w: update.state[w].update(exp_avg=torch.ones(3)),
    ],
    ids=["cleared", "taken out", "emptied", "another", "replaced"],
)
def test_an_optimizer_that_forgets_does_so_compiled_too(reset):
    def losses(wrap):
        w = torch.arange(3.0).requires_grad_()
        update = torch.optim.Adam([w], lr=0.1)

        def step():
            update.zero_grad()
            loss = w.square().sum()
            loss.backward()
            update.step()
            return loss

        step, found = wrap(step), []
        for i in range(7):
            if i == 4:
                reset(update, w)
            found.append(step().item())
        return found

    assert losses(torch.compile) == losses(lambda step: step)
