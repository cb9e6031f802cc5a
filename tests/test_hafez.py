"""examples/hafez.py: it trains compiled, goes on after an interruption with the same numbers, and writes with kept keys and values."""

import importlib.util
from pathlib import Path

import pytest

import mashal as torch

PLACE = Path(__file__).parents[1] / "examples" / "hafez.py"


@pytest.fixture(scope="module")
def hafez():
    spec = importlib.util.spec_from_file_location("hafez", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.CONTEXT, module.WIDTH, module.HEADS, module.LAYERS, module.BATCH, module.EVERY = 16, 20, 2, 2, 4, 2
    return module


@pytest.fixture(scope="module")
def poems(hafez):
    return hafez.Poems(PLACE.parent / "data" / "hafez.txt")


def test_the_whole_step_is_one_recording(hafez, poems, tmp_path):
    training = hafez.Training(poems, 6)
    training.run(tmp_path / "model")
    assert len(training.step.recordings.all) == 1, training.step.recordings.refusal
    assert [step for step, _, _ in training.losses] == [2, 4, 6]


def test_training_goes_on_with_the_same_numbers(hafez, poems, tmp_path):
    whole = hafez.Training(poems, 8)
    whole.run(tmp_path / "whole")
    first = hafez.Training(poems, 8)
    first.steps = 4
    first.run(tmp_path / "half")
    second = hafez.Training(poems, 8)
    second.load(tmp_path / "half")
    second.run(tmp_path / "half")
    assert second.losses == whole.losses
    assert all(torch.equal(a, b) for a, b in zip(second.model.state_dict().values(), whole.model.state_dict().values()))


def test_kept_keys_and_values_give_the_scores_of_the_whole_text(hafez, poems):
    torch.manual_seed(0)
    model = hafez.GPT(len(poems.characters)).eval()
    numbers = poems.train[:10]
    kept = [tuple(torch.zeros(1, 2, 16, 10) for _ in range(2)) for _ in range(2)]
    with torch.no_grad():
        each = [model.next(n.view(1, 1), torch.tensor([i]), kept)[0, 0] for i, n in enumerate(numbers)]
        torch.testing.assert_close(torch.stack(each), model(numbers[None])[0])


def test_it_writes_a_verse_and_draws_its_losses(hafez, poems):
    torch.manual_seed(0)
    text = hafez.write(hafez.GPT(len(poems.characters)), poems.characters)
    assert set(text) <= set(poems.characters)
    assert hafez.curve([(2, 3.0, 3.1), (4, 2.0, 2.2)]).count("<polyline") == 2


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(hafez, poems, tmp_path, capsys):
    training = hafez.Training(poems, 4)
    training.run(tmp_path / "model.pth")
    before = (tmp_path / "model.pth").read_bytes()
    (tmp_path / "model.new").mkdir()
    training.save(tmp_path / "model.pth")
    assert "model.pth was not written" in capsys.readouterr().out
    assert (tmp_path / "model.pth").read_bytes() == before


@pytest.mark.parametrize("found", [None, b"", b"verse"], ids=["none", "empty", "another"])
def test_a_checkpoint_that_is_none_is_said_to_be(hafez, found, tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    if found is not None:
        path.write_bytes(found)
    monkeypatch.setattr(hafez, "CHECKPOINT", path)
    monkeypatch.setattr("sys.argv", ["hafez.py", "--resume"])
    with pytest.raises(SystemExit, match="no checkpoint" if found is None else "is damaged, or not of this model"):
        hafez.main()


@pytest.mark.parametrize("steps", ["0", "-3", "many"])
def test_a_number_of_steps_that_is_none_is_refused(hafez, steps, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["hafez.py", "--steps", steps])
    with pytest.raises(SystemExit):
        hafez.main()
    assert "no number of steps" in capsys.readouterr().err or steps == "-3"
