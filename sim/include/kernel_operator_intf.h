// The basic API under the name that CANN's high-level headers include.
#pragma once

#include "kernel_basic_intf.h"
