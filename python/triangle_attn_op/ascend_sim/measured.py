"""Times that others measured on hardware, as facts: matmuls of a tuning bank, and public samples of whole kernels.

The matmuls are 20 of the 3,422 rows that CANN 8.1.RC1 carries in
opp/built-in/data/tiling/Ascend910B/repository_Ascend910B2_matmul.json.for.reference: Ascend910B2, us, the mean of three
runs, L2 warm. The samples are those of the Ascend C developer kit's documentation (data_copy, add, mmad with gelu),
measured by its authors on an Atlas A2.
"""

from __future__ import annotations

from dataclasses import dataclass

MATMULS = """\
1,8192,2048,4096,fp16,1,1,16,256,128,64,2,64,256,2,128,128,2,2,1,702.35
1,1024,4096,12288,fp16,1,4,4,256,128,48,2,48,256,2,96,128,2,2,1,527.743
1,1024,4096,9216,fp16,1,2,8,256,128,64,2,64,256,2,64,128,2,2,1,395.58
1,3072,768,12288,fp16,1,12,2,256,128,64,2,64,256,2,64,128,2,2,1,199.143
1,12288,3072,768,fp16,1,2,12,256,128,64,2,64,256,2,64,128,2,2,1,199.173
1,16384,3072,768,fp16,1,1,24,256,128,64,2,384,256,2,128,128,2,2,1,265.04
1,768,3072,12288,fp32,1,6,4,128,256,64,2,64,128,2,64,256,2,2,1,199.726
1,16000,1024,512,fp16,1,5,4,128,256,64,2,64,128,1,512,256,2,2,1,71.113
1,768,768,9280,fp16,1,3,6,256,128,64,2,64,256,2,64,128,2,2,1,52.056
16,2304,2304,64,fp16,8,1,3,128,256,64,1,64,768,2,64,768,2,2,1,42.226
1,4096,4096,16,fp16,1,1,16,512,32,16,1,,,2,,,1,2,2,13.313
1,512,85744,16,fp16,1,1,23,512,16,16,1,,,2,,,2,2,1,22.17
1,4096,4096,16,fp32,1,4,6,1024,16,16,1,,,1,,,1,2,2,16.576
1,16384,736,16,fp32,1,8,3,1024,16,16,1,,,1,,,1,2,2,12.57
128,512,512,64,fp32,16,1,1,256,64,64,2,,,2,64,512,2,1,2,46.81
1536,128,128,64,fp16,24,1,1,128,128,64,2,64,128,2,64,128,2,2,2,15.29
64,32,32,19200,fp16,24,1,1,32,32,240,2,1920,32,2,1920,32,2,2,2,39.926
1,30720,16,768,fp16,1,24,1,80,16,256,2,768,160,1,,,1,1,2,12.096
1,16,16,148480,fp32,1,1,1,16,16,640,2,2560,16,2,5120,16,2,2,2,50.646
250,16,256,16384,fp16,23,1,1,16,64,512,2,2048,16,2,1024,64,2,1,1,1381.983
"""


@dataclass(frozen=True)
class Sample:
    """A kernel of sim/timing, its arguments and cores, and the published time in us. why: what a miss is due to."""

    what: str
    kernel: str
    args: tuple[int, ...]
    cores: int
    microseconds: float
    why: str = ""


@dataclass(frozen=True)
class Catlass:
    """A matmul of CATLASS's examples, A in rows of k, fp16; tile: m, n, k of its L1 tile, k a quarter of that in L0."""

    what: str
    size: tuple[int, int, int]
    b_layout: str
    tile: tuple[int, int, int]
    cores: tuple[int, int]  # over m and n
    microseconds: float
    why: str = ""


