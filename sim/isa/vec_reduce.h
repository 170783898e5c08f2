// Reductions: per block (BlockReduce), per pair (PairReduceSum), per repeat (WholeReduce), and over a whole tensor
// (ReduceSum, ReduceMax, ReduceMin), which are sequences of the others.
//
// Sums are binary trees over adjacent lanes, each addition rounded to the element type. Lanes the mask leaves out do
// not take part. Max and Min give the smallest index on ties, NaN wins.
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

struct VecReduce {
  enum class Op : uint8_t { kSum, kMax, kMin };
  enum class Span : uint8_t { kPair, kBlock, kRepeat };
  enum class Order : uint8_t { kValueIndex, kIndexValue, kOnlyValue, kOnlyIndex };  // order of CANN's ReduceOrder
  Op op;
  Span span;
  Order order;  // Max and Min of a repeat
  DType type;
  uint32_t dst_repeat_stride;  // in results of a repeat
  VecShape shape;
  Local dst;
  VecWalk src;

  static constexpr Pipe kPipe = Pipe::kV;
  const char* name() const;
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  uint32_t Lanes() const { return kRepeatBytes / BytesOf(type); }
  uint32_t ResultBytes() const;  // of one repeat, also the unit of dst_repeat_stride
  friend struct ReduceKernels;
};
void Issue(const VecReduce& instruction, Site site);

// The sum of `shape`'s elements, repeat by repeat in order, into the accumulator register that GetAccVal reads.
struct VecAccumulate {
  static constexpr const char* kName = "ReduceSum";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  VecShape shape;
  VecWalk src;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecAccumulate& instruction, Site site);

// The three registers results are left in, read by the scalar unit. They are not ordered by themselves: a value read
// before the instruction is known complete is the old one.
enum class ResultRegister : uint8_t { kAccumulator, kMaxMin, kRemaining };
uint64_t ReadResult(ResultRegister which, const char* name, Site site);

// Over a whole tensor, with the barriers and flags between the steps.
struct ReduceAll {
  VecReduce::Op op;
  DType type;
  Local dst, src, work;
  bool index;  // Max and Min: dst[1] becomes the index
};
// `count` elements. ReduceSum adds the sums of the repeats in order and does not use `work`.
void IssueReduceCount(const ReduceAll& reduce, const VecShape& shape, uint32_t count, Site site);
// `repeats` repeats of the lanes in `mask`, src_repeat_stride blocks apart.
void IssueReduceRepeats(const ReduceAll& reduce, const VecShape& mask, int32_t repeats, int32_t src_repeat_stride,
                        Site site);

}  // namespace ascend_sim
