"""How messages are built, and PyTorch's exception classes."""

import pickle

import pytest

from mashal import errors


@pytest.mark.parametrize("name", ["AcceleratorError", "LinAlgError", "OutOfMemoryError"])
def test_pytorchs_own_classes_are_runtime_errors_and_cross_processes(name):
    error = getattr(errors, name)("why")
    assert isinstance(error, RuntimeError)
    assert str(pickle.loads(pickle.dumps(error))) == "why"


@pytest.mark.parametrize(("words", "text"), [([], "nothing"), ([1], "1"), ([1, 2], "1 and 2"), ("abc", "a, b and c")])
def test_words_are_listed_as_in_a_sentence(words, text):
    assert errors.listed(words) == text


def test_a_missing_extra_names_the_line_that_installs_it():
    error = errors.missing_extra("onnx", "pip install onnx")
    assert isinstance(error, ImportError)
    assert (error.name, str(error)) == ("onnx", "onnx is not installed; to have it, run: pip install onnx")


@pytest.mark.parametrize(
    ("asked", "text"), [(10, "10 bytes were"), (3 << 20, "(3.00 MiB)"), (5 << 60, "(5120.00 PiB)")]
)
def test_out_of_memory_says_how_much_was_asked_for(asked, text):
    assert text in str(errors.out_of_memory("cpu", asked))
