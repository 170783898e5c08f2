// Arithmetic on single values, in the three types that compute.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "acl/opapi/call.h"

namespace ascend_sim {
namespace opapi {

template <class C>
void CheckDivisor(C y) {
  if constexpr (std::is_integral_v<C>) {
    if (y == 0) throw ValueError("other: integer division by zero");
  }
}

template <class C>
C TruncDivide(C x, C y) {
  CheckDivisor(y);
  if constexpr (std::is_integral_v<C>) {
    return y == -1 ? -x : x / y;  // INT64_MIN / -1 traps
  } else {
    return std::trunc(x / y);
  }
}

// The remainder has the divisor's sign, as in Python.
template <class C>
C Remainder(C x, C y) {
  CheckDivisor(y);
  C remainder;
  if constexpr (std::is_integral_v<C>) {
    remainder = y == -1 ? 0 : x % y;
  } else {
    remainder = std::fmod(x, y);
  }
  return remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder;
}

template <class C>
C FloorDivide(C x, C y) {
  CheckDivisor(y);
  if constexpr (std::is_integral_v<C>) {
    return y == -1 ? -x : (x - Remainder(x, y)) / y;
  } else {
    if (y == 0) return x / y;
    const C quotient = (x - Remainder(x, y)) / y;  // exact before rounding, which x / y alone is not
    const C floored = std::floor(quotient);
    return quotient - floored > C(0.5) ? floored + 1 : floored;
  }
}

template <class C>
C Power(C x, C y) {
  if constexpr (std::is_integral_v<C>) {
    if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 == 0 ? 1 : -1) : 0;
    C result = 1;
    for (; y > 0; y >>= 1, x *= x) {
      if (y & 1) result *= x;
    }
    return result;
  } else {
    return std::pow(x, y);
  }
}

// NaN of either operand goes on.
template <class C>
C Maximum(C x, C y) {
  return x != x || x > y ? x : y;
}
template <class C>
C Minimum(C x, C y) {
  return x != x || x < y ? x : y;
}

// From start to end, exact at both.
template <class C>
C Interpolate(C start, C end, C weight) {
  return std::fabs(weight) < C(0.5) ? start + weight * (end - start) : end - (end - start) * (C(1) - weight);
}

template <class C>
C Sigmoid(C x) {
  return C(1) / (C(1) + std::exp(-x));
}

template <class C>
C Sign(C x) {
  return static_cast<C>((C(0) < x) - (x < C(0)));
}

template <class C>
bool IsNan(C x) {
  return x != x;
}
template <class C>
bool IsFinite(C x) {
  if constexpr (std::is_integral_v<C>) {
    return true;
  } else {
    return std::isfinite(x);
  }
}

}  // namespace opapi
}  // namespace ascend_sim
