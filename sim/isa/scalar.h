// The scalar unit's own accesses to tensors: GetValue and SetValue.
#pragma once

#include "core/types.h"

namespace ascend_sim {

void ScalarLoad(const Local& t, int64_t offset, void* value, uint32_t bytes, Site site);
void ScalarLoad(const Global& t, int64_t offset, void* value, uint32_t bytes, Site site);
void ScalarStore(const Local& t, int64_t offset, const void* value, uint32_t bytes, Site site);
void ScalarStore(const Global& t, int64_t offset, const void* value, uint32_t bytes, Site site);

}  // namespace ascend_sim
