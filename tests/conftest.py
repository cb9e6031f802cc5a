"""What all tests share: the devices there are, a clean slate after each, and no parity tests without PyTorch."""

import gc
from importlib.util import find_spec
from pathlib import Path

import pytest

import mashal
from mashal.core import printing

HAS_TORCH = find_spec("torch") is not None
DEVICES = ["cpu", *["cuda"] * mashal.cuda.is_available()]


GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="write what tests show to tests/golden")


def pytest_collection_modifyitems(items):
    """Tests marked `parity` hold mashal against PyTorch; where it is not installed they are skipped."""
    for item in items:
        if item.get_closest_marker("parity") and not HAS_TORCH:
            item.add_marker(pytest.mark.skip(reason="PyTorch is not installed; `make parity` installs it"))


def pytest_collection_finish():
    """The tests themselves are no garbage: the collections that tests ask for needn't look at them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=DEVICES)
def device(request):
    """Every device of this machine, by name."""
    return request.param


@pytest.fixture(params=["float16", "bfloat16", "float32", "float64"])
def floating_dtype(request):
    """Every floating dtype."""
    return getattr(mashal, request.param)


@pytest.fixture
def golden(request):
    """The text recorded for this test in tests/golden; `--update-golden` records it anew. `assert text == golden`."""
    return Golden(GOLDEN / f"{request.node.name}.txt", request.config.getoption("--update-golden"))


class Golden:
    """A recorded text, equal to what it is compared with when it is being recorded."""

    def __init__(self, path, update):
        self.path, self.update = path, update

    def __repr__(self):
        return repr(self.path.read_text(encoding="utf-8") if self.path.exists() else "")

    def __eq__(self, text):
        if self.update:
            self.path.parent.mkdir(exist_ok=True)
            self.path.write_text(text, encoding="utf-8")
        return self.path.read_text(encoding="utf-8") == text

    __hash__ = None


@pytest.fixture(autouse=True)
def _defaults():
    """Print options, default dtype and gradient mode as a fresh process has them, after every test."""
    yield
    printing.set_printoptions(profile="default")
    mashal.set_default_dtype(mashal.float32)
    mashal.set_grad_enabled(True)
