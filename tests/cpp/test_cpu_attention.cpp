// Tests of the CPU attention kernels without torch: every case against a naive fp64 reference, forward and backward,
// then what must hold bit for bit. Runs the instruction set that TRIANGLE_ATTN_CPU_ISA names (default: the best); exits
// with 0 when all held, 1 when something did not, 77 when this CPU lacks the instruction set.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "csrc/cpu/attention.h"
#include "csrc/cpu/tasks.h"
#include "op_host/philox.h"
#include "tests/cpp/thread_pool.h"

using namespace triangle;
using namespace triangle::cpu;

namespace {

bool brief = false;     // smaller problems
bool emulated = false;  // and few of them: an emulator runs them 20 times as slowly
int failures = 0;
int checks = 0;

void expect(bool ok, const std::string& what) {
  ++checks;
  if (ok) return;
  ++failures;
  std::printf("FAILED: %s\n", what.c_str());
}

// ---- storage types
// -------------------------------------------------------------------------------------------------------

const char* name_of(DType d) {
  switch (d) {
    case DType::kFloat32:
      return "fp32";
    case DType::kFloat64:
      return "fp64";
    case DType::kBFloat16:
      return "bf16";
    case DType::kFloat16:
      return "fp16";
    default:
      return "bool";
  }
}
double epsilon(DType d) {
  switch (d) {
    case DType::kFloat64:
      return 0x1p-52;
    case DType::kBFloat16:
      return 0x1p-7;
    case DType::kFloat16:
      return 0x1p-10;
    default:
      return 0x1p-23;
  }
}

template <class T>
T read(const void* p) {
  T x;
  std::memcpy(&x, p, sizeof(T));
  return x;
}

double get(const void* p, DType d) {
  switch (d) {
    case DType::kFloat32:
      return read<float>(p);
    case DType::kFloat64:
      return read<double>(p);
    case DType::kBool:
      return read<uint8_t>(p);
    case DType::kBFloat16: {
      const uint32_t u = uint32_t(read<uint16_t>(p)) << 16;
      float f;
      std::memcpy(&f, &u, 4);
      return f;
    }
    default: {
      const uint16_t h = read<uint16_t>(p);
      const int exponent = h >> 10 & 31, fraction = h & 1023;
      const double sign = h & 0x8000 ? -1 : 1;
      if (exponent == 31) return fraction ? NAN : sign * INFINITY;
      return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
    }
  }
}

void put(void* p, DType d, double x) {
  switch (d) {
    case DType::kFloat32:
      *static_cast<float*>(p) = float(x);
      return;
    case DType::kFloat64:
      *static_cast<double*>(p) = x;
      return;
    case DType::kBool:
      *static_cast<uint8_t*>(p) = x != 0;
      return;
    case DType::kBFloat16: {
      const float f = float(x);
      uint32_t u;
      std::memcpy(&u, &f, 4);
      *static_cast<uint16_t*>(p) = std::isnan(x) ? 0x7FC0 : uint16_t((u + 0x7FFF + (u >> 16 & 1)) >> 16);
      return;
    }
    default: {
      uint16_t& h = *static_cast<uint16_t*>(p);
      if (std::isnan(x)) {
        h = 0x7E00;
        return;
      }
      const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
      x = std::fabs(x);
      if (x == 0 || x < 0x1p-26) {
        h = sign;
        return;
      }
      int exponent = std::max(std::ilogb(x), -14);
      double fraction = std::nearbyint(std::ldexp(x, 10 - exponent));
      if (fraction == 2048) {
        fraction = 1024;
        ++exponent;
      }
      if (exponent > 15) {
        h = sign | 0x7C00;
      } else {
        h = uint16_t(sign | (fraction < 1024 ? int(fraction) : (exponent + 15) << 10 | (int(fraction) - 1024)));
      }
      return;
    }
  }
}

// A [B, H, S, D] array whose memory order and gaps a case chooses; gaps hold NaN, so that reading one shows.
struct Array {
  DType dtype = DType::kFloat32;
  int64_t b = 0, h = 0, s = 0, d = 0;
  std::vector<char> bytes;
  Tensor view;

