# triangle_add_kernels(name SOURCES a.cpp ... LAUNCH launch.cpp [INCLUDES dirs] [SIM_LIBRARIES targets])
#
# lib<name>.so: the Ascend C kernels of SOURCES and the C functions of LAUNCH that start them. TRIANGLE_KERNEL_WAY says
# how, and LAUNCH is compiled with the macro of that way and with TRIANGLE_CANN_VERSION:
#
#   asc              CANN >= 8.5. bisheng is a CMake language; one .asc source includes LAUNCH, which includes SOURCES,
#                    because bisheng compiles a source as one program. TRIANGLE_LAUNCH_ASC.
#   ascendc_library  CANN 8.1 to 8.3. CANN's function of that name compiles SOURCES and generates aclrtlaunch_<kernel>.h,
#                    which LAUNCH, plain C++, includes. TRIANGLE_LAUNCH_ASCENDC_LIBRARY.
#   sim              g++ and this project's simulator; SIM_LIBRARIES are what LAUNCH calls. TRIANGLE_LAUNCH_SIM.
#
# triangle_add_npu_library([SIM_LIBRARIES targets]) adds this project's kernels so: libtriangle_attn_npu.so, and beside it
# the kernel that measures a chip's rates (npu_bench --calibrate): libtriangle_attn_measure.so.
#
# bisheng inserts no synchronisation of its own in any of them: what the simulator checks is what runs.
#
# Include this file in the directory that calls the function, after project(): the asc way enables a language here. CANN
# is the one of ASCEND_HOME_PATH. It changes variables such as CMAKE_CXX_FLAGS_RELEASE, so nothing else should be built
# in that directory.
set(TRIANGLE_KERNEL_WAY "" CACHE STRING "asc (CANN >= 8.5), ascendc_library (CANN 8.1 to 8.3) or sim")
set(TRIANGLE_CANN_VERSION "none" CACHE STRING "version of the CANN at ASCEND_HOME_PATH, such as 8.5.0")
# One binary serves every Atlas A2 and A3: all are dav-2201, and 8.1's rules take any of their names for all of them.
set(TRIANGLE_NPU_ARCH dav-2201)
set(TRIANGLE_SOC_VERSION Ascend910B1)
# Options of the device compiler in both ways of CANN. The last one makes room for the arguments of a kernel, which hold the
# tiling by value (op_kernel/tiling_by_value.h: up to 2088 bytes); newer releases need no such limit and ignore it.
set(TRIANGLE_DEVICE_OPTIONS -O3 -std=c++17 --cce-auto-sync=off --cce-aicore-input-parameter-size=4096)

set(_triangle_ways asc ascendc_library sim)
if(NOT TRIANGLE_KERNEL_WAY IN_LIST _triangle_ways)
  message(FATAL_ERROR "TRIANGLE_KERNEL_WAY: expected asc, ascendc_library or sim, got '${TRIANGLE_KERNEL_WAY}'")
endif()
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)  # CANN's rules pass it on, and know Release and Debug
endif()
get_filename_component(TRIANGLE_ROOT ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)

if(NOT TRIANGLE_KERNEL_WAY STREQUAL "sim")
  if(NOT IS_DIRECTORY "$ENV{ASCEND_HOME_PATH}")
    message(FATAL_ERROR "ASCEND_HOME_PATH: expected the folder of a CANN toolkit, got '$ENV{ASCEND_HOME_PATH}': source "
                        "CANN's set_env.sh first")
  endif()
  file(TO_CMAKE_PATH "$ENV{ASCEND_HOME_PATH}" _triangle_cann)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    set(_triangle_cann_arch ${_triangle_cann}/aarch64-linux)
  else()
    set(_triangle_cann_arch ${_triangle_cann}/x86_64-linux)
  endif()
endif()

if(TRIANGLE_KERNEL_WAY STREQUAL "asc")
  set(CMAKE_ASC_ARCHITECTURES ${TRIANGLE_NPU_ARCH})
  find_package(ASC REQUIRED HINTS ${_triangle_cann} PATH_SUFFIXES compiler/tikcpp/ascendc_kernel_cmake
    tikcpp/ascendc_kernel_cmake lib64/cmake)
  enable_language(ASC)
