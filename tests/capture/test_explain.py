"""explain: what was captured, where it was cut and why, which operations share a kernel, and what each costs."""

import re

import mashal as torch
import mashal.nn.functional as F
from mashal import nn


def test_operations_of_one_kernel_stand_together():
    text = str(torch.explain(lambda x: (x * 2 + 1).relu(), torch.ones(30)))
    assert "3 operations in 1 kernel" in text
    assert "mul + add + relu" in text


def test_bytes_and_arithmetic_follow_from_shapes():
    (region,) = torch.explain(lambda a, b: a @ b, torch.ones(8, 16), torch.ones(16, 4)).regions
    (kernel,) = region.kernels
    assert (kernel.read, kernel.written) == (4 * (8 * 16 + 16 * 4), 4 * 8 * 4)
    assert kernel.arithmetic == 2 * 8 * 16 * 4
    assert kernel.time > 0


def test_a_cut_has_its_line_and_its_reason():
    def function(x):
        y = x * 2
        if y.sum() > 0:
            return y + 1
        return y

    text = str(torch.explain(function, torch.ones(3)))
    assert re.search(r"cut at .*test_explain.py, line \d+: .*reads a tensor's value", text)


def test_a_training_step_has_its_backward_and_its_update():
    model = nn.Linear(4, 2)
    update = torch.optim.AdamW(model.parameters())

    def step(x, y):
        update.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        update.step()
        return loss

    torch.manual_seed(0)
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 1, 0, 1])
    names = [name for region in torch.explain(step, x, y).regions for k in region.kernels for name in k.operations]
    assert {"linear", "cross_entropy", "AddmmBackward0", "AdamW"} <= set(names)


def test_measuring_changes_nothing():
    total = torch.zeros(3)
    fast = torch.compile(lambda x: total.add_(x))
    fast(torch.ones(3))
    torch.explain(fast, torch.ones(3))
    before = total.clone()
    assert fast(torch.ones(3)).tolist() == (before + 1).tolist()
    assert total.tolist() == (before + 1).tolist()


def test_the_picture_has_a_bar_for_each_kernel(tmp_path):
    found = torch.explain(lambda x: (x.exp(), x @ x), torch.ones(4, 4))
    path = tmp_path / "kernels.svg"
    found.save(path)
    assert path.read_text().count("<rect") == sum(len(region.kernels) for region in found.regions)
    assert found._repr_svg_().startswith("<svg")
