"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict: as lists and dictionaries, and printed."""

from collections import OrderedDict

import pytest

import mashal as torch
from mashal import nn


def kinds(modules):
    return [type(module).__name__ for module in modules]


def chain():
    return nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())


# ---------------------------------------------------------------- Sequential
def test_a_chain_calls_one_after_another():
    assert nn.Sequential(nn.ReLU(), nn.Identity())(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]


def test_a_chain_keeps_the_names_of_an_ordered_dict():
    named = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    assert list(named._modules) == ["a", "b"]
    assert kinds([named.b, named[0], named[-1]]) == ["Tanh", "ReLU", "Tanh"]
    assert list(named[1:]._modules) == ["b"]


def test_a_chain_is_a_list():
    c = chain()
    assert len(c) == 3
    assert kinds(c) == ["ReLU", "Tanh", "Sigmoid"]
    assert c.append(nn.ReLU()) is c
    assert c.insert(1, nn.ELU()) is c
    assert kinds(c) == ["ReLU", "ELU", "Tanh", "Sigmoid", "ReLU"]
    assert type(c.pop(-2)) is nn.Sigmoid
    del c[0]
    assert list(c._modules) == ["0", "1", "2"]
    c[0] = nn.GELU()
    assert kinds(c.extend([nn.SiLU()])) == ["GELU", "Tanh", "ReLU", "SiLU"]
    del c[1:3]
    assert list(c._modules.items()) == list(c.named_children())
    assert kinds(c) == ["GELU", "SiLU"]
    assert c.get_submodule("1") is c[1]


def test_chains_add_and_multiply():
    c = chain()
    assert kinds(c + nn.Sequential(nn.ELU())) == ["ReLU", "Tanh", "Sigmoid", "ELU"]
    assert len(c * 2) == len(2 * c) == 6
    c += nn.Sequential(nn.ELU())
    c *= 2
    assert len(c) == 8
    assert list(c._modules) == [str(n) for n in range(8)]


def test_inserting_into_named_modules_numbers_them():
    named = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    named.insert(0, nn.ELU())
    assert kinds(named) == ["ELU", "ReLU", "Tanh"]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda c: c[3], IndexError, "index 3 is out of range for 3 modules"),
        (lambda c: c[-4], IndexError, "index -4 is out of range"),
        (lambda c: c["a"], TypeError, "cannot be interpreted as an integer"),
        (lambda c: c.append(3), TypeError, "int is not a Module subclass"),
        (lambda c: c.insert(9, nn.ReLU()), IndexError, "index 9 is out of range for inserting"),
        (lambda c: c.insert(0, 3), TypeError, "int is not a Module subclass"),
        (lambda c: c + [nn.ReLU()], ValueError, "takes another Sequential, not a list"),
        (lambda c: c * 0, ValueError, "positive integer, not 0"),
        (lambda c: c * "a", TypeError, "positive integer, not a str"),
        (lambda c: nn.Sequential(3), TypeError, "int is not a Module subclass"),
    ],
)
def test_a_chain_refuses(call, error, text):
    with pytest.raises(error, match=text):
        call(chain())


def test_a_chain_lists_no_numbers_in_dir():
    assert not [name for name in dir(chain()) if name.isdigit()]


# ---------------------------------------------------------------- ModuleList
def test_a_module_list_is_a_list():
    m = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    assert m.append(nn.Sigmoid()) is m
    m.insert(0, nn.ELU())
    m += [nn.GELU()]
    assert kinds(m) == ["ELU", "ReLU", "Tanh", "Sigmoid", "GELU"]
    assert kinds(m[1:3]) == ["ReLU", "Tanh"]
    assert type(m[1:3]) is nn.ModuleList
    assert type(m.pop(1)) is nn.ReLU
    del m[0]
    m[0] = nn.ReLU()
    assert kinds(m + [nn.ELU()]) == ["ReLU", "Sigmoid", "GELU", "ELU"]
    assert m[0] in m
    assert len(m) == 3


def test_the_parameters_in_a_module_list_are_found():
    assert [n for n, _ in nn.ModuleList([nn.Linear(1, 1)]).named_parameters()] == ["0.weight", "0.bias"]


