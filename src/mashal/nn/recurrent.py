"""Layers that read a sequence step by step: RNN, LSTM, GRU, in several layers and both directions.

What the input contributes is one product for the whole sequence; mashal.ops.recurrent does the steps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from mashal.core.tensor import Tensor
from mashal.nn import functional as F
from mashal.nn import init
from mashal.nn.module import Module
from mashal.nn.parameter import Parameter
from mashal.nn.utils.packed import PackedSequence
from mashal.ops import cat, empty, stack
from mashal.ops.recurrent import CELLS, steps

__all__ = ["GRU", "LSTM", "RNN", "RNNBase"]


class RNNBase(Module):
    """What RNN, LSTM and GRU have in common: the parameters of every layer and direction, and the walk through them.

    Parameters of layer k: weight_ih_lk (gates · hidden_size, inputs), weight_hh_lk (gates · hidden_size, hidden_size), with
    bias also bias_ih_lk and bias_hh_lk (gates · hidden_size,); the other direction's end in _reverse. All are drawn evenly from
    ±1 / sqrt(hidden_size).
    """

    __constants__ = [
        "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size",
    ]  # fmt: skip
    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None,
                 dtype: Any = None) -> None:  # fmt: skip
        super().__init__()
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        self.proj_size = proj_size
        _check(type(self).__name__, mode, dropout, input_size, hidden_size, num_layers, proj_size)
        made = {"device": device, "dtype": dtype}
        rows, out = CELLS[mode].gates * hidden_size if mode in CELLS else hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else out * self._directions
            for ending in ("", "_reverse")[: self._directions]:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, out)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(self, f"{name}_l{layer}{ending}", Parameter(empty(shape, **made)))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: parameters are read where they are."""

    @property
    def _all_weights(self) -> list[list[str]]:
        kinds = [
            "weight_ih",
            "weight_hh",
            *(["bias_ih", "bias_hh"] if self.bias else []),
            *(["weight_hr"] if self.proj_size else []),
        ]
        endings = ("", "_reverse")[: self._directions]
        return [[f"{k}_l{layer}{ending}" for k in kinds] for layer in range(self.num_layers) for ending in endings]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    _DERIVED = ("_all_weights", "_flat_weights_names", "_flat_weights")  # what PyTorch's layers keep, and files say

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {name: getattr(self, name) for name in self._DERIVED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"proj_size": 0} | {k: v for k, v in state.items() if k not in self._DERIVED})

    # ------------------------------------------------------------ checks
    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """RuntimeError or ValueError for an input that does not fit the parameters."""
        name, weight = type(self).__name__, getattr(self, "weight_ih_l0")  # noqa: B009
        if input.dtype is not weight.dtype:
            raise ValueError(f"{name}: RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype})")
        expected = 2 if batch_sizes is not None else 3
        if input.dim() != expected:
            raise RuntimeError(f"{name}: input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"{name}: input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that a state must have for an input."""
        batch = int(batch_sizes[0]) if batch_sizes is not None else input.size(0 if self.batch_first else 1)
        return self.num_layers * self._directions, batch, self.proj_size or self.hidden_size

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """RuntimeError unless a state has this shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            raise RuntimeError(f"{type(self).__name__}: {msg.format(expected_hidden_size, list(hx.size()))}")

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """RuntimeError or ValueError for an input or a state that does not fit."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """A state with its sequences in another order."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # ------------------------------------------------------------ the walk
    def _read(self, input: Any, states: list[Tensor] | None) -> tuple[Any, list[Tensor]]:
        """(output as the input was: packed, batched or not; states after the last step)."""
        packed = input if isinstance(input, PackedSequence) else None
        x: Any = input if packed is None else packed.data
        batch_sizes = None if packed is None else packed.batch_sizes
        batched = packed is not None or x.dim() == 3
        if packed is None:
            if x.dim() not in (2, 3):
                raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {x.dim()}D instead")
            _check_ranks(type(self).__name__, batched, states)
            if not batched:
                x, states = x.unsqueeze(0 if self.batch_first else 1), states and [s.unsqueeze(1) for s in states]
        order = None if packed is None else packed.sorted_indices
        if states is None:
            states = self._first_states(x, batch_sizes)
        else:
            states = [self.permute_hidden(s, order) for s in states]
        self.check_forward_args(x, states[0] if len(states) == 1 else tuple(states), batch_sizes)
        if packed is not None:
            rows, last = self._layers(x, states, packed.batch_sizes.tolist())  # type: ignore[attr-defined]
            last = [self.permute_hidden(s, packed.unsorted_indices) for s in last]
            return PackedSequence(rows, packed.batch_sizes, order, packed.unsorted_indices), last
        x = x.transpose(0, 1) if self.batch_first else x
        length, batch = x.size(0), x.size(1)
        rows, last = self._layers(x.reshape(length * batch, x.size(2)), states, [batch] * length)
        output = rows.view(length, batch, rows.size(1))  # type: ignore[attr-defined]
        output = output.transpose(0, 1) if self.batch_first else output
        if not batched:
            return output.squeeze(0 if self.batch_first else 1), [s.squeeze(1) for s in last]  # type: ignore[attr-defined]
        return output, last

    def _first_states(self, x: Tensor, batch_sizes: Tensor | None) -> list[Tensor]:
        many, batch, width = self.get_expected_hidden_size(x, batch_sizes)
        shapes = [(many, batch, width), (many, batch, self.hidden_size)][: CELLS[self.mode].states]
        return [x.new_zeros(shape) for shape in shapes]  # type: ignore[attr-defined]

    def _layers(self, rows: Tensor, states: Sequence[Tensor], sizes: list[int]) -> tuple[Tensor, list[Tensor]]:
        if not sizes:
            raise RuntimeError(f"{type(self).__name__}: Expected sequence length to be larger than 0 in RNN")
        cell, last = CELLS[self.mode], []
        for layer in range(self.num_layers):
            outputs = []
            for direction, ending in enumerate(("", "_reverse")[: self._directions]):
                of = lambda name: getattr(self, f"{name}_l{layer}{ending}", None)  # noqa: B023
                given = F.linear(rows, of("weight_ih"), of("bias_ih"))
                k = layer * self._directions + direction
                output, after = steps(
                    cell, given, [s[k] for s in states], of("weight_hh"), of("bias_hh"), sizes, direction == 1, of("weight_hr")  # type: ignore[arg-type]
                )  # fmt: skip
                outputs.append(output)
                last.append(after)
            rows = outputs[0] if len(outputs) == 1 else cat(outputs, 1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                rows = F.dropout(rows, self.dropout, True)
        return rows, [stack(list(each)) for each in zip(*last)]

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, (last,) = self._read(input, None if hx is None else [hx])
        return output, last

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}"
        usual = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        return shown + "".join(f", {k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k) != v)


def _check(
    name: str, mode: str, dropout: Any, input_size: int, hidden_size: Any, num_layers: int, proj_size: int
) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ValueError(
            f"{name}: dropout should be a number in range [0, 1], the probability of an element being zeroed, not {dropout!r}"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            f"{name}: dropout is done after all but the last layer, so with num_layers=1 dropout={dropout} does nothing",
            stacklevel=4,
        )
    if not isinstance(hidden_size, int):
        raise TypeError(f"{name}: hidden_size should be of type int, got: {type(hidden_size).__name__}")
    if input_size <= 0:
        raise ValueError(f"{name}: input_size must be greater than zero, not {input_size}")
    if hidden_size <= 0:
        raise ValueError(f"{name}: hidden_size must be greater than zero, not {hidden_size}")
    if num_layers <= 0:
        raise ValueError(f"{name}: num_layers must be greater than zero, not {num_layers}")
    if not 0 <= proj_size < hidden_size:
        raise ValueError(
            f"{name}: proj_size must be 0 or a positive integer smaller than hidden_size {hidden_size}, not {proj_size}"
        )
    if mode not in CELLS:
        raise ValueError(f"{name}: Unrecognized RNN mode: {mode!r}; there are {', '.join(CELLS)}")


def _check_ranks(name: str, batched: bool, states: Sequence[Tensor] | None) -> None:
    rank = 3 if batched else 2
    for state in states or ():
        if state.dim() != rank:
            what = "hx and cx should" if len(states or ()) == 2 else "hx should"
            kind = "batched 3-D" if batched else "unbatched 2-D"
            raise RuntimeError(f"{name}: For {kind} input, {what} also be {rank}-D but got a {state.dim()}-D tensor")


class RNN(RNNBase):
    """h' = tanh(W_ih·x + b_ih + W_hh·h + b_hh) at every step; nonlinearity="relu" instead of tanh.

    input: (steps, batch, input_size), with batch_first (batch, steps, input_size), without batch (steps, input_size), or a
    PackedSequence; hx: (layers · directions, batch, hidden_size), by default 0. Returns the output of the last layer, and hx after
    the last step. dropout: after all layers but the last, while training.

    >>> output, h = nn.RNN(10, 20, 2)(torch.ones(5, 3, 10))
    >>> output.shape, h.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
                 proj_size: int = 0) -> None:  # fmt: skip
        if proj_size:
            raise ValueError("RNN: proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
                         device=device, dtype=dtype)  # fmt: skip


class LSTM(RNNBase):
    """Long short-term memory: gates i, f, o = σ(…), g = tanh(…); c' = f·c + i·g, h' = o·tanh(c').

    Shapes as RNN's; the state is a pair (h, c). proj_size: h is W_hr·(o·tanh(c')), of so many elements.
    Returns (output of the last layer, (h, c) after the last step).

    >>> output, (h, c) = nn.LSTM(10, 20, 2)(torch.ones(5, 3, 10))
    >>> output.shape, c.shape
    (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None,
                 dtype: Any = None) -> None:  # fmt: skip
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that c must have for an input."""
        many, batch, _ = self.get_expected_hidden_size(input, batch_sizes)
        return many, batch, self.hidden_size

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """RuntimeError or ValueError for an input or a state that does not fit."""
        self.check_input(input, batch_sizes)
        sizes = self.get_expected_hidden_size(input, batch_sizes), self.get_expected_cell_size(input, batch_sizes)
        for state, size, which in zip(hidden, sizes, ("hidden[0]", "hidden[1]")):
            self.check_hidden_size(state, size, f"Expected {which} size {{}}, got {{}}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """A state, or both, with the sequences in another order."""
        if isinstance(hx, tuple):
            return tuple(super(LSTM, self).permute_hidden(x, permutation) for x in hx)
        return super().permute_hidden(hx, permutation)

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, last = self._read(input, None if hx is None else list(hx))
        return output, tuple(last)


class GRU(RNNBase):
    """Gated recurrent unit: r, z = σ(…), n = tanh(W_in·x + b_in + r·(W_hn·h + b_hn)); h' = (1 - z)·n + z·h.

    Shapes as RNN's. Returns (output of the last layer, hx after the last step).

    >>> output, h = nn.GRU(10, 20, bidirectional=True)(torch.ones(5, 3, 10))
    >>> output.shape, h.shape
    (torch.Size([5, 3, 40]), torch.Size([2, 3, 20]))
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
                 proj_size: int = 0) -> None:  # fmt: skip
        if proj_size:
            raise ValueError("GRU: proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
