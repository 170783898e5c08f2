// Printable names of the enumerations.
#include "core/cost.h"
#include "core/types.h"

namespace ascend_sim {

const char* PipeName(Pipe pipe) {
  static const char* names[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX", "ALL"};
  return names[static_cast<int>(pipe)];
}

const char* BufferName(Buffer buffer) {
  static const char* names[] = {"GM", "L1", "L0A", "L0B", "L0C", "UB", "BT", "FB", "the index buffer"};
  return names[static_cast<int>(buffer)];
}

const char* DTypeName(DType type) {
  static const char* names[] = {"half",    "bfloat16_t", "float",   "int8_t",   "uint8_t", "int16_t", "uint16_t",
                                "int32_t", "uint32_t",   "int64_t", "uint64_t", "int4b_t", "double",  "bool"};
  return names[static_cast<int>(type)];
}

const char* PathName(Path path) {
  static const char* names[kPathCount] = {"none",           "GM->L1",        "GM->UB",  "UB->GM",  "L1->GM",  "L0C->GM",
                                          "L0C->GM atomic", "UB->GM atomic", "L0C->L1", "L1->L0A", "L1->L0B", "L1->BT",
                                          "L1->FB",         "UB->UB",        "UB->L1",  "fill"};
  return names[static_cast<int>(path)];
}

}  // namespace ascend_sim
