"""The MindSpeed feature: against MindSpeed itself where it can be imported, otherwise against a stand-in of its feature
interface.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "distributed"))
sys.path.insert(0, str(Path(__file__).parent))

import ranks

pytestmark = [pytest.mark.xdist_group("distributed"), pytest.mark.filterwarnings("ignore::UserWarning")]

FORWARD = "megatron.core.transformer.dot_product_attention.DotProductAttention.forward"


def has_mindspeed() -> bool:
    try:
        importlib.import_module("mindspeed.features_manager.features_manager")
    except ImportError:
        return False
    return True


def stand_in() -> dict[str, types.ModuleType]:
    """Modules with as much of MindSpeed's feature interface as a feature sees."""

    class MindSpeedFeature:
        def __init__(self, feature_name: str, optimization_level: int = 2) -> None:
            self.feature_name = feature_name.replace("-", "_")
            self.optimization_level = optimization_level

        def is_need_apply(self, args: argparse.Namespace) -> bool:
            return self.optimization_level <= args.optimization_level and getattr(args, self.feature_name, False)

        def incompatible_check(self, args: argparse.Namespace, other: str) -> None:
            if getattr(args, self.feature_name, None) and getattr(args, other, None):
                raise AssertionError(f"{self.feature_name} and {other} are incompatible.")

    class MindSpeedFeaturesManager:
        FEATURES_LIST: list[Any] = []  # noqa: RUF012

    modules = {}
    for name in ("mindspeed", "mindspeed.features_manager"):
        modules[name] = types.ModuleType(name)
    for name, cls in (("feature", MindSpeedFeature), ("features_manager", MindSpeedFeaturesManager)):
        full = f"mindspeed.features_manager.{name}"
        modules[full] = types.ModuleType(full)
        setattr(modules[full], cls.__name__, cls)
    return modules


@pytest.fixture
def integration() -> Iterator[types.ModuleType]:
    """The integration's module, on MindSpeed or its stand-in."""
    before = dict(sys.modules)
    if not has_mindspeed():
        sys.modules.update(stand_in())
    yield importlib.import_module("triangle_attn_op.integrations.mindspeed")
    for name in [name for name in sys.modules if name not in before and "mindspeed" in name]:
        del sys.modules[name]


def parsed(integration: types.ModuleType, *arguments: str, **others: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    integration.TriangleAttentionFeature().register_args(parser)
    args = parser.parse_args(arguments)
    vars(args).update({"optimization_level": 2, "transformer_impl": "local", **others})
    return args


def test_flags_switch_it_on(integration: types.ModuleType) -> None:
    feature = integration.TriangleAttentionFeature()
    assert not feature.is_need_apply(parsed(integration))
    args = parsed(integration, "--triangle-attn", "--triangle-block-size", "512")
    assert feature.is_need_apply(args)
    assert args.triangle_block_size == 512
    feature.validate_args(args)
    feature.validate_args(parsed(integration, use_flash_attn=True))  # not asked for: nothing to object to


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"use_flash_attn": True}, "triangle_attn and use_flash_attn are incompatible"),
        ({"use_fusion_attn_v2": True}, "triangle_attn and use_fusion_attn_v2 are incompatible"),
        ({"use_legacy_models": True}, "triangle_attn and use_legacy_models are incompatible"),
        ({"experimental_attention_variant": "dsa"}, "and experimental_attention_variant are incompatible"),
        ({"tp_2d": True}, "triangle_attn and tp_2d are incompatible"),
        ({"transformer_impl": "transformer_engine"}, "expected --transformer-impl local, got transformer_engine"),
        ({"context_parallel_size": 2}, "expected --context-parallel-size 1"),
        ({"position_embedding_type": "alibi"}, "ALiBi is not supported"),
        ({"window_size": (4, 1)}, r"expected a causal --window-size \(left, 0\), got \(4, 1\)"),
        ({"qk_clip": True}, "qk_clip: not supported"),
        ({"sparse_mode": 4}, "expected --sparse-mode 0, triangle attention is causal, got 4"),
        ({"next_tockens": 1}, "expected --next-tockens 0, triangle attention is causal, got 1"),
        ({"pre_tockens": 100, "seq_length": 4096}, "expected --pre-tockens of at least the sequence length, got 100"),
    ],
)
def test_conflicts_are_declared(integration: types.ModuleType, others: dict[str, Any], message: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=message):
        integration.TriangleAttentionFeature().validate_args(parsed(integration, "--triangle-attn", **others))


def test_the_patch_is_registered_once(integration: types.ModuleType) -> None:
    class Manager:
        def __init__(self) -> None:
            self.patches: dict[str, Any] = {}

        def register_patch(self, name: str, function: Any, force_patch: bool = False) -> None:
            assert name not in self.patches
            self.patches[name] = function

    manager = Manager()
    integration.TriangleAttentionFeature().register_patches(manager, parsed(integration, "--triangle-attn"))
    assert list(manager.patches) == [FORWARD]
    # MindSpeed takes functions named so for decorators of the original.
    assert not manager.patches[FORWARD].__name__.endswith(("wrapper", "decorator"))
    integration.register()
    integration.register()
    features = sys.modules["mindspeed.features_manager.features_manager"].MindSpeedFeaturesManager.FEATURES_LIST
    assert sum(isinstance(feature, integration.TriangleAttentionFeature) for feature in features) == 1


