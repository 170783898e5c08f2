"""What a kernel's generated code may not hold: found in LLVM IR before optimisation, so that nothing is folded away."""

from __future__ import annotations

import re

from .ir import MENTION, Module, bare, cycle, demangle

# Rules that are one pattern in an instruction.
PATTERNS = (
    ("an array of variable length", re.compile(r"= alloca .*, i\d+ %")),
    ("double precision, which the scalar unit has not", re.compile(r"\bdouble\b")),
    ("a pointer cast from one memory to another", re.compile(r"\baddrspacecast\b")),
)
ALLOCATES = re.compile(r"^_Z(?:nw|na|dl|da)")
WRONG_CORE = re.compile(r'"dontcall-error"="([^"]*)"')
MATHEMATICS = re.compile(r"llvm\.(?:sqrt|sin|cos|exp|exp2|log|log2|log10|pow|powi)\.")
LAMBDA = re.compile(r"\$_\d|Ul.*E\d*_")


def findings(module: Module, own: str = "") -> list[str]:
    """What is wrong, a line each. own: a prefix of linkage names; functions and data without it are not looked at."""
    found: list[str] = []
    names = {n: f for n, f in module.functions.items() if not own or own in n or not n.startswith("_Z")}
    shown = demangle([*module.functions, *module.declared, *module.data])
    for name, function in names.items():
        inside = f", in {shown[name]}"
        if LAMBDA.search(name) and "clE" in name:
            found.append(f"{_first_place(module, name)}a lambda, which is the host's{inside}")
        for line in function.indirect:
            found.append(f"{module.place(line)}a call through a pointer to a function{inside}")
        for callee, line in function.calls:
            where = module.place(line)
            wrong = WRONG_CORE.search(module.declared.get(callee, ""))
            if wrong:
                found.append(f"{where}{shown[callee]}: {wrong.group(1)}{inside}")
            elif ALLOCATES.match(callee):
                found.append(f"{where}{shown[callee]}: memory from the host's allocator{inside}")
            elif MATHEMATICS.match(callee) or (callee in module.declared and not callee.startswith(("_Z", "llvm."))):
                found.append(f"{where}{callee}: a function of the host's library{inside}")
        for line in function.lines:
            code = re.sub(r'c"[^"]*"|, !.*', "", line)
            for text, pattern in PATTERNS:
                if pattern.search(code):
                    found.append(f"{module.place(line)}{text}{inside}")
            if _takes_address(module, code):
                found.append(f"{module.place(line)}the address of a function{inside}")
    circle = cycle(module, list(names))
    if circle:
        found.append(f"recursion: {' calls '.join(shown[name] for name in circle)}")
    return [*dict.fromkeys([*found, *_data(module, shown, own)])]


def _data(module: Module, shown: dict[str, str], own: str) -> list[str]:
    """Objects that live longer than a call."""
    found = []
    for name, definition in module.data.items():
        if own and own not in name:
            continue
        if name.startswith("_ZTV"):
            found.append(f"{shown[name]}: virtual functions")
        elif name.startswith("_ZGVZ") or (name.startswith("_ZZ") and " external " not in f" {definition}"):
            found.append(f"{shown[name]}: a static local")
        elif name.startswith("llvm.global_ctors"):
            found.append("dynamic initialisation of a global")
        elif re.search(r"\bglobal\b", definition) and not name.startswith(("llvm.", "check_arguments_")):
            found.append(f"{shown[name]}: a global that can be written")
    return found


def _takes_address(module: Module, code: str) -> bool:
    mentioned = [bare(name) for name in MENTION.findall(code)]
    called = 1 if re.match(r"^\s+(?:%\S+ = )?(?:\w+ )?(?:call|invoke) ", code) else 0
    return sum(name in module.functions for name in mentioned[called:]) > 0


def _first_place(module: Module, name: str) -> str:
    return next(filter(None, map(module.place, module.functions[name].lines)), "")
