// Operators that read or write elements at indices that are data: index, index_put, gather, scatter, index_select...
// An index outside its dimension stops the stream with a message, it does not read elsewhere.
#include "acl/opapi/arithmetic.h"
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

int64_t Wrapped(int64_t index, int64_t size) {
  if (index < -size || index >= size) {
    throw ValueError("index " + std::to_string(index) + " is not in [" + std::to_string(-size) + ", " +
                     std::to_string(size) + ")");
  }
  return index < 0 ? index + size : index;
}

void ExpectIndex(Call& call, const View& index, const char* argument) {
  call.ExpectType(index, {DType::kI32, DType::kI64}, argument);
}

// ---- index and index_put -----------------------------------------------------------------------------------------

// Advanced indexing: self's elements in the order of self[indices]. A list's tensor without elements stands for `:`.
struct Selection {
  std::vector<View> indices;  // broadcast to one shape; of empty ones only the place in the list counts
  std::vector<bool> given;
  Dims shape;         // of the broadcast indices
  Dims result;        // of self[indices]
  int64_t first = 0;  // where shape starts in result
};
Selection Select(Call& call, const View& self, const aclTensorList* list) {
  Selection s;
  s.indices = call.List(list, "indices", false);
  call.Check(static_cast<int64_t>(s.indices.size()) <= self.Rank(), "indices", "more tensors than dimensions");
  int64_t first = -1, last = -1, count = 0;
  for (size_t d = 0; d < s.indices.size(); ++d) {
    const View& index = s.indices[d];
    s.given.push_back(index.Count() > 0);
    if (!s.given.back()) continue;
    ExpectIndex(call, index, "indices");
    Dims shape;
    call.Check(Broadcast(s.shape, index.sizes, &shape), "indices", "their sizes do not broadcast");
    s.shape = shape;
    if (first < 0) first = static_cast<int64_t>(d);
    last = static_cast<int64_t>(d);
    ++count;
  }
  const bool adjacent = count == last - first + 1;
  s.first = count > 0 && adjacent ? first : 0;
  for (int64_t d = 0; d < self.Rank(); ++d) {
    const bool given = d < static_cast<int64_t>(s.given.size()) && s.given[static_cast<size_t>(d)];
    if (!given) s.result.push_back(self.sizes[d]);
  }
  if (count > 0) s.result.insert(s.result.begin() + s.first, s.shape.begin(), s.shape.end());
  return s;
}

// Calls f(offset) with the offset in elements of each selected element of self, in order of the result.
template <class F>
void ForEachSelected(const View& self, const Selection& s, F f) {
  std::vector<std::vector<int64_t>> indices(s.indices.size());
  for (size_t d = 0; d < s.indices.size(); ++d) {
    if (s.given[d]) indices[d] = Load<int64_t>(Expand(s.indices[d], s.shape));
  }
  const Dims strides = Contiguous(s.result), index_strides = Contiguous(s.shape);
  const int64_t count = Product(s.result);
  for (int64_t i = 0; i < count; ++i) {
    int64_t place = 0;  // in the broadcast indices
    for (size_t d = 0; d < s.shape.size(); ++d) {
      const size_t at = static_cast<size_t>(s.first) + d;
      place += i / strides[at] % s.result[at] * index_strides[d];
    }
    int64_t offset = 0;
    size_t plain = 0;  // the result's dimension of the next `:`
    for (int64_t d = 0; d < self.Rank(); ++d) {
      const size_t dim = static_cast<size_t>(d);
      if (dim < s.given.size() && s.given[dim]) {
        offset += Wrapped(indices[dim][static_cast<size_t>(place)], self.sizes[d]) * self.strides[d];
        continue;
      }
      if (plain == static_cast<size_t>(s.first)) plain += s.shape.size();
      offset += i / strides[plain] % s.result[plain] * self.strides[d];
      ++plain;
    }
    f(offset);
  }
}

