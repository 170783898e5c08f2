"""Rewrites an .asc source to plain C++: every launch k<<<blocks, l2ctrl, stream>>>(args) becomes a call.

    asc_rewrite.py source.asc output.cpp

becomes ::ascend_sim::asc::Launch<KernelType, &k>(blocks, l2ctrl, stream)(args), arguments converted as in a call of k.
The kernel's type comes from the attributes of its `__global__` declaration (__vector__, __cube__, __mix__(a, b)), in
the source or in a header it includes by "..."; without one, the kernel's KERNEL_TASK_TYPE_DEFAULT says. Nothing else is
touched, and #line keeps file and line of the original.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MIX = {"10": "kMix10", "01": "kMix01", "11": "kMix11", "12": "kMix12"}


class RewriteError(Exception):
    """A launch that cannot be read; the message names its line."""


def code_mask(text: str) -> list[bool]:
    """For each character whether it is code: not in a comment, a string or a character literal."""
    mask = [True] * len(text)
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
        re.S,
    )
    for match in token.finditer(text):
        for i in range(match.start(), match.end()):
            mask[i] = False
    return mask


def only_code(text: str) -> str:
    """The text with everything that is no code replaced by spaces; newlines stay."""
    return "".join(c if is_code or c == "\n" else " " for c, is_code in zip(text, code_mask(text), strict=True))


def kernel_types(code: str) -> dict[str, str]:
    """Names of the `__global__` functions and the KernelType their attributes state."""
    code = re.sub(r"__mix__\s*\(\s*([01])\s*,\s*([012])\s*\)", r"__mix\1\2__", code)
    types = {}
    for match in re.finditer(r"__global__", code):
        start = max(code.rfind(c, 0, match.start()) for c in ";{}") + 1
        declaration = re.match(r"[^({;]*?([A-Za-z_]\w*)\s*\(", code[match.end() :])
        if declaration is None:
            continue
        head = code[start : match.end() + declaration.end()]
        kind = "kUnset"
        if (mix := re.search(r"__mix(\d\d)__", head)) is not None:
            kind = MIX.get(mix.group(1), "kUnset")
        elif "__cube__" in head:
            kind = "kAicOnly"
        elif "__vector__" in head:
            kind = "kAivOnly"
        types[declaration.group(1)] = kind
    return types


def included_types(path: Path, seen: set[Path]) -> dict[str, str]:
    """kernel_types of a file and of what it includes by quotes."""
    if path in seen or not path.is_file():
        return {}
    seen.add(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    types: dict[str, str] = {}
    for name in re.findall(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', text, re.M):
        types.update(included_types((path.parent / name).resolve(), seen))
    types.update(kernel_types(only_code(text)))
    return types


def match_back(code: str, end: int, line: int) -> int:
    """Start of the kernel expression that ends before `end`: a qualified name with optional template arguments."""
    i = end
    while i > 0 and code[i - 1].isspace():
        i -= 1
    if i > 0 and code[i - 1] == ">":
        depth = 0
        while i > 0:
            i -= 1
            if code[i] == ">":
                depth += 1
            elif code[i] == "<":
                depth -= 1
                if depth == 0:
                    break
        if depth != 0:
            raise RewriteError(f"line {line}: the kernel's template arguments before <<< are not closed")
        while i > 0 and code[i - 1].isspace():
            i -= 1
    name = re.search(r"(?:::\s*)?(?:[A-Za-z_]\w*\s*::\s*)*[A-Za-z_]\w*$", code[:i])
    if name is None:
        raise RewriteError(f"line {line}: expected a kernel's name before <<<")
    return name.start()


def match_forward(code: str, start: int, line: int) -> int:
    """Position of the >>> that closes the launch parameters starting at `start`."""
    depth = 0
    for i in range(start, len(code)):
        if code[i] in "([{":
            depth += 1
        elif code[i] in ")]}":
            depth -= 1
        elif depth == 0 and code.startswith(">>>", i):
            return i
    raise RewriteError(f"line {line}: <<< has no >>>")


def rewrite(text: str, types: dict[str, str]) -> str:
    """The text with its launches replaced; as many lines as before."""
    code = only_code(text)
    out, at = [], 0
    while (begin := code.find("<<<", at)) >= 0:
        line = code.count("\n", 0, begin) + 1
        start = match_back(code, begin, line)
        if start < at:
            raise RewriteError(f"line {line}: a launch inside another one's parameters")
        end = match_forward(code, begin + 3, line)
        kernel, parameters = text[start:begin].strip(), text[begin + 3 : end]
        base = re.sub(r"<.*", "", kernel, flags=re.S).split("::")[-1].strip()
        kind = types.get(base, "kUnset")
        out.append(text[at:start])
        out.append(f"::ascend_sim::asc::Launch<::ascend_sim::KernelType::{kind}, &{kernel}>({parameters})")
        at = end + 3
    out.append(text[at:])
    return "".join(out)


def main(arguments: list[str]) -> int:
    """Writes arguments[1] from arguments[0]; 1 and a message on stderr where a launch cannot be read."""
    source, output = Path(arguments[0]), Path(arguments[1])
    try:
        body = rewrite(source.read_text(encoding="utf-8"), included_types(source.resolve(), set()))
    except RewriteError as error:
        print(f"{source}: {error}", file=sys.stderr)
        return 1
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(f'#include "ascend_sim/asc_launch.h"\n#line 1 "{source.resolve()}"\n{body}', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
