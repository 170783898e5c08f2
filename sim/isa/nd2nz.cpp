#include "isa/nd2nz.h"

#include <algorithm>
#include <numeric>

namespace ascend_sim {

void CopyNd2Nz::Validate(Check& check) const {
  check.In("dst", dst, Buffer::kL1);
  check.Aligned("dst", dst, kBlockBytes, true);
  check.Range("ndNum", nd_num, 0, 4095);
  check.Range("nValue", n, 0, 16384);
  if (nd_num == 0 || n == 0 || d == 0) return;
  check.Range("srcDValue", src_d, 1, 65535);
  check.Range("dstNzC0Stride", c0_stride, 1, 16384);
  check.Range("dstNzNStride", n_stride, 1, 16384);
  check.Range("dstNzMatrixStride", dst_matrix_stride, 0, 16384);
  if (check.failed()) return;
  // Blocks of different columns and rows must not meet: the order of overlapping writes is undefined.
  const uint32_t common = std::gcd(c0_stride, n_stride);
  if (n_stride / common < Groups() && c0_stride / common < n) {
    check.Fail(Rule::kArgument,
               "dstNzC0Stride %u and dstNzNStride %u: blocks of %u rows and %u columns overlap in the destination",
               c0_stride, n_stride, n, d);
  }
}

void CopyNd2Nz::Touch(Footprint& f) const {
  f.Read("src", src, 0, static_cast<uint32_t>(d) * bytes, Dim{n, static_cast<int64_t>(src_d) * bytes},
         Dim{nd_num, static_cast<int64_t>(src_matrix_stride) * bytes});
  f.Write("dst", dst, 0, n == 0 ? 0 : kBlockBytes, Dim{n, static_cast<int64_t>(n_stride) * kBlockBytes},
          Dim{Groups(), static_cast<int64_t>(c0_stride) * kBlockBytes},
          Dim{nd_num, static_cast<int64_t>(dst_matrix_stride) * bytes});
}

void CopyNd2Nz::Execute(const Exec& exec) const {
  const uint32_t row_bytes = static_cast<uint32_t>(d) * bytes;
  const uint32_t whole = row_bytes / kBlockBytes, tail = row_bytes % kBlockBytes;
  const int64_t group_step = static_cast<int64_t>(c0_stride) * kBlockBytes;
  for (uint32_t i = 0; i < nd_num; ++i) {
    for (uint32_t row = 0; row < n; ++row) {
      const uint8_t* from =
          exec.At(src, (static_cast<int64_t>(i) * src_matrix_stride + static_cast<int64_t>(row) * src_d) * bytes);
      uint8_t* to = exec.At(dst, static_cast<int64_t>(i) * dst_matrix_stride * bytes +
                                     static_cast<int64_t>(row) * n_stride * kBlockBytes);
      for (uint32_t g = 0; g < whole; ++g) {
        std::memcpy(to, from, kBlockBytes);
        from += kBlockBytes;
        to += group_step;
      }
      if (tail != 0) {
        std::memcpy(to, from, tail);
        std::memset(to + tail, 0, kBlockBytes - tail);
      }
    }
  }
}

Cost CopyNd2Nz::GetCost() const {
  const uint64_t rows = static_cast<uint64_t>(nd_num) * n;
  Cost cost = Cost::Move(Path::kGmToL1, rows * d * bytes, static_cast<uint32_t>(rows));
  if (nd_num == 1) cost.At(src.address, static_cast<int64_t>(src_d) * bytes);
  cost.nd2nz = true;
  return cost;
}
ASCEND_SIM_INSTRUCTION(CopyNd2Nz)

}  // namespace ascend_sim