ACLNN(Index, const aclTensor* self, const aclTensorList* indices, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self"), result = call.Out(out, "out");
    if (result.Count() == 0) return;
    const Selection s = Select(call, in, indices);
    call.Expect(result, s.result, "out");
    call.Do([=] {
      WithCompute(in.type, [&](auto compute) {
        using C = decltype(compute);
        std::vector<C> values;
        ForEachSelected(in, s, [&](int64_t offset) {
          C value;
          LoadRow(in.type, in.At(offset), 1, 1, &value);
          values.push_back(value);
        });
        Store(result, values);
      });
    });
  };
}
ACLNN(IndexPutImpl, const aclTensor* self, const aclTensorList* indices, const aclTensor* values, bool accumulate,
      bool) {
  return PLAN {
    const View to = call.Out(self, "self"), from = call.In(values, "values");
    if (to.Count() == 0 || from.Count() == 0) return;
    call.Check(from.type == to.type, "values", "expected the dtype of self");
    const Selection s = Select(call, to, indices);
    Dims sizes;
    call.Check(Broadcast(from.sizes, s.result, &sizes) && sizes == s.result, "values",
               "sizes " + ToString(from.sizes) + " do not broadcast to " + ToString(s.result));
    call.Do([=] {
      WithCompute(to.type, [&](auto compute) {
        using C = decltype(compute);
        const std::vector<C> added = Load<C>(Expand(from, s.result));
        std::vector<C> all = Load<C>(to);  // summed before they are rounded to self's dtype
        View positions = to;               // offsets in `all`
        positions.strides = Contiguous(to.sizes);
        size_t next = 0;
        ForEachSelected(positions, s, [&](int64_t offset) {
          C& value = all[static_cast<size_t>(offset)];
          value = accumulate ? value + added[next] : added[next];
          ++next;
        });
        Store(to, all);
      });
    });
  };
}

// ---- along one dimension ---------------------------------------------------------------------------------------

// Calls f(position of index, offset in `along`) for every element of index; along has index's sizes or larger ones.
template <class F>
void ForEachAlong(const View& along, int64_t dim, const View& index, F f) {
  const std::vector<int64_t> indices = Load<int64_t>(index);
  const Dims strides = Contiguous(index.sizes);
  for (int64_t i = 0; i < static_cast<int64_t>(indices.size()); ++i) {
    int64_t offset = 0;
    for (int64_t d = 0; d < along.Rank(); ++d) {
      const int64_t at = d == dim ? Wrapped(indices[static_cast<size_t>(i)], along.sizes[d])
                                  : i / strides[static_cast<size_t>(d)] % index.sizes[static_cast<size_t>(d)];
      offset += at * along.strides[d];
    }
    if (along.Rank() == 0) Wrapped(indices[static_cast<size_t>(i)], 1);
    f(i, offset);
  }
}
void ExpectAlong(Call& call, const View& along, int64_t dim, const View& index) {
  ExpectIndex(call, index, "index");
  const bool scalars = along.Rank() <= 1 && index.Rank() <= 1;
  call.Check(along.Rank() == index.Rank() || scalars, "index", "expected as many dimensions as self");
  for (int64_t d = 0; d < std::min(along.Rank(), index.Rank()); ++d) {
    call.Check(d == dim || index.sizes[d] <= along.sizes[d], "index",
               "sizes " + ToString(index.sizes) + " exceed those of self, " + ToString(along.sizes));
  }
}

ACLNN(Gather, const aclTensor* self, int64_t dim, const aclTensor* index, const aclTensor* out) {
  return PLAN {
    View in = call.In(self, "self");
    View places = call.In(index, "index");
    const View result = call.Out(out, "out");
    const int64_t axis = call.Dim(dim, in, "dim");
    call.Expect(result, places.sizes, "out");
    if (places.Count() == 0) return;
    ExpectAlong(call, in, axis, places);
    if (in.Rank() == 0) in = Unsqueeze(in, 0);
    if (places.Rank() == 0) places = Unsqueeze(places, 0);
    call.Do([=] {
      WithCompute(in.type, [&](auto compute) {
        using C = decltype(compute);
        std::vector<C> values(static_cast<size_t>(places.Count()));
        ForEachAlong(in, axis, places, [&](int64_t i, int64_t offset) {
          LoadRow(in.type, in.At(offset), 1, 1, &values[static_cast<size_t>(i)]);
        });
        Store(result, values);
      });
    });
  };
}

