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


def simulated() -> None:
    """The attention alone on the simulated NPU: chunks and single rows over growing keys against one forward."""
    from triangle_attn_op.sim import attn_forward

    for dtype in (torch.float16, torch.bfloat16):
        q, k, v = (torch.randn(1, heads, 200, 64).to(dtype) for heads in (2, 1, 1))
        whole = attn_forward(q, k, v, cores=2)[0]
        parts = [(0, 140), (140, 141), (141, 199), (199, 200)]
        grown = [attn_forward(q[:, :, a:b], k[:, :, :b], v[:, :, :b], cores=2)[0] for a, b in parts]
        equal = torch.equal(torch.cat(grown, 2), whole)
        print(f"simulated NPU, {str(dtype)[6:]:9} attention of 200 rows in {len(parts)} calls: ", end="")
        print("the bits of one call" if equal else "OTHER BITS than one call")
        if not equal:
            raise SystemExit(1)


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
        simulated()
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
