"""nn held against PyTorch: signatures, printing, state, first values, and what layers and losses compute."""

import inspect

import pytest
import torch as pytorch

import mashal
from mashal import nn

pytestmark = pytest.mark.parity

LAYERS = [
    name
    for name in nn.__all__
    if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module) and name != "NLLLoss2d"
]


def parameters(function):
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.default.__name__ if callable(p.default) else p.default, p.kind) for p in found]


def to_mashal(x):
    return mashal.tensor(x.detach().tolist(), dtype=getattr(mashal, str(x.dtype).removeprefix("torch.")))


def assert_same(mine, theirs, within=1e-5):
    assert tuple(mine.shape) == tuple(theirs.shape)
    a = pytorch.tensor(mine.detach().tolist(), dtype=pytorch.float64)
    b = theirs.detach().double()
    assert pytorch.allclose(a, b, rtol=within, atol=within), (a, b)


# ---------------------------------------------------------------- faces
@pytest.mark.parametrize("name", LAYERS)
def test_signature_version_and_constants(name):
    mine, theirs = getattr(nn, name), getattr(pytorch.nn, name)
    if name not in ("RNN", "LSTM", "GRU"):  # theirs say *args, **kwargs
        assert parameters(mine.__init__) == parameters(theirs.__init__)
    assert mine._version == theirs._version
    assert getattr(mine, "__constants__", None) == getattr(theirs, "__constants__", None)


def test_module_has_the_methods():
    later = {"ipu", "xpu", "mtia", "compile", "T_destination"}
    public = {name for name in dir(pytorch.nn.Module) if not name.startswith("_")}
    assert {name for name in public - later if not hasattr(nn.Module, name)} == set()


@pytest.mark.parametrize("name", [n for n in pytorch.nn.init.__all__ if n.endswith("_") or n == "calculate_gain"])
def test_init_signatures(name):
    mine, theirs = getattr(nn.init, name), getattr(pytorch.nn.init, name)
    assert [p[:2] for p in parameters(mine)] == [p[:2] for p in parameters(theirs)]


# ---------------------------------------------------------------- first values
DRAWS = [
    "init.xavier_uniform_(torch.empty(5, 7))",
    "init.xavier_normal_(torch.empty(5, 7), gain=2.0)",
    "init.kaiming_uniform_(torch.empty(5, 7, 3, 3), a=2.23)",
    "init.kaiming_normal_(torch.empty(40, 7), mode='fan_out', nonlinearity='relu')",
    "init.trunc_normal_(torch.empty(50, 70))",
    "init.trunc_normal_(torch.empty(50), std=0.02)",
    "init.trunc_normal_(torch.empty(50, 70), a=-0.1, b=0.1)",
    "init.trunc_normal_(torch.empty(50, 70), a=3.0, b=4.0)",
    "init.orthogonal_(torch.empty(5, 7))",
    "init.orthogonal_(torch.empty(7, 5), gain=2)",
    "init.sparse_(torch.empty(7, 5), 0.3)",
    "Linear(20, 30).weight",
    "Linear(20, 30).bias",
    "Linear(20, 30, dtype=torch.float64).weight",
    "Bilinear(3, 4, 5).weight",
    "Embedding(10, 3, padding_idx=2).weight",
    "Sequential(Linear(3, 4), ReLU(), Linear(4, 5))[2].bias",
]


@pytest.mark.parametrize("text", DRAWS)
@pytest.mark.filterwarnings("ignore")
def test_the_same_seed_gives_the_same_first_values(text):
    pytorch.manual_seed(123)
    theirs = eval(text, {**vars(pytorch.nn), "torch": pytorch})
    mashal.manual_seed(123)
    mine = eval(text, {**vars(nn), "torch": mashal})
    within = 1e-6 if "orthogonal" in text else 0.0
    assert_same(mine, theirs, within)


# ---------------------------------------------------------------- what layers compute
FORWARD = [
    ("Linear(4, 3)", (2, 4)),
    ("Linear(4, 3, bias=False)", (2, 5, 4)),
    ("LayerNorm(4)", (2, 3, 4)),
    ("LayerNorm((3, 4), bias=False)", (2, 3, 4)),
    ("RMSNorm(4)", (2, 3, 4)),
    ("GroupNorm(2, 4)", (2, 4, 3)),
    ("BatchNorm1d(4)", (5, 4)),
    ("BatchNorm1d(4)", (5, 4, 3)),
    ("BatchNorm1d(4).eval()", (5, 4)),
    ("BatchNorm1d(4, affine=False, momentum=None)", (5, 4)),
    ("BatchNorm2d(3)", (2, 3, 4, 5)),
    ("InstanceNorm1d(3, affine=True, track_running_stats=True)", (2, 3, 5)),
    ("LocalResponseNorm(3)", (2, 6, 4)),
    ("PReLU(3)", (2, 3)),
    ("Flatten()", (2, 3, 4)),
    *[
        (f"{name}()", (3, 4))
        for name in (
            "ReLU ReLU6 Hardtanh ELU CELU SELU GELU GLU Hardshrink Hardsigmoid Hardswish LeakyReLU LogSigmoid Mish "
            "SiLU Sigmoid Softplus Softshrink Softsign Tanh Tanhshrink Identity"
        ).split()
    ],
    ("GELU('tanh')", (3, 4)),
    ("RReLU().eval()", (3, 4)),
    ("Threshold(0.1, 20.0)", (3, 4)),
    ("Softmax(1)", (3, 4)),
    ("Softmin(0)", (3, 4)),
    ("LogSoftmax(-1)", (3, 4)),
    ("Softmax2d()", (2, 3, 4, 4)),
    ("PixelShuffle(2)", (2, 8, 3, 2)),
    ("PixelUnshuffle(2)", (2, 3, 4, 6)),
    ("ChannelShuffle(3)", (2, 6, 4)),
]


