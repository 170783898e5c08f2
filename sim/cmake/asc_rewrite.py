"""Rewrites an .asc source to plain C++: every launch k<<<blocks, l2ctrl, stream>>>(args) becomes a call.

    asc_rewrite.py source.asc output.cpp [-I folder ...]

becomes ::ascend_sim::asc::Launch<KernelType, &k>(blocks, l2ctrl, stream)(args), arguments converted as in a call of k.
The kernel's type comes from the attributes of its `__global__` declaration (__vector__, __cube__, __mix__(a, b)), in
the source or in a header that it includes; without one, the kernel's KERNEL_TASK_TYPE_DEFAULT says. Headers with
launches are rewritten to copies beside the output, which are included instead. Nothing else is touched, and #line keeps
file and line of the original.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
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


INCLUDE = re.compile(r'^([ \t]*#[ \t]*include[ \t]*)(["<])([^">\n]+)[">]', re.M)


def resolve(name: str, quoted: bool, folder: Path, include: Sequence[str]) -> Path | None:
    """The file that an #include in a file of `folder` names, or None: a header of the system."""
    for place in [folder, *map(Path, include)] if quoted else map(Path, include):
        if (place / name).is_file():
            return (place / name).resolve()
    return None


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def included_types(path: Path, seen: set[Path], include: Sequence[str] = ()) -> dict[str, str]:
    """kernel_types of a file and of what it includes."""
    if path in seen or not path.is_file():
        return {}
    seen.add(path)
    text = read(path)
    types: dict[str, str] = {}
    for _, quote, name in INCLUDE.findall(text):
        if (header := resolve(name, quote == '"', path.parent, include)) is not None:
            types.update(included_types(header, seen, include))
    if "__global__" in text:
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


def launching(path: Path, include: Sequence[str], known: dict[Path, bool]) -> bool:
    """Whether a file, or a header that it includes, holds a launch; `known` collects it for each file."""
    if path not in known:
        known[path] = False  # while it is looked at: headers may include each other
        text = read(path)
        here = "<<<" in text and "<<<" in only_code(text)
        for _, quote, name in INCLUDE.findall(text):
            header = resolve(name, quote == '"', path.parent, include)
            here |= header is not None and launching(header, include, known)
        known[path] = here
    return known[path]


def has_launch(path: Path, include: Sequence[str] = ()) -> bool:
    """Whether a source must be rewritten."""
    return launching(path.resolve(), include, {})


def rewrite_files(path: Path, folder: Path, include: Sequence[str] = (), name: str = "") -> Path:
    """Writes a source with its launches replaced to `folder`, and the headers that hold launches; the source's copy."""
    path = path.resolve()
    known: dict[Path, bool] = {}
    launching(path, include, known)
    copies = {header: folder / f"{i}-{header.name}" for i, header in enumerate(known) if known[header]}
    copies[path] = folder / (name or f"{path.stem}.asc.cpp")
    types = included_types(path, set(), include)
    folder.mkdir(parents=True, exist_ok=True)
    for source, copy in copies.items():

        def included(match: re.Match[str], source: Path = source) -> str:
            header = resolve(match[3], match[2] == '"', source.parent, include)
            if header in copies:
                return f'{match[1]}"{copies[header].resolve()}"'
            beside = source.parent / match[3]  # found there only because the original lies there
            return f'{match[1]}"{beside}"' if match[2] == '"' and beside.is_file() else match[0]

        try:
            body = INCLUDE.sub(included, rewrite(read(source), types))
        except RewriteError as error:
            raise RewriteError(f"{source}: {error}") from None
        head = '#include "ascend_sim/asc_launch.h"\n' if source == path else ""
        once = "#pragma once\n" if "#pragma once" in body else ""  # a copy is another file
        copy.write_text(f'{once}{head}#line 1 "{source}"\n{body}', encoding="utf-8")
    return copies[path]


def main(arguments: list[str]) -> int:
    """Writes arguments[1] from arguments[0]; 1 and a message on stderr where a launch cannot be read."""
    source, output = Path(arguments[0]), Path(arguments[1])
    include = [folder for folder in arguments[2:] if folder != "-I"]
    try:
        rewrite_files(source, output.parent, include, output.name)
    except RewriteError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