# CATLASS, docs "matmul optimization", 20 AI cores of a chip that is not named. The defaults have 24 tiles, two of them
# on four cores; here that is a grid of 12 cores with two tiles each, as the busiest ones have.
CATLASS = (
    Catlass("06, 1024x576x6144, 128x256 tiles", (1024, 576, 6144), "nk", (128, 256, 256), (4, 3), 72.5, "two a core"),
    Catlass("06, 1024x576x6144, 256x128 tiles", (1024, 576, 6144), "nk", (256, 128, 256), (4, 5), 48.6),
    Catlass(
        "21 zN, 20x6144x16384, 128x256 tiles", (32, 6144, 16384), "nz", (32, 256, 256), (1, 12), 181.4, "two a core"
    ),
    Catlass("21 zN, 20x6144x16384, 32x320 tiles", (32, 6144, 16384), "nz", (32, 320, 128), (1, 20), 139.6),
)


_N = 12288


def _copy(
    into: str, tile: tuple[int, int], passes: int, slices: int, microseconds: float, pitch: int = _N, why: str = ""
) -> Sample:
    how = {(1, 1): "", (4, 1): ", four passes", (4, 4): ", four passes of each slice"}[passes, slices]
    unaligned = "" if pitch == _N else f", rows of {pitch} elements"
    return Sample(
        f"data_copy into {into}, tiles {tile[0]} x {tile[1]}{how}{unaligned}",
        f"copy_tiles_{into.lower()}",
        (2 * _N * _N, _N, pitch, pitch, *tile, passes, slices, 0),
        48 if into == "UB" else 24,
        microseconds,
        why,
    )


def _shared(into: str, rows: int, order: int, microseconds: float, why: str = "") -> Sample:
    return Sample(
        f"data_copy into {into}, all cores the same 6 MB, {'same order' if order == 1 else 'staggered'}",
        f"copy_tiles_{into.lower()}",
        (2 * 6144 * 512, 6144, 512, 512, rows, 64, 1, 1, order),
        48 if into == "UB" else 24,
        microseconds,
        why,
    )


def _add(cores: int, chunk: int, buffers: int, microseconds: float, why: str = "") -> Sample:
    size = 8192 * 8192
    return Sample(
        f"add, {cores} AIV, chunks of {chunk}, {'one buffer' if buffers == 1 else 'two buffers'}",
        "add_chunks",
        (2 * size, 2 * size, 2 * size, size, chunk, buffers),
        cores,
        microseconds,
        why,
    )


_TWO_WAYS = "staggered cores still meet: one share for both paths, which differ by a third"
SAMPLES = (
    _copy("UB", (1, 64), 1, 1, 554),
    _copy("UB", (64, 64), 1, 1, 227),
    _copy("UB", (64, 1024), 1, 1, 209),
    _copy("UB", (64, 1024), 4, 1, 816),
    _copy("UB", (64, 1024), 4, 4, 355),
    _copy("L1", (64, 64), 1, 1, 290),
    _copy("L1", (64, 256), 1, 1, 221),
    _copy("L1", (64, 1024), 4, 1, 872),
    _copy("L1", (64, 1024), 4, 4, 398, why="nd2nz_bytes_per_cycle is fitted to another sample, the 8192^3 matmul"),
    _copy("UB", (64, 1024), 1, 1, 266, 12287),
    _copy("L1", (64, 256), 1, 1, 428, 12287),
    _shared("UB", 128, 1, 482),
    _shared("UB", 128, 2, 316, _TWO_WAYS),
    _shared("L1", 256, 1, 245),
    _shared("L1", 256, 2, 215, _TWO_WAYS),
    _add(1, 4096, 1, 6910),
    _add(48, 4096, 1, 297, "48 cores' short loads and stores at HBM disturb each other; the model shares bytes only"),
    _add(48, 16384, 1, 262),
    _add(48, 16384, 2, 258),
    Sample(
        "mmad + gelu 8192^3",
        "mmad_gelu",
        (2 * 8192**2, 2 * 8192**2, 4 * 8192**2, 8192, 2048, 1536),
        24,
        4236.9,
        "the matmul in it is the one that nd2nz_bytes_per_cycle is fitted to",
    ),
)
