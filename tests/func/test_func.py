"""torch.func: what it refuses, models as functions, ensembles, and that nothing stays behind."""

import inspect

import pytest

import mashal as torch
from mashal import func, nn
from mashal.nn import functional as F


def test_a_function_must_give_a_number_to_have_a_gradient():
    with pytest.raises(RuntimeError, match="scalar tensor, got tensor with 1 dims"):
        func.grad(lambda x: x)(torch.ones(2))


def test_decisions_about_many_samples_are_refused():
    with pytest.raises(RuntimeError, match="data-dependent control flow"):
        torch.vmap(lambda x: x if x > 0 else -x)(torch.ones(2))


@pytest.mark.parametrize("in_dims", [(0, 0, 0), (0, 5), "a", (0, "b")])
def test_dims_that_do_not_fit_are_refused(in_dims):
    with pytest.raises(ValueError):
        torch.vmap(torch.dot, in_dims)(torch.ones(2, 3), torch.ones(2, 3))


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match="same size in the mapped dimension"):
        torch.vmap(torch.dot)(torch.ones(2, 3), torch.ones(4, 3))


def test_what_is_no_tensor_cannot_be_returned():
    with pytest.raises(ValueError, match="must only return Tensors"):
        torch.vmap(lambda x: 3)(torch.ones(2))


def test_random_numbers_must_be_asked_for():
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(lambda x: x + torch.rand(2))(torch.ones(3, 2))


def test_samples_cannot_be_written_into_one_tensor():
    with pytest.raises(RuntimeError, match="cannot"):
        torch.vmap(lambda x, y: y.add_(x), (0, None))(torch.ones(3, 2), torch.zeros(2))


def test_an_error_inside_closes_the_level():
    with pytest.raises(ZeroDivisionError):
        torch.vmap(lambda x: 1 // 0)(torch.ones(2))
    assert torch.vmap(lambda x: x + 1)(torch.ones(2)).tolist() == [2, 2]
    assert torch.rand(2).shape == (2,)


def test_functions_keep_their_signatures_when_they_are_looked_at():
    torch.vmap(torch.sum)(torch.ones(2, 2))
    assert "input" in inspect.signature(torch.nn.functional.linear).parameters
    assert torch.reshape(torch.arange(4), (2, 2)).tolist() == [[0, 1], [2, 3]]


def test_results_have_no_history_unless_something_outside_wants_it():
    assert not func.grad(torch.sin)(torch.tensor(0.0)).requires_grad
    w = torch.tensor(2.0, requires_grad=True)
    g = func.grad(lambda x: w * x * x)(torch.tensor(3.0))
    g.backward()
    assert g == 12
    assert w.grad == 6


def test_gradients_are_computed_within_no_grad():
    with torch.no_grad():
        assert func.grad(torch.sin)(torch.tensor(0.0)) == 1


def test_a_model_as_a_function_of_its_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    before = {name: p.clone() for name, p in model.named_parameters()}
    parameters = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    assert func.functional_call(model, parameters, torch.ones(2, 3)).tolist() == [[0.0], [0.0]]
    assert all(p.equal(before[name]) for name, p in model.named_parameters())


def test_gradients_for_each_sample_are_those_of_the_samples():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    x, y = torch.randn(5, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1])
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters, x, y):
        return F.cross_entropy(func.functional_call(model, parameters, (x.unsqueeze(0),)), y.unsqueeze(0))

    each = torch.vmap(func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for i in range(5):
        one = func.grad(loss)(parameters, x[i], y[i])
        for name in one:
            torch.testing.assert_close(each[name][i], one[name])


def test_an_ensemble_is_one_call():
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(3)]
    parameters, buffers = func.stack_module_state(models)
    base = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    together = torch.vmap(lambda p, b: func.functional_call(base, (p, b), (x,)))(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([m(x) for m in models]))


def test_unknown_and_missing_names_are_all_named():
    model = nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match=r"(?s)wrong.*weight, bias"):
        func.functional_call(model, {"wrong": torch.ones(1)}, (torch.ones(2),), strict=True)


def test_tied_weights_are_exchanged_together():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    assert func.functional_call(model, {"0.weight": torch.eye(2) * 2}, (torch.ones(2),)).tolist() == [4, 4]


def test_gradients_of_mapped_indexing_and_views():
    x = torch.arange(12.0).view(3, 4)
    i = torch.tensor([[0, 1], [1, 1], [3, 0]])
    g = func.grad(lambda x: torch.vmap(lambda r, i: (r[i] * r.view(2, 2)[0]).sum())(x, i).sum())(x)
    expected = torch.zeros(3, 4)
    leaf = x.clone().requires_grad_()
    sum((leaf[k][i[k]] * leaf[k].view(2, 2)[0]).sum() for k in range(3)).backward()
    expected = leaf.grad
    torch.testing.assert_close(g, expected)


class Cube(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


def test_functions_of_ones_own_are_mapped_and_differentiated():
    x = torch.arange(3.0)
    assert torch.vmap(Cube.apply)(x).tolist() == [0, 1, 8]
    assert torch.vmap(func.grad(Cube.apply))(x).tolist() == [0, 3, 12]
    assert func.grad(func.grad(Cube.apply))(torch.tensor(2.0)) == 12


def test_functions_of_ones_own_can_say_how_they_are_mapped():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 2

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def vmap(info, in_dims, x):
            assert info.batch_size == 3
            assert in_dims == (0,)
            return x.T * 2, 1

    assert torch.vmap(Twice.apply)(torch.ones(3, 2)).shape == (3, 2)


def test_functions_of_ones_own_without_a_rule_say_so():
    class Plain(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

    with pytest.raises(RuntimeError, match="does not have vmap support"):
        torch.vmap(Plain.apply)(torch.ones(3))


def test_a_dropout_that_is_off_draws_nothing():
    x = torch.ones(3, 2)
    assert torch.vmap(nn.Dropout(0.5).eval())(x).equal(x)
    assert torch.vmap(lambda x: F.dropout(x, 0.0))(x).equal(x)