  Array() = default;
  // layout: 0 = [b, h, s, d], 1 = [b, s, h, d], 2 = [s, b, h, d]; gap elements between rows.
  Array(DType dtype, int64_t b, int64_t h, int64_t s, int64_t d, int layout = 0, int64_t gap = 0)
      : dtype(dtype), b(b), h(h), s(s), d(d) {
    const int64_t wide = d + gap;
    view.row = layout == 0 ? wide : layout == 1 ? h * wide : b * h * wide;
    view.head = layout == 0 ? s * wide : wide;
    view.batch = layout == 2 ? h * wide : h * s * wide;
    bytes.resize((b * h * s * wide + 1) * storage_bytes(dtype));
    for (size_t i = 0; i < bytes.size() / storage_bytes(dtype); ++i)
      put(bytes.data() + i * storage_bytes(dtype), dtype, NAN);
    view.data = bytes.data();
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  Array(Array&& o) noexcept { *this = std::move(o); }
  Array& operator=(Array&& o) noexcept {
    dtype = o.dtype, b = o.b, h = o.h, s = o.s, d = o.d, bytes = std::move(o.bytes), view = o.view;
    view.data = bytes.data();
    return *this;
  }
  char* at(int64_t ib, int64_t ih, int64_t is, int64_t id) const {
    return static_cast<char*>(view.data) +
           (ib * view.batch + ih * view.head + is * view.row + id) * storage_bytes(dtype);
  }
  double operator()(int64_t ib, int64_t ih, int64_t is, int64_t id) const { return get(at(ib, ih, is, id), dtype); }
  template <class F>
  void each(F f) const {
    for (int64_t ib = 0; ib < b; ++ib)
      for (int64_t ih = 0; ih < h; ++ih)
        for (int64_t is = 0; is < s; ++is)
          for (int64_t id = 0; id < d; ++id) f(ib, ih, is, id);
  }
  void fill(std::mt19937_64& rng, double size = 1) {
    std::normal_distribution<double> normal;
    each([&](int64_t ib, int64_t ih, int64_t is, int64_t id) { put(at(ib, ih, is, id), dtype, size * normal(rng)); });
  }
};

// ---- problems
// ------------------------------------------------------------------------------------------------------------

enum class MaskKind { kNone, kBool, kAllTrue, kKeyPadding, kFloat, kFloatSameType, kMinusInfinityRow };

struct Case {
  std::string name;
  int64_t b = 1, hq = 2, hkv = 2, sq = 64, sk = 64, d = 64, dv = 64;
  bool bottom_right = true;
  int64_t diagonal = 0, window = -1;
  MaskKind mask = MaskKind::kNone;
  double dropout = 0;
  double size = 1;  // standard deviation of q and k
  int layout = 0;   // of q; k and v take the next ones
  int64_t gap = 0;
  bool dlse = false;
  double softcap = 0;
  bool alibi = false, sinks = false;
};

struct Inputs {
  Array q, k, v, dout, dlse, mask;
  std::vector<float> slopes;  // [b][hq]
  std::vector<double> sinks;  // [hq]
  int64_t mask_b = 1, mask_h = 1, mask_s = 1, mask_k = 1;
};
struct Results {
  Array out, lse, dq, dk, dv;
  std::vector<double> dsinks;  // [hq]
};

DType statistic_type(DType d) { return d == DType::kFloat64 ? d : DType::kFloat32; }

Inputs make_inputs(const Case& c, DType dtype, uint64_t seed = 1) {
  std::mt19937_64 rng(seed);
  Inputs in;
  in.q = Array(dtype, c.b, c.hq, c.sq, c.d, c.layout, c.gap);
  in.k = Array(dtype, c.b, c.hkv, c.sk, c.d, (c.layout + 1) % 3 * (c.layout > 0), c.gap);
  in.v = Array(dtype, c.b, c.hkv, c.sk, c.dv, (c.layout + 2) % 3 * (c.layout > 0), c.gap);
  in.dout = Array(dtype, c.b, c.hq, c.sq, c.dv, c.layout, c.gap);
  in.dlse = Array(statistic_type(dtype), c.b, c.hq, c.sq, 1);
  in.q.fill(rng, c.size);
  in.k.fill(rng, c.size);
  in.v.fill(rng);
  in.dout.fill(rng);
  in.dlse.fill(rng);
  std::uniform_real_distribution<double> slope(0, 0.2);
  std::normal_distribution<double> logit;
  if (c.alibi)
    for (int64_t i = 0; i < c.b * c.hq; ++i) in.slopes.push_back(float(slope(rng)));
  if (c.sinks)
    for (int64_t h = 0; h < c.hq; ++h) in.sinks.push_back(logit(rng));
  if (c.mask != MaskKind::kNone) {
    const bool boolean = c.mask == MaskKind::kBool || c.mask == MaskKind::kAllTrue || c.mask == MaskKind::kKeyPadding;
    in.mask_k = c.sk;
    if (c.mask == MaskKind::kKeyPadding) {
      in.mask_b = c.b;
    } else {
      in.mask_h = c.hq, in.mask_s = c.sq;
    }
    in.mask = Array(boolean                              ? DType::kBool
                    : c.mask == MaskKind::kFloatSameType ? dtype
                                                         : DType::kFloat32,
                    in.mask_b, in.mask_h, in.mask_s, c.sk);
    std::uniform_real_distribution<double> uniform;
    in.mask.each([&](int64_t b, int64_t h, int64_t s, int64_t k) {
      double x = 0;
      switch (c.mask) {
        case MaskKind::kBool:
          x = uniform(rng) < 0.7;
          break;
        case MaskKind::kAllTrue:
          x = 1;
          break;
        case MaskKind::kKeyPadding:
          x = k >= 3 * (b + 1);
          break;
        case MaskKind::kMinusInfinityRow:
          x = s % 3 == 1 || uniform(rng) < 0.2 ? -INFINITY : uniform(rng);
          break;
        default:
          x = uniform(rng) < 0.1 ? -INFINITY : 2 * uniform(rng) - 1;
      }
      put(in.mask.at(b, h, s, k), in.mask.dtype, x);
    });
  }
  return in;
}

Problem make_problem(const Case& c, DType dtype, const Inputs& in) {
  Problem p;
  p.batch = c.b, p.heads_q = c.hq, p.heads_kv = c.hkv, p.seq_q = c.sq, p.seq_k = c.sk, p.dim = c.d, p.dim_v = c.dv;
  p.dtype = dtype;
  p.scale = 1 / std::sqrt(double(c.d));
  p.bottom_right = c.bottom_right;
  p.diagonal = c.diagonal;
  p.window_left = c.window;
  p.dropout_p = c.dropout;
  p.seed = 0x123456789ABCDEFull;
  p.offset = 0x1122334455667788ull;
  p.softcap = c.softcap;
  if (c.alibi) p.alibi_slopes = in.slopes.data(), p.alibi_batch = c.hq, p.alibi_head = 1;
  if (c.sinks) p.sinks = in.sinks.data();
  if (c.mask != MaskKind::kNone) {
    p.mask.data = in.mask.view.data;
    p.mask.dtype = in.mask.dtype;
    p.mask.batch = in.mask_b > 1 ? in.mask.view.batch : 0;
    p.mask.head = in.mask_h > 1 ? in.mask.view.head : 0;
    p.mask.row = in.mask_s > 1 ? in.mask.view.row : 0;
    p.mask.col = in.mask_k > 1 ? 1 : 0;
  }
  return p;
}

Results run(const Case& c, DType dtype, const Inputs& in, bool with_backward = true) {
  Results r;
  r.out = Array(dtype, c.b, c.hq, c.sq, c.dv, c.layout, c.gap);
  r.lse = Array(statistic_type(dtype), c.b, c.hq, c.sq, 1);
  Forward f{make_problem(c, dtype, in), in.q.view, in.k.view, in.v.view, r.out.view, r.lse.view};
  forward(f);
  if (!with_backward) return r;
  r.dq = Array(dtype, c.b, c.hq, c.sq, c.d, c.layout, c.gap);
  r.dk = Array(dtype, c.b, c.hkv, c.sk, c.d, c.layout, c.gap);
  r.dv = Array(dtype, c.b, c.hkv, c.sk, c.dv, c.layout, c.gap);
  Backward b{f.problem,    in.q.view, in.k.view, in.v.view, r.out.view, r.lse.view,
             in.dout.view, {},        r.dq.view, r.dk.view, r.dv.view};
  if (c.dlse) b.dlse = in.dlse.view;
  r.dsinks.resize(in.sinks.size());
  b.dsinks = r.dsinks.data();
  backward(b);
  return r;
}

// ---- the reference
// -------------------------------------------------------------------------------------------------------

Results reference(const Case& c, DType dtype, const Inputs& in) {
  const Problem p = make_problem(c, dtype, in);
  const DType wide = DType::kFloat64;
  Results r;
  r.out = Array(wide, c.b, c.hq, c.sq, c.dv);
  r.lse = Array(wide, c.b, c.hq, c.sq, 1);
  r.dq = Array(wide, c.b, c.hq, c.sq, c.d);
  r.dk = Array(wide, c.b, c.hkv, c.sk, c.d);
  r.dv = Array(wide, c.b, c.hkv, c.sk, c.dv);
  for (const Array* a : {&r.out, &r.lse, &r.dq, &r.dk, &r.dv})
    a->each([&](int64_t b, int64_t h, int64_t s, int64_t d) { put(a->at(b, h, s, d), wide, 0); });
  const auto add = [](const Array& a, int64_t b, int64_t h, int64_t s, int64_t d, double x) {
    *reinterpret_cast<double*>(a.at(b, h, s, d)) += x;
  };
  std::vector<double> prob(c.sk), keep(c.sk), dp(c.sk), derivative(c.sk, 1.0);
  r.dsinks.resize(in.sinks.size());
  for (int64_t b = 0; b < c.b; ++b) {
    for (int64_t h = 0; h < c.hq; ++h) {
      const int64_t hk = h / (c.hq / c.hkv);
      for (int64_t i = 0; i < c.sq; ++i) {
        const int64_t position = i + (c.bottom_right ? c.sk - c.sq : c.diagonal);
        double most = -INFINITY;
        for (int64_t j = 0; j < c.sk; ++j) {
          double s = 0;
          for (int64_t d = 0; d < c.d; ++d) s += in.q(b, h, i, d) * in.k(b, hk, j, d);
          s *= p.scale;
          if (c.softcap != 0) {
            const double t = std::tanh(s / c.softcap);
            s = c.softcap * t;
            derivative[j] = 1 - t * t;
          }
          if (c.alibi) s -= in.slopes[b * c.hq + h] * std::fabs(double(position - j));
          if (c.mask != MaskKind::kNone) {
            const double m = in.mask(in.mask_b > 1 ? b : 0, in.mask_h > 1 ? h : 0, in.mask_s > 1 ? i : 0, j);
            s = in.mask.dtype == DType::kBool ? (m != 0 ? s : -INFINITY) : s + m;
          }
          if (j > position || (c.window >= 0 && j < position - c.window)) s = -INFINITY;
          prob[j] = s;
          most = std::max(most, s);
          const auto words = philox4x32({uint32_t(j / 4), uint32_t(i), uint32_t(b * c.hq + h), uint32_t(p.offset)},
                                        {uint32_t(p.seed), uint32_t(p.seed >> 32) ^ uint32_t(p.offset >> 32)});
          keep[j] = c.dropout == 0 ? 1 : words[j % 4] >= dropout_threshold(c.dropout) ? 1 / (1 - c.dropout) : 0;
        }
        if (c.sinks) most = std::max(most, in.sinks[h]);
        if (most == -INFINITY) {
          put(r.lse.at(b, h, i, 0), wide, -INFINITY);
          continue;
        }
        double sum = 0;
        for (int64_t j = 0; j < c.sk; ++j) sum += prob[j] = std::exp(prob[j] - most);
        if (c.sinks) sum += std::exp(in.sinks[h] - most);
        put(r.lse.at(b, h, i, 0), wide, most + std::log(sum));
        double delta = c.dlse ? -in.dlse(b, h, i, 0) : 0;
        for (int64_t j = 0; j < c.sk; ++j) {
          prob[j] /= sum;
          dp[j] = 0;
          if (prob[j] == 0) continue;
          for (int64_t d = 0; d < c.dv; ++d) {
            add(r.out, b, h, i, d, prob[j] * keep[j] * in.v(b, hk, j, d));
            add(r.dv, b, hk, j, d, prob[j] * keep[j] * in.dout(b, h, i, d));
            dp[j] += keep[j] * in.dout(b, h, i, d) * in.v(b, hk, j, d);
          }
          delta += prob[j] * dp[j];
        }
        for (int64_t j = 0; j < c.sk; ++j) {
          if (prob[j] == 0) continue;
          const double ds = prob[j] * (dp[j] - delta) * p.scale * derivative[j];
          for (int64_t d = 0; d < c.d; ++d) {
            add(r.dq, b, h, i, d, ds * in.k(b, hk, j, d));
            add(r.dk, b, hk, j, d, ds * in.q(b, h, i, d));
          }
        }
        if (c.sinks) r.dsinks[h] -= std::exp(in.sinks[h] - most) / sum * delta;
      }
    }
  }
  return r;
}

// Largest error in units of the dtype's epsilon times the largest reference value (at least 1: inputs are of that size,
// and gradients may cancel to nothing), against `bound` of them.
void expect_close(const std::string& what, const Array& got, const Array& want, DType dtype, double bound) {
  double most = 0, error = 0;
  bool finite = true;
  want.each([&](int64_t b, int64_t h, int64_t s, int64_t d) {
    const double x = got(b, h, s, d), y = want(b, h, s, d);
    if (std::isinf(y)) {
      finite &= x == y;
    } else {
      finite &= std::isfinite(x);
      most = std::max(most, std::fabs(y));
      error = std::max(error, std::fabs(x - y));
    }
  });
  const double unit = epsilon(dtype) * std::max(most, 1.0);
  if (std::getenv("TRIANGLE_TEST_VERBOSE")) std::printf("%-44s %6.2f of %g\n", what.c_str(), error / unit, bound);
  expect(finite, what + ": not finite, or not infinite where the reference is");
  expect(!(error > bound * unit),
         what + ": error " + std::to_string(error / unit) + " eps, bound " + std::to_string(bound));
}

bool same_bits(const Array& a, const Array& b) {
  if (a.b != b.b || a.h != b.h || a.s != b.s || a.d != b.d) return false;
  bool same = true;
  a.each([&](int64_t ib, int64_t ih, int64_t is, int64_t id) {
    same &= std::memcmp(a.at(ib, ih, is, id), b.at(ib, ih, is, id), storage_bytes(a.dtype)) == 0;
  });
  return same;
}
bool same_bits(const Results& a, const Results& b) {
  return same_bits(a.out, b.out) && same_bits(a.lse, b.lse) && same_bits(a.dq, b.dq) && same_bits(a.dk, b.dk) &&
         same_bits(a.dv, b.dv) && a.dsinks == b.dsinks;
}

// The gaps between rows must still hold what they held.
bool gaps_untouched(const Array& a) {
  std::vector<char> written(a.bytes.size(), 0);
  const int64_t size = storage_bytes(a.dtype);
  a.each([&](int64_t b, int64_t h, int64_t s, int64_t d) {
    std::fill_n(written.begin() + (a.at(b, h, s, d) - static_cast<char*>(a.view.data)), size, 1);
  });
  for (size_t i = 0; i < written.size(); i += size)
    if (!written[i] && !std::isnan(get(a.bytes.data() + i, a.dtype))) return false;
  return true;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const char* name, int64_t b, int64_t hq, int64_t hkv, int64_t sq, int64_t sk, int64_t d,
                       int64_t dv, auto change) {
    Case c;
    c.name = name;
    c.b = b, c.hq = hq, c.hkv = hkv, c.sq = sq, c.sk = sk, c.d = d, c.dv = dv;
    change(c);
    if (!brief || b * hq * sq * sk * (d + dv) < (emulated ? 600000 : 2500000)) all.push_back(c);
  };
  const auto plain = [](Case&) {};
  add("one element", 1, 1, 1, 1, 1, 1, 1, plain);
  add("tiny", 2, 3, 1, 3, 5, 7, 9, plain);
  add("square 64", 1, 2, 2, 64, 64, 64, 64, plain);
  add("odd 131", 1, 2, 2, 131, 131, 33, 33, plain);
  add("several blocks", 1, 1, 1, 300, 300, 64, 64, plain);
  add("several chunks", 1, 1, 1, 700, 1300, 40, 24, plain);
  add("d 1, dv 100", 1, 1, 1, 150, 150, 1, 100, plain);
  add("192/128", 1, 1, 1, 140, 140, 192, 128, plain);
  add("grouped heads", 2, 6, 2, 130, 200, 48, 80, plain);
  add("grouped short", 1, 8, 2, 5, 600, 64, 64, plain);
  add("decode", 2, 8, 2, 1, 1200, 128, 128, plain);
  add("more queries than keys", 1, 2, 1, 200, 70, 32, 32, plain);
  add("top left, short keys", 1, 2, 2, 200, 70, 32, 32, [](Case& c) { c.bottom_right = false; });
  add("top left, long keys", 1, 2, 2, 70, 400, 32, 32, [](Case& c) { c.bottom_right = false; });
  add("every key", 1, 2, 2, 100, 230, 32, 48, [](Case& c) { c.bottom_right = false, c.diagonal = 1000; });
  add("negative diagonal", 1, 2, 2, 230, 230, 32, 48, [](Case& c) { c.bottom_right = false, c.diagonal = -140; });
  add("nothing visible", 1, 2, 2, 20, 30, 32, 48, [](Case& c) { c.bottom_right = false, c.diagonal = -40; });
  add("window 0", 1, 1, 1, 150, 150, 16, 16, [](Case& c) { c.window = 0; });
  add("window 37", 1, 2, 1, 500, 700, 40, 40, [](Case& c) { c.window = 37; });
  add("window 600", 1, 1, 1, 100, 1300, 40, 40, [](Case& c) { c.window = 600; });
  add("strided", 2, 4, 2, 133, 133, 36, 20, [](Case& c) { c.layout = 1, c.gap = 5; });
  add("strided, odd", 1, 4, 2, 131, 203, 33, 21, [](Case& c) { c.layout = 1, c.gap = 3; });
  add("decode, odd", 1, 4, 1, 1, 331, 33, 21, [](Case& c) { c.layout = 1, c.gap = 3; });
  add("strided s first", 2, 4, 2, 133, 140, 36, 20, [](Case& c) { c.layout = 2, c.gap = 1; });
  add("bool mask", 2, 2, 1, 150, 170, 32, 32, [](Case& c) { c.mask = MaskKind::kBool; });
  add("key padding", 2, 2, 1, 150, 150, 32, 32, [](Case& c) { c.mask = MaskKind::kKeyPadding; });
  add("float mask", 2, 2, 1, 150, 170, 32, 32, [](Case& c) { c.mask = MaskKind::kFloat; });
  add("float mask of q's type", 1, 2, 1, 50, 170, 32, 32, [](Case& c) { c.mask = MaskKind::kFloatSameType; });
  add("hidden rows", 1, 2, 1, 150, 170, 32, 32, [](Case& c) { c.mask = MaskKind::kMinusInfinityRow, c.window = 60; });
  add("dropout", 2, 4, 2, 150, 170, 32, 32, [](Case& c) { c.dropout = 0.3; });
  add("dropout, window, mask", 1, 2, 2, 150, 170, 32, 32,
      [](Case& c) { c.dropout = 0.5, c.window = 70, c.mask = MaskKind::kBool; });
  add("dlse", 1, 2, 1, 150, 170, 32, 32, [](Case& c) { c.dlse = true; });
  add("large scores", 1, 2, 2, 150, 170, 64, 64, [](Case& c) { c.size = 8; });
  add("softcap", 1, 2, 1, 150, 170, 40, 24, [](Case& c) { c.softcap = 1.5, c.window = 140; });
  add("softcap, decode", 1, 4, 1, 1, 600, 64, 64, [](Case& c) { c.softcap = 1.5; });
  add("softcap, dropout, mask", 1, 2, 1, 150, 170, 32, 32,
      [](Case& c) { c.softcap = 2, c.dropout = 0.3, c.mask = MaskKind::kBool; });
  add("alibi", 2, 4, 2, 150, 170, 40, 24, [](Case& c) { c.alibi = true; });
  add("alibi, every key", 1, 2, 2, 60, 200, 32, 32,
      [](Case& c) { c.alibi = true, c.bottom_right = false, c.diagonal = 300, c.mask = MaskKind::kFloat; });
  add("sinks", 2, 4, 2, 150, 70, 40, 24, [](Case& c) { c.sinks = true, c.dlse = true; });
  add("sinks, decode", 1, 8, 2, 1, 1200, 64, 64, [](Case& c) { c.sinks = true; });
  add("softcap, alibi, sinks", 2, 4, 1, 270, 290, 64, 64,
      [](Case& c) { c.softcap = 3, c.alibi = c.sinks = c.dlse = true, c.layout = 1; });
  return all;
}

// FNV-1a over the bits of every element.
void add_bits(const Array& a, uint64_t& hash) {
  a.each([&](int64_t ib, int64_t ih, int64_t is, int64_t id) {
    const char* element = a.at(ib, ih, is, id);
    for (int64_t i = 0; i < storage_bytes(a.dtype); ++i) {
      hash = (hash ^ uint8_t(element[i])) * 0x100000001B3ull;
    }
  });
}

void test_against_reference(const std::vector<Case>& all) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16}) {
    for (const Case& c : all) {
      const Inputs in = make_inputs(c, dtype);
      const Results want = reference(c, dtype, in);
      const Results got = run(c, dtype, in);
      const bool half = dtype == DType::kBFloat16 || dtype == DType::kFloat16;
      // Half types: rounding of the result, plus, in the backward, of the stored out that delta is made from. Otherwise
      // sums in random-walk order; large scores magnify the rounding of the score itself.
      const double forward_bound = half ? 0.7 : 16 * c.size * c.size;
      const double backward_bound = half ? 2.5 : 40 * c.size * c.size;
      const std::string name = std::string(name_of(dtype)) + " " + c.name;
      expect_close(name + ": out", got.out, want.out, dtype, forward_bound);
      expect_close(name + ": lse", got.lse, want.lse, statistic_type(dtype), 16 * c.size * c.size);
      expect_close(name + ": dq", got.dq, want.dq, dtype, backward_bound);
      expect_close(name + ": dk", got.dk, want.dk, dtype, backward_bound);
      expect_close(name + ": dv", got.dv, want.dv, dtype, backward_bound);
      double most = 1, error = 0;
      for (size_t h = 0; h < want.dsinks.size(); ++h) {
        most = std::max(most, std::fabs(want.dsinks[h]));
        error = std::max(error, std::fabs(got.dsinks[h] - want.dsinks[h]));
      }
      expect(error <= backward_bound * epsilon(dtype) * most, name + ": dsinks: error " + std::to_string(error));
      for (const Array* a : {&got.out, &got.dq, &got.dk, &got.dv})
        expect(gaps_untouched(*a), name + ": wrote between rows");
      for (const Array* a : {&got.out, &got.lse, &got.dq, &got.dk, &got.dv}) add_bits(*a, hash);
    }
  }
  std::printf("bits of all results: %016llx\n", static_cast<unsigned long long>(hash));
}

