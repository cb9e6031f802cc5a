"""Calls on tiny tensors, where all is overhead: without a gradient to come, with one, and with backward.

    small_calls.py [NAME…] [--against torch]        those whose expression contains a name; all without

One process, one thread; the best of several rounds in turns, in microseconds. With --against also how many times faster
mashal is: the slowest first.
"""

import argparse
import importlib
import time

NAMES = """
x[0] x[2:4] x[:,1] x[...,0] x[None] x[i] x[b] x[i,i] x.view(32) x.T x.permute(1,0) x.reshape(2,16) x.unsqueeze(0)
x.expand(3,4,8) x.flatten() x.split(2) x.chunk(2) x.unbind() x.tril() x.flip(0) x.roll(1,0) x.repeat(2,1) x.clone()
x+y x*2 1-x x/y x**2 -x x.abs() x.exp() x.tanh() x.clamp(-1,1) x.double() torch.where(b,x,y) x.masked_fill(b,0)
x.sum() x.sum(1) x.mean(1) x.max(1)[0] x.std(1) x.norm() x.logsumexp(1) x.prod() x.cumsum(1) x.sort()[0] x.topk(2)[0] x.median()
x@y.T x.mm(y.T) torch.dot(x[0],y[0]) torch.outer(x[0],y[0]) torch.einsum('ij,kj->ik',x,y) torch.cat((x,y)) torch.stack((x,y))
x.gather(1,i[:,None]) x.index_select(0,i) x.index_add(0,i,y) x.scatter(1,i[:,None],1.0)
F.linear(x,w) F.embedding(i,x) F.softmax(x,1) F.log_softmax(x,1) F.cross_entropy(x,i) F.mse_loss(x,y) F.gelu(x) F.relu(x)
F.layer_norm(x,(8,)) F.rms_norm(x,(8,)) F.group_norm(x,2) F.dropout(x,0.5) F.pad(x,(1,1)) F.one_hot(i)
F.conv2d(m,k) F.max_pool2d(m,2) F.avg_pool2d(m,2) F.scaled_dot_product_attention(m,m,m,is_causal=True)
torch.zeros(4,8) torch.ones(4,8) torch.empty(4,8) torch.full((4,8),2.0) torch.arange(10) torch.arange(0,10,2) torch.linspace(0,1,10)
torch.eye(4) torch.randn(4,8) torch.rand(4,8) torch.randint(0,9,(4,)) torch.randperm(10) torch.tensor([1.0,2.0]) torch.zeros_like(x)
x.detach() x.shape x.size(0) len(x) x.tolist() x.detach().numpy() x.sum().item() b.nonzero() i.unique() i.bincount() torch.equal(x,y)
""".split()  # fmt: skip


def operands(torch):
    """What the expressions are made of."""
    x, y, w, m, k = (torch.randn(*size) for size in ((4, 8), (4, 8), (8, 8), (1, 2, 8, 8), (3, 2, 3, 3)))
    things = {"x": x, "y": y, "w": w, "m": m, "k": k, "i": torch.tensor([0, 1, 2, 3]), "b": x > 0}
    return {**things, "torch": torch, "F": torch.nn.functional}


def calls(torch, expression):
    """(the call without gradients, recorded or None, recorded and back or None)"""
    plain, recorded = operands(torch), operands(torch)
    for name in "xywmk":
        recorded[name].requires_grad_()
    call, taped = (eval(f"lambda: {expression}", things) for things in (plain, recorded))
    y = taped()
    if not isinstance(y, torch.Tensor) or y.grad_fn is None:
        return call, None, None
    g = torch.ones(y.shape, dtype=y.dtype)
    return call, taped, lambda: taped().backward(g)


def best(pair, rounds=9, budget=0.002):
    """The best time of each call, in microseconds; they take turns."""
    times = []
    for call in pair:
        call()
        start = time.perf_counter()
        call()
        times.append(max(1, int(budget / (time.perf_counter() - start + 1e-7))))
    found = [float("inf")] * len(pair)
    for _ in range(rounds):
        for n, (call, count) in enumerate(zip(pair, times)):
            start = time.perf_counter()
            for _ in range(count):
                call()
            found[n] = min(found[n], (time.perf_counter() - start) / count * 1e6)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--against", choices=["torch"])
    given = parser.parse_args()
    libraries = [importlib.import_module(name) for name in ("mashal", given.against) if name]
    for library in libraries:
        library.set_num_threads(1)
    rows = []
    for expression in NAMES:
        if given.names and not any(name in expression for name in given.names):
            continue
        ways = zip(*(calls(library, expression) for library in libraries))
        rows.append((expression, [best(pair) for pair in ways if None not in pair]))
    if given.against:
        rows.sort(key=lambda row: min(theirs / ours for ours, theirs in row[1]))
    print(f"{'':46}{'plain':^22}{'recorded':^22}{'and back':^22}")
    for expression, found in rows:
        columns = [" ".join(f"{t:7.2f}" for t in each) + (f"{each[1] / each[0]:6.2f}x" if given.against else "")
                   for each in found]  # fmt: skip
        print(f"{expression:46}" + "".join(f"{column:22}" for column in columns))


if __name__ == "__main__":
    main()
