"""The mask that `attn_implementation="triangle"` hands to a model of transformers.

transformers gives a mask to the model, not to the attention function, and trusts the layers to pass it on. A layer with
arithmetic of its own (Bloom's, remote code) would take None for "hide nothing" and add a bool mask to its scores as 0
and 1: in both cases tokens would see the future, silently. So no such value is handed out. `CausalMask` is no tensor;
only `triangle_attention_forward` can read it, and whatever else a layer does with it is an error.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

EAGER = 'use attn_implementation="eager"'
NOT_ROUTED = (
    "its attention does not go through transformers' AttentionInterface, so the operator would not be called and the "
    "causal rule would be lost"
)


class CausalMask:
    """What one forward pass hides, for the operator alone.

    Args:
        shape: (B, 1, Sq, Sk), what the mask would have written out.
        padding: bool `[B, 1, 1, Sk]`, True = may attend: keys hidden beside the causal rule and the layer's window.
        written: bool `[B, 1, Sq, Sk]`: the mask says everything, and neither causal rule nor window is added.
        diagonal: with `written`, the least one known to hide nothing more than it; None where that is not known.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        padding: Tensor | None = None,
        written: Tensor | None = None,
        diagonal: int | None = None,
    ) -> None:
        self._shape, self.padding, self.written, self.diagonal = shape, padding, written, diagonal

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def ndim(self) -> int:
        return 4

    def dim(self) -> int:
        return 4

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def to(self, device: Any, *args: Any, **kwargs: Any) -> CausalMask:
        """On another device, as accelerate's hooks ask for where layers are spread over several; no other dtype."""
        padding, written = (part if part is None else part.to(device) for part in (self.padding, self.written))
        if any(part is not None and part.dtype is not torch.bool for part in (padding, written)):
            _refuse("to")
        return CausalMask(self._shape, padding, written, self.diagonal)

    def contiguous(self) -> CausalMask:
        return self

    def __getitem__(self, index: Any) -> CausalMask:
        """Only what cuts nothing off, such as `mask[:, :, :, :key_length]`."""
        index = index if isinstance(index, tuple) else (index,)
        if Ellipsis in index:
            at = index.index(Ellipsis)
            index = index[:at] + (slice(None),) * (5 - len(index)) + index[at + 1 :]
        for part, length in zip(index, self.shape):
            if not isinstance(part, slice) or part.indices(length) != (0, length, 1):
                _refuse(f"the index {part}")
        return self

    def __repr__(self) -> str:
        padding, written = self.padding is not None, self.written is not None
        return f"CausalMask(shape={list(self.shape)}, padding={padding}, written={written})"

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        _refuse(getattr(function, "__name__", str(function)))

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(_message(name))


def _message(operation: str) -> str:
    return f"attn_implementation: a layer of the model uses the mask by itself ({operation}): {NOT_ROUTED}; {EAGER}"


def _refuse(operation: str) -> NoReturn:
    raise NotImplementedError(_message(operation))