// ---- bit for bit
// ---------------------------------------------------------------------------------------------------------

void test_threads(const std::vector<Case>& all) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    for (const Case& c : all) {
      const Inputs in = make_inputs(c, dtype);
      set_num_threads(1);
      const Results one = run(c, dtype, in);
      for (const int threads : {2, 3, 7}) {
        if (brief && threads > 2) continue;
        set_num_threads(threads);
        for (int repeat = 0; repeat < 2; ++repeat)
          expect(same_bits(one, run(c, dtype, in)),
                 c.name + ": bits change with " + std::to_string(threads) + " threads");
      }
      set_num_threads(2);
    }
  }
}

Tensor shifted(const Array& a, int64_t b, int64_t h, int64_t s) {
  Tensor t = a.view;
  t.data = a.at(b, h, s, 0);
  return t;
}

bool same_rows(const Array& a, int64_t ab, int64_t ah, int64_t as, const Array& b, int64_t bb, int64_t bh, int64_t bs,
               int64_t rows) {
  for (int64_t s = 0; s < rows; ++s)
    for (int64_t d = 0; d < a.d; ++d)
      if (std::memcmp(a.at(ab, ah, as + s, d), b.at(bb, bh, bs + s, d), storage_bytes(a.dtype)) != 0) return false;
  return true;
}

