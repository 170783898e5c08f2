"""Real text as bytes: read, split by file into training and held-out parts, and cut into batches that depend on nothing
but seed and step."""

from __future__ import annotations

import dataclasses
import sysconfig
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

VOCABULARY = 256
SEPARATOR = b"\0"  # between files
HELD_OUT = 0.05


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Bytes of the training files and of the held-out ones, each joined by a zero byte."""

    train: np.ndarray
    held_out: np.ndarray
    files: int
    source: str

    def fingerprint(self) -> str:
        """Tells one corpus from another."""
        both = zlib.crc32(self.held_out.data, zlib.crc32(self.train.data))
        return f"{len(self.train)} + {len(self.held_out)} bytes, crc32 {both:08x}"

    def unigram_entropy(self) -> float:
        """Nats a byte: the lowest loss on the held-out part that any model without context could reach."""
        counts = np.bincount(self.held_out, minlength=VOCABULARY)
        p = counts[counts > 0] / counts.sum()
        return float(-(p * np.log(p)).sum())

    def train_batch(self, seed: int, iteration: int, size: int, length: int) -> Tensor:
        """int64 [size, length]: the global batch of a step. A function of (seed, iteration), so a resumed run sees what
        it would have seen."""
        generator = np.random.default_rng([seed, iteration])
        starts = generator.integers(0, len(self.train) - length + 1, size=size)
        return _windows(self.train, starts, length)

    def held_out_batch(self, index: int, batches: int, size: int, length: int) -> Tensor:
        """int64 [size, length]: one of `batches` batches whose windows lie evenly over the held-out part, the same in
        every validation."""
        starts = np.linspace(0, len(self.held_out) - length, batches * size).astype(np.int64)
        return _windows(self.held_out, starts[index * size : (index + 1) * size], length)


def load(path: Path | None, length: int) -> Corpus:
    """The corpus at `path`, a file or a folder, or the Python standard library's sources; ValueError where it is too
    small for `length` tokens."""
    root = Path(sysconfig.get_paths()["stdlib"]) if path is None else path
    files = _files(root, path is None)
    texts = {str(file.relative_to(root)) if file != root else file.name: file.read_bytes() for file in files}
    texts = {name: text for name, text in texts.items() if text}
    train, held_out = _split(texts)
    for name, part in (("training", train), ("held-out", held_out)):
        if len(part) < length:
            raise ValueError(
                f"--data: expected at least {length} bytes (the longest sequence) in the {name} part, "
                f"got {len(part)} from {root}"
            )
    source = "Python standard library" if path is None else str(path)
    return Corpus(train, held_out, len(texts), source)


def _files(root: Path, standard_library: bool) -> list[Path]:
    if root.is_file():
        return [root]
    found = (file for file in root.rglob("*.py" if standard_library else "*") if file.is_file())
    skipped = {"site-packages", "dist-packages"} if standard_library else set()

    def hidden(file: Path) -> bool:
        return any(part.startswith((".", "__pycache__")) or part in skipped for part in file.relative_to(root).parts)

    return sorted(file for file in found if not hidden(file))


def _split(texts: dict[str, bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Whole files are held out, chosen by a hash of their names, until they make HELD_OUT of the bytes; of a single
    file, its end."""
    total = sum(len(text) for text in texts.values())
    if len(texts) == 1:
        text = next(iter(texts.values()))
        cut = len(text) - int(total * HELD_OUT)
        return _array([text[:cut]]), _array([text[cut:]])
    by_hash = sorted(texts, key=lambda name: (zlib.crc32(name.encode()), name))
    held_out: set[str] = set()
    size = 0
    for name in by_hash[:-1]:
        if size >= total * HELD_OUT:
            break
        held_out.add(name)
        size += len(texts[name])
    return _array([texts[n] for n in texts if n not in held_out]), _array([texts[n] for n in texts if n in held_out])


def _array(texts: list[bytes]) -> np.ndarray:
    return np.frombuffer(SEPARATOR.join(texts), dtype=np.uint8)


def _windows(text: np.ndarray, starts: np.ndarray, length: int) -> Tensor:
    return torch.from_numpy(text[starts[:, None] + np.arange(length)].astype(np.int64))