@pytest.mark.parametrize(("text", "shape"), FORWARD)
def test_a_layer_computes_the_same_with_the_same_gradients(text, shape):
    theirs, mine = eval(text, vars(pytorch.nn)), eval(text, vars(nn))
    mine.load_state_dict({name: to_mashal(value) for name, value in theirs.state_dict().items()})
    x = pytorch.randn(*shape, generator=pytorch.Generator().manual_seed(1)) * 2
    a, b = to_mashal(x).requires_grad_(), x.clone().requires_grad_()
    y, z = mine(a), theirs(b)
    assert_same(y, z)
    (y * y).sum().backward()
    (z * z).sum().backward()
    assert_same(a.grad, b.grad, 1e-4)
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert_same(p.grad, q.grad, 1e-4)
    for p, q in zip(mine.buffers(), theirs.buffers(), strict=True):
        assert_same(p, q)


def sample(kind, seed):
    draw = pytorch.Generator().manual_seed(seed)
    return {
        "x": lambda: pytorch.randn(4, 5, generator=draw),
        "p": lambda: pytorch.rand(4, 5, generator=draw) * 0.9 + 0.05,
        "logp": lambda: pytorch.randn(4, 5, generator=draw).log_softmax(1),
        "classes": lambda: pytorch.randint(0, 5, (4,), generator=draw),
        "sign": lambda: pytorch.randint(0, 2, (4, 5), generator=draw) * 2.0 - 1,
        "row": lambda: pytorch.randint(0, 2, (4,), generator=draw) * 2.0 - 1,
        "lists": lambda: pytorch.tensor([[0, 2, -1, 1, 1], [1, -1, 0, 0, 0], [4, 3, 2, 1, 0], [-1, 0, 0, 0, 0]]),
    }[kind]()


LOSSES = [
    ("CrossEntropyLoss", "", "x classes"),
    ("CrossEntropyLoss", "label_smoothing=0.1", "x classes"),
    ("CrossEntropyLoss", "ignore_index=1", "x classes"),
    ("CrossEntropyLoss", "", "x p"),
    ("NLLLoss", "", "logp classes"),
    ("MSELoss", "", "x x"),
    ("L1Loss", "", "x x"),
    ("SmoothL1Loss", "", "x x"),
    ("SmoothL1Loss", "beta=0.5", "x x"),
    ("HuberLoss", "delta=0.5", "x x"),
    ("BCELoss", "", "p p"),
    ("BCEWithLogitsLoss", "", "x p"),
    ("KLDivLoss", "log_target=True", "logp logp"),
    ("KLDivLoss", "", "logp p"),
    ("PoissonNLLLoss", "", "x p"),
    ("PoissonNLLLoss", "log_input=False, full=True", "p p"),
    ("GaussianNLLLoss", "full=True", "x x p"),
    ("SoftMarginLoss", "", "x sign"),
    ("MultiLabelMarginLoss", "", "x lists"),
    ("MultiLabelSoftMarginLoss", "", "x p"),
    ("MultiMarginLoss", "", "x classes"),
    ("MultiMarginLoss", "p=2, margin=0.5", "x classes"),
    ("HingeEmbeddingLoss", "", "x sign"),
    ("MarginRankingLoss", "margin=0.1", "x x sign"),
    ("CosineEmbeddingLoss", "margin=0.1", "x x row"),
    ("TripletMarginLoss", "", "x x x"),
    ("TripletMarginLoss", "swap=True, p=1.0", "x x x"),
    ("TripletMarginWithDistanceLoss", "", "x x x"),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "kinds"), LOSSES)
@pytest.mark.filterwarnings("ignore")
def test_a_loss_computes_the_same_with_the_same_gradients(name, options, kinds, reduction):
    text = f"{name}({options}{', ' if options else ''}reduction={reduction!r})"
    inputs = [sample(kind, seed) for seed, kind in enumerate(kinds.split())]
    a, b = [to_mashal(x) for x in inputs], [x.clone() for x in inputs]
    a[0].requires_grad_()
    b[0].requires_grad_()
    y, z = eval(text, vars(nn))(*a), eval(text, vars(pytorch.nn))(*b)
    assert_same(y, z)
    y.sum().backward()
    z.sum().backward()
    assert_same(a[0].grad, b[0].grad)


@pytest.mark.parametrize(
    "text", ["normalize(x)", "normalize(x, 1, 0)", "pairwise_distance(x, y)", "cosine_similarity(x, y)"]
)
def test_distances(text):
    x, y = sample("x", 1), sample("x", 2)
    mine = eval(text, {**vars(nn.functional), "x": to_mashal(x), "y": to_mashal(y)})
    assert_same(mine, eval(text, {**vars(pytorch.nn.functional), "x": x, "y": y}))


@pytest.mark.parametrize(
    "text", ["clip_grad_norm_(p, 1.0)", "clip_grad_norm_(p, 1.0, 3.0)", "clip_grad_value_(p, 0.5)"]
)
def test_clipping(text):
    x = sample("x", 3)
    mine, theirs = nn.Parameter(to_mashal(x)), pytorch.nn.Parameter(x.clone())
    mine.grad, theirs.grad = to_mashal(x), x.clone()
    total = eval(text, {**vars(nn.utils), "p": mine})
    other = eval(text, {**vars(pytorch.nn.utils), "p": theirs})
    assert (total is None) == (other is None)
    assert_same(mine.grad, theirs.grad)
