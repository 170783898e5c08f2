// Dumps by address, as LocalTensor::GetPhyAddr and GlobalTensor::GetPhyAddr give them.
#pragma once

#include "kernel_operator_dump_tensor_intf.h"

#define ASCEND_SIM_DUMP(Name, kBuffer)                                                              \
  template <typename T>                                                                             \
  __aicore__ inline void Name(const T* input, uint32_t desc, uint32_t dump_size,                    \
                              ascend_sim::Site site = ascend_sim::Site::Here()) {                   \
    const ascend_sim::Local tensor{ascend_sim::Buffer::kBuffer,                                     \
                                   static_cast<uint32_t>(reinterpret_cast<uint64_t>(input)), 0, 0}; \
    ascend_sim::DumpElements(tensor, ascend_sim::kDTypeOf<T>, desc, dump_size, site);               \
  }
ASCEND_SIM_DUMP(asc_dump_ubuf, kUb)
ASCEND_SIM_DUMP(asc_dump_l1buf, kL1)
ASCEND_SIM_DUMP(asc_dump_cbuf, kL0C)
#undef ASCEND_SIM_DUMP

template <typename T>
__aicore__ inline void asc_dump_gm(const T* input, uint32_t desc, uint32_t dump_size,
                                   ascend_sim::Site site = ascend_sim::Site::Here()) {
  ascend_sim::DumpElements(ascend_sim::Global{reinterpret_cast<uint64_t>(input), 0}, ascend_sim::kDTypeOf<T>, desc,
                           dump_size, site);
}
