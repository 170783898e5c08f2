"""Registers an implementation with transformers, for models that call it only.

A model whose code shows that its attention never asks transformers' AttentionInterface is refused when it is made, with
its name. That is an early word for the user, not the guard: what it does not see ends at the first use of the mask
(`OpaqueMask`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from triangle_attn_op.integrations._transformers_mask import EAGER, NOT_ROUTED

_names: set[str] = set()


def register_for_routing_models(name: str, forward: Callable[..., Any], mask: Callable[..., Any]) -> None:
    """Registers an implementation whose masks are `OpaqueMask`s; harmless when repeated."""
    AttentionInterface.register(name, forward)
    AttentionMaskInterface.register(name, mask)
    _names.add(name)
    check = PreTrainedModel.get_correct_attn_implementation
    PreTrainedModel.get_correct_attn_implementation = _refusing(check)  # type: ignore[method-assign]


def _refusing(check: Callable[..., str]) -> Callable[..., str]:
    """transformers' check of an implementation's name, which every model runs before it makes its layers."""
    if getattr(check, "_refuses_for_triangle", False):
        return check

    @functools.wraps(check)
    def checked(self: PreTrainedModel, requested_attention: str | None, *args: Any, **kwargs: Any) -> str:
        if requested_attention in _names and shows_no_routing(type(self)):  # type: ignore[arg-type]
            raise NotImplementedError(f"attn_implementation: {type(self).__name__}: {NOT_ROUTED}; {EAGER}")
        return check(self, requested_attention, *args, **kwargs)

    checked._refuses_for_triangle = True  # type: ignore[attr-defined]
    return checked


@functools.cache
def shows_no_routing(model: Any) -> bool:
    """Whether a model class has attention layers in its code, none of which asks the AttentionInterface, or takes their
    class from a table by the implementation's name. Models inside of it are not looked into: they are checked when they
    are made."""
    todo: list[Any] = [
        base for base in model.__mro__ if issubclass(base, PreTrainedModel) and base is not PreTrainedModel
    ]
    seen: set[Any] = set()
    attends = routes = False
    while todo:
        item = todo.pop()
        if item in seen:
            continue
        seen.add(item)
        attends |= isinstance(item, type) and "Attention" in item.__name__ and "forward" in vars(item)
        for names, variables in _code(item):
            for name in names:
                found = variables.get(name)
                if isinstance(found, AttentionInterface) or found is AttentionInterface:
                    routes = True
                elif isinstance(found, dict):
                    classes = [value for value in found.values() if _is_layer(value)]
                    if classes and "_attn_implementation" in names and not _names & found.keys():
                        return True
                    todo += classes
                elif _is_layer(found) or (inspect.isfunction(found) and found.__globals__ is variables):
                    todo.append(found)
    return attends and not routes


def _is_layer(value: Any) -> bool:
    if not (isinstance(value, type) and issubclass(value, nn.Module)):
        return False
    return not issubclass(value, PreTrainedModel) and not value.__module__.startswith("torch.")


def _code(item: Any) -> Iterator[tuple[set[str], dict[str, Any]]]:
    """The global names that a function, or a layer's methods and bases, use, with the module's variables."""
    members = [item]
    if isinstance(item, type):
        bases = [base for base in item.__mro__ if base is item or _is_layer(base)]
        # _init_weights names the layers of a model's relatives too.
        members = [value for base in bases for name, value in vars(base).items() if name != "_init_weights"]
    for member in members:
        function = inspect.unwrap(member) if callable(member) else None
        if inspect.isfunction(function):
            yield set(_names_in(function.__code__)), function.__globals__


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
