"""`python -m triangle_attn_op.distributed`: the measured table and the cost model of docs/distributed.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import cost, table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m triangle_attn_op.distributed", description=__doc__)
    parser.add_argument("--table", action="store_true", help="measure blocks, bytes and errors on local processes")
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4], help="numbers of processes for --table")
    parser.add_argument("--cost", action="store_true", help="print the cost model's table")
    parser.add_argument("--png", type=Path, help="draw the cost model")
    machine, layer = cost.Machine(), cost.Layer()
    parser.add_argument(
        "--tflops", type=float, default=machine.tflops, help="attention throughput that a device reaches"
    )
    parser.add_argument("--gbytes", type=float, default=machine.gbytes, help="GB/s that a device sends while receiving")
    parser.add_argument("--latency", type=float, default=machine.latency, help="of a message, microseconds")
    parser.add_argument("--heads", type=int, nargs=2, default=[layer.heads_q, layer.heads_kv], metavar=("HQ", "HKV"))
    parser.add_argument("--dim", type=int, default=layer.dim)
    args = parser.parse_args()
    if not (args.table or args.cost or args.png):
        parser.print_help()
        return
    machine = cost.Machine(args.tflops, args.gbytes, args.latency)
    layer = cost.Layer(args.heads[0], args.heads[1], args.dim)
    if args.table:
        try:
            import numpy  # noqa: F401  what torch.distributed sends objects with
        except ImportError:
            parser.error("--table: needs numpy: pip install numpy")
        print(table.markdown(tuple(args.ranks)))
    if args.cost:
        print(cost.markdown(layer, machine))
        print(f"\nA ring hides its messages from {cost.hidden_from(layer, machine):,.0f} tokens a device on.")
    if args.png:
        cost.draw(args.png, layer, machine)


if __name__ == "__main__":
    main()
