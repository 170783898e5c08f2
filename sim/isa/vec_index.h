// CreateVecIndex: the scalar unit writes the first elements, the vector unit adds on.
#pragma once

#include "isa/vec_shape.h"

namespace ascend_sim {

struct VecIndex {
  DType type;
  uint64_t first;  // bytes of a value of `type`
  VecWalk dst;
};
void IssueIndexCount(const VecIndex& index, uint32_t count, Site site);
// One repeat's lanes are first, first + 1, ...; each repeat goes on where a full one before it ends.
void IssueIndexRepeats(const VecIndex& index, const VecShape& shape, Site site);

}  // namespace ascend_sim
