"""transformers' Llama over a context-parallel group, and transformers' Trainer with triangle attention."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
import torch.distributed as dist
from test_sharding import gradients, llama, tokens, worst
from triangle_attn_op.distributed import ContextLayout, split_batch

pytestmark = pytest.mark.xdist_group("distributed")


def mistral() -> Any:
    """A model with a sliding window of six tokens."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        name: getattr(llama().config, name)
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    }
    config = MistralConfig(**sizes, num_key_value_heads=2, sliding_window=6, attn_implementation="triangle")
    return MistralForCausalLM(config).double()


def over_context_ranks(rank: int, n: int, method: str) -> list[str]:
    """Loss and gradients of the whole sequences, for a dense batch and for packed documents, with and without
    recomputation.
    """
    from transformers import AutoModelForCausalLM
    from triangle_attn_op.integrations.context_parallel import NAME, context_parallel

    problems = []
    offsets = [0, 7, 20]
    for name, packed, recompute in (
        ("dense", False, False),
        ("packed", True, False),
        ("recomputed", False, True),
        ("window", False, False),
    ):
        alone = mistral() if name == "window" else llama()
        parallel = AutoModelForCausalLM.from_config(copy.deepcopy(alone.config), attn_implementation=NAME).double()
        parallel.load_state_dict(alone.state_dict())
        if recompute:
            parallel.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            parallel.train()
        ids = tokens()[:1] if packed else tokens()
        batch: dict[str, Any] = {"input_ids": ids, "labels": ids}
        layout = ContextLayout.zigzag(20, n)
        whole = dict(batch)
        if packed:
            layout = ContextLayout.zigzag_documents(offsets, n)
            whole["position_ids"] = torch.cat([torch.arange(7), torch.arange(13)])[None]
        loss = alone(**whole, use_cache=False).loss
        loss.backward()
        # 19 targets a row; each rank sums its own, divided by all, so that gradients add up.
        with context_parallel(layout, method=method):  # type: ignore[arg-type]
            share = parallel(
                **split_batch(batch, layout, rank), num_items_in_batch=ids.shape[0] * 19, use_cache=False
            ).loss
            share.backward()
        total = share.detach().clone()
        dist.all_reduce(total)
        for parameter in parallel.parameters():
            dist.all_reduce(parameter.grad)
        if abs(float(total - loss)) > 5e-6:  # transformers' loss is float32
            problems.append(f"{name}: loss {float(total)}, expected {float(loss)}")
        if worst(gradients(parallel), gradients(alone)) > 1e-12:
            problems.append(f"{name}: gradients differ by {worst(gradients(parallel), gradients(alone)):.3g}")
    return problems


@pytest.mark.parametrize("method", ["ring", "all_to_all"])
def test_context_parallel_model(method: str) -> None:
    assert ranks.run(over_context_ranks, 2, method) == [[], []]


