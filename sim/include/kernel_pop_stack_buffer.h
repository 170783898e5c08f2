// What CANN's high-level headers (softmax, dropout, selection) include by this name: PopStackBuffer, and constants and
// structs that they share.
#pragma once

#include <cstdint>

#include "kernel_tpipe.h"

namespace AscendC {

constexpr int32_t FLOAT_REPEAT_SIZE = 64, HALF_REPEAT_SIZE = 128, MAX_REPEAT_TIMES = 255, MIN_BLOCK_LEN = 1;
constexpr int32_t B8_BYTE_SIZE = 1, B16_BYTE_SIZE = 2, B32_BYTE_SIZE = 4, ONE_BYTE_BIT_SIZE = 8, HALF_FACTOR = 2;
constexpr uint32_t B16_DATA_NUM_PER_BLOCK = 16, ONE_BLK_HALF_NUM = 16, ONE_BLK_FLOAT_NUM = 8;
constexpr uint32_t BRCB_BROADCAST_NUMBER = 8, BRCB_MAX_REPEAT_SIZE = BRCB_BROADCAST_NUMBER * MAX_REPEAT_TIMES;
constexpr uint8_t HALF_DEFAULT_REPEAT_STRIDE = 4, B32_DATA_NUM_PER_BLOCK = 8, MRG_SORT_ELEMENT_LEN = 4;
constexpr int32_t B16_DATA_NUM_PER_REPEAT = 128, B32_DATA_NUM_PER_REPEAT = 64;
constexpr uint32_t TWO_OF_STACK_BUFFER = 2, THREE_OF_STACK_BUFFER = 3;
// Patterns of GatherMask; seven: every element.
constexpr uint8_t REDUCEV2_MODE_ONE = 1, REDUCEV2_MODE_TWO = 2, REDUCEV2_MODE_THREE = 3, REDUCEV2_MODE_SEVEN = 7;

constexpr uint32_t ONE_REPEAT_FLOAT_SIZE = 64, ONE_REPEAT_HALF_SIZE = 128;
constexpr uint32_t MAX_REPEAT_FLOAT_SIZE = ONE_REPEAT_FLOAT_SIZE * MAX_REPEAT_TIMES;
constexpr uint32_t MAX_REPEAT_HALF_SIZE = ONE_REPEAT_HALF_SIZE * MAX_REPEAT_TIMES;
constexpr uint32_t DROPOUT_MODE_BYTE_MISALIGN = 1, DROPOUT_MODE_BYTE_ALIGN = 2;
constexpr uint32_t DROPOUT_MODE_BIT_ALIGN = 3, DROPOUT_MODE_BIT_MISALIGN = 4;

// Extents of the operands of SelectWithBytesMask and DropOut, in elements.
struct SelectWithBytesMaskShapeInfo {
  uint32_t firstAxis = 0, srcLastAxis = 0, maskLastAxis = 0;
};
struct DropOutShapeInfo {
  uint32_t firstAxis = 0, srcLastAxis = 0, maskLastAxis = 0;
};

// How DropOut divides its work; filled and read by CANN's header.
template <typename T, typename U>
struct DropOutParams {
  uint32_t dataSize = 0, stackBufferSize = 0, repeatTimes = 1, maxRepeatSize = 0, oneRepeatSize = 0, currentSize = 0;
  uint32_t repeatRounding = 0, repeatRemaining = 0, repeatTail = 0;
  LocalTensor<T> firstLocal;
  LocalTensor<U> secondLocal;
};

}  // namespace AscendC
