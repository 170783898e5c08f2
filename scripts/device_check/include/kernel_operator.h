// Ascend C as a device compiler sees it: names and types of the public API, for `make check-device` (docs/build.md).
// Functions that are instructions have no body, and nothing here runs: sim/include has the API that does.
#pragma once
#include "copies.h"
#include "cube.h"
#include "synchronise.h"
#include "vector.h"
