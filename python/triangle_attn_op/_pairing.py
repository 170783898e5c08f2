"""torch_npu beside a CUDA build of torch: both register an allocator under one key, and the process is aborted, by
`import torch` already, which loads torch_npu by itself. Found out here from files, before anything is imported.

As a program (`python .../_pairing.py`) it prints what is wrong and exits with 1.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path


def problem() -> str | None:
    """What to install instead, or None where torch and torch_npu fit or one of them is missing."""
    torch, torch_npu = (importlib.util.find_spec(name) for name in ("torch", "torch_npu"))
    if torch is None or torch.origin is None or torch_npu is None:
        return None
    file = Path(torch.origin).with_name("version.py")
    text = file.read_text() if file.exists() else ""
    cuda = re.search(r"^cuda\b[^=]*= *['\"](.+)['\"]", text, re.MULTILINE)
    if cuda is None:
        return None
    found = re.search(r"^__version__ *= *['\"](.+)['\"]", text, re.MULTILINE)
    version = found[1] if found else "unknown"
    install = f"pip install --index-url https://download.pytorch.org/whl/cpu torch=={version.split('+')[0]}"
    return (
        f"triangle_attn_op: torch {version} is a build for CUDA {cuda[1]}, and torch_npu beside one aborts the "
        f"process; expected a CPU build: {install}"
    )


def check() -> None:
    """ImportError where `import torch`, which comes next, would abort."""
    autoload = os.environ.get("TORCH_DEVICE_BACKEND_AUTOLOAD", "1") == "1"
    text = problem() if autoload and "torch" not in sys.modules else None
    if text:
        raise ImportError(text)


if __name__ == "__main__":
    sys.exit(problem())