// out = self with src (or a value) written at index; reduce: 0 none, 1 add, 2 multiply.
void Scatter(Call& call, const aclTensor* self, int64_t dim, const aclTensor* index, const aclTensor* src,
             const aclScalar* value, int64_t reduce, const aclTensor* out) {
  View in = call.In(self, "self");
  View places = call.In(index, "index");
  const View result = call.Out(out, "out");
  const int64_t axis = call.Dim(dim, in, "dim");
  call.Expect(result, in.sizes, "out");
  call.Check(reduce >= 0 && reduce <= 2, "reduce", "expected 0, 1 or 2, got " + std::to_string(reduce));
  View from;
  Number number;
  if (src != nullptr) {
    from = call.In(src, "src");
    call.Check(from.type == in.type, "src", "expected the dtype of self");
    call.Check(from.Rank() == places.Rank(), "src", "expected as many dimensions as index");
    for (int64_t d = 0; d < from.Rank(); ++d) {
      call.Check(places.sizes[d] <= from.sizes[d], "src", "is smaller than index");
      if (places.Count() > 0) from = Narrow(from, d, 0, places.sizes[d]);
    }
  } else {
    number = call.Scalar(value, "value");
  }
  const bool any = places.Count() > 0, by_value = src == nullptr;
  if (any) ExpectAlong(call, in, axis, places);
  if (in.Rank() == 0) in = Unsqueeze(in, 0);
  if (places.Rank() == 0) places = Unsqueeze(places, 0);
  call.Do([=] {
    WithCompute(in.type, [&](auto compute) {
      using C = decltype(compute);
      std::vector<C> all = Load<C>(in);
      const C one = number.As<C>();
      const std::vector<C> values = by_value || !any ? std::vector<C>{} : Load<C>(from);
      View positions = in;
      positions.strides = Contiguous(in.sizes);
      if (any) {
        ForEachAlong(positions, axis, places, [&](int64_t i, int64_t offset) {
          const C written = by_value ? one : values[static_cast<size_t>(i)];
          C& to = all[static_cast<size_t>(offset)];
          to = reduce == 0 ? written : reduce == 1 ? to + written : to * written;
        });
      }
      Store(result, all);
    });
  });
}
ACLNN(Scatter, const aclTensor* self, int64_t dim, const aclTensor* index, const aclTensor* src, int64_t reduce,
      const aclTensor* out) {
  return PLAN {
    call.Check(src != nullptr, "src", "is null");
    Scatter(call, self, dim, index, src, nullptr, reduce, out);
  };
}
ACLNN(InplaceScatter, const aclTensor* self, int64_t dim, const aclTensor* index, const aclTensor* src,
      int64_t reduce) {
  return PLAN {
    call.Check(src != nullptr, "src", "is null");
    Scatter(call, self, dim, index, src, nullptr, reduce, self);
  };
}
ACLNN(ScatterAdd, const aclTensor* self, int64_t dim, const aclTensor* index, const aclTensor* src,
      const aclTensor* out) {
  return PLAN {
    call.Check(src != nullptr, "src", "is null");
    Scatter(call, self, dim, index, src, nullptr, 1, out);
  };
}
ACLNN(ScatterValue, const aclTensor* self, int64_t dim, const aclTensor* index, const aclScalar* value, int64_t reduce,
      const aclTensor* out) {
  return PLAN { Scatter(call, self, dim, index, nullptr, value, reduce, out); };
}
ACLNN(InplaceScatterValue, const aclTensor* self, int64_t dim, const aclTensor* index, const aclScalar* value,
      int64_t reduce) {
  return PLAN { Scatter(call, self, dim, index, nullptr, value, reduce, self); };
}