def refusals(rank: int, n: int) -> list[str]:
    from transformers import AutoModelForCausalLM, LlamaConfig
    from transformers import masking_utils as masks
    from triangle_attn_op.integrations.context_parallel import NAME, attention_forward, context_parallel

    model = AutoModelForCausalLM.from_config(llama().config, attn_implementation=NAME)
    module = model.model.layers[0].self_attn
    layout = ContextLayout.zigzag(8, n)
    q = torch.zeros(1, 2, 4, 8)
    windowed = torch.nn.Module()
    windowed.config = LlamaConfig(sliding_window=3)  # which its attention does not pass
    chunked = LlamaConfig(attention_chunk_size=2, attn_implementation=NAME)
    asked: dict[str, Any] = {"config": chunked, "inputs_embeds": torch.zeros(1, 4, 8), "attention_mask": None}
    asked["past_key_values"] = None
    attempts = [
        lambda: model(input_ids=tokens()[:, :4]),
        lambda: context_parallel(ContextLayout.zigzag(8, n + 1)).__enter__(),
        lambda: context_parallel(layout, method="star").__enter__(),  # type: ignore[arg-type]
        lambda: model(input_ids=tokens()[:, :4], attention_mask=torch.tensor([[0, 1, 1, 1]] * 4), use_cache=False),
        lambda: attention_forward(module, q, q, q, torch.ones(1, 1, 4, 4)),
        lambda: attention_forward(module, q, q, q, None, is_causal=False),
        lambda: attention_forward(module, q, q, q, None, softcap=30.0),
        lambda: attention_forward(module, q, q, q, None, output_attentions=True),
        lambda: attention_forward(module, q, q, q, None, dropout=0.1),
        lambda: attention_forward(module, q, q, q, None, cu_seq_lens_q=torch.tensor([0, 4])),
        lambda: attention_forward(windowed, q, q, q, None),
        # Two documents in each row, which the layout does not know of.
        lambda: model(input_ids=tokens()[:, :4], position_ids=torch.tensor([[0, 1, 0, 1]]), use_cache=False),
        lambda: masks.create_chunked_causal_mask(**asked),
        lambda: masks.create_causal_mask(**asked, or_mask_function=masks.bidirectional_mask_function),
        lambda: masks.create_bidirectional_mask(chunked, asked["inputs_embeds"], None),
    ]
    messages = []
    for number, attempt in enumerate(attempts):
        try:
            if number < 3:
                attempt()
            else:
                with context_parallel(layout):
                    attempt()
            messages.append("no error")
        except (ValueError, RuntimeError) as error:
            messages.append(str(error))
    return messages


def test_what_context_parallel_models_refuse() -> None:
    expected = [
        "triangle_context_parallel: expected to be called within",
        "layout: expected one of the group's 2 ranks, got one of 3",
        "method: expected one of ['all_to_all', 'ring'], got 'star'",
        "attention_mask: padding is not supported",
        "attention_mask: not supported by triangle_context_parallel",
        "is_causal: expected True",
        "softcap: not supported",
        "output_attentions: not supported",
        "dropout_p: not supported in ring attention yet",
        "cu_seq_lens_q: not supported",
        "sliding_window: Module has a window of 3 in its config but does not pass it",
        "position_ids: expected this rank's tokens of one sequence in the layout 'zigzag', got [0, 1, 0, 1]",
        "mask_function: expected the causal rule, a sliding window or packed documents",
        "mask_function: expected the causal rule, a sliding window or packed documents",
        "is_causal: expected True",
    ]
    for messages in ranks.run(refusals, 2):
        for got, want in zip(messages, expected, strict=True):
            assert got.startswith(want), (got, want)


def trained(rank: int, n: int, implementation: str, folder: str) -> list[float]:
    """The losses that transformers' Trainer logs over eight steps on n ranks."""
    import os

    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    torch.manual_seed(0)
    config = llama().config
    config.pad_token_id = 0
    model = AutoModelForCausalLM.from_config(config, attn_implementation=implementation)
    generator = torch.Generator().manual_seed(1)
    data = []
    for length in torch.randint(8, 20, (32,), generator=generator).tolist():  # padded on the right, as a tokenizer does
        ids = torch.randint(1, 8, (length,), generator=generator)
        padding = torch.zeros(20 - length, dtype=torch.int64)
        labels = torch.cat([ids, padding - 100])
        mask = torch.cat([torch.ones_like(ids), padding])
        data.append({"input_ids": torch.cat([ids, padding]), "labels": labels, "attention_mask": mask})
    arguments = TrainingArguments(
        output_dir=folder,
        use_cpu=True,
        max_steps=8,
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=3,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=data)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_trainer(tmp_path: Path) -> None:
    ours = ranks.run(trained, 2, "triangle", str(tmp_path / "ours"))[0]
    theirs = ranks.run(trained, 2, "sdpa", str(tmp_path / "theirs"))[0]
    assert len(ours) == 8
    assert ours == pytest.approx(theirs, abs=2e-3)
    assert ours[-1] < ours[0] - 0.1
