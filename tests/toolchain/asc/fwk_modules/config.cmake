# CANN's file of this name empties the optimisation flags of whoever includes it.
set(CMAKE_CXX_FLAGS_DEBUG "")
set(CMAKE_CXX_FLAGS_RELEASE "")
