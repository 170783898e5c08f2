"""Stand-in for CANN's generator of launchers: host_stub.py STUB INCLUDES SOURCES...

For every kernel of the sources a header aclrtlaunch_<kernel>.h with CANN's signature (pointers become void*, structs by
value become pointers) and, in STUB, a function that launches through libascendc_runtime.a. Like CANN's, STUB registers
the kernels' binary in a constructor and knows nothing of the structs' contents.
"""

import re
import sys
from pathlib import Path

KERNEL = re.compile(r'extern "C" (?:TRIANGLE_SCHEDULED )?__global__ __aicore__ void (\w+)\(([^)]*)\)')


def parameter(text: str) -> str:
    kind, name = text.split()
    return f"void* {name}" if kind == "GM_ADDR" else f"{kind}* {name}"


def main(stub: Path, headers: Path, sources: list[Path]) -> None:
    stub.parent.mkdir(parents=True, exist_ok=True)
    headers.mkdir(parents=True, exist_ok=True)
    kernels = {
        name: [parameter(text.strip()) for text in parameters.split(",")]
        for source in sources
        for name, parameters in sorted(KERNEL.findall(source.read_text(encoding="utf-8")))
    }
    structs = sorted({p.split("*")[0] for ps in kernels.values() for p in ps if not p.startswith("void")})
    body = [
        "#include <stddef.h>\n#include <stdint.h>",
        *(f"struct {name};" for name in structs),
        'extern "C" uint32_t RegisterAscendBinary(const char*, size_t, uint32_t, void**);',
        'extern "C" uint32_t LaunchAscendKernel(void*, const uint64_t, const uint32_t, void**, uint32_t, const void*);',
        "static void* handle;",
        "static void enroll() __attribute__((constructor));",
        'void enroll() { RegisterAscendBinary("", 0, 0, &handle); }',
    ]
    for key, (name, parameters) in enumerate(kernels.items()):
        signature = f'extern "C" uint32_t aclrtlaunch_{name}(uint32_t blockDim, {{stream}}, {", ".join(parameters)})'
        (headers / f"aclrtlaunch_{name}.h").write_text(
            '#pragma once\n#include "acl/acl_base.h"\n' + signature.format(stream="aclrtStream stream") + ";\n"
        )
        body.append(
            signature.format(stream="void* stream") + " {\n  if (handle == nullptr) return 0;\n"
            f"  return LaunchAscendKernel(handle, {key}, blockDim, 0, 0, stream);\n}}"
        )
    stub.write_text("\n".join(body) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