// Row i of a prefix, of a longer prompt and of a decode step has the same bits.
void test_prefix_and_decode(DType dtype, int64_t d, int64_t dv) {
  Case full;
  full.b = 1, full.hq = 4, full.hkv = 2,
  full.sq = full.sk = emulated ? 200
                      : brief  ? 600
                               : 1201,
  full.d = d, full.dv = dv;
  const Inputs in = make_inputs(full, dtype);
  const Results all = run(full, dtype, in, false);
  for (const int64_t n : {1, 2, 15, 16, 17, 63, 64, 96, 97, 128, 129, 511, 512, 513, 1000, 1200, 1201}) {
    if (n > full.sk) continue;
    for (const int64_t queries : {int64_t{1}, int64_t{3}, int64_t{24}, int64_t{100}, n}) {
      if (queries > n || (brief && queries > 24 && n != (emulated ? 129 : 513))) continue;
      Case part = full;
      part.sq = queries, part.sk = n;
      Results r;
      r.out = Array(dtype, 1, full.hq, queries, dv);
      r.lse = Array(statistic_type(dtype), 1, full.hq, queries, 1);
      forward({make_problem(part, dtype, in), shifted(in.q, 0, 0, n - queries), in.k.view, in.v.view, r.out.view,
               r.lse.view});
      bool same = true;
      for (int64_t h = 0; h < full.hq; ++h) {
        same &= same_rows(r.out, 0, h, 0, all.out, 0, h, n - queries, queries);
        same &= same_rows(r.lse, 0, h, 0, all.lse, 0, h, n - queries, queries);
      }
      expect(same, std::string(name_of(dtype)) + ": last " + std::to_string(queries) + " rows of a prefix of " +
                       std::to_string(n) + " differ from the whole");
    }
  }
}

