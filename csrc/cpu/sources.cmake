# The CPU kernels as object libraries: the scheduling compiled once for any CPU, the arithmetic once per instruction set.
# Sets TRIANGLE_CPU_OBJECTS, the names of the libraries.
set(TRIANGLE_CPU_DIR ${CMAKE_CURRENT_LIST_DIR})
get_filename_component(TRIANGLE_ROOT ${TRIANGLE_CPU_DIR}/../.. ABSOLUTE)

set(TRIANGLE_CPU_ISAS portable)
if(TRIANGLE_CPU_PORTABLE_ONLY)
  add_compile_definitions(TRIANGLE_CPU_PORTABLE_ONLY)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND TRIANGLE_CPU_ISAS avx2 avx512 avx512_bf16)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  list(APPEND TRIANGLE_CPU_ISAS neon)
endif()
set(TRIANGLE_CPU_FLAGS_portable "")
set(TRIANGLE_CPU_FLAGS_avx2 -mavx2 -mfma -mf16c)
# GCC 12's own AVX-512 headers warn of the undefined vectors they are written with.
set(TRIANGLE_CPU_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512
    -Wno-uninitialized $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
set(TRIANGLE_CPU_FLAGS_avx512_bf16 ${TRIANGLE_CPU_FLAGS_avx512} -mavx512bf16)
set(TRIANGLE_CPU_FLAGS_neon "")
if(NOT TRIANGLE_CPU_OPTIMISATION)
  set(TRIANGLE_CPU_OPTIMISATION -O3)
endif()
# TRIANGLE_CPU_OPTIMISATION_<isa>: another for one of them. Tests of other compilers wait for the optimiser where it matters.

add_library(triangle_cpu OBJECT
  ${TRIANGLE_CPU_DIR}/dispatch.cpp ${TRIANGLE_CPU_DIR}/tasks.cpp ${TRIANGLE_CPU_DIR}/forward.cpp
  ${TRIANGLE_CPU_DIR}/backward.cpp ${TRIANGLE_CPU_DIR}/large_lse.cpp ${TRIANGLE_CPU_DIR}/intervals.cpp)
set(TRIANGLE_CPU_OBJECTS triangle_cpu)
foreach(isa ${TRIANGLE_CPU_ISAS})
  add_library(triangle_cpu_${isa} OBJECT ${TRIANGLE_CPU_DIR}/kernels.cpp)
  target_compile_definitions(triangle_cpu_${isa} PRIVATE TRIANGLE_ISA=${isa})
  set(optimisation ${TRIANGLE_CPU_OPTIMISATION})
  if(TRIANGLE_CPU_OPTIMISATION_${isa})
    set(optimisation ${TRIANGLE_CPU_OPTIMISATION_${isa}})
  endif()
  target_compile_options(triangle_cpu_${isa} PRIVATE ${optimisation} -fno-math-errno -fno-trapping-math -Wno-psabi
    ${TRIANGLE_CPU_FLAGS_${isa}})
  list(APPEND TRIANGLE_CPU_OBJECTS triangle_cpu_${isa})
endforeach()
foreach(objects ${TRIANGLE_CPU_OBJECTS})
  target_include_directories(${objects} PRIVATE ${TRIANGLE_ROOT})
  target_compile_features(${objects} PRIVATE cxx_std_17)
  # The sources say themselves where a multiply and an add are one operation: the same bits from every compiler.
  target_compile_options(${objects} PRIVATE -ffp-contract=off -Wall -Wextra)
  set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
endforeach()
