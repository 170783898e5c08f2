#include "isa/mmad.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "isa/gemm.h"

namespace ascend_sim {

void Mmad::Validate(Check& check) const {
  check.Range("m", m, 0, 4095);
  check.Range("n", n, 0, 4095);
  check.Range("k", k, 0, 4095);
  check.In("dst", dst, Buffer::kL0C);
  check.In("fm", a, Buffer::kL0A);
  check.In("filter", b, Buffer::kL0B);
  check.Aligned("dst", dst, 1024, true);
  check.Aligned("fm", a, kFractalBytes, false);
  check.Aligned("filter", b, kFractalBytes, false);
  if (init == Init::kBias) {
    check.In("bias", bias, Buffer::kBt);
    check.Aligned("bias", bias, 64, false);
  }
  check.Require(unit_flag == 0 || unit_flag == 2 || unit_flag == 3, "unitFlag: expected 0, 2 or 3");
}

void Mmad::Touch(Footprint& f) const {
  if (Nothing()) return;
  const uint32_t bytes = BytesOf(type), c0 = C0();
  const uint32_t whole = k / c0, tail = k % c0;
  // A: 32 B of k per row and fractal; with m = 1 a plain vector.
  if (m == 1) {
    f.Read("fm", a, 0, k * bytes);
  } else {
    const Dim fractals{whole, kFractalBytes};
    const int64_t row_of_fractals = static_cast<int64_t>(RowFractals()) * kFractalBytes;
    f.Read("fm", a, 0, m / 16 != 0 ? kBlockBytes : 0, Dim{16, kBlockBytes}, fractals, Dim{m / 16u, row_of_fractals});
    f.Read("fm", a, m / 16 * row_of_fractals, kBlockBytes, Dim{m % 16u, kBlockBytes}, fractals);
    if (tail != 0) {
      f.Read("fm", a, whole * static_cast<int64_t>(kFractalBytes), tail * bytes,
             Dim{std::min<uint32_t>(m, 16), kBlockBytes}, Dim{std::max<uint32_t>(m / 16u, 1), row_of_fractals});
      if (m > 16 && m % 16 != 0) {
        f.Read("fm", a, m / 16 * row_of_fractals + whole * static_cast<int64_t>(kFractalBytes), tail * bytes,
               Dim{m % 16u, kBlockBytes});
      }
    }
  }
  // B: 32 B of k per column and fractal; columns run through a row of fractals.
  const int64_t k_step = (n + 15) / 16 * static_cast<int64_t>(kFractalBytes);
  f.Read("filter", b, 0, kBlockBytes, Dim{n, kBlockBytes}, Dim{whole, k_step});
  if (tail != 0) f.Read("filter", b, whole * k_step, tail * bytes, Dim{n, kBlockBytes});
  if (init == Init::kBias) f.Read("bias", bias, 0, n * 4u);
  // C: 64 B a row in each column of fractals.
  const uint32_t columns = n / 16, rest = n % 16 * 4u;
  const Dim each_row{m, 64}, each_column{columns, ColumnBytes()};
  if (init == Init::kL0c) {
    f.Read("C", bias, 0, 64, each_row, each_column);
    f.Read("C", bias, static_cast<int64_t>(columns) * ColumnBytes(), rest, each_row);
  }
  f.Write("dst", dst, 0, 64, each_row, each_column);
  f.Write("dst", dst, static_cast<int64_t>(columns) * ColumnBytes(), rest, each_row);
  f.in_order = in_order;
  if (unit_flag != 0) {
    f.UnitFlag(Footprint::Unit::kProduce, unit_flag == 3, dst, 0, (n + 15) / 16 * ColumnBytes());
  }
}

namespace {

// Host copies of the operands, as rows; kept between calls.
template <class T>
struct Panels {
  std::vector<T> a, b, acc;
};

void LoadRow(float* out, const uint8_t* in, uint32_t count, DType type) {
  if (type == DType::kF16) {
    HalfToFloatRow(out, reinterpret_cast<const uint16_t*>(in), count);
  } else if (type == DType::kBf16) {
    Bf16ToFloatRow(out, reinterpret_cast<const uint16_t*>(in), count);
  } else {
    std::memcpy(out, in, count * 4ull);
  }
}
void LoadRow(int32_t* out, const uint8_t* in, uint32_t count, DType type) {
  for (uint32_t i = 0; i < count; ++i) out[i] = type == DType::kI8 ? reinterpret_cast<const int8_t*>(in)[i] : in[i];
}

void Gemm(float* acc, const float* a, const float* b, uint32_t m, uint32_t k) { GemmPanelF32(acc, a, b, m, k, k); }
void Gemm(int32_t* acc, const int32_t* a, const int32_t* b, uint32_t m, uint32_t k) {
  GemmPanelI32(acc, a, b, m, k, k);
}

// Integer results saturate; one call's sum fits 32 bits, so it is enough to do so where the initial value joins.
float Plus(float initial, float sum) { return initial + sum; }
int32_t Plus(int32_t initial, int32_t sum) {
  const int64_t exact = static_cast<int64_t>(initial) + sum;
  return static_cast<int32_t>(
      std::clamp<int64_t>(exact, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
}

}  // namespace

template <class T, class Load>
void Mmad::Run(const Exec& exec, Load load) const {
  static thread_local Panels<T> panels;
  const uint32_t c0 = C0(), blocks = (k + c0 - 1) / c0, columns = (n + 15u) / 16;
  panels.a.resize(static_cast<size_t>(m) * k);
  panels.b.resize(static_cast<size_t>(k) * 16);
  panels.acc.resize(static_cast<size_t>(m) * 16);
  const uint8_t* a_bytes = exec.At(a);
  const uint8_t* b_bytes = exec.At(b);
  if (m == 1) {
    load(panels.a.data(), a_bytes, k);
  } else {
    for (uint32_t row = 0; row < m; ++row) {
      const uint8_t* from = a_bytes + row / 16 * RowFractals() * kFractalBytes + row % 16 * kBlockBytes;
      for (uint32_t i = 0; i < blocks; ++i) {
        load(panels.a.data() + static_cast<size_t>(row) * k + i * c0, from + i * kFractalBytes,
             std::min(c0, k - i * c0));
      }
    }
  }
  T* acc = panels.acc.data();
  for (uint32_t column = 0; column < columns; ++column) {
    const uint32_t width = std::min(16u, n - column * 16u);
    // B: from 16 columns of c0 values of k to rows of 16.
    T block[32 * 16];
    for (uint32_t i = 0; i < blocks; ++i) {
      load(block, b_bytes + (i * columns + column) * kFractalBytes, kFractalBytes / BytesOf(type));
      const uint32_t depth = std::min(c0, k - i * c0);
      T* to = panels.b.data() + static_cast<size_t>(i) * c0 * 16;
      for (uint32_t d = 0; d < depth; ++d) {
        for (uint32_t c = 0; c < 16; ++c) to[d * 16 + c] = c < width ? block[c * c0 + d] : T(0);
      }
    }
    uint8_t* c_bytes = exec.At(dst, static_cast<int64_t>(column) * ColumnBytes());
    const uint8_t* initial = init == Init::kBias  ? exec.At(bias, column * 64)
                             : init == Init::kL0c ? exec.At(bias, static_cast<int64_t>(column) * ColumnBytes())
                                                  : nullptr;
    constexpr bool kInteger = std::is_integral<T>::value;
    std::fill_n(acc, static_cast<size_t>(m) * 16, T(0));
    if (!kInteger && initial != nullptr) {
      for (uint32_t row = 0; row < m; ++row) {
        std::memcpy(acc + row * 16, initial + (init == Init::kL0c ? row * 64 : 0), width * sizeof(T));
      }
    }
    Gemm(acc, panels.a.data(), panels.b.data(), m, k);
    for (uint32_t row = 0; row < m; ++row) {
      if (kInteger && initial != nullptr) {
        const T* from = reinterpret_cast<const T*>(initial + (init == Init::kL0c ? row * 64 : 0));
        for (uint32_t c = 0; c < width; ++c) acc[row * 16 + c] = Plus(from[c], acc[row * 16 + c]);
      }
      std::memcpy(c_bytes + row * 64, acc + row * 16, width * sizeof(T));
    }
  }
}

void Mmad::Execute(const Exec& exec) const {
  if (Nothing()) return;
  const DType operands = type;
  if (type == DType::kI8 || type == DType::kU8) {
    Run<int32_t>(exec,
                 [operands](int32_t* out, const uint8_t* in, uint32_t count) { LoadRow(out, in, count, operands); });
  } else {
    Run<float>(exec, [operands](float* out, const uint8_t* in, uint32_t count) { LoadRow(out, in, count, operands); });
  }
}

Cost Mmad::GetCost() const {
  const uint64_t rows = m == 1 ? 1 : (m + 15u) / 16;
  return Cost::Cube(rows * ((n + 15u) / 16) * ((k + C0() - 1) / C0()), C0());
}
ASCEND_SIM_INSTRUCTION(Mmad)

}  // namespace ascend_sim
