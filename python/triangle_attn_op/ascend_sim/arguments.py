"""Kernel arguments as words of a command line.

    in:x.npy            an array from a file; .bin: its bytes, such as a tiling struct's
    in:float[2,512]     random numbers (standard normal, integers 0..9); =zeros, =ones, =range or =2.5 for others
    out:float[2,512]    memory that nobody wrote; out:float[2,512]=y.npy saves it after the launch
    inout:x.npy         read and written; inout:x.npy=y.npy saves it. inout:float[64]=zeros: a workspace, a sum
    int32:5  float:0.5  a number by value
    struct:tiling.bin   a struct by value
    null                a null pointer

Element types: float, half, bfloat16_t, double, int8 .. int64, uint8 .. uint64 (also with _t), bool.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .launch import Kernel, LaunchError, Struct

_TYPES: dict[str, Any] = {
    "float": np.float32,
    "float32": np.float32,
    "half": np.float16,
    "float16": np.float16,
    "bfloat16": np.uint16,
    "double": np.float64,
    "float64": np.float64,
    "bool": np.uint8,
    **{f"{u}int{n}": getattr(np, f"{u}int{n}") for u in ("", "u") for n in (8, 16, 32, 64)},
}


@dataclass
class Argument:
    """Its value for launch(), how it is used ("in", "out", "inout" or "" for a number), where it is saved."""

    value: Any
    use: str
    bfloat16: bool = False
    save: Path | None = None

    def numbers(self) -> np.ndarray[Any, Any]:
        """The array's values; bfloat16 as float32."""
        array: np.ndarray[Any, Any] = self.value
        return (array.astype(np.uint32) << 16).view(np.float32) if self.bfloat16 else array


def parse(words: list[str], kernel: Kernel, timing_only: bool, seed: int = 0) -> list[Argument]:
    """The arguments of a launch; LaunchError names the parameter of the first wrong one."""
    if len(words) != len(kernel.args):
        parameters = ", ".join(kernel.parameters) or ", ".join(kind for kind, _ in kernel.args)
        raise LaunchError(f"--args: kernel '{kernel.name}' takes {len(kernel.args)} ({parameters}), got {len(words)}")
    random = np.random.default_rng(seed)
    arguments = []
    for i, (word, (kind, size)) in enumerate(zip(words, kernel.args)):
        try:
            arguments.append(_one(word, kind, size, timing_only, random))
        except (ValueError, OSError) as error:
            raise LaunchError(f"--args: {kernel.argument(i)}: '{word}': {error}") from None
    return arguments


def _one(word: str, kind: str, size: int, timing_only: bool, random: np.random.Generator) -> Argument:
    if word == "null":
        _must_be(kind == "pointer", f"the kernel takes a {kind} here")
        return Argument(None, "")
    use, colon, text = word.partition(":")
    _must_be(bool(colon), "expected in:, out:, inout:, a type and a number such as int32:5, struct: or null")
    if use in ("in", "out", "inout"):
        _must_be(kind == "pointer", f"an array, but the kernel takes a {kind} of {size} bytes here")
        return _array(use, text, timing_only, random)
    _must_be(kind != "pointer", "the kernel takes a pointer here: in:, out:, inout: or null")
    if use == "struct":
        data = Path(text).read_bytes()
        _must_be(len(data) == size, f"the file has {len(data)} bytes, the kernel takes {size}")
        return Argument(Struct(data), "")
    dtype = np.dtype(_type(use))
    _must_be(dtype.itemsize == size, f"{use} has {dtype.itemsize} bytes, the kernel takes a {kind} of {size}")
    number = float(text) if dtype.kind == "f" or use.startswith("bfloat16") else int(text, 0)
    if kind == "struct":  # half and bfloat16_t are classes here
        value = np.float32(number)
        raw = (value.view(np.uint32) >> 16).astype(np.uint16) if use.startswith("bfloat16") else dtype.type(number)
        return Argument(Struct(raw.tobytes()), "")
    if isinstance(number, int) and not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
        raise ValueError(f"does not fit {use}")
    return Argument(number, "")


def _array(use: str, text: str, timing_only: bool, random: np.random.Generator) -> Argument:
    description, equals, option = text.partition("=")
    shaped = re.fullmatch(r"(\w+)\[([\d,\s]*)\]", description)
    if shaped is None:
        _must_be(description != "", "expected a file or type[shape]")
        _must_be("[" not in description, "expected type[shape], such as float[2,512]")
        _must_be(use != "out", "expected type[shape], such as out:float[2,512]")
        array = _file(Path(description))
        save = Path(option) if equals and use == "inout" else None
        _must_be(not equals or use == "inout", "an input is not saved")
        return Argument(array.nbytes if timing_only else array, use, save=save)
    dtype = np.dtype(_type(shaped[1]))
    shape = tuple(int(n) for n in shaped[2].split(",") if n.strip())
    is_bfloat16 = shaped[1].startswith("bfloat16")
    if timing_only:
        return Argument(int(np.prod(shape, dtype=object)) * dtype.itemsize, use)
    if use == "out":
        return Argument(_poison(shape, dtype), use, is_bfloat16, Path(option) if equals else None)
    return Argument(_filled(shape, dtype, is_bfloat16, option or "random", random), use, is_bfloat16)


def _file(path: Path) -> np.ndarray[Any, Any]:
    if path.suffix == ".npy":
        array: np.ndarray[Any, Any] = np.load(path, allow_pickle=False)
        return np.ascontiguousarray(array)
    _must_be(path.suffix == ".bin", "expected a .npy or .bin file, or type[shape]")
    return np.fromfile(path, np.uint8)


def _poison(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """All bits one: NaN in every floating-point format."""
    count = int(np.prod(shape, dtype=object))
    return np.full(count * dtype.itemsize, 0xFF, np.uint8).view(dtype).reshape(shape)


def _filled(
    shape: tuple[int, ...], dtype: np.dtype[Any], is_bfloat16: bool, how: str, random: np.random.Generator
) -> np.ndarray[Any, Any]:
    target = np.dtype(np.float32) if is_bfloat16 else dtype
    values: np.ndarray[Any, Any]
    if how == "random":
        values = random.standard_normal(shape) if target.kind == "f" else random.integers(0, 10, shape)
    elif how == "range":
        values = np.arange(int(np.prod(shape, dtype=object))).reshape(shape)
    else:
        names = {"zeros": 0.0, "ones": 1.0}
        try:
            values = np.full(shape, names[how] if how in names else float(how))
        except ValueError:
            raise ValueError(f"expected =random, =zeros, =ones, =range or a number, got '={how}'") from None
    values = values.astype(target)
    if is_bfloat16:
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return values


def _type(name: str) -> Any:
    base = name.removesuffix("_t")
    _must_be(base in _TYPES, f"unknown type '{name}': expected one of {', '.join(_TYPES)}")
    return _TYPES[base]


def _must_be(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
