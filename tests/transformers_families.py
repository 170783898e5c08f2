"""Every causal language model of the installed transformers under attn_implementation="triangle", in tiny: its logits
against transformers' own attention, and whether its tokens see the future.

    python tests/transformers_families.py             # prints the table
    python tests/transformers_families.py --write     # writes it into docs/transformers.md
    python tests/transformers_families.py llama gpt2  # these only
"""

from __future__ import annotations

import argparse
import copy
import logging
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
import triangle_attn_op
import triangle_attn_op.integrations.transformers
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers_tiny import VOCAB, tiny

FAMILIES = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "transformers.md"
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
EXACT, UNUSED, NOT_TRIED, WRONG = "exact", "exact, no attention layer calls the operator", "not tried", "WRONG"
LENGTH = 21  # three windows
TOLERANCE = 1e-4


def result(family: str) -> str:
    """One of: exact; exact, without the operator; refused: why; not tried: why (transformers' own attention does not
    run either on a tiny configuration); WRONG: how."""
    x = torch.randint(3, VOCAB - 4, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    try:
        config = tiny(family)
        reference = _reference(config)
        expected = _logits(reference, x)
    except Exception as error:  # whatever a family wants besides tokens
        return f"{NOT_TRIED}: {_short(error)}"
    calls = sum(triangle_attn_op.call_counts().values())
    try:
        model = _model(config, "triangle")
        model.load_state_dict(reference.state_dict())
        got = _logits(model, x)
    except (NotImplementedError, ValueError) as error:
        return f"refused: {_reason(str(error))}"
    calls = sum(triangle_attn_op.call_counts().values()) - calls
    other = x.clone()
    other[:, -1] = x[:, -1] + 3
    error = float((got - expected).abs().max() / expected.abs().max().clamp(min=1))
    leak = float((_logits(model, other) - got)[:, :-1].abs().max())
    if not (error < TOLERANCE and leak < 1e-5):
        return f"{WRONG}: error {error:.1e}, change of earlier logits {leak:.1e}"
    return EXACT if calls else UNUSED


def _reference(config: Any) -> Any:
    try:
        model = _model(config, "sdpa")
    except ValueError:  # a family without it
        model = _model(config, "eager")
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    return model


def _model(config: Any, implementation: str) -> Any:
    return AutoModelForCausalLM.from_config(copy.deepcopy(config), attn_implementation=implementation).eval()


def _logits(model: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(input_ids=x, use_cache=False).logits
    return logits


def _reason(message: str) -> str:
    """The argument that this package's message names."""
    if "AttentionInterface" in message:
        return "its attention does not go through the AttentionInterface"
    return message.split(":")[0]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:90]}"


def table(families: Iterable[str]) -> str:
    rows = [f"| {family} | {result(family)} |".replace("\\", "") for family in families]
    return "\n".join(["| family | result |", "|---|---|", *rows])


def written() -> tuple[str, dict[str, str]]:
    """The version of transformers and the rows of the table in the documentation."""
    section = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]
    lines = section.strip().splitlines()
    rows = (line.strip("| ").split(" | ", 1) for line in lines if line.startswith("| ") and "family" not in line)
    return lines[0].split()[1].rstrip(":"), {row[0]: row[1] for row in rows}


def write() -> None:
    before, rest = DOCUMENT.read_text().split(BEGIN)
    after = rest.split(END)[1]
    head = f"transformers {transformers.__version__}:"
    DOCUMENT.write_text(f"{before}{BEGIN}\n{head}\n\n{table(FAMILIES)}\n{END}{after}")


def quiet() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", default=FAMILIES)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    quiet()
    if arguments.write:
        write()
    else:
        print(table(arguments.families))
        sys.stdout.flush()