// A row does not depend on its batch, on the memory layout, on sharing of K and V, or on an all-true mask.
void test_batch_layout_groups(DType dtype) {
  Case c;
  c.b = 2, c.hq = 4, c.hkv = 2, c.sq = emulated ? 40 : 150, c.sk = emulated ? 140 : 333, c.d = 40, c.dv = 56;
  c.window = c.sq + 50;
  const Inputs in = make_inputs(c, dtype);
  const Results all = run(c, dtype, in);
  const std::string name = name_of(dtype);

  Case one = c;
  one.b = 1, one.hq = 2, one.hkv = 1;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t hk = 0; hk < 2; ++hk) {
      Inputs part = make_inputs(one, dtype);
      const auto copy = [&](Array& to, const Array& from, int64_t heads) {
        to.each([&](int64_t, int64_t h, int64_t s, int64_t d) {
          std::memcpy(to.at(0, h, s, d), from.at(b, hk * heads + h, s, d), storage_bytes(dtype));
        });
      };
      copy(part.q, in.q, 2), copy(part.k, in.k, 1), copy(part.v, in.v, 1), copy(part.dout, in.dout, 2);
      const Results r = run(one, dtype, part);
      bool same = true;
      for (int64_t h = 0; h < 2; ++h) {
        same &= same_rows(r.out, 0, h, 0, all.out, b, hk * 2 + h, 0, c.sq);
        same &= same_rows(r.dq, 0, h, 0, all.dq, b, hk * 2 + h, 0, c.sq);
      }
      same &= same_rows(r.dk, 0, 0, 0, all.dk, b, hk, 0, c.sk) && same_rows(r.dv, 0, 0, 0, all.dv, b, hk, 0, c.sk);
      expect(same, name + ": bits depend on the batch");
    }
  }

  for (const int layout : {1, 2}) {
    Case other = c;
    other.layout = layout, other.gap = 3;
    Inputs moved = make_inputs(other, dtype);
    expect(same_bits(all, run(other, dtype, moved)), name + ": bits depend on the layout");
  }

  Case repeated = c;
  repeated.hkv = 4;
  Inputs wide = make_inputs(repeated, dtype);
  const auto repeat = [&](Array& to, const Array& from) {
    to.each([&](int64_t b, int64_t h, int64_t s, int64_t d) {
      std::memcpy(to.at(b, h, s, d), from.at(b, h / 2, s, d), storage_bytes(dtype));
    });
  };
  repeat(wide.k, in.k), repeat(wide.v, in.v);
  for (const auto& pair : {std::pair<Array*, const Array*>{&wide.q, &in.q}, {&wide.dout, &in.dout}})
    pair.first->each([&](int64_t b, int64_t h, int64_t s, int64_t d) {
      std::memcpy(pair.first->at(b, h, s, d), pair.second->at(b, h, s, d), storage_bytes(dtype));
    });
  const Results r = run(repeated, dtype, wide);
  expect(same_bits(r.out, all.out) && same_bits(r.lse, all.lse) && same_bits(r.dq, all.dq),
         name + ": grouped heads differ from repeated ones");

  Case masked = c;
  masked.mask = MaskKind::kAllTrue;
  expect(same_bits(all, run(masked, dtype, make_inputs(masked, dtype))), name + ": an all-true mask changes bits");
}

