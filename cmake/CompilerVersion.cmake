# Refuses a compiler older than the oldest that the sources are written for. Include it after project().
#
# g++ 10 has the multiply-add of bf16 pairs (-mavx512bf16) and __builtin_convertvector; clang 14 and what derives from it
# has everything. TRIANGLE_COMPILER_CHECK=OFF tries an older one all the same.
option(TRIANGLE_COMPILER_CHECK "refuse a compiler that is too old" ON)
set(TRIANGLE_OLDEST_GNU 10)
set(TRIANGLE_OLDEST_Clang 14)
if(TRIANGLE_COMPILER_CHECK AND DEFINED TRIANGLE_OLDEST_${CMAKE_CXX_COMPILER_ID}
   AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS TRIANGLE_OLDEST_${CMAKE_CXX_COMPILER_ID})
  message(FATAL_ERROR "C++ compiler: expected g++ >= ${TRIANGLE_OLDEST_GNU} or clang >= ${TRIANGLE_OLDEST_Clang}, "
    "found ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} (${CMAKE_CXX_COMPILER}); the environment variable CXX "
    "names another one")
endif()