// index [n]: out is self with these slices of dim.
ACLNN(IndexSelect, const aclTensor* self, int64_t dim, const aclTensor* index, const aclTensor* out) {
  return PLAN {
    View in = call.In(self, "self");
    View result = call.Out(out, "out");
    const View places = call.In(index, "index");
    ExpectIndex(call, places, "index");
    call.Check(places.Rank() <= 1, "index", "expected one dimension, got sizes " + ToString(places.sizes));
    const int64_t axis = call.Dim(dim, in, "dim");
    if (in.Rank() == 0) {
      in = Unsqueeze(in, 0);
      if (result.Rank() == 0) result = Unsqueeze(result, 0);
    }
    Dims sizes = in.sizes;
    sizes[static_cast<size_t>(axis)] = places.Count();
    call.Expect(result, sizes, "out");
    call.Do([=] {
      const std::vector<int64_t> indices = Load<int64_t>(places);
      for (size_t i = 0; i < indices.size(); ++i) {
        Copy(Select(result, axis, static_cast<int64_t>(i)), Select(in, axis, Wrapped(indices[i], in.sizes[axis])));
      }
    });
  };
}

// out = self, and alpha times source's slice i added to slice index[i].
ACLNN(IndexAdd, const aclTensor* self, int64_t dim, const aclTensor* index, const aclTensor* source,
      const aclScalar* alpha, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self"), places = call.In(index, "index"), from = call.In(source, "source");
    const View result = call.Out(out, "out");
    const Number scale = call.Scalar(alpha, "alpha");
    ExpectIndex(call, places, "index");
    call.Check(in.Rank() > 0, "self", "a scalar is not emulated here");
    const int64_t axis = call.Dim(dim, in, "dim");
    call.Expect(result, in.sizes, "out");
    Dims sizes = in.sizes;
    sizes[static_cast<size_t>(axis)] = places.Count();
    call.Expect(from, sizes, "source");
    call.Do([=] {
      Copy(result, in);
      const std::vector<int64_t> indices = Load<int64_t>(places);
      WithCompute(result.type, [&](auto compute) {
        using C = decltype(compute);
        const C factor = scale.As<C>();
        for (size_t i = 0; i < indices.size(); ++i) {
          const View to = Select(result, axis, Wrapped(indices[i], in.sizes[axis]));
          Map<C>([=](C x, C y) { return x + factor * y; }, to, to, Select(from, axis, static_cast<int64_t>(i)));
        }
      });
    });
  };
}

// ---- outputs whose sizes depend on values ------------------------------------------------------------------------

// The aclTensor tells its real sizes once the work has run; memory beyond them is not written.
std::shared_ptr<Dims> Computed(const aclTensor* out, const View& view) {
  aclTensor* tensor = const_cast<aclTensor*>(out);  // CANN's signature gives it as an output
  tensor->computed_sizes = std::make_shared<Dims>(view.sizes);
  return tensor->computed_sizes;
}

// The positions of self's elements that are not 0, in order: [count, rank], or [rank, count] where transposed.
void Nonzero(Call& call, const aclTensor* self, const aclTensor* out, bool transposed) {
  const View in = call.In(self, "self"), result = call.Out(out, "out");
  call.ExpectType(result, {DType::kI64}, "out");
  call.Expect(result, transposed ? Dims{in.Rank(), in.Count()} : Dims{in.Count(), in.Rank()}, "out");
  const std::shared_ptr<Dims> sizes = Computed(out, result);
  call.Do([=] {
    const Dims strides = Contiguous(in.sizes);
    std::vector<int64_t> rows;
    int64_t count = 0;
    WithCompute(in.type, [&](auto compute) {
      const auto values = Load<decltype(compute)>(in);
      for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
        if (values[static_cast<size_t>(i)] == 0) continue;
        ++count;
        for (size_t d = 0; d < strides.size(); ++d) rows.push_back(i / strides[d] % in.sizes[d]);
      }
    });
    *sizes = transposed ? Dims{in.Rank(), count} : Dims{count, in.Rank()};
    if (rows.empty()) return;
    View found = result;  // what the caller resizes out to: contiguous
    found.sizes = *sizes;
    found.strides = Contiguous(*sizes);
    Store(transposed ? Transpose(found, 0, 1) : found, rows);
  });
}
ACLNN(Nonzero, const aclTensor* self, const aclTensor* out) {
  return PLAN { Nonzero(call, self, out, false); };
}
ACLNN(NonzeroV2, const aclTensor* self, const aclTensor* out) {
  return PLAN { Nonzero(call, self, out, true); };
}

