#include "isa/mmad_sparse.h"

#include <algorithm>
#include <limits>

#include "core/shadow.h"
#include "isa/load_data.h"

namespace ascend_sim {

namespace {
constexpr uint32_t kIndexBytes = kFractalBytes / 4;
}  // namespace

// ---- LoadDataWithSparse -------------------------------------------------------------------------------------------

void LoadSparse::Validate(Check& check) const {
  check.In("dst", dst, Buffer::kL0B);
  check.In("src", src, Buffer::kL1);
  check.In("idx", index, Buffer::kL1);
  check.Aligned("dst", dst, kFractalBytes, true);
  check.Aligned("src", src, kBlockBytes, false);
  check.Aligned("idx", index, kBlockBytes, false);
}

void LoadSparse::Touch(Footprint& f) const {
  f.ReadCarried("src", src, static_cast<int64_t>(start) * kFractalBytes, repeat * kFractalBytes);
  f.ReadCarried("idx", index, static_cast<int64_t>(start) * kIndexBytes, repeat * kIndexBytes);
  f.Write("dst", dst, 0, repeat * kFractalBytes);
  f.Write("index buffer", Indices(), 0, repeat * kIndexBytes);
}

void LoadSparse::Execute(const Exec& exec) const {
  std::memcpy(exec.At(dst), exec.At(src, static_cast<int64_t>(start) * kFractalBytes), repeat * kFractalBytes);
  std::memcpy(exec.At(Indices()), exec.At(index, static_cast<int64_t>(start) * kIndexBytes), repeat * kIndexBytes);
}

void LoadSparse::Carry(Shadow* shadows) const {
  const Shadow& l1 = shadows[static_cast<int>(Buffer::kL1)];
  const auto carry = [&](const Local& to, const Local& from, uint32_t unit) {
    const uint64_t begin = from.offset + static_cast<uint64_t>(start) * unit,
                   bytes = static_cast<uint64_t>(repeat) * unit;
    for (uint64_t at = l1.FirstUndefined(begin, bytes); at < begin + bytes;) {
      shadows[static_cast<int>(to.buffer)].Undefine(to.offset + (at - begin), 1);
      if (++at < begin + bytes) at = l1.FirstUndefined(at, begin + bytes - at);
    }
  };
  carry(dst, src, kFractalBytes);
  carry(Indices(), index, kIndexBytes);
}

Cost LoadSparse::GetCost() const {
  return Cost::Move(Path::kL1ToL0b, static_cast<uint64_t>(repeat) * (kFractalBytes + kIndexBytes), repeat);
}
ASCEND_SIM_INSTRUCTION(LoadSparse)

// ---- MmadWithSparse -----------------------------------------------------------------------------------------------

void MmadSparse::Validate(Check& check) const {
  check.Range("m", m, 0, 4095);
  check.Range("n", n, 0, 4095);
  check.Range("k", k, 0, 4095);
  check.In("dst", dst, Buffer::kL0C);
  check.In("fm", a, Buffer::kL0A);
  check.In("filter", b, Buffer::kL0B);
  check.Aligned("dst", dst, 1024, true);
  check.Aligned("fm", a, kFractalBytes, false);
  check.Aligned("filter", b, kFractalBytes, false);
  if (init == Mmad::Init::kBias) check.Aligned("bias", bias, 64, false);
  check.Require(unit_flag == 0 || unit_flag == 2 || unit_flag == 3, "unitFlag: expected 0, 2 or 3");
}

void MmadSparse::Touch(Footprint& f) const {
  if (Nothing()) return;
  // A: 32 B of k a row and fractal.
  const uint32_t whole = k / kC0, tail = k % kC0;
  const int64_t row_of_fractals = (k + kC0 - 1) / kC0 * static_cast<int64_t>(kFractalBytes);
  const auto rows_of_a = [&](int64_t at, uint32_t rows, uint32_t groups) {
    f.Read("fm", a, at, kBlockBytes, Dim{rows, kBlockBytes}, Dim{whole, kFractalBytes}, Dim{groups, row_of_fractals});
    if (tail == 0) return;
    f.Read("fm", a, at + whole * static_cast<int64_t>(kFractalBytes), tail, Dim{rows, kBlockBytes},
           Dim{groups, row_of_fractals});
  };
  if (m >= 16) rows_of_a(0, 16, m / 16u);
  if (m % 16 != 0) rows_of_a(m / 16 * row_of_fractals, m % 16u, 1);
  // B and its indices: a column is 32 B of values and 8 B of indices in each row of fractals.
  const uint32_t depth = Rows() / kC0, rest = Rows() % kC0;
  const int64_t step = (n + 15) / 16 * static_cast<int64_t>(kFractalBytes);
  f.Read("filter", b, 0, kBlockBytes, Dim{n, kBlockBytes}, Dim{depth, step});
  f.Read("index", Indices(), 0, 8, Dim{n, 8}, Dim{depth, step / 4});
  if (rest != 0) {
    f.Read("filter", b, depth * step, rest, Dim{n, kBlockBytes});
    f.Read("index", Indices(), depth * step / 4, (rest + 3) / 4, Dim{n, 8});
  }
  if (init == Mmad::Init::kBias) f.Read("bias", bias, 0, n * 4u);
  const uint32_t columns = n / 16, width = n % 16 * 4u;
  const Dim each_row{m, 64}, each_column{columns, ColumnBytes()};
  const int64_t last = static_cast<int64_t>(columns) * ColumnBytes();
  if (init == Mmad::Init::kL0c) {
    f.Read("C", bias, 0, 64, each_row, each_column);
    f.Read("C", bias, last, width, each_row);
  }
  f.Write("dst", dst, 0, 64, each_row, each_column);
  f.Write("dst", dst, last, width, each_row);
  if (unit_flag != 0) f.UnitFlag(Footprint::Unit::kProduce, unit_flag == 3, dst, 0, (n + 15) / 16 * ColumnBytes());
}

void MmadSparse::Execute(const Exec& exec) const {
  if (Nothing()) return;
  const auto* values = reinterpret_cast<const int8_t*>(exec.At(a));
  const uint8_t* filter = exec.At(b);
  const uint8_t* indices = exec.At(Indices());
  const uint32_t fractals = (k + kC0 - 1) / kC0, columns = (n + 15u) / 16;
  for (uint32_t column = 0; column < n; ++column) {
    for (uint32_t row = 0; row < m; ++row) {
      const int8_t* of_row = values + row / 16 * fractals * kFractalBytes + row % 16 * kBlockBytes;
      int64_t sum = 0;
      for (uint32_t r = 0; r < Rows(); ++r) {
        const uint32_t at = (r / kC0 * columns + column / 16) * kFractalBytes + column % 16 * kBlockBytes + r % kC0;
        const uint32_t index = indices[at / 4] >> (r % 4 * 2) & 3;
        const uint32_t d = r / 2 * 4 + index + r % 2;
        if (d < k) sum += of_row[d / kC0 * kFractalBytes + d % kC0] * static_cast<int8_t>(filter[at]);
      }
      const int64_t place = column / 16 * static_cast<int64_t>(ColumnBytes()) + row * 64 + column % 16 * 4;
      int32_t initial = 0;
      if (init == Mmad::Init::kBias) std::memcpy(&initial, exec.At(bias, column * 4), 4);
      if (init == Mmad::Init::kL0c) std::memcpy(&initial, exec.At(bias, place), 4);
      const auto result = static_cast<int32_t>(
          std::clamp<int64_t>(initial + sum, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
      std::memcpy(exec.At(dst, place), &result, 4);
    }
  }
}

Cost MmadSparse::GetCost() const {
  return Cost::Cube((m + 15ull) / 16 * ((n + 15u) / 16) * ((Rows() + kC0 - 1) / kC0), kC0);
}
ASCEND_SIM_INSTRUCTION(MmadSparse)

}  // namespace ascend_sim