// Packed documents give the bits of dense sequences; hidden keys and other documents change nothing.
void test_packed(DType dtype, double dropout) {
  const int32_t cu_q[] = {0, 150, 150, 151, 231, 531}, cu_k[] = {0, 150, 170, 870, 900, 1100};
  Case c;
  c.b = 1, c.hq = 4, c.hkv = 2, c.sq = 531, c.sk = 1100, c.d = 40, c.dv = 24, c.layout = 1;
  const Inputs in = make_inputs(c, dtype);
  Problem p = make_problem(c, dtype, in);
  p.batch = 5;
  p.cu_seq_q = cu_q;
  p.cu_seq_k = cu_k;
  p.dropout_p = dropout;
  const auto packed = [](Tensor t) {
    t.batch = 0;
    return t;
  };
  Results r;
  r.out = Array(dtype, 1, c.hq, c.sq, c.dv, 1);
  r.lse = Array(statistic_type(dtype), 1, c.hq, c.sq, 1, 1);
  r.dq = Array(dtype, 1, c.hq, c.sq, c.d, 1);
  r.dk = Array(dtype, 1, c.hkv, c.sk, c.d, 1);
  r.dv = Array(dtype, 1, c.hkv, c.sk, c.dv, 1);
  forward({p, packed(in.q.view), packed(in.k.view), packed(in.v.view), packed(r.out.view), packed(r.lse.view)});
  backward({p,
            packed(in.q.view),
            packed(in.k.view),
            packed(in.v.view),
            packed(r.out.view),
            packed(r.lse.view),
            packed(in.dout.view),
            {},
            packed(r.dq.view),
            packed(r.dk.view),
            packed(r.dv.view)});
  for (int document = 0; document < 5; ++document) {
    Case one = c;
    one.sq = cu_q[document + 1] - cu_q[document], one.sk = cu_k[document + 1] - cu_k[document];
    Problem dense = make_problem(one, dtype, in);
    dense.dropout_p = dropout;
    const int64_t q0 = cu_q[document], k0 = cu_k[document];
    // Dropout counts documents: a dense problem of batch 1 is document 0.
    if (dropout > 0 && document > 0) continue;
    Results w;
    w.out = Array(dtype, 1, c.hq, one.sq, c.dv);
    w.lse = Array(statistic_type(dtype), 1, c.hq, one.sq, 1);
    w.dq = Array(dtype, 1, c.hq, one.sq, c.d);
    w.dk = Array(dtype, 1, c.hkv, one.sk, c.d);
    w.dv = Array(dtype, 1, c.hkv, one.sk, c.dv);
    const Tensor q = shifted(in.q, 0, 0, q0), k = shifted(in.k, 0, 0, k0), v = shifted(in.v, 0, 0, k0);
    forward({dense, q, k, v, w.out.view, w.lse.view});
    backward({dense, q, k, v, w.out.view, w.lse.view, shifted(in.dout, 0, 0, q0), {}, w.dq.view, w.dk.view, w.dv.view});
    bool same = true;
    for (int64_t h = 0; h < c.hq; ++h) {
      same &= same_rows(w.out, 0, h, 0, r.out, 0, h, q0, one.sq) && same_rows(w.lse, 0, h, 0, r.lse, 0, h, q0, one.sq);
      same &= same_rows(w.dq, 0, h, 0, r.dq, 0, h, q0, one.sq);
    }
    for (int64_t h = 0; h < c.hkv; ++h)
      same &= same_rows(w.dk, 0, h, 0, r.dk, 0, h, k0, one.sk) && same_rows(w.dv, 0, h, 0, r.dv, 0, h, k0, one.sk);
    expect(same,
           std::string(name_of(dtype)) + ": document " + std::to_string(document) + " differs from a dense sequence");
  }
}

// ---- numerics
// ------------------------------------------------------------------------------------------------------------

