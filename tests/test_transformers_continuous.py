"""transformers' continuous batching with triangle attention: the tokens of generate(), one request at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import triangle_attn_op.integrations.transformers  # noqa: F401  registers the implementation
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig, LlamaConfig, MistralConfig
from triangle_attn_op import call_counts

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


@pytest.mark.parametrize("config", [LlamaConfig(**SMALL), MistralConfig(**SMALL, sliding_window=12)])
def test_generate_batch(config: Any) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="triangle").eval()
    prompts = [torch.randint(1, 97, (n,)).tolist() for n in (5, 40, 1, 23, 70)]
    wanted = GenerationConfig(max_new_tokens=6, do_sample=False, eos_token_id=-1, pad_token_id=0)
    alone = [model.generate(torch.tensor([p]), generation_config=wanted)[0, len(p) :].tolist() for p in prompts]
    before = sum(n for name, n in call_counts().items() if name.endswith("forward"))
    batching = ContinuousBatchingConfig(num_blocks=16, max_batch_tokens=32, use_async_batching=False)
    outputs = model.generate_batch(prompts, generation_config=wanted, continuous_batching_config=batching)
    assert sum(n for name, n in call_counts().items() if name.endswith("forward")) > before
    by_prompt = {tuple(output.prompt_ids): output.generated_tokens for output in outputs.values()}
    assert [by_prompt[tuple(p)] for p in prompts] == alone
    assert model.config._attn_implementation == "triangle"
