"""Single calls and a training step, timed inside one process. `calls.py NAME [THREADS]`; prints seconds as JSON."""

import importlib
import json
import sys
import time


def add(torch):
    """a + b of ten elements."""
    a, b = torch.randn(10), torch.randn(10)
    return lambda: a + b


def add_recorded(torch):
    """a + b of ten elements, recorded for backward."""
    a, b = torch.randn(10, requires_grad=True), torch.randn(10)
    return lambda: a + b


def gelu_big(torch):
    """gelu of ten million elements."""
    x = torch.randn(10_000_000)
    return lambda: torch.nn.functional.gelu(x)


def product(torch):
    """The product of two 512 x 512 matrices."""
    a, b = torch.randn(512, 512), torch.randn(512, 512)
    return lambda: a @ b


def step(torch):
    """One training step of the first network: two points, three layers."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    features, labels = torch.randn(2, 2), torch.tensor([0, 1])

    def once():
        loss = nn.functional.cross_entropy(model(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return once


def step_compiled(torch):
    """The same step compiled. PyTorch's is not: it would need a C++ compiler."""
    return step(torch) if torch.__name__ == "torch" else torch.compile(step(torch))


CALLS = {"call": add, "call, recorded": add_recorded, "gelu 1e7": gelu_big, "matmul 512": product, "step": step,
         "step, compiled": step_compiled}  # fmt: skip


def seconds(call, budget=0.3):
    """The best time of one call: repeated until a round takes a few milliseconds, rounds until the budget is spent."""
    repeat = 1
    while True:
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        best = time.perf_counter() - start
        if best > 0.005:
            break
        repeat *= 4
    end = time.perf_counter() + budget
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        best = min(best, time.perf_counter() - start)
    return best / repeat


if __name__ == "__main__":
    torch = importlib.import_module(sys.argv[1])
    if len(sys.argv) > 2:
        torch.set_num_threads(int(sys.argv[2]))
    torch.manual_seed(0)
    print(json.dumps({name: seconds(setup(torch)) for name, setup in CALLS.items()}))
