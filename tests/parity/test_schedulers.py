"""Learning rate schedules held against PyTorch: the same learning rates and momenta, to the last bit."""

import inspect
import warnings

import pytest
import torch as pytorch

import mashal
from mashal import optim
from mashal.optim import lr_scheduler

pytestmark = pytest.mark.parity

SCHEDULES = {
    "step": lambda s, o: s.StepLR(o, 3, gamma=0.3),
    "multi step": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], gamma=0.5),
    "constant": lambda s, o: s.ConstantLR(o, factor=0.3, total_iters=4),
    "linear": lambda s, o: s.LinearLR(o, start_factor=0.1, end_factor=0.9, total_iters=7),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.93),
    "polynomial": lambda s, o: s.PolynomialLR(o, total_iters=9, power=1.7),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=6, eta_min=0.01),
    "warm restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.001),
    "function": lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    "functions": lambda s, o: s.LambdaLR(o, [lambda epoch: 1 / (epoch + 1), lambda epoch: 0.5]),
    "product": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 1 - epoch / 100),
    "one cycle": lambda s, o: s.OneCycleLR(o, max_lr=0.7, total_steps=25),
    "one cycle, linear": lambda s, o: s.OneCycleLR(
        o, [0.7, 0.2], epochs=5, steps_per_epoch=5, anneal_strategy="linear"
    ),
    "one cycle, three phases": lambda s, o: s.OneCycleLR(
        o, 0.7, total_steps=24, three_phase=True, cycle_momentum=False
    ),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.3, step_size_up=4),
    "cyclic, lower": lambda s, o: s.CyclicLR(o, 0.01, 0.3, step_size_up=3, step_size_down=2, mode="triangular2"),
    "cyclic, exponential": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.3, step_size_up=3, mode="exp_range", gamma=0.97),
    "cyclic, own": lambda s, o: s.CyclicLR(o, 0.01, 0.3, 3, scale_fn=lambda x: 1 / x, cycle_momentum=False),
    "sequence": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 5)], [4, 9]
    ),
    "chain": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)]),
}
AVERAGING = {
    "cosine": {"swa_lr": 0.05, "anneal_epochs": 5},
    "linear": {"swa_lr": [0.05, 0.1], "anneal_epochs": 7, "anneal_strategy": "linear"},
    "at once": {"swa_lr": 0.05, "anneal_epochs": 0},
}
WITH_CLOSED_FORM = ["step", "multi step", "constant", "linear", "exponential", "polynomial", "cosine"]


def parameters(of):
    make = pytorch.zeros if of is pytorch.optim else mashal.zeros
    return [{"params": [make(3)]}, {"params": [make(2)], "lr": 0.05}]


def momentum_optimizer(of):
    return of.SGD(parameters(of), lr=0.2, momentum=0.9)


def adam(of):
    return of.Adam(parameters(of), lr=0.2)


def options(optimizer):
    return [{k: v for k, v in g.items() if k in ("lr", "momentum", "betas")} for g in optimizer.param_groups]


def trail(of, scheduler, make, optimizer, steps=25):
    o = optimizer(of)
    s = make(scheduler, o)
    seen = [(options(o), list(s.get_last_lr()))]
    for _ in range(steps - 1):
        o.step()
        s.step()
        seen.append((options(o), list(s.get_last_lr())))
    return seen


@pytest.mark.parametrize("optimizer", [momentum_optimizer, adam])
@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_are_the_same(name, optimizer):
    mine = trail(optim, lr_scheduler, SCHEDULES[name], optimizer)
    assert mine == trail(pytorch.optim, pytorch.optim.lr_scheduler, SCHEDULES[name], optimizer)


@pytest.mark.parametrize("name", WITH_CLOSED_FORM)
@pytest.mark.parametrize("epoch", [0, 3, 7, 20])
def test_an_epoch_can_be_given(name, epoch):
    seen = []
    for of in (optim, pytorch.optim):
        optimizer = momentum_optimizer(of)
        schedule = SCHEDULES[name](of.lr_scheduler, optimizer)
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule.step(epoch)
        seen.append(options(optimizer))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("epoch", [0.5, 2, 3.25, 9, 10.5, 21])
@pytest.mark.parametrize("t_mult", [1, 2])
def test_restarts_take_fractions_of_epochs(epoch, t_mult):
    seen = []
    for of in (optim, pytorch.optim):
        optimizer = momentum_optimizer(of)
        of.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=t_mult).step(epoch)
        seen.append(options(optimizer))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "arguments", [{}, {"mode": "max"}, {"threshold_mode": "abs", "cooldown": 2}, {"min_lr": [0.01, 0.02]}]
)
def test_plateaus_are_the_same(arguments):
    measures = [3.0, 2.5, 2.4, 2.4, 2.6, 2.6, 2.39, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.3, 2.4, 2.4, 2.4]
    seen = []
    for of in (optim, pytorch.optim):
        optimizer = momentum_optimizer(of)
        schedule = of.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, **arguments)
        for measure in measures:
            schedule.step(measure)
            seen.append((of, options(optimizer), schedule.num_bad_epochs, schedule.in_cooldown, schedule.best))
    half = len(seen) // 2
    assert [x[1:] for x in seen[:half]] == [x[1:] for x in seen[half:]]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_state_dict_of_pytorch_goes_on_here(name):
    theirs_optimizer, mine_optimizer = momentum_optimizer(pytorch.optim), momentum_optimizer(optim)
    theirs = SCHEDULES[name](pytorch.optim.lr_scheduler, theirs_optimizer)
    mine = SCHEDULES[name](lr_scheduler, mine_optimizer)
    for _ in range(6):
        theirs_optimizer.step()
        theirs.step()
    mine.load_state_dict(theirs.state_dict())
    for own, other in zip(mine_optimizer.param_groups, theirs_optimizer.param_groups, strict=True):
        own.update({k: v for k, v in other.items() if k != "params"})
    for _ in range(6):
        for optimizer, schedule in ((theirs_optimizer, theirs), (mine_optimizer, mine)):
            optimizer.step()
            schedule.step()
        assert options(mine_optimizer) == options(theirs_optimizer)


@pytest.mark.parametrize("name", SCHEDULES)
def test_state_dicts_have_the_same_keys(name):
    keys = []
    for of in (optim, pytorch.optim):
        optimizer = momentum_optimizer(of)
        schedule = SCHEDULES[name](of.lr_scheduler, optimizer)
        keys.append(set(schedule.state_dict()))
    assert keys[0] == keys[1]


@pytest.mark.parametrize("name", sorted(set(pytorch.optim.lr_scheduler.__all__) - {"LRScheduler"}))
def test_signatures_are_the_same(name):
    mine, theirs = (
        [
            (p.name, p.default, p.kind)
            for p in inspect.signature(getattr(of.lr_scheduler, name).__init__).parameters.values()
        ]
        for of in (optim, pytorch.optim)
    )
    assert mine == theirs


@pytest.mark.parametrize("arguments", AVERAGING.values(), ids=AVERAGING)
def test_the_schedule_for_averaging_is_the_same(arguments):
    seen = []
    for of in (optim, pytorch.optim):
        optimizer = momentum_optimizer(of)
        schedule = of.swa_utils.SWALR(optimizer, **arguments)
        for _ in range(10):
            seen.append((of, options(optimizer)))
            optimizer.step()
            schedule.step()
    assert [x[1] for x in seen[:10]] == [x[1] for x in seen[10:]]