elseif(TRIANGLE_KERNEL_WAY STREQUAL "ascendc_library")
  if(CMAKE_GENERATOR MATCHES "Ninja")
    # Its nested projects look preprocessed files up by name, and Ninja's names have a "./" in them.
    message(FATAL_ERROR "CANN's ascendc_library does not work with Ninja: cmake -G \"Unix Makefiles\"")
  endif()
  find_path(TRIANGLE_ASCENDC_CMAKE ascendc.cmake NO_DEFAULT_PATH
    PATHS ${_triangle_cann}/tools/tikcpp/ascendc_kernel_cmake ${_triangle_cann}/compiler/tikcpp/ascendc_kernel_cmake
    ${_triangle_cann}/ascendc_devkit/tikcpp/samples/cmake ${_triangle_cann_arch}/tikcpp/ascendc_kernel_cmake
    DOC "CANN's folder with ascendc.cmake")
  if(NOT TRIANGLE_ASCENDC_CMAKE)
    message(FATAL_ERROR "ASCEND_HOME_PATH: found no tikcpp/ascendc_kernel_cmake/ascendc.cmake below ${_triangle_cann}: "
                        "the toolkit package of CANN is needed, not the runtime alone")
  endif()
  set(SOC_VERSION ${TRIANGLE_SOC_VERSION})
  set(RUN_MODE npu)
  set(ASCEND_CANN_PACKAGE_PATH ${_triangle_cann})
  # No <<<>>> in SOURCES: the launchers are generated. Spares a compilation of their host side.
  set(ASCEND_KERNEL_LAUNCH_ONLY ON)
  include(${TRIANGLE_ASCENDC_CMAKE}/ascendc.cmake)
elseif(NOT COMMAND ascend_sim_add_kernel)
  add_subdirectory(${TRIANGLE_ROOT}/sim ${CMAKE_CURRENT_BINARY_DIR}/sim)
endif()

function(triangle_add_kernels name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LAUNCH" "SOURCES;INCLUDES;SIM_LIBRARIES")
  if(NOT arg_SOURCES OR NOT arg_LAUNCH)
    message(FATAL_ERROR "triangle_add_kernels(${name}): SOURCES and LAUNCH must be given")
  endif()
  set(sources)
  foreach(source IN LISTS arg_SOURCES)
    get_filename_component(source ${source} ABSOLUTE)
    list(APPEND sources ${source})
  endforeach()
  get_filename_component(launch ${arg_LAUNCH} ABSOLUTE)
  string(TOUPPER ${TRIANGLE_KERNEL_WAY} way)
  set(definitions TRIANGLE_LAUNCH_${way} TRIANGLE_CANN_VERSION="${TRIANGLE_CANN_VERSION}")

  if(TRIANGLE_KERNEL_WAY STREQUAL "asc" AND TRIANGLE_CANN_VERSION VERSION_GREATER_EQUAL 9.1)
    list(APPEND definitions TRIANGLE_BATCH_SCHEDULING)  # its compiler has __schedmode__
  endif()
  if(TRIANGLE_KERNEL_WAY STREQUAL "asc")
    _triangle_asc(${name} "${sources}" ${launch} "${arg_INCLUDES}" "${definitions}")
  elseif(TRIANGLE_KERNEL_WAY STREQUAL "ascendc_library")
    _triangle_ascendc_library(${name} "${sources}" ${launch} "${arg_INCLUDES}" "${definitions}")
  else()
    ascend_sim_add_kernel(${name} SOURCES ${sources} INCLUDES ${arg_INCLUDES})
    target_sources(${name} PRIVATE ${launch})
    target_include_directories(${name} PRIVATE ${arg_INCLUDES} ${TRIANGLE_ROOT}/sim ${TRIANGLE_ROOT}/sim/acl/include)
    target_compile_features(${name} PRIVATE cxx_std_17)
    target_compile_options(${name} PRIVATE -O2 -Wall -Wextra -fvisibility=hidden)
    target_compile_definitions(${name} PRIVATE ${definitions})
    target_link_libraries(${name} PRIVATE ${arg_SIM_LIBRARIES})
  endif()
  # The libraries of CANN are in the process already, or on the loader's path: no folder of this machine is recorded.
  set_target_properties(${name} PROPERTIES SKIP_BUILD_RPATH ON INSTALL_RPATH "" INSTALL_RPATH_USE_LINK_PATH OFF)
endfunction()

function(triangle_add_npu_library)
  triangle_add_kernels(triangle_attn_npu
    SOURCES ${TRIANGLE_ROOT}/op_kernel/forward.cpp ${TRIANGLE_ROOT}/op_kernel/forward_bent.cpp
      ${TRIANGLE_ROOT}/op_kernel/forward_cache.cpp ${TRIANGLE_ROOT}/op_kernel/forward_intervals.cpp
      ${TRIANGLE_ROOT}/op_kernel/backward.cpp ${TRIANGLE_ROOT}/op_kernel/backward_bent.cpp
      ${TRIANGLE_ROOT}/op_kernel/backward_intervals.cpp
    LAUNCH ${TRIANGLE_ROOT}/op_kernel/launch.cpp
    INCLUDES ${TRIANGLE_ROOT}/op_kernel ${TRIANGLE_ROOT} ${ARGN})
  triangle_add_kernels(triangle_attn_measure
    SOURCES ${TRIANGLE_ROOT}/op_kernel/measure/measure.cpp
    LAUNCH ${TRIANGLE_ROOT}/op_kernel/measure/launch.cpp
    INCLUDES ${TRIANGLE_ROOT}/op_kernel/measure ${TRIANGLE_ROOT}/op_kernel ${TRIANGLE_ROOT} ${ARGN})
endfunction()

function(_triangle_asc name sources launch includes definitions)
  # CANN 8.5 and 9.0 leave the architecture, -O3 and the standard to the caller; 9.1 sets the same itself.
  set(asc ${CMAKE_CURRENT_BINARY_DIR}/${name}.asc)
  file(CONFIGURE OUTPUT ${asc} CONTENT "#include \"${launch}\"\n" @ONLY)
  set_source_files_properties(${asc} PROPERTIES OBJECT_DEPENDS "${launch};${sources}")
  # The rest of LAUNCH: what a launch came to. Plain C++.
  add_library(${name}_launched OBJECT ${TRIANGLE_ROOT}/op_kernel/launched_asc.cpp)
  set_target_properties(${name}_launched PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_STANDARD 17
    CXX_STANDARD_REQUIRED ON)
  target_compile_options(${name}_launched PRIVATE -O2 -Wall -fvisibility=hidden)
  add_library(${name} SHARED ${asc} $<TARGET_OBJECTS:${name}_launched>)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE ASC)
  target_include_directories(${name} PRIVATE ${includes} ${_triangle_cann}/include)
  target_compile_definitions(${name} PRIVATE ${definitions})
  target_compile_options(${name} PRIVATE --npu-arch=${TRIANGLE_NPU_ARCH} -fPIC ${TRIANGLE_DEVICE_OPTIONS})
  target_link_directories(${name} PRIVATE ${_triangle_cann}/lib64)
  foreach(function IN ITEMS AscendDevBinaryRegister AscendKernelLaunchWithFlagV2 AscendDevBinaryLazyRegister
      AscendGetFuncFromBinary AscendLaunchKernelWithHostArgs)
    target_link_options(${name} PRIVATE -Wl,--wrap=${function})
  endforeach()
