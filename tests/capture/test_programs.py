"""Programs as people write them: compiled functions inside one another, Python's state, objects given and returned."""

import mashal as torch


def calls(function, *many):
    """What a function answers to calls with these arguments, each a tuple."""
    return [function(*arguments) for arguments in many]


# ---------------------------------------------------------------- compiled functions inside one another
def test_a_compiled_function_inside_another_is_recorded_with_it():
    inner = torch.compile(lambda x: x * 2)
    calls(inner, (torch.ones(2),), (torch.ones(2),))
    outer = torch.compile(lambda x: inner(x + 1) + 1)
    assert [y[0].item() for y in calls(outer, *[(torch.full((2,), float(i)),) for i in range(4)])] == [3, 5, 7, 9]


def test_a_compiled_function_may_call_itself():
    @torch.compile
    def doubled(x, times):
        return x if times == 0 else doubled(x * 2, times - 1)

    assert [doubled(torch.ones(1), n).item() for n in (0, 1, 2, 0, 1, 2)] == [1, 2, 4, 1, 2, 4]


def test_a_compiled_backward_that_goes_into_a_compiled_forward_has_its_gradients():
    w = torch.ones(2, requires_grad=True)
    forward = torch.compile(lambda x: (x * w).sum())

    @torch.compile
    def backward(loss):
        w.grad = None
        loss.backward()
        return w.grad * 2

    assert [backward(forward(torch.full((2,), float(i)))).tolist() for i in range(4)] == [[2 * i] * 2 for i in range(4)]


def test_anomaly_mode_may_begin_between_a_compiled_forward_and_its_backward():
    w = torch.ones(2, requires_grad=True)
    loss = torch.compile(lambda x: (x * w).sum())
    calls(loss, (torch.ones(2),), (torch.ones(2),))
    found = loss(torch.ones(2))
    with torch.autograd.set_detect_anomaly(True):
        found.backward()
    assert w.grad.tolist() == [1, 1]
