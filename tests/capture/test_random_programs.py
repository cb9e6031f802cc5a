"""Random programs, eager and compiled side by side: the same numbers, the same state, the same gradients, call after call.

A program works on two operands and a module: pointwise chains, reductions, products, views, changes in place of fresh
tensors, operands and buffers, random numbers, values read by Python, branches on them, loops, lists, attributes, and steps
of training. What it returned in earlier calls is looked at again at the end.
"""

import linecache
import random

from hypothesis import given, settings
from hypothesis import strategies as st

import mashal as torch
import mashal.nn.functional as F

VARIABLES = "abcd"
EXPRESSIONS = """v + w | v * w | v.sin() | (v - w).relu() | v @ w.T | v.sum(0, keepdim=True) + w | F.softmax(v, -1) | state.layer(v)
v * state.k | torch.cat([v, w])[:3] | v.exp() / (1 + w.abs()) | torch.where(v > 0, v, w) | v.t().contiguous().t()
v[:, [2, 0, 1]] | v.clone() | v.detach() | v * s | v.mean() + w | helper(v) | v + G | torch.rand(3, 3) * v
F.dropout(v, 0.5) | state.buffer + v | v[1:].repeat(2, 1)[:3] | v.view(-1).view(3, 3) | sum(t for t in [v, w])"""
SIMPLE = """s = s + E.sum().item() * 0.01 | s += float(E.mean()) | kept.append(E) | kept.append(v[0]) | kept.append(v.t()) | state.last = E
state.count += 1 | state.buffer.mul_(0.5).add_(v.detach().mean()) | LOG.append(v.sum().item()) | state.items.append(v.detach())
a.detach().add_(0.25) | b.detach().clamp_(-2, 2) | b.detach().copy_(state.buffer) | state.layer.zero_grad()
v = v.clone(); v.mul_(w.detach()) | v = v.clone(); v[0] = 1.5 | v = v.clone(); v[:, 0] = 0 | v = v.clone(); x = v[1:]; x.add_(1); w = v * 2
state.optimizer.zero_grad(); F.mse_loss(state.layer(v.detach()), w.detach().tanh()).backward(); state.optimizer.step()"""
CONDITIONS = "E.sum() > 0 | E.sum() > 5 | state.k > 1 | state.count % 2 | len(kept) > 1 | (v > 0).any()"


def split(text):
    return [part.strip() for line in text.splitlines() for part in line.split(" | ")]


class Program:
    """The source of a random function(a, b, state), in `lines`.

    leaf: a wants a gradient. Then operands are not changed: backward of a region asks for all that its results were
    computed from as it was, eager backward only for what the one result needs that it begins at.
    """

    def __init__(self, seed, leaf):
        self.choose = random.Random(seed)
        self.simple = [text for text in split(SIMPLE) if not (leaf and text.startswith(("a.detach", "b.detach")))]
        self.lines = ["def function(a, b, state):", "    c, d, s, kept = a * 2, b + 1, 0.0, []"]
        self.block(1, 2, False)
        self.lines.append(self.filled("    return v, s, w * 2, [x for x in kept]"))

    def filled(self, template):
        """A template with expressions and variables in place of E, v and w."""
        expression = self.choose.choice(split(EXPRESSIONS))
        text = template.replace("E", f"({expression})")
        v, w = self.choose.choice(VARIABLES), self.choose.choice(VARIABLES)
        return "".join({"v": v, "w": w}.get(word, word) for word in words(text))

    def put(self, depth, template):
        self.lines.append("    " * depth + self.filled(template))

    def block(self, depth, budget, in_loop):
        for _ in range(self.choose.randint(1, 5)):
            self.statement(depth, budget, in_loop)

    def statement(self, depth, budget, in_loop):
        kind = self.choose.choice(["assign"] * 7 + ["simple"] * 7 + ["leave"] + ["if", "for", "with"] * (budget > 0))
        if kind == "assign":
            self.put(depth, "v = E")
        elif kind == "simple":
            self.put(depth, self.choose.choice(self.simple))
        elif kind == "leave":
            self.put(depth, "if v.sum() > 30:")
            self.put(depth + 1, "break" if in_loop else "return v, s")
        else:
            heads = {"if": self.choose.choice(split(CONDITIONS)), "for": "i in range(2)", "with": "torch.no_grad()"}
            self.put(depth, f"{kind} {heads[kind]}:")
            self.block(depth + 1, budget - 1, in_loop or kind == "for")


def words(text):
    """Text in pieces, so that a variable is a piece of its own."""
    piece = ""
    for character in text:
        if character.isalnum() or character == "_":
            piece += character
            continue
        yield from (piece, character)
        piece = ""
    yield piece


class State(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)
        self.register_buffer("buffer", torch.ones(3))
        self.optimizer = torch.optim.AdamW(self.layer.parameters(), lr=0.01)
        self.k, self.count, self.last, self.items = 2.0, 0, None, []


def plain(x):
    """Tensors, and what holds them, as plain data."""
    if isinstance(x, torch.Tensor):
        return x.requires_grad, tuple(x.shape), x.detach().reshape(-1).tolist()
    return [plain(y) for y in x] if isinstance(x, (list, tuple)) else x


def calls(source, file, compiled, leaf):
    """What six calls give and leave behind; they end with the first exception."""
    torch.manual_seed(7)
    state, names = State(), {"torch": torch, "F": F, "LOG": [], "G": 1.5}
    exec(compile(source, file, "exec"), names)
    function = torch.compile(names["function"]) if compiled else names["function"]
    seen, results = [], []
    for i in range(6):
        a, b = torch.linspace(-1, 1, 9).view(3, 3) * (i % 3 + 1) * 0.5, torch.arange(9.0).view(3, 3) / 7 - i * 0.2
        a.requires_grad_(leaf)
        if i == 3:
            names["G"] = state.k = 0.5
        try:
            results.append(function(a, b, state))
            if leaf and results[-1][0].requires_grad:
                results[-1][0].sum().backward()
        except (RuntimeError, AttributeError, ValueError) as error:
            return [*seen, type(error)]
        weight = state.layer.weight
        seen.append(
            plain([*results, a, b, a.grad, weight, weight.grad, state.buffer, state.last, state.items, names["LOG"]])
        )
        seen.append([state.count, torch.get_rng_state().tolist()[:64]])
    return seen


def close(x, y):
    """Whether data is the same up to rounding, for fusing changes the order of sums."""
    if isinstance(x, float) and isinstance(y, float):
        return x == y or (x != x and y != y) or abs(x - y) <= 2e-3 * max(1, abs(x), abs(y))
    if isinstance(x, (list, tuple)) and isinstance(y, (list, tuple)):
        return len(x) == len(y) and all(map(close, x, y))
    return x == y


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_a_compiled_program_does_what_it_does_eagerly(seed, leaf):
    source = "\n".join([*Program(seed, leaf).lines, "", "def helper(x):", "    return x * G - 1", ""])
    file = f"<random program {seed}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    try:
        expected, found = (calls(source, file, compiled, leaf) for compiled in (False, True))
    finally:
        del linecache.cache[file]
    assert close(found, expected), source