void test_extremes() {
  // +-65504 in fp16: scores near 5e11 times a scale; the exact result is finite.
  Case c;
  c.sq = c.sk = 70, c.d = 64, c.dv = 64;
  Inputs in = make_inputs(c, DType::kFloat16);
  std::mt19937_64 rng(3);
  for (const Array* a : {&in.q, &in.k, &in.v})
    a->each([&](int64_t b, int64_t h, int64_t s, int64_t d) {
      put(a->at(b, h, s, d), DType::kFloat16, rng() % 2 ? 65504 : -65504);
    });
  const Results r = run(c, DType::kFloat16, in, false);
  bool finite = true;
  r.out.each([&](int64_t b, int64_t h, int64_t s, int64_t d) { finite &= std::isfinite(r.out(b, h, s, d)); });
  expect(finite, "fp16 at 65504: not finite");

  // finfo.min in a float mask is a number: a row of it is uniform, not empty.
  Case m;
  m.hq = m.hkv = 1, m.sq = m.sk = 40, m.d = m.dv = 16, m.mask = MaskKind::kFloat;
  Inputs masked = make_inputs(m, DType::kFloat32);
  masked.mask.each([&](int64_t b, int64_t h, int64_t s, int64_t k) {
    put(masked.mask.at(b, h, s, k), DType::kFloat32, std::numeric_limits<float>::lowest());
  });
  const Results u = run(m, DType::kFloat32, masked, false);
  double mean = 0;
  for (int64_t j = 0; j < 40; ++j) mean += masked.v(0, 0, j, 0) / 40;
  expect(std::fabs(u.out(0, 0, 39, 0) - mean) < 1e-6, "a row of finfo.min is not uniform");

  // Finite hidden keys, however large, change nothing.
  Case hidden;
  hidden.hq = hidden.hkv = 1, hidden.sq = hidden.sk = 200, hidden.d = hidden.dv = 32;
  Inputs before = make_inputs(hidden, DType::kFloat32);
  const Results plain = run(hidden, DType::kFloat32, before, false);
  for (int64_t d = 0; d < 32; ++d) {
    put(before.k.at(0, 0, 150, d), DType::kFloat32, 1e30);
    put(before.v.at(0, 0, 150, d), DType::kFloat32, -1e30);
  }
  const Results after = run(hidden, DType::kFloat32, before, false);
  expect(same_rows(plain.out, 0, 0, 0, after.out, 0, 0, 0, 150), "a hidden key changes a row");
}

// A row of one key has P = 1 and dS = dP - delta = 0, without a rounding error left over.
void test_single_keys(DType dtype) {
  Case c;
  c.b = 1, c.hq = 2, c.hkv = 1, c.sq = c.sk = 150, c.d = 33, c.dv = 70, c.window = 0;
  const Results r = run(c, dtype, make_inputs(c, dtype));
  bool zero = true;
  for (const Array* a : {&r.dq, &r.dk})
    a->each([&](int64_t b, int64_t h, int64_t s, int64_t d) { zero &= (*a)(b, h, s, d) == 0; });
  expect(zero, std::string(name_of(dtype)) + ": dq or dk of rows that see one key is not 0");
}

template <class T>
void test_tanh(DType dtype, double ulp, int samples) {
  std::vector<T> x(samples), y(samples);
  std::mt19937_64 rng(7);
  std::uniform_real_distribution<double> exponent(std::log(1e-5), std::log(30.0));
  for (int i = 0; i < samples; ++i) x[i] = T(i % 2 ? std::exp(exponent(rng)) : -std::exp(exponent(rng)));
  x[0] = 0, x[1] = -T(0), x[2] = -INFINITY, x[3] = NAN, x[4] = T(-1e30), x[5] = T(1e30), x[6] = T(1e-37);
  kernels(dtype).tanh(x.data(), y.data(), samples);
  expect(y[0] == 0 && y[1] == 0, "tanh(0) is not 0");
  expect(std::isnan(y[3]), "tanh(NaN) is not NaN");
  double worst = 0;
  for (int i = 2; i < samples; ++i) {
    if (i == 3) continue;
    const long double want = std::tanh(static_cast<long double>(x[i]));
    const T nearest = std::fabs(T(want));
    const long double unit =
        static_cast<long double>(std::nextafter(nearest, std::numeric_limits<T>::infinity())) - nearest;
    worst = std::max(worst, double(std::fabs((static_cast<long double>(y[i]) - want) / unit)));
  }
  std::printf("tanh %s: worst error %.3f ulp of %d samples\n", name_of(dtype), worst, samples);
  expect(worst <= ulp, "tanh: more than " + std::to_string(ulp) + " ulp");
}

template <class T>
void test_exp(DType dtype, double ulp, T lowest, T highest, int samples) {
  const Kernels& k = kernels(dtype);
  std::vector<T> x(samples), y(samples);
  std::mt19937_64 rng(5);
  std::uniform_real_distribution<double> uniform(lowest, highest);
  for (int i = 0; i < samples; ++i) x[i] = i % 2 ? T(uniform(rng)) : T(-std::exp(uniform(rng) / 4 - 5));
  x[0] = 0, x[1] = -T(0), x[2] = -INFINITY, x[3] = NAN, x[4] = T(-1e30), x[5] = T(1e30), x[6] = lowest, x[7] = highest;
  k.exp(x.data(), y.data(), samples);
  expect(y[0] == 1 && y[1] == 1, "exp(0) is not 1");
  expect(y[2] == 0 && y[4] == 0, "exp(-inf) is not 0");
  expect(std::isnan(y[3]), "exp(NaN) is not NaN");
  expect(std::isfinite(y[5]) && y[5] > 0, "exp of a large number is not finite");
  double worst = 0;
  for (int i = 6; i < samples; ++i) {
    if (x[i] < lowest) continue;
    const long double want = std::exp(static_cast<long double>(x[i]));
    const T nearest = T(want);
    const long double unit =
        static_cast<long double>(std::nextafter(nearest, std::numeric_limits<T>::infinity())) - nearest;
    worst = std::max(worst, double(std::fabs((static_cast<long double>(y[i]) - want) / unit)));
  }
  std::printf("exp %s: worst error %.3f ulp of %d samples\n", name_of(dtype), worst, samples);
  expect(worst <= ulp, "exp: more than " + std::to_string(ulp) + " ulp");
}

// Whether bf16 numbers are multiplied in pairs by instructions to which a denormal number is 0.
bool flushes_bf16() { return std::string(isa()) == "avx512_bf16"; }

void test_half_conversion() {
  // Every fp16 and bf16 number through the kernels and back: one key, so that out = v.
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    Case c;
    c.hq = c.hkv = 1, c.sq = c.sk = 1, c.d = 1, c.dv = 65536;
    Inputs in = make_inputs(c, dtype);
    std::vector<uint16_t> all(65536);
    for (int i = 0; i < 65536; ++i) {
      const uint16_t h = uint16_t(i);
      const uint64_t wide = h;  // as get() may be compiled for any type
      all[i] = std::isfinite(get(&wide, dtype)) ? h : 0;
    }
    std::memcpy(in.v.view.data, all.data(), all.size() * 2);
    const Results r = run(c, dtype, in, false);
    const int exponent = dtype == DType::kBFloat16 ? 0x7F80 : 0x7C00;
    int wrong = 0;
    for (int i = 0; i < 65536; ++i) {
      const bool flushed = dtype == DType::kBFloat16 && flushes_bf16() && (all[i] & exponent) == 0;
      const uint16_t want = flushed || all[i] == 0x8000 ? 0 : all[i];
      wrong += std::memcmp(r.out.at(0, 0, 0, i), &want, 2) != 0;
    }
    expect(wrong == 0,
           std::string(name_of(dtype)) + ": " + std::to_string(wrong) + " numbers change on the way through");
  }
}

