// Instructions of the cube core.
#pragma once
#include "tensors.h"

typedef enum { NoQuant, F322F16, F322BF16, DEQF16, VDEQF16, QF322B8_PRE, VQF322B8_PRE, REQ8, VREQ8 } QuantMode_t;

namespace AscendC {

struct LoadData2DParams {
  __aicore__ LoadData2DParams() {}
  uint16_t startIndex = 0;
  uint16_t dstGap = 0;
  uint16_t srcStride = 0;
  bool ifTranspose = false;
  uint8_t repeatTimes = 0;
  uint8_t sid = 0;
  uint8_t addrMode = 0;
};

template <typename U>
struct InitConstValueParams {
  __aicore__ InitConstValueParams() {}
  __aicore__ InitConstValueParams(const uint16_t repeatTimesIn, const uint16_t blockNumIn, const uint16_t dstGapIn,
                                  const U initValueIn)
      : repeatTimes(repeatTimesIn), blockNum(blockNumIn), dstGap(dstGapIn), initValue(initValueIn) {}
  uint16_t repeatTimes = 0;
  uint16_t blockNum = 0;
  uint16_t dstGap = 0;
  U initValue{};
};

struct MmadParams {
  __aicore__ MmadParams() {}
  uint16_t m = 0;
  uint16_t n = 0;
  uint16_t k = 0;
  bool isBias = false;
  int32_t fmOffset = 0;
  bool enSsparse = false;
  bool enWinogradA = false;
  bool enWinogradB = false;
  int8_t unitFlag = 0;
  bool kDirectionAlign = false;
  bool cmatrixSource = false;
  bool cmatrixInitVal = true;
};

enum class CO2Layout : uint8_t { NZ, ROW_MAJOR, COLUMN_MAJOR };
struct FixpipeConfig {
  CO2Layout format;
};
constexpr FixpipeConfig CFG_NZ = {CO2Layout::NZ};
constexpr FixpipeConfig CFG_ROW_MAJOR = {CO2Layout::ROW_MAJOR};

struct FixpipeParamsV220 {
  __aicore__ FixpipeParamsV220() {}
  uint16_t nSize = 0;
  uint16_t mSize = 0;
  uint16_t srcStride = 0;
  uint32_t dstStride = 0;
  QuantMode_t quantPre = NoQuant;
  uint64_t deqScalar = 0;
  uint16_t ndNum = 1;
  uint16_t srcNdStride = 0;
  uint16_t dstNdStride = 0;
  bool reluEn = false;
  uint8_t unitFlag = 0;
  bool isChannelSplit = false;
};

template <typename T>
CUBE_INSTRUCTION void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                               const LoadData2DParams& loadDataParams);
template <typename T>
CUBE_INSTRUCTION void LoadData(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                               const LoadData2DParams& loadDataParams);
template <typename T>
CUBE_INSTRUCTION void InitConstValue(const LocalTensor<T>& dst, const InitConstValueParams<T>& initConstValueParams);
template <typename T, typename U, typename S>
CUBE_INSTRUCTION void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<S>& filter,
                           const MmadParams& mmadParams);
struct DataCopyCO12DstParams {
  __aicore__ DataCopyCO12DstParams() {}
  uint8_t sid = 0;
  uint16_t nSize = 0;
  uint16_t mSize = 0;
  uint32_t dstStride = 0;
  uint16_t srcStride = 0;
  uint8_t unitFlag = 0;
  uint8_t clipReluPre = 0;
  uint8_t eltWiseOp = 0;
  QuantMode_t quantPre = NoQuant;
  uint8_t reluPre = 0;
  bool channelSplit = false;
  bool nz2ndEn = false;
};
template <typename T, typename U>
CUBE_INSTRUCTION void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<U>& src,
                               const DataCopyCO12DstParams& intriParams);
CUBE_INSTRUCTION void SetFixpipeNz2ndFlag(uint16_t ndNum, uint16_t srcNdStride, uint16_t dstNdStride);
template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR>
CUBE_INSTRUCTION void Fixpipe(const GlobalTensor<T>& dst, const LocalTensor<U>& src,
                              const FixpipeParamsV220& intriParams);

}  // namespace AscendC
