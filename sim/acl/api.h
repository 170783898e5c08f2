// What every entry point begins with: the lock, and a failure where one is injected.
#pragma once

#include <mutex>

#include "acl/error.h"
#include "acl/memory.h"
#include "acl/stream.h"

#define ACL_ENTER(function)                                                  \
  std::lock_guard<std::recursive_mutex> guard(::ascend_sim::acl::TheLock()); \
  if (const aclError injected = ::ascend_sim::acl::InjectedError(#function)) return injected

#define ACL_REQUIRE_POINTER(function, pointer)                                    \
  if ((pointer) == nullptr)                                                       \
  return ::ascend_sim::acl::Fail(ACL_ERROR_INVALID_PARAM, #function ": " #pointer \
                                                                    " is "        \
                                                                    "null")

// `found`: the stream of the argument `stream`.
#define ACL_FIND_STREAM(function)                                               \
  aclError error = ACL_SUCCESS;                                                 \
  auto* const found = ::ascend_sim::acl::FindStream(stream, #function, &error); \
  if (found == nullptr) return error