endfunction()

function(_triangle_ascendc_library name sources launch includes definitions)
  ascendc_library(${name} SHARED ${sources})
  ascendc_include_directories(${name} PRIVATE ${includes})
  # The kernels' signatures depend on the way.
  ascendc_compile_definitions(${name} PRIVATE TRIANGLE_LAUNCH_ASCENDC_LIBRARY)
  # CANN's rules put --cce-auto-sync first and these options last; the last one holds.
  ascendc_compile_options(${name} PRIVATE ${TRIANGLE_DEVICE_OPTIONS})

  # Apart, because CANN compiles what is in the library itself with -std=c++11.
  add_library(${name}_launch OBJECT ${launch})
  add_dependencies(${name}_launch ${name}_preprocess)  # generates aclrtlaunch_<kernel>.h
  set_target_properties(${name}_launch PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_STANDARD 17
    CXX_STANDARD_REQUIRED ON)
  target_include_directories(${name}_launch PRIVATE ${includes} ${_triangle_cann}/include
    $<TARGET_PROPERTY:${name},INTERFACE_INCLUDE_DIRECTORIES>)
  target_compile_options(${name}_launch PRIVATE -O2 -Wall -fvisibility=hidden)
  target_compile_definitions(${name}_launch PRIVATE ${definitions})
  target_sources(${name} PRIVATE $<TARGET_OBJECTS:${name}_launch>)

  # ascendc_library leaves CANN's libraries to the program that links the library. This one is opened at run time from
  # a process that holds them privately, so it has to name them itself.
  get_target_property(libraries ${name} INTERFACE_LINK_LIBRARIES)
  target_link_libraries(${name} PRIVATE -Wl,--as-needed ${libraries})
  # A generated launcher returns 0 although the kernels' binary was not registered; LAUNCH watches whether it was.
  target_link_options(${name} PRIVATE -Wl,--wrap=RegisterAscendBinary)
endfunction()
