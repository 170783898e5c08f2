"""A rollout's log-probabilities against those that the training forward computes: the same bits.

    python examples/rollout.py
    python examples/rollout.py --checkpoint runs/demo/checkpoints/iter_0000100.pt

A small Llama of examples/pretrain generates with a paged cache and continuous batching: requests join and leave,
prompts come in chunks of 48 tokens beside requests that decode, and some share a prefix. Then the training forward
recomputes the log-probability of every generated token. With triangle attention, and the other layers in tiles
(inference/invariant.py), the difference is 0; beside it what SDPA, eager and torch's own layers make of it. Exit status
1 where triangle attention differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from inference.engine import Engine, Request, token_log_probs
from inference.invariant import make_invariant
from pretrain import arguments, data, model
from torch import Tensor

PAGE = 16
CHUNK = 48


def requests(corpus: data.Corpus, count: int, seed: int) -> list[Request]:
    """Prompts of real text, half of them with one beginning; each with its own length, wish and arrival."""
    draw = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=draw))

    prefix = corpus.held_out[:70].tolist()
    made = []
    for i in range(count):
        start = number(0, len(corpus.held_out) - 300)
        text = corpus.held_out[start : start + number(20, 200)].tolist()
        made.append(Request(prefix + text if i % 2 else text, number(10, 50), arrival=3 * i))
    return made


def recomputed(llama: Any, implementation: str, tokens: list[int], generated: int) -> Tensor:
    """float32 [generated]: log-probabilities of the last tokens, by one forward over the sequence, with gradients."""
    llama.config._attn_implementation = implementation
    logits = llama(input_ids=torch.tensor([tokens[:-1]]), use_cache=False).logits[0]
    assert logits.requires_grad
    rows = token_log_probs(logits[-generated:])
    return rows.gather(1, torch.tensor(tokens[-generated:])[:, None])[:, 0].detach()


def compare(
    config: arguments.Config, dtype: torch.dtype, kind: str, tiles: bool, args: Any, corpus: data.Corpus
) -> Any:
    """Generates and recomputes: (tokens, differing ones, largest difference, the engine, seconds)."""
    began = time.perf_counter()
    llama = model.build(config, torch.device("cpu"), "triangle")
    if args.checkpoint is not None:
        llama.load_state_dict(torch.load(args.checkpoint, weights_only=True)["model"])
    llama.to(dtype)
    if tiles:
        make_invariant(llama)
    made = requests(corpus, args.requests, config.seed)
    engine = Engine(llama, list(made), kind, config.seed, CHUNK, most=6)
    while engine.step():
        pass
    differences = []
    for request in made:
        again = recomputed(llama, kind, request.tokens, request.wanted)
        differences.append((again.double() - torch.tensor(request.log_probs, dtype=torch.float64)).abs())
    difference = torch.cat(differences)
    seconds = time.perf_counter() - began
    return len(difference), int((difference != 0).sum()), float(difference.max()), engine, seconds


def simulated() -> bool:
    """The attention alone on the simulated NPU, in fp16 and bf16: two sequences over a cache in pages, whose prompts
    come in chunks beside each other's tokens, against the forward over each whole sequence. Whether no number differs.
    """
    same = True
    for dtype in (torch.float16, torch.bfloat16):
        tokens, differ, largest, calls = simulated_rollout(dtype)
        name = f"{str(dtype)[6:]:9} attention on the simulated NPU"
        print(f"{name} {tokens:6} {differ:6} {largest:18.3g}   in {calls} calls", flush=True)
        same = same and differ == 0
    return same


def simulated_rollout(dtype: torch.dtype) -> tuple[int, int, float, int]:
    """Rows computed over the cache, numbers of out and lse that differ, the largest difference, and calls."""
    from triangle_attn_op.sim import attn_forward, attn_kvcache

    draw = torch.Generator().manual_seed(3)
    lengths, heads, dim = (150, 101), (4, 2, 2), 64
    q, k, v = ([torch.randn(n, h, dim, generator=draw).to(dtype) for n in lengths] for h in heads)
    pages = [torch.full((18, PAGE, 2, dim), float("nan"), dtype=dtype) for _ in range(2)]
    table = torch.full((2, 10), -1, dtype=torch.int32)
    table[0], table[1, :7] = torch.randperm(18, generator=draw).int()[:17].split((10, 7))
    # New rows of both sequences, call by call: chunks beside tokens, one that waits, a run of guesses.
    steps = [(48, 0), (48, 90), (50, 1), (1, 1), (0, 5), (3, 4)]
    rows: list[list[tuple[Tensor, Tensor]]] = [[], []]
    at = [0, 0]
    for step in steps:
        span = [slice(a, a + n) for a, n in zip(at, step)]
        new_q, new_k, new_v = (torch.cat([t[i][s] for i, s in enumerate(span)]) for t in (q, k, v))
        offsets = torch.tensor([0, step[0], sum(step)], dtype=torch.int32)
        options = {"block_table": table, "cu_seq_q": offsets, "max_q": max(step), "cores": 2}
        out, lse, report = attn_kvcache(new_q, *pages, torch.tensor(at, dtype=torch.int32), k=new_k, v=new_v, **options)
        report.raise_on_findings()
        for i, (o, e) in enumerate(zip(out.split(step), lse.split(step))):
            rows[i].append((o, e))
        at = [a + n for a, n in zip(at, step)]
    assert at == list(lengths)
    differ, largest = 0, 0.0
    for i, parts in enumerate(rows):
        whole, whole_lse, _ = attn_forward(*(t[i].transpose(0, 1)[None] for t in (q, k, v)), cores=2)
        for part, wanted in zip(map(torch.cat, zip(*parts)), (whole[0].transpose(0, 1), whole_lse[0].T)):
            difference = (part.double() - wanted.double()).abs()
            differ += int((difference != 0).sum())
            largest = max(largest, float(difference.max()))
    return sum(lengths), differ, largest, len(steps)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--checkpoint", type=Path, help="weights of a run of pretrain_llama.py --preset demo")
    parser.add_argument("--simulator", action="store_true", help="also the attention alone on the simulated NPU")
    args = parser.parse_args(argv)
    config = arguments.parse(["--preset", "demo", "--num-attention-heads", "6", "--num-query-groups", "2"], 1)
    if args.checkpoint is not None:
        config = arguments.parse(["--preset", "demo"], 1)
    corpus = data.load(None, config.seq_length)
    print(f"{'dtype':9} {'attention':9} {'other layers':12} {'tokens':>6} {'differ':>6} {'largest difference':>18}")
    status = 0
    for name in args.dtypes:
        for kind, tiles in (("triangle", True), ("triangle", False), ("sdpa", True), ("eager", True)):
            tokens, differ, largest, engine, seconds = compare(config, getattr(torch, name), kind, tiles, args, corpus)
            layers = "in tiles" if tiles else "torch's own"
            print(f"{name:9} {kind:9} {layers:12} {tokens:6} {differ:6} {largest:18.3g}   {seconds:.1f} s", flush=True)
            if kind == "triangle" and tiles:
                status |= differ != 0
                said = engine.steps, engine.mixed, engine.pages.shared
    print("{} steps each, {} of them mixed prompts and decoding; {} pages were shared".format(*said))
    if args.simulator:
        status |= not simulated()
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
