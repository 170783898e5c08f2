"""The masks that `attn_implementation="triangle"` hands to a model of transformers.

transformers gives a mask to the model, not to the attention function, and trusts the layers to pass it on. A layer with
arithmetic of its own (Bloom's, remote code) would take None for "hide nothing" and add a bool mask to its scores as 0
and 1: in both cases tokens would see the future, silently. So no such value is handed out. An `OpaqueMask` is no
tensor; only the forward of the implementation it was made for can read it, and whatever else a layer does with it is an
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

EAGER = 'use attn_implementation="eager"'
NOT_ROUTED = (
    "attention that does not go through transformers' AttentionInterface would not call the operator and would lose "
    "the causal rule"
)


class NotRoutedError(NotImplementedError, AttributeError):
    """A layer used a mask by itself. An AttributeError too, so that hasattr() is answered."""


@dataclass(frozen=True)
class Documents:
    """Packed documents: int32 offsets `[documents + 1]` into the B * S tokens of a pass, for queries and for keys, and
    upper bounds of a document's length."""

    cu_seq_q: Tensor
    cu_seq_k: Tensor
    max_q: int
    max_k: int


class OpaqueMask:
    """A mask of a shape (B, 1, Sq, Sk), bool, that nothing can compute with."""

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        self.shape = shape

    @property
    def ndim(self) -> int:
        return 4

    def dim(self) -> int:
        return 4

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def contiguous(self) -> OpaqueMask:
        return self

    def to(self, device: Any, *args: Any, **kwargs: Any) -> OpaqueMask:
        """On another device, as accelerate's hooks ask for where layers are spread over several; no other dtype."""
        if isinstance(device, torch.dtype):
            _refuse("to")
        return self

    def __getitem__(self, index: Any) -> OpaqueMask:
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
        return f"{type(self).__name__}(shape={list(self.shape)})"

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> NoReturn:
        _refuse(getattr(function, "__name__", str(function)))

    def __getattr__(self, name: str) -> NoReturn:
        _refuse(name)


class CausalMask(OpaqueMask):
    """What one forward pass hides in a causal layer.

    Args:
        shape: (B, 1, Sq, Sk).
        padding: bool `[B, 1, 1, Sk]`, True = may attend: keys hidden beside the causal rule and the layer's window.
        documents: tokens of one document see each other only, under the causal rule and the layer's window.
        written: bool `[B, 1, Sq, Sk]`: the mask says everything, and neither causal rule nor window is added.
        diagonal: with `written`, the least one known to hide nothing more than it; None where that is not known.
        intervals: int32 `[B, 1, Sk, 1]`, startend_row_indices: chunks, under the causal rule and `padding` alone.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int],
        padding: Tensor | None = None,
        documents: Documents | None = None,
        written: Tensor | None = None,
        diagonal: int | None = None,
        intervals: Tensor | None = None,
    ) -> None:
        super().__init__(shape)
        self.padding, self.documents, self.written, self.diagonal = padding, documents, written, diagonal
        self.intervals = intervals

    def to(self, device: Any, *args: Any, **kwargs: Any) -> CausalMask:
        super().to(device)
        padding, written, intervals = (
            part if part is None else part.to(device) for part in (self.padding, self.written, self.intervals)
        )
        documents = self.documents
        if documents is not None:
            offsets = documents.cu_seq_q.to(device), documents.cu_seq_k.to(device)
            documents = Documents(*offsets, documents.max_q, documents.max_k)
        return CausalMask(self.shape, padding, documents, written, self.diagonal, intervals)


class BidirectionalMask(OpaqueMask):
    """What one forward pass hides in layers without a causal rule: None or bool `[B, 1, Sq, Sk]`, True = may attend."""

    def __init__(self, shape: tuple[int, int, int, int], written: Tensor | None = None) -> None:
        super().__init__(shape)
        self.written = written

    def to(self, device: Any, *args: Any, **kwargs: Any) -> BidirectionalMask:
        super().to(device)
        return BidirectionalMask(self.shape, None if self.written is None else self.written.to(device))


def _refuse(operation: str) -> NoReturn:
    raise NotRoutedError(
        f"attn_implementation: a layer of the model uses the mask by itself ({operation}): {NOT_ROUTED}; {EAGER}"
    )
