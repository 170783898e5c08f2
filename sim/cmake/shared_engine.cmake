# cmake -P: brings the simulator in the build folder ENGINE up to date and makes LINK a link to it. Only one process does.
file(MAKE_DIRECTORY ${ENGINE})
file(LOCK ${ENGINE}/shared.lock GUARD PROCESS)
if(NOT EXISTS ${ENGINE}/build.ninja)
  execute_process(COMMAND_ERROR_IS_FATAL ANY
    COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${ENGINE} -G Ninja -DCMAKE_MAKE_PROGRAM=${NINJA} -DCMAKE_CXX_COMPILER=${COMPILER}
      -DASCEND_SIM_NATIVE=${NATIVE})
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --build ${ENGINE} --target ascend_sim COMMAND_ERROR_IS_FATAL ANY)
file(CREATE_LINK ${ENGINE}/libascend_sim.so ${LINK} SYMBOLIC)
