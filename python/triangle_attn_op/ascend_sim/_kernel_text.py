"""What the text of a kernel source tells without a compiler: its kernels, their types, the names of parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ._sources import rewriter


@dataclass(frozen=True)
class KernelText:
    """name: as it is registered; type: of ascend_sim::KernelType; template: has no name of its own to register."""

    name: str
    type: str
    parameters: tuple[str, ...]
    template: bool


def kernels_of(path: Path) -> list[KernelText]:
    """The `__global__` functions that a file defines."""
    rewrite = rewriter()
    code = rewrite.only_code(path.read_text(encoding="utf-8", errors="replace"))
    code = re.sub(r"^[ \t]*#(?:.*\\\n)*.*", "", code, flags=re.M)
    types = rewrite.kernel_types(code)
    found: dict[str, KernelText] = {}
    for match in re.finditer(r"\b__global__\b", code):
        declaration = re.match(r"[^({;]*?([A-Za-z_]\w*)\s*\(", _without_attributes(code[match.end() :]))
        if declaration is None:
            continue
        rest = _without_attributes(code[match.end() :])
        inside, after = _parenthesised(rest, declaration.end())
        name = declaration.group(1)
        start = max(code.rfind(c, 0, match.start()) for c in ";}") + 1
        is_template = re.search(r"\btemplate\s*<", code[start : match.start()]) is not None
        defined = re.match(r"\s*(?:noexcept\s*)?\{", rest[after:]) is not None
        if defined or name not in found:
            found[name] = KernelText(name, types.get(name, "kUnset"), _names(inside), is_template)
    return list(found.values())


def _without_attributes(text: str) -> str:
    """Kernel attributes that take arguments, which would read as a parameter list, as spaces."""
    return re.sub(r"__\w+__\s*\(\s*\d+\s*(?:,\s*\d+\s*)*\)", lambda m: " " * len(m[0]), text[:4000])


def _parenthesised(text: str, start: int) -> tuple[str, int]:
    """What stands between the parenthesis that ends before `start` and the one that closes it, and where that ends."""
    depth = 1
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i], i + 1
    return "", len(text)


def _names(parameters: str) -> tuple[str, ...]:
    names: list[str] = []
    depth, item = 0, ""
    for c in parameters + ",":
        depth += {"<": 1, "(": 1, ">": -1, ")": -1}.get(c, 0)
        if c != "," or depth > 0:
            item += c
            continue
        words = re.findall(r"[A-Za-z_]\w*", item.split("=")[0])
        if item.strip() and item.strip() != "void":
            names.append(words[-1] if len(words) > 1 else f"arg{len(names)}")
        item = ""
    return tuple(names)
