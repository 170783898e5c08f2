# Stand-in for CANN's package ASC: what find_package(ASC) includes. Called ASCConfig.cmake in 8.5, asc-config.cmake later.
if(NOT DEFINED ENV{ASCEND_HOME_PATH})
  message(FATAL_ERROR "ASCEND_HOME_PATH is not set")
endif()
set(_asc_folder $ENV{ASCEND_HOME_PATH}/compiler/tikcpp/ascendc_kernel_cmake)
include(${_asc_folder}/fwk_modules/config.cmake)
list(APPEND CMAKE_MODULE_PATH ${_asc_folder}/asc_modules)
