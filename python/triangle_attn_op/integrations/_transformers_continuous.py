"""transformers' continuous batching, `generate_batch`, with `attn_implementation="triangle"`.

Its manager serves implementations whose name contains "flash", and gives them what the packed kernel takes: the new
rows of all requests one after another, their keys gathered from the pages, and offsets. So a model with triangle
attention runs under another name while a manager has it, and gets its own back from the manager. Block tables, with
which pages would be read in place, transformers makes for FlashAttention on CUDA only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import transformers
from torch import Tensor, nn

PAGED = "triangle_paged_flash"


def paged_forward(
    attend: Callable[..., tuple[Tensor, None]],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    block_table: Tensor | None = None,
    read_index: Any = None,
    write_index: Any = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """One layer of a packed batch: query `[1, Hq, T, D]`, key and value `[1, Hkv, keys, D]` as the cache gathered them.

    attend: the forward of the implementation that the model has outside of a manager. NotImplementedError where
    transformers hands over pages instead of gathered keys.
    """
    if block_table is not None:
        raise NotImplementedError("block_table: not supported by triangle attention; max_blocks_per_request=0")
    return attend(module, query, key, value, attention_mask, **kwargs)


def register(names: Iterable[str], attend: Callable[..., tuple[Tensor, None]]) -> None:
    """Lets managers take models whose implementation is one of `names`; nothing where this transformers has none that
    would; harmless when repeated.
    """
    try:
        manager: Any = transformers.ContinuousBatchingManager
    except (AttributeError, ImportError, RuntimeError):  # transformers imports it here, with what it needs
        return
    switch = getattr(manager, "switch_to_cb_friendly_attn", None)
    if switch is None or hasattr(switch, "_knows_triangle"):
        return
    transformers.AttentionInterface.register(PAGED, functools.partial(paged_forward, attend))
    transformers.AttentionMaskInterface.register(PAGED, lambda *args, **kwargs: None)

    @functools.wraps(switch)
    def switched(self: Any, model: Any, *args: Any, **kwargs: Any) -> None:
        if model.config._attn_implementation not in names:
            switch(self, model, *args, **kwargs)
            return
        self._original_attn_impl = model.config._attn_implementation  # which the manager sets again at its end
        model.config._attn_implementation = PAGED

    switched._knows_triangle = True  # type: ignore[attr-defined]
    manager.switch_to_cb_friendly_attn = switched
