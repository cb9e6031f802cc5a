"""Kernels that draw until a candidate is accepted: gamma, poisson, binomial; and rrelu's slopes.

How many numbers an element takes is known only when it is made, so these draw one at a time, in double. Gamma is
Marsaglia and Tsang's method (2000); large poisson and binomial numbers are Hörmann's transformed rejections
(PTRS 1993, BTRS 1993). The order of operations is PyTorch's, for one bit may decide whether a candidate passes.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from mashal.core import generator as memory
from mashal.lower import twister
from mashal.lower.stored import STORED, stored, widened
from mashal.machine.jit import provide_from_process
from mashal.machine.text import Function, Module, Value

provide_from_process("log", "log1p", "log1pf", "exp", "pow", "lgamma")

THIRD, CUBIC = 0.3333333432674408, 0.03310000151395798  # 1/3 and 0.0331 in float32
SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-1022}
STIRLING = (0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211)
STIRLING += (0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287)


# ---------------------------------------------------------------- kernels
def poisson(dtype: str) -> Module:
    """Poisson numbers, each with its own rate. Words: out, generator, rates, n.

    Returns the position of the first rate that is not >= 0; what stands before it has been made.
    """

    def one(f: Function, state: Value, rate: Value) -> Value:
        return f.call(
            "double", "one_poisson", state, f.convert("fpext", rate, "double") if dtype != "float64" else rate
        )

    return _elementwise(dtype, 1, _write_poisson, one, lambda rate: rate.compare("oge", 0.0))


def gamma(dtype: str) -> Module:
    """Gamma numbers of scale 1, each with its own shape; float32 or float64. Words: out, generator, shapes, n.

    A shape that is not >= 0 makes nan. No number is below the smallest normal one.
    """

    def one(f: Function, state: Value, alpha: Value) -> Value:
        x = stored(f, f.call("double", "one_gamma", state, alpha), dtype)
        return f.select(x.compare("olt", SMALLEST[dtype]), SMALLEST[dtype], x)

    return _elementwise(dtype, 1, lambda module: _write_gamma(module, STORED[dtype]), one)


def binomial(dtype: str) -> Module:
    """Binomial numbers; float32 or float64. Words: out, generator, counts, probabilities, n."""

    def one(f: Function, state: Value, count: Value, p: Value) -> Value:
        return f.call("double", "one_binomial", state, count, p)

    return _elementwise(dtype, 2, lambda module: _write_binomial(module, STORED[dtype]), one)


def slopes(dtype: str) -> Module:
    """rrelu's slopes: for each x <= 0 a number from [low, high), for the others 1, which draws nothing.

    Words: out, generator, x, low, high, n; dtype: of x and out.
    """
    module, f, words = twister.kernel()
    _write_next(module)
    out, state, x = (f.word(words, i, "ptr") for i in range(3))
    low, high = f.word(words, 3, "double"), f.word(words, 4, "double")

    def draw() -> Value:
        u = _uniform(f, state) * (high - low) + low
        return f.select(u.compare("oeq", high), low, u)

    def element(i: Value) -> None:
        falls = widened(f, f.load(x, i, STORED[dtype]), dtype).compare("ole", 0.0)
        f.store(stored(f, f.if_(falls, draw, lambda: f.constant("double", 1.0)), dtype), out, i)

    f.loop(0, f.word(words, 5), 1, element)
    f.end(f.i64(-1))
    return module


def _elementwise(dtype: str, inputs: int, write, one, valid: Callable[[Value], Value] | None = None) -> Module:
    module, f, words = twister.kernel()
    _write_next(module)
    write(module)
    out, state, *pointers = (f.word(words, i, "ptr") for i in range(2 + inputs))
    type = STORED[dtype]

    def element(i: Value) -> None:
        values = [widened(f, f.load(p, i, type), dtype) for p in pointers]
        if valid:
            f.return_if(f.op("i1", f"xor i1 {valid(values[0]).spelling}, true"), i)
        f.store(stored(f, one(f, state, *values), dtype), out, i)

    f.loop(0, f.word(words, 2 + inputs), 1, element)
    f.end(f.i64(-1))
    return module


# ---------------------------------------------------------------- one number at a time
def _uniform(f: Function, state: Value) -> Value:
    return f.call("double", "next_uniform", state)


def _log(f: Function, x: Value) -> Value:
    return f.call("double", "log", x)


def _write_next(module: Module) -> None:
    """double next_uniform(ptr state) and double next_normal(ptr state)."""
    f = module.function("next_uniform", "double", [("ptr", "state")], linkage="internal")
    state = f.parameters[0]
    made = f.call("i64", twister.MAKE, state, 2)
    raw = f.at(f.at(state, memory.HEADER, "i64"), f.word(state, memory.POSITION), "i32")
    u = twister.uniform53(f, raw, f.i64(0))
    f.call("void", twister.KEEP, state, made, 2)
    f.end(u)

    f = module.function("next_normal", "double", [("ptr", "state")], linkage="internal")
    state = f.parameters[0]
    waits = f.word(state, memory.HAS_CACHED).compare("ne", 0)

    def pair() -> Value:
        t, u = _uniform(f, state) * (2 * pi), _uniform(f, state)
        r = f.math("sqrt", f.call("double", "log1p", -u) * -2.0)
        sine, cosine = twister.sine_and_cosine(f, t)
        f.set_word(state, memory.CACHED, r * sine)
        return r * cosine

    z = f.if_(waits, lambda: f.word(state, memory.CACHED, "double"), pair)
    f.set_word(state, memory.HAS_CACHED, f.select(waits, f.i64(0), f.i64(1)))
    f.end(z)


# ---------------------------------------------------------------- gamma
def _write_gamma(module: Module, type: str) -> None:
    """double one_gamma(ptr state, T alpha); steps with alpha are taken in its own type T."""
    f = module.function("one_gamma", "double", [("ptr", "state"), (type, "alpha")], linkage="internal")
    state, alpha = f.parameters
    f.return_if(alpha.compare("oeq", 0.0), f.constant("double", 0.0))
    f.return_if(alpha.compare("ult", 0.0), f.constant("double", float("nan")))  # nan too
    small = alpha.compare("olt", 1.0)
    one = f.constant(type, 1.0)

    def double(x: Value) -> Value:
        return f.convert("fpext", x, "double") if type == "float" else x

    def power() -> Value:
        return f.call("double", "pow", 1.0 - _uniform(f, state), double(one / alpha))

    factor = f.if_(small, power, lambda: f.constant("double", 1.0))
    alpha = f.select(small, alpha + 1.0, alpha)
    d = double(alpha - THIRD)
    c = 1.0 / f.math("sqrt", d * 9.0)
    x, y = twister.Slot(f, f.constant("double", 0.0)), twister.Slot(f, f.constant("double", 0.0))
    open_ = twister.Slot(f, f.i64(1))

    def candidate() -> None:
        x.set(f.call("double", "next_normal", state))
        y.set(c * x.get() + 1.0)

    def attempt() -> None:
        y.set(f.constant("double", 0.0))
        twister.repeat_while(f, lambda: y.get().compare("ule", 0.0), candidate)
        v, xx, u = y.get() * y.get() * y.get(), x.get() * x.get(), 1.0 - _uniform(f, state)
        quick = u.compare("olt", 1.0 - xx * CUBIC * xx)
        exact = _log(f, u).compare("olt", xx * 0.5 + d * (1.0 - v + _log(f, v)))
        open_.set(f.select(quick | exact, f.i64(0), f.i64(1)))
        y.set(v)

    twister.repeat_while(f, lambda: open_.get().compare("ne", 0), attempt)
    f.end(factor * d * y.get())


# ---------------------------------------------------------------- poisson
def _write_poisson(module: Module) -> None:
    """double one_poisson(ptr state, double rate)."""
    f = module.function("one_poisson", "double", [("ptr", "state"), ("double", "rate")], linkage="internal")
    state, rate = f.parameters
    f.return_if(rate.compare("oeq", 0.0), f.constant("double", 0.0))
    f.end(f.if_(rate.compare("olt", 10.0), lambda: _few_events(f, state, rate), lambda: _many_events(f, state, rate)))


def _few_events(f: Function, state: Value, rate: Value) -> Value:
    limit = f.call("double", "exp", -rate)
    product, k = twister.Slot(f, _uniform(f, state)), twister.Slot(f, f.constant("double", 0.0))

    def more() -> None:
        product.set(product.get() * _uniform(f, state))
        k.set(k.get() + 1.0)

    twister.repeat_while(f, lambda: product.get().compare("ogt", limit), more)
    return k.get()


def _many_events(f: Function, state: Value, rate: Value) -> Value:
    log_rate = _log(f, rate)
    b = f.math("sqrt", rate) * 2.53 + 0.931
    a = b * 0.02483 + -0.059
    inverse = 1.1328 / (b - 3.4) + 1.1239
    limit = 0.9277 - 3.6224 / (b - 2.0)
    result = twister.Slot(f, f.constant("double", -1.0))

    def attempt() -> None:
        u, v = _uniform(f, state) - 0.5, _uniform(f, state)
        us = 0.5 - f.math("fabs", u)
        k = f.math("floor", ((a * 2.0) / us + b) * u + rate + 0.43)
        quick = us.compare("oge", 0.07) & v.compare("ole", limit)
        never = k.compare("olt", 0.0) | (us.compare("olt", 0.013) & v.compare("ogt", us))

        def exact() -> Value:
            left = _log(f, v) + _log(f, inverse) - _log(f, a / (us * us) + b)
            right = -rate + k * log_rate - f.call("double", "lgamma", k + 1.0)
            return f.select(left.compare("ole", right), k, -1.0)

        result.set(f.if_(quick | never, lambda: f.select(quick, k, -1.0), exact))

    twister.repeat_while(f, lambda: result.get().compare("olt", 0.0), attempt)
    return result.get()


# ---------------------------------------------------------------- binomial
def _write_binomial(module: Module, type: str) -> None:
    """double one_binomial(ptr state, T count, T p); products of count and p are taken in their own type T."""
    _write_stirling(module)
    f = module.function("one_binomial", "double", [("ptr", "state"), (type, "count"), (type, "p")], linkage="internal")
    state, count, p = f.parameters

    def double(x: Value) -> Value:
        return f.convert("fpext", x, "double") if type == "float" else x

    f.return_if(count.compare("ule", 0.0) | p.compare("ule", 0.0), f.constant("double", 0.0))
    f.return_if(p.compare("oge", 1.0), double(count))
    mirrored = p.compare("ogt", 0.5)
    other = 1.0 - double(p)
    p = f.select(mirrored, f.convert("fptrunc", other, "float") if type == "float" else other, p)
    few = (count * p).compare("olt", 10.0)
    k = f.if_(
        few, lambda: _few_successes(f, state, count, p, double), lambda: _many_successes(f, state, count, p, double)
    )
    f.end(f.select(mirrored, double(count) - k, k))


def _few_successes(f: Function, state: Value, count: Value, p: Value, double) -> Value:
    log_failure = double(f.call(p.type, "log1pf" if p.type == "float" else "log1p", -p))
    total, k = twister.Slot(f, f.constant("double", 0.0)), twister.Slot(f, f.constant("double", -1.0))

    def wait() -> None:
        total.set(total.get() + f.math("ceil", _log(f, _uniform(f, state)) / log_failure))
        k.set(k.get() + 1.0)

    twister.repeat_while(f, lambda: total.get().compare("ole", double(count)), wait)
    return k.get()


def _many_successes(f: Function, state: Value, count: Value, p: Value, double) -> Value:
    n, p_wide = double(count), double(p)
    deviation = double(f.math("sqrt", count * p * (1.0 - p)))
    b = deviation * 2.53 + 1.15
    a = b * 0.0248 + -0.0873 + p_wide * 0.01
    c = double(count * p) + 0.5
    limit = 0.92 - 4.2 / b
    odds = double(p / (1.0 - p))
    alpha = (5.1 / b + 2.83) * deviation
    m = double(f.math("floor", (count + 1.0) * p))
    result = twister.Slot(f, f.constant("double", -1.0))

    def attempt() -> None:
        u, v = _uniform(f, state) - 0.5, _uniform(f, state)
        us = 0.5 - f.math("fabs", u)
        k = f.math("floor", ((a * 2.0) / us + b) * u + c)
        outside = k.compare("olt", 0.0) | k.compare("ogt", n)
        quick = us.compare("oge", 0.07) & v.compare("ole", limit)

        def exact() -> Value:
            left = _log(f, v * alpha / (a / (us * us) + b))
            right = (m + 0.5) * _log(f, (m + 1.0) / (odds * (n - m + 1.0)))
            right = right + (n + 1.0) * _log(f, (n - m + 1.0) / (n - k + 1.0))
            right = right + (k + 0.5) * _log(f, odds * (n - k + 1.0) / (k + 1.0))
            right = right + _tail(f, m) + _tail(f, n - m) - _tail(f, k) - _tail(f, n - k)
            return f.select(left.compare("ole", right), k, -1.0)

        result.set(f.if_(outside | quick, lambda: f.select(outside, -1.0, k), exact))

    twister.repeat_while(f, lambda: result.get().compare("olt", 0.0), attempt)
    return result.get()


def _tail(f: Function, k: Value) -> Value:
    return f.call("double", "stirling_tail", k)


def _write_stirling(module: Module) -> None:
    """double stirling_tail(double k): what Stirling's formula leaves of log k!."""
    f = module.function("stirling_tail", "double", [("double", "k")], linkage="internal")
    k = f.parameters[0]
    near = f.constant("double", STIRLING[0])
    for i, tail in enumerate(STIRLING[1:], 1):
        near = f.select(k.compare("oge", float(i)), tail, near)
    s = (k + 1.0) * (k + 1.0)
    far = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / s) / s) / (k + 1.0)
    f.end(f.select(k.compare("olt", 10.0), near, far))
