# Stand-in for the rules of CANN 8.1 to 8.3: the functions that the build calls, with the targets and properties that they
# define, in one project instead of CANN's nested ones. The order of the device compiler's options is CANN's.
if(NOT DEFINED SOC_VERSION)
  message(FATAL_ERROR "SOC_VERSION value not set.")
endif()
if(NOT EXISTS "${ASCEND_CANN_PACKAGE_PATH}")
  message(FATAL_ERROR "ASCEND_CANN_PACKAGE_PATH does not exist")
endif()
set(_ASCENDC_COMPILER ${ASCEND_CANN_PACKAGE_PATH}/compiler/tikcpp/ascendc_compiler/ascendc_compiler)
set(_ASCENDC_FOLDER ${CMAKE_CURRENT_LIST_DIR})
set(CMAKE_SKIP_RPATH TRUE)

add_library(host_intf_pub INTERFACE)
target_compile_options(host_intf_pub INTERFACE -fPIC -std=c++11)
target_compile_definitions(host_intf_pub INTERFACE _GLIBCXX_USE_CXX11_ABI=0)
target_link_directories(host_intf_pub INTERFACE ${ASCEND_CANN_PACKAGE_PATH}/lib64)

function(ascendc_library target_name target_type)
  set(include_dir ${CMAKE_BINARY_DIR}/include/${target_name})
  set(stub ${CMAKE_BINARY_DIR}/auto_gen/${target_name}/host_stub.cpp)
  add_library(${target_name}_interface INTERFACE)
  set(definitions $<TARGET_PROPERTY:${target_name}_interface,DEFINITIONS>)
  set(includes $<TARGET_PROPERTY:${target_name}_interface,INCLUDES>)
  set(objects)
  foreach(source IN LISTS ARGN)
    get_filename_component(source ${source} ABSOLUTE)
    get_filename_component(stem ${source} NAME_WE)
    foreach(core vec cube)
      set(object ${CMAKE_CURRENT_BINARY_DIR}/${stem}_${core}.o)
      add_custom_command(OUTPUT ${object} DEPENDS ${source} COMMAND_EXPAND_LISTS VERBATIM
        COMMAND ${_ASCENDC_COMPILER} "$<$<BOOL:${definitions}>:-D$<JOIN:${definitions},;-D>>"
          "$<$<BOOL:${includes}>:-I$<JOIN:${includes},;-I>>" -O3 -std=c++17 --cce-aicore-arch=dav-c220-${core} --cce-aicore-only
          --cce-auto-sync "$<TARGET_PROPERTY:${target_name}_interface,OPTIONS>" -o ${object} -c ${source})
      list(APPEND objects ${object})
    endforeach()
  endforeach()
  add_custom_target(${target_name}_precompile)
  add_custom_command(OUTPUT ${stub} COMMAND_EXPAND_LISTS VERBATIM DEPENDS ${ARGN}
    COMMAND python3 ${_ASCENDC_FOLDER}/host_stub.py ${stub} ${include_dir} ${ARGN})
  add_custom_target(${target_name}_preprocess DEPENDS ${stub})
  add_dependencies(${target_name}_preprocess ${target_name}_precompile)
  add_custom_target(${target_name}_merge_obj ALL DEPENDS ${objects})
  add_library(${target_name}_host_stub_obj OBJECT ${stub})
  target_link_libraries(${target_name}_host_stub_obj PRIVATE host_intf_pub)
  add_dependencies(${target_name}_host_stub_obj ${target_name}_preprocess ${target_name}_merge_obj)

  add_library(${target_name} ${target_type} $<TARGET_OBJECTS:${target_name}_host_stub_obj>)
  target_include_directories(${target_name} INTERFACE ${include_dir} ${ASCEND_CANN_PACKAGE_PATH}/include)
  target_link_directories(${target_name} PUBLIC ${ASCEND_CANN_PACKAGE_PATH}/lib64)
  target_link_libraries(${target_name} PRIVATE ${ASCEND_CANN_PACKAGE_PATH}/lib64/libascendc_runtime.a $<BUILD_INTERFACE:host_intf_pub>
    INTERFACE ascendcl $<BUILD_INTERFACE:$<$<STREQUAL:${RUN_MODE},npu>:runtime>> register error_manager profapi ge_common_base
      ascendalog mmpa dl
    PUBLIC ascend_dump c_sec)
  set_target_properties(${target_name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
endfunction()

function(_ascendc_append target_name property)
  get_target_property(values ${target_name}_interface ${property})
  if(NOT values)
    set(values)
  endif()
  list(APPEND values ${ARGN})
  set_target_properties(${target_name}_interface PROPERTIES ${property} "${values}")
endfunction()

function(ascendc_compile_options target_name target_scope)
  _ascendc_append(${target_name} OPTIONS ${ARGN})
endfunction()

function(ascendc_compile_definitions target_name target_scope)
  _ascendc_append(${target_name} DEFINITIONS ${ARGN})
endfunction()

function(ascendc_include_directories target_name target_scope)
  _ascendc_append(${target_name} INCLUDES ${ARGN})
endfunction()
