// Operators that move elements without arithmetic: copy, cast, cat, stack, repeat, flip, roll, pad.
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

void CopyTo(Call& call, const View& to, const View& from) {
  call.Do([=] { Copy(to, from); });
}

ACLNN(InplaceCopy, const aclTensor* self, const aclTensor* src) {
  return PLAN {
    const View to = call.Out(self, "self"), from = call.In(src, "src");
    call.Expect(to, call.Broadcast(to, from, "src"), "self");
    CopyTo(call, to, Expand(from, to.sizes));
  };
}

ACLNN(Cast, const aclTensor* self, int32_t dtype, const aclTensor* out) {
  return PLAN {
    const View from = call.In(self, "self"), to = call.Out(out, "out");
    call.Check(out->type == dtype, "dtype",
               std::string(AclTypeName(dtype)) + " is not the dtype of out, " + AclTypeName(out->type));
    call.Expect(to, from.sizes, "out");
    CopyTo(call, to, from);
  };
}

// Writes the views one after another along dim.
void Concatenate(Call& call, const std::vector<View>& views, int64_t dim, const View& out) {
  int64_t start = 0;
  for (const View& view : views) {
    Dims expected = out.sizes;
    call.Check(view.Rank() == out.Rank(), "tensors", "ranks differ");
    expected[dim] = view.sizes[dim];
    call.Expect(view, expected, "tensors");
    call.Check(start + view.sizes[dim] <= out.sizes[dim], "out",
               "sizes " + ToString(out.sizes) + " do not hold all tensors");
    CopyTo(call, Narrow(out, dim, start, view.sizes[dim]), view);
    start += view.sizes[dim];
  }
  call.Check(start == out.sizes[dim], "out", "sizes " + ToString(out.sizes) + " hold more than all tensors");
}

ACLNN(Cat, const aclTensorList* tensors, int64_t dim, const aclTensor* out) {
  return PLAN {
    const View result = call.Out(out, "out");
    std::vector<View> views;
    for (const View& view : call.List(tensors, "tensors", false)) {
      if (view.sizes != Dims{0}) views.push_back(view);  // PyTorch lets a [0] tensor join any others
    }
    Concatenate(call, views, call.Dim(dim, result, "dim"), result);
  };
}

ACLNN(Stack, const aclTensorList* tensors, int64_t dim, const aclTensor* out) {
  return PLAN {
    const View result = call.Out(out, "out");
    const int64_t axis = call.Dim(dim, result, "dim");
    std::vector<View> views;
    for (const View& view : call.List(tensors, "tensors", false)) {
      call.Check(view.Rank() + 1 == result.Rank(), "tensors", "expected one dimension less than out");
      views.push_back(Unsqueeze(view, axis));
    }
    Concatenate(call, views, axis, result);
  };
}

// Copies `in` to every tile of out, whose sizes are multiples of those of in.
void Tile(const View& out, const View& in, int64_t dim) {
  if (dim == out.Rank()) return Copy(out, in);
  for (int64_t start = 0; start < out.sizes[dim]; start += in.sizes[dim]) {
    Tile(Narrow(out, dim, start, in.sizes[dim]), in, dim + 1);
  }
}

ACLNN(Repeat, const aclTensor* self, const aclIntArray* repeats, const aclTensor* out) {
  return PLAN {
    View in = call.In(self, "self");
    const View result = call.Out(out, "out");
    call.Check(repeats != nullptr && repeats->values.size() >= in.sizes.size(), "repeats",
               "fewer entries than dimensions");
    while (in.sizes.size() < repeats->values.size()) in = Unsqueeze(in, 0);
    Dims sizes = in.sizes;
    for (size_t d = 0; d < sizes.size(); ++d) sizes[d] *= repeats->values[d];
    call.Expect(result, sizes, "out");
    if (result.Count() > 0) call.Do([=] { Tile(result, in, 0); });
  };
}

ACLNN(Flip, const aclTensor* self, const aclIntArray* dims, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self");
    View result = call.Out(out, "out");
    call.Expect(result, in.sizes, "out");
    if (dims != nullptr && !dims->values.empty() && result.Count() > 0) {
      for (int64_t d : call.DimList(dims, in, "dims")) {  // written backwards
        result.data = result.At((result.sizes[d] - 1) * result.strides[d]);
        result.strides[d] = -result.strides[d];
      }
    }
    CopyTo(call, result, in);
  };
}

// Each element moves by shifts along dims, around the end.
ACLNN(Roll, const aclTensor* self, const aclIntArray* shifts, const aclIntArray* dims, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self"), result = call.Out(out, "out");
    call.Expect(result, in.sizes, "out");
    call.Check(shifts != nullptr && dims != nullptr && shifts->values.size() == dims->values.size(), "dims",
               "expected one for each of shifts; rolling the flattened tensor is not emulated");
    Dims by(in.sizes.size(), 0);
    for (size_t i = 0; i < dims->values.size(); ++i) {
      by[static_cast<size_t>(call.Dim(dims->values[i], in, "dims"))] += shifts->values[i];
    }
    call.Do([=] {
      WithCompute(in.type, [&](auto compute) {
        using C = decltype(compute);
        const std::vector<C> values = Load<C>(in);
        const Dims strides = Contiguous(in.sizes);
        std::vector<C> rolled(values.size());
        for (int64_t i = 0; i < in.Count(); ++i) {
          int64_t to = 0;
          for (size_t d = 0; d < by.size(); ++d) {
            const int64_t size = in.sizes[d], at = i / strides[d] % size;
            to += (((at + by[d]) % size + size) % size) * strides[d];
          }
          rolled[static_cast<size_t>(to)] = values[static_cast<size_t>(i)];
        }
        Store(result, rolled);
      });
    });
  };
}

// pad: (before, after) of the last dimension, then of the one before it...; negative ones cut.
ACLNN(ConstantPadNd, const aclTensor* self, const aclIntArray* pad, const aclScalar* value, const aclTensor* out) {
  return PLAN {
    View from = call.In(self, "self");
    const View result = call.Out(out, "out");
    const Number fill = call.Scalar(value, "value");
    call.Check(pad != nullptr && pad->values.size() % 2 == 0 && pad->values.size() <= 2 * from.sizes.size(), "pad",
               "expected two numbers for each of up to " + std::to_string(from.Rank()) + " dimensions");
    View to = result;
    Dims sizes = from.sizes;
    for (size_t i = 0; i < pad->values.size(); i += 2) {
      const int64_t d = from.Rank() - 1 - static_cast<int64_t>(i) / 2;
      const int64_t before = pad->values[i], after = pad->values[i + 1], size = from.sizes[d];
      sizes[d] = size + before + after;
      call.Check(sizes[d] >= 0, "pad", "cuts more than there is");
      call.Check(d < to.Rank() && to.sizes[d] == sizes[d], "out", "expected sizes as padded");
      const int64_t first = std::max<int64_t>(-before, 0), kept = size - first - std::max<int64_t>(-after, 0);
      from = Narrow(from, d, first, std::max<int64_t>(kept, 0));
      to = Narrow(to, d, std::max<int64_t>(before, 0), std::max<int64_t>(kept, 0));
    }
    call.Expect(result, sizes, "out");
    call.Do([=] {
      WithCompute(result.type, [&](auto compute) {
        using C = decltype(compute);
        const C filled = fill.As<C>();
        Map<C>([=] { return filled; }, result);
      });
      Copy(to, from);
    });
  };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