// What is not a number stays in the rows it was given to: a NaN in one query, an infinite value, an infinite score.
void test_not_finite(DType dtype) {
  const std::string name = name_of(dtype);
  Case c;
  c.hq = c.hkv = 1, c.sq = 71, c.sk = 203, c.d = 33, c.dv = 21, c.bottom_right = false, c.diagonal = 1000;
  const auto rows_with = [&](const Results& r, auto holds) {
    int rows = 0;
    for (int64_t s = 0; s < c.sq; ++s) {
      bool all = true;
      for (int64_t d = 0; d < c.dv; ++d) all &= holds(r.out(0, 0, s, d));
      rows += all;
    }
    return rows;
  };
  const auto finite = [](double x) { return std::isfinite(x); };
  Inputs query = make_inputs(c, dtype);
  put(query.q.at(0, 0, 40, 32), dtype, NAN);
  const Results one = run(c, dtype, query, false);
  expect(rows_with(one, [](double x) { return std::isnan(x); }) == 1 && std::isnan(one.out(0, 0, 40, 0)) &&
             rows_with(one, finite) == c.sq - 1,
         name + ": a NaN in one query is not in its row, or in another");
  Inputs value = make_inputs(c, dtype);
  for (int64_t d = 0; d < c.dv; ++d) put(value.v.at(0, 0, 202, d), dtype, d % 2 ? INFINITY : -INFINITY);
  const Results infinite = run(c, dtype, value, false);
  bool signs = true;
  infinite.out.each([&](int64_t b, int64_t h, int64_t s, int64_t d) {
    signs &= infinite.out(b, h, s, d) == (d % 2 ? INFINITY : -INFINITY);
  });
  expect(signs, name + ": an infinite value does not come through");
  // -inf as a score hides the key; the last element of an odd D, whose word has a second half of zeros.
  Inputs score = make_inputs(c, dtype);
  for (int64_t s = 0; s < c.sq; ++s) put(score.q.at(0, 0, s, 32), dtype, 1);
  put(score.k.at(0, 0, 202, 32), dtype, -INFINITY);
  expect(rows_with(run(c, dtype, score, false), finite) == c.sq, name + ": a score of -inf does not hide its key");
}

// Where denormal bf16 numbers count as 0, they do so wherever they are met: as zeros of either sign.
void test_denormals() {
  Case c;
  c.hq = c.hkv = 1, c.sq = c.sk = 150, c.d = 33, c.dv = 21;
  for (const char* which : {"q", "k", "v", "dout"}) {
    Inputs with = make_inputs(c, DType::kBFloat16), without = make_inputs(c, DType::kBFloat16);
    for (Inputs* in : {&with, &without}) {
      const Array& a = *which == 'q' ? in->q : *which == 'k' ? in->k : *which == 'v' ? in->v : in->dout;
      a.each([&](int64_t b, int64_t h, int64_t s, int64_t d) {
        const uint16_t denormal = in == &with ? uint16_t(0x8000 * (s % 2) + 1 + (s * 7 + d) % 127) : 0;
        if ((s + d) % 3 == 0) std::memcpy(a.at(b, h, s, d), &denormal, 2);
      });
    }
    const Results x = run(c, DType::kBFloat16, with), y = run(c, DType::kBFloat16, without);
    bool same = true;
    for (const auto& pair : {std::pair<const Array*, const Array*>{&x.out, &y.out}, {&x.dq, &y.dq}, {&x.dk, &y.dk}})
      pair.first->each([&](int64_t b, int64_t h, int64_t s, int64_t d) {
        same &= std::fabs((*pair.first)(b, h, s, d) - (*pair.second)(b, h, s, d)) < 1e-37;
      });
    expect(same, std::string("bf16: denormal numbers in ") + which + " are more than tiny");
    if (flushes_bf16()) expect(same_bits(x, y), std::string("bf16: denormal numbers in ") + which + " are not 0");
  }
}

}  // namespace

int main(int argc, char** argv) {
  emulated = argc > 1 && std::string(argv[1]) == "--emulated";
  brief = emulated || (argc > 1 && std::string(argv[1]) == "--brief");
  try {
    std::printf("instruction set: %s\n", isa());
  } catch (const std::runtime_error& error) {
    std::printf("%s\n", error.what());
    return 77;
  }
  set_num_threads(2);
  const std::vector<Case> all = cases();
  test_exp<float>(DType::kFloat32, 2, -87.33f, 88.3f, brief ? 20000 : 2000000);
  // Where P is rounded to 8 bits, exp is coarser, less so near 0, where what makes up lse is.
  test_exp<float>(DType::kBFloat16, flushes_bf16() ? 24 : 2, -87.33f, 88.3f, brief ? 20000 : 2000000);
  test_exp<float>(DType::kBFloat16, 3, -2.0f, 0.0f, brief ? 20000 : 2000000);
  test_exp<double>(DType::kFloat64, 2, -708.3, 709.0, brief ? 20000 : 200000);
  test_tanh<float>(DType::kFloat32, 6, brief ? 20000 : 2000000);
  test_tanh<double>(DType::kFloat64, 4, brief ? 20000 : 200000);
  test_half_conversion();
  test_against_reference(all);
  test_threads(all);
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16}) {
    // Ragged and whole vectors: only the latter are decoded straight from user memory.
    test_prefix_and_decode(dtype, 40, 24);
    test_prefix_and_decode(dtype, 64, 48);
    test_prefix_and_decode(dtype, 33, 21);
    if (!brief) test_prefix_and_decode(dtype, 32, 128);
    if (!brief) test_prefix_and_decode(dtype, 48, 80);
    test_not_finite(dtype);
    test_batch_layout_groups(dtype);
    test_single_keys(dtype);
    test_packed(dtype, 0);
    if (!emulated) test_packed(dtype, 0.2);
  }
  test_extremes();
  test_denormals();
  std::printf("%d checks, %d failed\n", checks, failures);
  return failures ? 1 : 0;
}
