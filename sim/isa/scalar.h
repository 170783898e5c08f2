// The scalar unit's own accesses to tensors: GetValue and SetValue.
#pragma once

#include "core/types.h"

namespace ascend_sim {

void ScalarLoad(const Local& t, int64_t offset, void* value, uint32_t bytes, Site site);
void ScalarLoad(const Global& t, int64_t offset, void* value, uint32_t bytes, Site site);
void ScalarStore(const Local& t, int64_t offset, const void* value, uint32_t bytes, Site site);
void ScalarStore(const Global& t, int64_t offset, const void* value, uint32_t bytes, Site site);
// An atomic operation past the data cache: change(bytes, context) replaces the bytes in place. It orders what the cores
// that meet in this line did before and do after it.
void ScalarAtomic(const Global& t, uint32_t bytes, void (*change)(void*, void*), void* context, Site site);
// DataCacheCleanAndInvalid of the 64 B line at t, or of the core's whole data cache.
void CleanScalarCache(const Global& t, bool entire, Site site);

}  // namespace ascend_sim