def test_a_module_list_prints_equal_neighbours_once():
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert repr(nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU(), inner, inner])) == (
        "ModuleList(\n"
        "  (0-1): 2 x Linear(in_features=2, out_features=2, bias=True)\n"
        "  (2): ReLU()\n"
        "  (3-4): 2 x Sequential(\n"
        "    (0): Linear(in_features=2, out_features=2, bias=True)\n"
        "    (1): ReLU()\n"
        "  )\n"
        ")"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_a_module_list_refuses():
    with pytest.raises(TypeError, match="expected an iterable of modules, not a int"):
        nn.ModuleList(3)
    with pytest.raises(TypeError, match="str is not a Module subclass"):
        nn.ModuleList({"a": nn.ReLU()})
    with pytest.raises(NotImplementedError, match=r"Module \[ModuleList\] is missing"):
        nn.ModuleList()(1)


# ---------------------------------------------------------------- ModuleDict
def test_a_module_dict_is_a_dictionary():
    m = nn.ModuleDict({"z": nn.ReLU(), "a": nn.Tanh()})
    assert list(m) == list(m.keys()) == ["z", "a"]
    assert kinds(m.values()) == ["ReLU", "Tanh"]
    assert [name for name, _ in m.items()] == ["z", "a"]
    assert "z" in m
    assert len(m) == 2
    m["b"] = nn.ELU()
    del m["z"]
    assert type(m.pop("a")) is nn.Tanh
    m.update([("c", nn.ReLU())])
    m.update(nn.ModuleDict({"d": nn.ReLU()}))
    assert list(m) == ["b", "c", "d"]
    assert m.d is m["d"]
    m.clear()
    assert repr(m) == "ModuleDict()"
    assert not hasattr(m, "d")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda m: m["x"], KeyError, "x"),
        (lambda m: m.update(3), TypeError, "iterable of key/value pairs, not a int"),
        (lambda m: m.update([3]), TypeError, "element 0 is a int, not a pair"),
        (lambda m: m.update([(1, 2, 3)]), ValueError, "element 0 has length 3, not 2"),
        (lambda m: m.update({"keys": nn.ReLU()}), KeyError, "attribute 'keys' already exists"),
        (lambda m: m.update({"a": 3}), TypeError, "int is not a Module subclass"),
        (lambda m: m.update({3: nn.ReLU()}), TypeError, "name should be a string"),
    ],
)
def test_a_module_dict_refuses(call, error, text):
    with pytest.raises(error, match=text):
        call(nn.ModuleDict())


# ---------------------------------------------------------------- ParameterList
def test_a_parameter_list_makes_parameters():
    p = nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(1))])
    assert isinstance(p[0], nn.Parameter)
    assert [n for n, _ in p.named_parameters()] == ["0", "1"]
    assert p.append(torch.ones(3)) is p
    p += ["text"]
    assert len(p) == 4
    assert list(p.state_dict()) == ["0", "1", "2"]
    assert p[-1] == "text"
    p[0] = torch.ones(4)
    assert [tuple(x.shape) for x in p[:2]] == [(4,), (1,)]


def test_a_parameter_list_prints_its_sizes():
    assert repr(nn.ParameterList([torch.ones(2), 3, torch.ones(2, 2)])) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [torch.float32 of size 2]\n"
        "    (1): Object of type: int\n"
        "    (2): Parameter containing: [torch.float32 of size 2x2]\n"
        ")"
    )


def test_a_parameter_list_refuses():
    p = nn.ParameterList([torch.ones(2)])
    with pytest.raises(IndexError, match="index 1 is out of range for 1 entries"):
        p[1]
    with pytest.raises(TypeError, match="not a Tensor"):
        p.extend(torch.ones(2))
    with pytest.raises(RuntimeError, match=r"ParameterList should not be called\."):
        p(1)


# ---------------------------------------------------------------- ParameterDict
def test_a_parameter_dict_is_a_dictionary():
    p = nn.ParameterDict({"b": torch.ones(1), "a": torch.zeros(2)})
    assert list(p) == ["a", "b"]
    assert list(reversed(p)) == ["b", "a"]
    assert isinstance(p["a"], nn.Parameter)
    assert p.get("x", 5) == 5
    assert p.setdefault("c", torch.ones(3)) is p.c
    assert p.popitem()[0] == "c"
    assert p.pop("a").tolist() == [0.0, 0.0]
    assert list((p | {"q": torch.ones(1)}).keys()) == ["b", "q"]
    assert list(({"q": 1} | p).keys()) == ["q", "b"]
    p |= {"r": 1}
    assert "r" in p
    assert list(p.fromkeys(["x", "y"])) == ["x", "y"]
    assert list(p.copy()) == ["b", "r"]
    p.clear()
    assert len(p) == 0


def test_a_parameter_dict_prints_its_types():
    assert repr(nn.ParameterDict({"a": torch.ones(2), "b": None})) == (
        "ParameterDict(\n"
        "    (a): Parameter containing: [torch.FloatTensor of size 2]\n"
        "    (b): Object of type: NoneType\n"
        ")"
    )


def test_a_parameter_dict_refuses():
    p = nn.ParameterDict()
    with pytest.raises(TypeError, match="must be a string, not 3 of type int"):
        p[3] = torch.ones(1)
    with pytest.raises(KeyError, match="already exists"):
        p["keys"] = torch.ones(1)
    with pytest.raises(KeyError):
        del p["nothing"]
    with pytest.raises(RuntimeError, match="should not be called"):
        p(1)
