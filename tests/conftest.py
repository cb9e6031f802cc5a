"""What all tests share: the devices there are, a clean slate after each, and no parity tests without PyTorch."""

from importlib.util import find_spec

import pytest

import mashal
from mashal.core import printing

HAS_TORCH = find_spec("torch") is not None
DEVICES = ["cpu", *["cuda"] * mashal.cuda.is_available()]


def pytest_collection_modifyitems(items):
    """Tests marked `parity` hold mashal against PyTorch; where it is not installed they are skipped."""
    for item in items:
        if item.get_closest_marker("parity") and not HAS_TORCH:
            item.add_marker(pytest.mark.skip(reason="PyTorch is not installed; `make parity` installs it"))


@pytest.fixture(params=DEVICES)
def device(request):
    """Every device of this machine, by name."""
    return request.param


@pytest.fixture(autouse=True)
def _defaults():
    """Print options, default dtype and gradient mode as a fresh process has them, after every test."""
    yield
    printing.set_printoptions(profile="default")
    mashal.set_default_dtype(mashal.float32)
    mashal.set_grad_enabled(True)