ACLNN(MaskedSelect, const aclTensor* self, const aclTensor* mask, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self"), test = call.In(mask, "mask"), result = call.Out(out, "out");
    const Dims shape = call.Broadcast(in, test, "mask");
    call.Expect(result, {Product(shape)}, "out");
    const std::shared_ptr<Dims> sizes = Computed(out, result);
    call.Do([=] {
      WithCompute(in.type, [&](auto compute) {
        using C = decltype(compute);
        const std::vector<C> values = Load<C>(Expand(in, shape));
        const std::vector<int64_t> kept = Load<int64_t>(Expand(test, shape));
        std::vector<C> selected;
        for (size_t i = 0; i < values.size(); ++i) {
          if (kept[i] != 0) selected.push_back(values[i]);
        }
        const int64_t count = static_cast<int64_t>(selected.size());
        if (count > 0) Store(Narrow(result, 0, 0, count), selected);
        *sizes = {count};
      });
    });
  };
}

// ---- others ------------------------------------------------------------------------------------------------------

ACLNN(IsInTensorScalar, const aclTensor* element, const aclScalar* testElement, bool, bool invert,
      const aclTensor* out) {
  return PLAN {
    BinaryScalar<false>(
        call, element, testElement, out, [=](auto x, auto y) { return (x == y) != invert; }, "testElement");
  };
}
ACLNN(IsInScalarTensor, const aclScalar* element, const aclTensor* testElements, bool, bool invert,
      const aclTensor* out) {
  return PLAN {
    const Number wanted = call.Scalar(element, "element");
    const View tests = call.In(testElements, "testElements"), result = call.Out(out, "out");
    call.Check(result.Count() == 1, "out", "expected one element");
    call.Do([=] {
      WithCompute(Promote(tests.type, wanted), [&](auto compute) {
        using C = decltype(compute);
        bool found = false;
        for (C x : Load<C>(tests)) found = found || x == wanted.As<C>();
        Store(result, std::vector<int64_t>{found != invert});
      });
    });
  };
}

// Each element (each slice of dim) `repeats` times in a row.
void RepeatInterleave(Call& call, const View& in, int64_t axis, int64_t repeats, const View& out) {
  Dims sizes = in.sizes;
  sizes[static_cast<size_t>(axis)] *= repeats;
  call.Check(repeats >= 0, "repeats", "is negative");
  call.Expect(out, sizes, "out");
  call.Do([=] {
    for (int64_t i = 0; i < sizes[static_cast<size_t>(axis)]; ++i) {
      Copy(Select(out, axis, i), Select(in, axis, i / repeats));
    }
  });
}
ACLNN(RepeatInterleaveIntWithDim, const aclTensor* self, int64_t repeats, int64_t dim, int64_t, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self");
    call.Check(in.Rank() > 0, "self", "a scalar is not emulated here");
    RepeatInterleave(call, in, call.Dim(dim, in, "dim"), repeats, call.Out(out, "out"));
  };
}
ACLNN(RepeatInterleaveInt, const aclTensor* self, int64_t repeats, int64_t, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self"), result = call.Out(out, "out");
    call.Check(repeats >= 0, "repeats", "is negative");
    call.Expect(result, {in.Count() * repeats}, "out");
    call.Do([=] {  // out as [count, repeats], its last dimension read from one element
      View to = result, from = in;
      to.sizes = in.sizes;
      to.strides = Contiguous(in.sizes);
      for (int64_t& stride : to.strides) stride *= repeats * result.strides[0];
      to.sizes.push_back(repeats);
      to.strides.push_back(result.strides[0]);
      from.sizes.push_back(repeats);
      from.strides.push_back(0);
      Copy(to, from);
    });
  };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
