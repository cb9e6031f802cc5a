"""Learning rate schedules: what they do to an optimizer, and what they warn of. Their values: tests/parity."""

import pickle
import warnings

import pytest

import mashal
from mashal import optim
from mashal.optim import lr_scheduler


@pytest.fixture
def optimizer():
    return optim.SGD([mashal.ones(1).requires_grad_()], lr=1.0, momentum=0.9)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def rates(optimizer, scheduler, steps):
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_a_schedule_sets_the_learning_rate(optimizer):
    assert rates(optimizer, lr_scheduler.StepLR(optimizer, 2, gamma=0.5), 5) == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_a_learning_rate_that_is_a_tensor_stays_that_tensor():
    lr = mashal.tensor(1.0)
    optimizer = optim.SGD([mashal.ones(1)], lr=lr)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.5


def test_the_wrong_order_of_steps_warns(optimizer):
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match=r"called before optimizer.step\(\)"):
        scheduler.step()


def test_steps_before_the_schedule_was_made_do_not_count(optimizer):
    optimizer.step()
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="before"):
        scheduler.step()


def test_a_replaced_step_warns(optimizer):
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    optimizer.step = lambda closure=None: None
    with pytest.warns(UserWarning, match="has been replaced"):
        scheduler.step()


def test_get_lr_by_hand_warns(optimizer):
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


def test_a_given_epoch_warns(optimizer):
    scheduler = lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    optimizer.step()
    with pytest.warns(UserWarning, match="deprecated"):
        scheduler.step(4)
    assert scheduler.get_last_lr() == [0.25]


def test_a_loaded_schedule_goes_on(optimizer):
    scheduler = lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    rates(optimizer, scheduler, 3)
    saved = pickle.loads(pickle.dumps(scheduler.state_dict()))
    again = lr_scheduler.StepLR(optimizer, 1)
    again.load_state_dict(saved)
    assert (again.last_epoch, again.step_size, again.get_last_lr()) == (3, 2, [0.5])


def test_resuming_needs_the_first_learning_rate(optimizer):
    with pytest.raises(KeyError, match="no 'initial_lr'"):
        lr_scheduler.StepLR(optimizer, 2, last_epoch=3)


def test_a_function_object_keeps_its_attributes_in_a_state_dict(optimizer):
    class Decay:
        factor = 0.5

        def __call__(self, epoch):
            return self.factor**epoch

    function = Decay()
    function.factor = 0.25
    saved = lr_scheduler.LambdaLR(optimizer, function).state_dict()
    assert saved["lr_lambdas"] == [{"factor": 0.25}]
    again = lr_scheduler.LambdaLR(optimizer, Decay())
    again.load_state_dict(saved)
    assert again.lr_lambdas[0].factor == 0.25


def test_one_step_too_many_of_a_cycle_is_an_error(optimizer):
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=3)
    rates(optimizer, scheduler, 3)
    with pytest.raises(ValueError, match="step 4 of a schedule of 3 steps"):
        scheduler.step()


def test_a_cycle_moves_the_first_beta_of_adam():
    optimizer = optim.Adam([mashal.ones(1)])
    lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)


def test_a_plateau_takes_a_tensor(optimizer):
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for loss in (1.0, 1.0):
        scheduler.step(mashal.tensor(loss))
    assert scheduler.get_last_lr() == [0.5]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda o: lr_scheduler.StepLR(3, 2), TypeError, "int; it must be an Optimizer"),
        (lambda o: lr_scheduler.LambdaLR(o, [len, len]), ValueError, "2 functions"),
        (lambda o: lr_scheduler.MultiplicativeLR(o, 0.5), TypeError, "lr_lambda is a float"),
        (lambda o: lr_scheduler.ConstantLR(o, factor=2.0), ValueError, "factor is 2.0"),
        (lambda o: lr_scheduler.LinearLR(o, start_factor=0.0), ValueError, "start_factor is 0.0"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0), ValueError, "how many steps"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=-1), ValueError, "total_steps is -1"),
        (lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=9, pct_start=2.0), ValueError, "pct_start is 2.0"),
        (lambda o: lr_scheduler.OneCycleLR(o, [1.0, 2.0], total_steps=9), ValueError, "max_lr has 2 values"),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, mode="square"), ValueError, "mode is 'square'"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor is 1.0"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, "best"), ValueError, "mode is 'best'"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 is 0"),
        (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "empty"),
        (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 1)], [3]), ValueError, "1 milestones for 1"),
        (lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)]), ValueError, "needs a measure"),
    ],
)
def test_what_makes_no_schedule_is_refused(optimizer, make, error, text):
    with pytest.raises(error, match=text):
        make(optimizer)


def test_schedules_of_different_optimizers_do_not_combine(optimizer):
    other = optim.SGD([mashal.ones(1)], lr=1.0)
    with pytest.raises(ValueError, match="another optimizer"):
        lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(other, 1)], [])