def test_mindspeeds_mask_is_switched_off(integration: types.ModuleType) -> None:
    """By the flag that its GenerateMaskFeature goes by, before features register their patches."""
    args = parsed(integration, "--triangle-attn", pre_tockens=65536, next_tockens=0, sparse_mode=2, seq_length=1 << 20)
    feature = integration.TriangleAttentionFeature()
    feature.validate_args(args)
    feature.pre_register_patches(None, args)
    assert args.no_create_attention_mask_in_dataloader is True


def patched_forward(rank: int, n: int) -> list[str]:
    """Megatron's own module with its forward replaced, as MindSpeed replaces it, against the module as it was."""
    import test_megatron as common
    from megatron.core.packed_seq_params import PackedSeqParams
    from megatron.core.transformer.dot_product_attention import DotProductAttention
    from megatron.core.transformer.enums import AttnMaskType

    if not has_mindspeed():
        sys.modules.update(stand_in())
    forward = importlib.import_module("triangle_attn_op.integrations.mindspeed").dot_product_attention_forward
    common.set_up()
    problems = []
    causal = torch.ones(50, 50, dtype=torch.bool).triu(1).expand(2, 1, 50, 50)
    for name, config, changes in [
        ("plain", {}, {}),
        ("GQA", {"num_query_groups": 2}, {}),
        ("scale", {}, {"softmax_scale": 0.3}),
        ("layer scaling", {"apply_query_key_layer_scaling": True}, {"layer_number": 3}),
    ]:
        module = common.core(common.configuration(**config), DotProductAttention, **changes)
        q, k, v = common.mixed_qkv(config.get("num_query_groups", 4))
        theirs = module(q, k, v, causal)
        for mask in (None, causal):
            ours = forward(module, q, k, v, mask)
            if not torch.allclose(ours, theirs, rtol=1e-4, atol=2e-5):
                problems.append(f"{name}: {float((ours - theirs).abs().max()):.3g}")
    q, k, v = common.mixed_qkv(4, packed=True)
    module = common.core(common.configuration(), DotProductAttention)
    alone = [forward(module, *(t[a:b, None] for t in (q, k, v)), None) for a, b in ((0, 20), (20, 50))]
    for name, offsets in (
        ("Megatron's", torch.tensor([0, 20, 50])),
        ("MindSpeed's", torch.tensor([20, 50])),
        ("listed", [20, 50]),
    ):
        packed = PackedSeqParams("thd", offsets, offsets)
        for _ in range(2):  # the second layer of a batch
            out = forward(module, q, k, v, None, packed_seq_params=packed)
            if out.shape != q.shape or not torch.equal(out.flatten(1), torch.cat(alone)[:, 0]):
                problems.append(f"packed, {name} offsets: not each document's own result")
    try:
        forward(module, q, k, v, causal[:1], packed_seq_params=packed)
        problems.append("packed with a mask: no error")
    except ValueError as error:
        if "attention_mask: expected None with packed_seq_params" not in str(error):
            problems.append(str(error))
    try:
        forward(module, q, k, v, None, attn_mask_type=AttnMaskType.padding)
        problems.append("padding mask: no error")
    except ValueError as error:
        if "attn_mask_type: expected a causal one" not in str(error):
            problems.append(str(error))
    return problems


def test_the_patched_forward_equals_megatrons() -> None:
    assert ranks.run(patched_forward, 1) == [[]]


@pytest.mark.skipif(
    not has_mindspeed(), reason="MindSpeed cannot be imported here (it is not on PyPI and needs torch_npu)"
)
def test_in_mindspeeds_own_manager(integration: types.ModuleType) -> None:
    """The whole way: arguments, validation and patches through MindSpeed's managers, and back; its mask stays out."""
    from megatron.core.transformer.dot_product_attention import DotProductAttention
    from mindspeed.features_manager.features_manager import MindSpeedFeaturesManager
    from mindspeed.features_manager.transformer.flash_attention.generate_mask_feature import GenerateMaskFeature
    from mindspeed.patch_utils import MindSpeedPatchesManager

    before, features = DotProductAttention.forward, list(MindSpeedFeaturesManager.FEATURES_LIST)
    for mask_first in (True, False):
        for flags in (["--triangle-attn"], []):
            try:
                MindSpeedFeaturesManager.set_features_list([GenerateMaskFeature()] if mask_first else [])
                integration.register()
                if not mask_first:
                    MindSpeedFeaturesManager.FEATURES_LIST.append(GenerateMaskFeature())
                parser = argparse.ArgumentParser()
                MindSpeedFeaturesManager.register_features_args(parser)
                args = parser.parse_args(flags)
                vars(args).update(optimization_level=2, transformer_impl="local")
                MindSpeedFeaturesManager.validate_features_args(args)
                MindSpeedFeaturesManager.apply_features_pre_patches(args)
                MindSpeedFeaturesManager.apply_features_patches(args)
                ours = DotProductAttention.forward is integration.dot_product_attention_forward
                assert ours == bool(flags)
                assert flags or DotProductAttention.forward.__wrapped__ is before  # MindSpeed's, which makes the mask
            finally:
                MindSpeedPatchesManager.remove_patches()
                MindSpeedFeaturesManager.set_features_list(features)
            assert DotProductAttention.forward is before
