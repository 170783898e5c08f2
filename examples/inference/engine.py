"""Continuous batching: requests join and leave, prompts come in chunks beside decoding requests, in one packed call."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from triangle_attn_op import triangle_attention_with_kvcache

from .invariant import in_tiles
from .pages import Pages

NAME = "rollout"


@dataclasses.dataclass
class Request:
    """arrival: the step at which it may join; wanted: tokens to generate."""

    prompt: list[int]
    wanted: int
    arrival: int
    tokens: list[int] = dataclasses.field(default_factory=list)  # prompt and what was generated
    log_probs: list[float] = dataclasses.field(default_factory=list)  # of the generated ones
    pages: list[int] = dataclasses.field(default_factory=list)
    cached: int = 0  # tokens whose keys are in the cache

    @property
    def done(self) -> bool:
        return len(self.log_probs) == self.wanted


@dataclasses.dataclass
class Batch:
    """What one step computes: of each request its next rows."""

    requests: list[Request]
    rows: list[int]
    pages: Pages
    attention: str
    cu_seq_q: Tensor = dataclasses.field(init=False)
    lengths: Tensor = dataclasses.field(init=False)
    table: Tensor = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.cu_seq_q = torch.tensor([0, *self.rows]).cumsum(0).to(torch.int32)
        self.lengths = torch.tensor([r.cached for r in self.requests], dtype=torch.int32)
        most = max(len(r.pages) for r in self.requests)
        filled = [r.pages + [0] * (most - len(r.pages)) for r in self.requests]
        self.table = torch.tensor(filled, dtype=torch.int32)


def attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: None, scaling: float, batch: Batch, **_: Any
) -> tuple[Tensor, None]:
    """One layer's attention, query `[1, Hq, T, D]`: called by the model. Keys are appended to the layer's pages."""
    q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))
    pages, layer = batch.pages, module.layer_idx
    if batch.attention == "triangle":
        out = triangle_attention_with_kvcache(
            q,
            pages.k[layer],
            pages.v[layer],
            batch.lengths,
            k=k,
            v=v,
            block_table=batch.table,
            cu_seq_q=batch.cu_seq_q,
            max_q=max(batch.rows),
            scale=scaling,
        )
        return out[None], None
    outs = []
    for request, *rows in zip(batch.requests, *(t.split(batch.rows) for t in (q, k, v))):
        for i in range(len(rows[0])):
            position = request.cached + i
            place = layer, request.pages[position // pages.size], position % pages.size
            pages.k[place], pages.v[place] = rows[1][i], rows[2][i]
        gathered = pages.gather(layer, request.pages, request.cached + len(rows[0]))
        per_head = (t.transpose(0, 1) for t in (rows[0], *gathered))
        outs.append(_other(batch.attention, *per_head, scaling).transpose(0, 1))
    return torch.cat(outs)[None], None


def _other(kind: str, q: Tensor, k: Tensor, v: Tensor, scaling: float) -> Tensor:
    """SDPA or a written-out softmax, bottom-right; q `[Hq, rows, D]`, k and v `[Hkv, keys, D]`."""
    rows, keys = q.shape[1], k.shape[1]
    seen = torch.ones(rows, keys, dtype=torch.bool).tril(keys - rows)
    k, v = (t.repeat_interleave(len(q) // len(k), 0) for t in (k, v))
    if kind == "sdpa":
        whole = rows == keys
        return torch.nn.functional.scaled_dot_product_attention(
            q[None], k[None], v[None], None if whole else seen[None, None], is_causal=whole, scale=scaling
        )[0]
    scores = (q @ k.mT * scaling).masked_fill(~seen, -torch.inf)
    return torch.softmax(scores, -1, dtype=torch.float32).to(q.dtype) @ v


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)


class Engine:
    """Generates for requests with a model whose attention is `attention`; `step()` until it returns False."""

    def __init__(self, model: Any, requests: list[Request], kind: str, seed: int, chunk: int, most: int) -> None:
        config = model.config
        heads, dim = config.num_key_value_heads, config.hidden_size // config.num_attention_heads
        count = sum((len(r.prompt) + r.wanted) // 16 + 1 for r in requests)
        self.pages = Pages(config.num_hidden_layers, count, 16, heads, dim, model.dtype)
        self.model, self.waiting, self.kind = model, list(requests), kind
        self.running: list[Request] = []
        self.chunk, self.most = chunk, most
        self.generator = torch.Generator().manual_seed(seed)
        self.steps = self.mixed = 0

    @torch.no_grad()
    def step(self) -> bool:
        """Lets requests join, computes one packed batch, draws tokens, lets finished requests leave."""
        while self.waiting and self.waiting[0].arrival <= self.steps and len(self.running) < self.most:
            request = self.waiting.pop(0)
            request.tokens = list(request.prompt)
            request.pages = self.pages.match(request.tokens)
            request.cached = len(request.pages) * self.pages.size
            self.running.append(request)
        self.steps += 1
        if not self.running:
            return bool(self.waiting)
        rows = [min(len(r.tokens) - r.cached, self.chunk) for r in self.running]
        self.mixed += min(rows) == 1 < max(rows)
        for r, n in zip(self.running, rows):
            while len(r.pages) * self.pages.size < r.cached + n:
                r.pages.append(self.pages.take())
        batch = Batch(self.running, rows, self.pages, self.kind)
        ids = [token for r, n in zip(self.running, rows) for token in r.tokens[r.cached : r.cached + n]]
        positions = [p for r, n in zip(self.running, rows) for p in range(r.cached, r.cached + n)]
        self.model.config._attn_implementation = NAME
        logits = self.model(
            input_ids=torch.tensor([ids]), position_ids=torch.tensor([positions]), use_cache=False, batch=batch
        ).logits[0]
        last = batch.cu_seq_q[1:].long() - 1
        log_probs = token_log_probs(logits[last])
        drawn = torch.multinomial(log_probs.double().exp(), 1, generator=self.generator)
        for r, n, row, token in zip(self.running, rows, log_probs, drawn[:, 0].tolist()):
            r.cached += n
            self.pages.publish(r.tokens[: r.cached], r.pages)
            if r.cached == len(r.tokens):  # else the prompt goes on
                r.tokens.append(token)
                r.log_probs.append(float(row[token]))
        for r in [r for r in self.running if r.done]:
            self.running.remove(r)
            self.pages.give_back(r.pages)
        return bool(self.running or self.waiting)


def token_log_probs(logits: Tensor) -> Tensor:
    """float32 `[rows, vocabulary]`, in tiles as everything else."""
    return in_tiles(lambda rows: torch.log_softmax(rows.float(), -1), logits)
