// The basic API: everything a kernel calls directly. One header per family, named as in CANN.
#pragma once

#include "kernel_macros.h"
#include "kernel_operator_common_intf.h"
#include "kernel_operator_data_copy_intf.h"
#include "kernel_operator_dump_tensor_intf.h"
#include "kernel_operator_sys_var_intf.h"
#include "kernel_operator_vec_binary_intf.h"
#include "kernel_tensor.h"
#include "kernel_tpipe.h"
