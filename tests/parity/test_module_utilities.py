"""Weight norms, parametrizations, pruning and fusion held against PyTorch."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch.nn.utils.prune")

import mashal  # noqa: E402


def ours(x):
    return mashal.from_numpy(x.detach().numpy().copy())


def assert_same(theirs, mine, tolerance=1e-5):
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


def pair(make, change):
    """The same layer in both frameworks, changed by the same draws."""
    torch.manual_seed(1), mashal.manual_seed(1)
    return [(framework, change(framework, make(framework))) for framework in (torch, mashal)]


CHANGES = {
    "weight_norm": lambda f, m: f.nn.utils.weight_norm(m),
    "weight_norm of all": lambda f, m: f.nn.utils.weight_norm(m, dim=None),
    "weight_norm, dim 1": lambda f, m: f.nn.utils.weight_norm(m, dim=1),
    "spectral_norm": lambda f, m: f.nn.utils.spectral_norm(m, n_power_iterations=2),
    "parametrized weight_norm": lambda f, m: f.nn.utils.parametrizations.weight_norm(m),
    "parametrized spectral_norm": lambda f, m: f.nn.utils.parametrizations.spectral_norm(m),
    "pruned at random": lambda f, m: f.nn.utils.prune.random_unstructured(m, "weight", 0.3),
    "pruned by magnitude": lambda f, m: f.nn.utils.prune.l1_unstructured(m, "weight", 5),
    "pruned channels": lambda f, m: f.nn.utils.prune.ln_structured(m, "weight", 2, n=2, dim=0),
    "pruned channels at random": lambda f, m: f.nn.utils.prune.random_structured(m, "weight", 0.5, dim=1),
    "pruned twice": lambda f, m: f.nn.utils.prune.l1_unstructured(
        f.nn.utils.prune.ln_structured(m, "weight", 1, n=1, dim=0), "weight", 4
    ),
}
LAYERS = {
    "Linear": (lambda f: f.nn.Linear(6, 4), (3, 6)),
    "Conv2d": (lambda f: f.nn.Conv2d(2, 4, 3), (1, 2, 5, 5)),
    "ConvTranspose1d": (lambda f: f.nn.ConvTranspose1d(2, 4, 3), (1, 2, 5)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_layer_is_pytorchs(change, layer):
    make, shape = LAYERS[layer]
    (_, theirs), (_, mine) = pair(make, CHANGES[change])
    assert repr(mine) == repr(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    x = torch.randn(shape)
    for _ in range(2):  # power iterations go on
        a, b = theirs(x), mine(ours(x))
        assert_same(a, b)
    a.sum().backward(), b.sum().backward()
    for p, q in zip(theirs.parameters(), mine.parameters(), strict=True):
        assert_same(p.grad, q.grad)
    for key, value in theirs.state_dict().items():
        assert_same(value, mine.state_dict()[key])
    theirs.eval(), mine.eval()
    assert_same(theirs(x), copy.deepcopy(mine)(ours(x)) if "parametrized" in change else mine(ours(x)))


@pytest.mark.parametrize("shape", [(5, 5), (5, 3), (3, 5)])
@pytest.mark.parametrize("way", ["matrix_exp", "cayley", "householder", None])
@pytest.mark.parametrize("trivial", [True, False])
def test_an_orthogonal_weight_is_pytorchs(shape, way, trivial):
    def change(framework, layer):
        orthogonal = framework.nn.utils.parametrizations.orthogonal
        return orthogonal(layer, orthogonal_map=way, use_trivialization=trivial)

    (_, theirs), (_, mine) = pair(lambda f: f.nn.Linear(*shape[::-1], dtype=f.float64), change)
    assert_same(theirs.weight, mine.weight, 1e-6)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    k = min(shape)
    gram = (mine.weight.T @ mine.weight if shape[0] >= shape[1] else mine.weight @ mine.weight.T).detach().numpy()
    np.testing.assert_allclose(gram, np.eye(k), atol=1e-6)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_fused_batch_norm_is_pytorchs(transposed):
    torch.manual_seed(0)
    theirs = (torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d)(2, 3, 3, bias=False), torch.nn.BatchNorm2d(3)
    mine = (
        (mashal.nn.ConvTranspose2d if transposed else mashal.nn.Conv2d)(2, 3, 3, bias=False),
        mashal.nn.BatchNorm2d(3),
    )
    theirs[1](theirs[0](torch.randn(8, 2, 6, 6)))
    for a, b in zip(theirs, mine):
        b.load_state_dict({k: ours(v) for k, v in a.state_dict().items()})
        a.eval(), b.eval()
    x = torch.randn(2, 2, 6, 6)
    a = torch.nn.utils.fuse_conv_bn_eval(*theirs, transpose=transposed)
    b = mashal.nn.utils.fuse_conv_bn_eval(*mine, transpose=transposed)
    assert_same(a(x), b(ours(x)))
    assert_same(a.weight, b.weight)


def test_global_pruning_is_pytorchs():
    def change(framework, model):
        prune = framework.nn.utils.prune
        parameters = [(model[0], "weight"), (model[1], "weight")]
        prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=0.4)
        return model

    (_, theirs), (_, mine) = pair(lambda f: f.nn.Sequential(f.nn.Linear(4, 5), f.nn.Linear(5, 3)), change)
    for i in range(2):
        assert_same(theirs[i].weight, mine[i].weight)
