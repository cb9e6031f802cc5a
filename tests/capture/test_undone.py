"""A call that raises leaves everything as it was before it, also if it is compiled in parts."""

import pytest

import mashal as torch
from mashal import nn
from mashal.nn import functional as F


class Training:
    """A step of a model with all kinds of state. cut: after which of its statements something is printed."""

    def __init__(self, cut):
        torch.manual_seed(0)
        self.cut, self.printed = cut, []
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3))
        self.rows, self.head = nn.Embedding(5, 6), nn.Linear(6, 5)
        self.modules = nn.ModuleList([self.body, self.rows, self.head])
        self.optimizer = torch.optim.AdamW(self.modules.parameters(), lr=0.05)

    def step(self, x, t):
        h = self.body(x)
        if self.cut == "forward":
            self.printed.append(h.sum().item())
        loss = F.cross_entropy(self.head(F.dropout(h) + self.rows(t)), t)
        if self.cut == "loss":
            self.printed.append(loss.sum().item())
        self.optimizer.zero_grad()
        loss.backward()
        if self.cut == "backward":
            self.printed.append(loss.sum().item())
        self.optimizer.step()
        if self.cut == "step":
            self.printed.append(loss.sum().item())
        return loss.detach() + self.rows.weight.detach()[t].sum()

    def state(self):
        """All of it, as bytes and versions."""
        tensors = {**dict(self.modules.named_parameters()), **dict(self.modules.named_buffers())}
        found = {name: (x.detach().numpy().tobytes(), x._version) for name, x in tensors.items()}
        grads = {name: x.grad.numpy().tobytes() for name, x in tensors.items() if x.grad is not None}
        states = self.optimizer.state_dict()["state"]
        kept = {(i, k): x.numpy().tobytes() for i, of in states.items() for k, x in of.items()}
        return found, grads, kept, torch.get_rng_state().numpy().tobytes()

    def batch(self, i, n=3):
        generator = torch.Generator().manual_seed(i)
        return torch.randn(n, 4, generator=generator), torch.randint(0, 5, (n,), generator=generator)


CUTS = ["nowhere", "forward", "loss", "backward", "step"]
BAD = {
    "features": lambda x, t: (x[:, :3], t),
    "dtype of x": lambda x, t: (x.double(), t),
    "length of t": lambda x, t: (x, t[:2]),
    "dtype of t": lambda x, t: (x, t.float()),
    "one row": lambda x, t: (x[:1], t[:1]),
    "index": lambda x, t: (x, torch.tensor([0, 9, 1])),
}


def check(cut, bad, at):
    """A call that raises what eager raises, after so many good ones, changes nothing; what follows is as if it had never been."""
    training, eager = Training(cut), Training(cut)
    with pytest.raises((RuntimeError, ValueError, IndexError)) as expected:
        eager.step(*bad(*eager.batch(9)))
    training, step, answers = Training(cut), None, []
    step = torch.compile(training.step)
    for i in range(5):
        if i == at:
            before = training.state()
            with pytest.raises(type(expected.value)) as caught:
                step(*bad(*training.batch(9)))
            assert str(caught.value) == str(expected.value)
            assert training.state() == before
        answers.append(step(*training.batch(i)).numpy().tobytes())
    found, eager = training.state(), Training(cut)
    assert answers == [eager.step(*eager.batch(i)).numpy().tobytes() for i in range(5)]
    assert {k: v for k, (v, _) in found[0].items()} == {k: v for k, (v, _) in eager.state()[0].items()}
    assert found[1:] == eager.state()[1:]


@pytest.mark.parametrize("at", [0, 1, 2, 4])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("cut", CUTS)
def test_wrong_shapes_dtypes_and_indices_leave_all_state_as_it_was(cut, bad, at):
    check(cut, BAD[bad], at)


def test_where_no_more_is_recorded_a_call_that_raises_leaves_all_state_as_it_was():
    norm = nn.BatchNorm1d(4)
    fast = torch.compile(lambda x, w: norm(x) @ w, dynamic=False)
    with pytest.warns(UserWarning, match="was recorded"):
        for n in range(2, 14):
            fast(torch.randn(n, 4), torch.ones(4, 2))
    before = [b.clone() for b in norm.buffers()]
    with pytest.raises(RuntimeError, match="matmul"):
        fast(torch.randn(14, 4), torch.ones(5, 2))
    assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers()))


def test_a_function_that_runs_as_written_leaves_all_state_as_it_was():
    norm = nn.BatchNorm1d(4)
    space = {"norm": norm}
    exec("def function(x, w):\n    y = norm(x)\n    print(y.shape)\n    return y @ w", space)  # there is no source
    with pytest.warns(UserWarning, match="runs as written"):
        fast = torch.compile(space["function"])
        fast(torch.randn(3, 4), torch.ones(4, 2))
    before = [b.clone() for b in norm.buffers()]
    with pytest.raises(RuntimeError, match="matmul"):
        fast(torch.randn(3, 4), torch.ones(5, 2))
    assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers()))


def test_what_the_program_raises_itself_between_two_parts_leaves_what_was_done():
    norm = nn.BatchNorm1d(4)

    @torch.compile
    def step(x):
        y = norm(x).sum()
        if y.isnan().item():
            raise ValueError("not a number")
        return y * 2

    for _ in range(3):
        step(torch.randn(3, 4))
    with pytest.raises(ValueError, match="not a number"):
        step(torch.full((3, 4), float("nan")))
    assert norm.num_batches_tracked == 4


def test_parts_that_cannot_raise_note_nothing():
    norm = nn.BatchNorm1d(4)

    @torch.compile
    def step(x):
        y = norm(x).sum()
        return y * y.item()

    for _ in range(4):
        step(torch.randn(3, 4))
    assert step.recordings.parts.now is step.recordings.parts.parts


def test_a_region_in_a_loop_that_raises_undoes_the_turns_before():
    table, total = torch.ones(5, 2), torch.zeros(2)

    @torch.compile
    def step(i):
        for k in range(3):
            total.add_(F.embedding(i[k : k + 1], table).sum(0))
            print("", end="")

    for _ in range(4):
        step(torch.tensor([0, 1, 2]))
    before = total.tolist()
    with pytest.raises(IndexError):
        step(torch.tensor([0, 1, 9]))
    assert total.tolist() == before


def test_a_gradient_of_a_gradient_that_regions_do_not_have_is_eagers():
    """A region that makes a leaf is not made once more for second gradients; the call is put back, and runs as it is written."""

    def made():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)

        def step(x):
            x = x.detach().requires_grad_()
            y = model(x)
            slope = lambda a, b: torch.autograd.grad(a, b, torch.ones_like(a), create_graph=True)[0]
            loss = (slope(slope(y, x)[:, :1], x) + y).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return model, step

    (model, step), (other, same) = made(), made()
    compiled = torch.compile(same)
    for _ in range(6):
        x = torch.randn(5, 2)
        assert compiled(x) == step(x)
    assert all(map(torch.equal, model.parameters(), other.parameters()))
