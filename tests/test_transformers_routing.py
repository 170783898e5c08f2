"""Models whose attention does not go through transformers' AttentionInterface: refused, under every way to one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BloomConfig, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention
from transformers_models import MARKS, SIZES, TIGHT, VOCAB, build, padded, tokens
from triangle_attn_op.integrations._transformers_mask import CausalMask

pytestmark = MARKS
REFUSED = r'attention that does not go through transformers\' AttentionInterface.*use attn_implementation="eager"'


def bloom() -> Any:
    return BloomConfig(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=None)


@pytest.mark.parametrize(
    "config",
    [
        bloom,
        lambda: transformers.FalconConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
        lambda: transformers.GPTNeoConfig(
            vocab_size=VOCAB, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global"], 2]]
        ),
        lambda: transformers.GitConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=4,
            vision_config={
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "intermediate_size": 32,
                "num_attention_heads": 4,
            },
        ),
    ],
    ids=["bloom", "falcon", "gpt_neo", "git, whose vision tower routes"],
)
def test_refused_when_made(config: Callable[[], Any], tmp_path: Path):
    message = rf"^attn_implementation: \w+: {REFUSED}"
    with pytest.raises(NotImplementedError, match=message):
        AutoModelForCausalLM.from_config(config(), attn_implementation="triangle")
    AutoModelForCausalLM.from_config(config(), attn_implementation="eager").save_pretrained(tmp_path)
    for implementation in ("triangle", {"": "triangle"}):
        with pytest.raises(NotImplementedError, match=message):
            AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation=implementation)


def past_the_check() -> Any:
    """A Bloom that got the implementation behind the back of the check on its class, as a class without a readable
    file would."""
    model = AutoModelForCausalLM.from_config(bloom(), attn_implementation="eager").eval()
    model.config._attn_implementation = "triangle"
    return model


class OwnAttention(LlamaAttention):
    """What remote code writes: eager attention by hand, whatever implementation the config names."""

    def forward(self, hidden_states: Tensor, attention_mask: Any = None, **kwargs: Any) -> tuple[Tensor, None]:
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        q, k, v = (p(hidden_states).view(shape).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        k, v = (x.repeat_interleave(self.num_key_value_groups, 1) for x in (k, v))
        out = self.attend(q, k, v, attention_mask)
        return self.o_proj(out.transpose(1, 2).reshape(hidden_states.shape)), None

    @staticmethod
    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Any) -> Tensor:
        scores = q @ k.mT
        return (scores if mask is None else scores + mask).softmax(-1) @ v


class OwnSdpa(OwnAttention):
    @staticmethod
    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Any) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class OwnFill(OwnAttention):
    @staticmethod
    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Any) -> Tensor:
        scores = q @ k.mT
        if mask is not None:
            scores = scores.masked_fill(mask[:, :, :, : k.shape[-2]].logical_not(), -1e9)
        return scores.softmax(-1) @ v


def mixed(kind: type, layer: int = 1) -> Any:
    """A Llama, one of whose layers attends by itself."""
    config = LlamaConfig(**SIZES)
    model = LlamaForCausalLM._from_config(config, attn_implementation="triangle").eval()
    model.model.layers[layer].self_attn = kind(config, layer)
    return model


MADE = {
    "bloom": past_the_check,
    "one layer adds": lambda: mixed(OwnAttention),
    "one layer calls sdpa": lambda: mixed(OwnSdpa),
    "one layer fills": lambda: mixed(OwnFill),
}
# "packed" has a mask of its own; so has a static cache.
RUNS = {
    "forward": lambda model, x: model(x),
    "padding": lambda model, x: model(x, attention_mask=padded(x.shape[1], 3)),
    "training": lambda model, x: model.train()(x, labels=x).loss.backward(),
    "packed": lambda model, x: model(x, position_ids=torch.arange(x.shape[1])[None] % 5, use_cache=False),
    "generate": lambda model, x: model.generate(x, max_new_tokens=2, do_sample=False),
    "static": lambda model, x: model.generate(x, max_new_tokens=2, do_sample=False, cache_implementation="static"),
    "compile": lambda model, x: torch.compile(model, backend="eager")(x, use_cache=False),
    "trace": lambda model, x: torch.jit.trace(model, (x,)),
    "export": lambda model, x: torch.export.export(model, (x,), {"use_cache": False}, strict=False),
}


@pytest.mark.parametrize(
    ("made", "run"), [(made, run) for made in MADE for run in RUNS if made == "bloom" or run != "compile"]
)
def test_refused_at_the_first_forward(made: str, run: str, seed: int):
    torch._dynamo.reset()
    model, x = MADE[made](), tokens(seed, 1, 9)
    with pytest.raises(NotImplementedError, match=rf"uses the mask by itself.*{REFUSED}"):
        RUNS[run](model, x)


def test_switching_a_live_model_leaves_it_as_it_was(seed: int):
    """transformers itself refuses that, with a warning: the implementation before stays in force."""
    model = AutoModelForCausalLM.from_config(bloom(), attn_implementation="eager").eval()
    x = tokens(seed, 2, 9)
    before = model(x).logits
    model.set_attn_implementation("triangle")
    assert model.config._attn_implementation == "eager"
    assert torch.equal(model(x).logits, before)


def test_a_class_of_ones_own_that_routes_is_served(seed: int):
    """No file of transformers' own, and no flag: what counts is that its layers hand the mask on."""

    class Mine(LlamaForCausalLM):
        _supports_attention_backend = False

    sdpa = build("llama", "sdpa", seed)
    model = Mine._from_config(LlamaConfig(**SIZES), attn_implementation="triangle").double().eval()
    model.load_state_dict(sdpa.state_dict())
    x = tokens(seed, 2, 21)
    torch.testing.assert_close(model(x).logits, sdpa(x).logits, rtol=TIGHT, atol=TIGHT)


def test_the_mask_moves_between_devices_and_is_cut_nowhere():
    mask = CausalMask((2, 1, 5, 8), padding=torch.ones(2, 1, 1, 8, dtype=torch.bool))
    assert all(same is mask for same in (mask[:, :, :, :8], mask[..., :8], mask[:, :, -5:]))
    moved = mask.to("meta", non_blocking=True)
    assert (moved.shape, moved.padding.device.type, moved.written) == ((2, 1, 5, 8), "meta", None)
    for cut in (lambda: mask[:, :, :, :7], lambda: mask[0], lambda: mask.to(torch.float32)):
        with pytest.raises(NotImplementedError, match=REFUSED):
            cut()
    assert repr(mask) == "CausalMask(shape=[2, 1, 5, 8])"
