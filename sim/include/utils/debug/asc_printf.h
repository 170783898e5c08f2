// CANN's own header for this part of the API.
#pragma once

#include "kernel_operator_dump_tensor_intf.h"
