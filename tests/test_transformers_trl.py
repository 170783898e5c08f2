"""TRL's SFTTrainer on packed and padding-free batches: the losses of sdpa, computed by the packed kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers_models import MARKS, VOCAB, build, record_packed

pytestmark = MARKS


def train(implementation: str, path: Path, seed: int, **options: Any) -> list[float]:
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCAB)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1")
    generator = torch.Generator().manual_seed(seed)
    lengths = (7, 3, 12, 5, 16, 9, 2, 4)
    rows = [{"input_ids": torch.randint(2, VOCAB, (n,), generator=generator).tolist()} for n in lengths]
    arguments = SFTConfig(
        output_dir=str(path), max_steps=3, per_device_train_batch_size=2, learning_rate=1e-2, logging_steps=1,
        report_to="none", use_cpu=True, seed=7, bf16=False, gradient_checkpointing=False,
        save_strategy="no", disable_tqdm=True, **options,
    )  # fmt: skip
    model = build("llama", implementation, 0, torch.float32).train()
    trainer = SFTTrainer(model, arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(
    "options",
    [{"packing": True, "max_length": 24}, {"padding_free": True, "max_length": None}],
    ids=["packing", "free"],
)
def test_sft(options: dict[str, Any], tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch):
    seen = record_packed(monkeypatch)
    losses = train("triangle", tmp_path, seed, **options)
    assert losses == pytest.approx(train("sdpa", tmp_path, seed, **options), rel=1e-4)
    assert len(losses) == 3
    assert losses[0] != losses[2]
    assert len(seen) == 6, "two layers, three steps"
    assert any(len(offsets) > 2 for offsets in seen), "documents share a row"
