// What the headers of newer versions of GCC call and libstdc++ and glibc of a manylinux_2_28 system do not have: four
// symbols, defined here for this library alone. Names are the linker's, because the headers declare some of them with
// another visibility. scripts/check_linkage.py finds any that are missing here.
#include <new>
#include <sstream>

#if defined(__GLIBCXX__)
#define TRIANGLE_HIDDEN extern "C" __attribute__((visibility("hidden")))

// glibc 2.32: counts of std::shared_ptr are changed by atomic instructions unless it says that there is one thread. A
// name of its own for the linker's symbol, since <memory> may have declared it.
TRIANGLE_HIDDEN char triangle_single_threaded __asm__("__libc_single_threaded");
char triangle_single_threaded = 0;

// GCC 11: an allocation of more than half of the address space.
TRIANGLE_HIDDEN void triangle_bad_length() __asm__("_ZSt28__throw_bad_array_new_lengthv");
void triangle_bad_length() { throw std::bad_array_new_length(); }

// GCC 9: the constructors without arguments of these two, out of line; the names are those of the string's ABI.
#if _GLIBCXX_USE_CXX11_ABI
#define TRIANGLE_OUTPUT_STREAM "_ZNSt7__cxx1119basic_ostringstreamIcSt11char_traitsIcESaIcEEC1Ev"
#define TRIANGLE_STREAM "_ZNSt7__cxx1118basic_stringstreamIcSt11char_traitsIcESaIcEEC1Ev"
#else
#define TRIANGLE_OUTPUT_STREAM "_ZNSt19basic_ostringstreamIcSt11char_traitsIcESaIcEEC1Ev"
#define TRIANGLE_STREAM "_ZNSt18basic_stringstreamIcSt11char_traitsIcESaIcEEC1Ev"
#endif
TRIANGLE_HIDDEN void triangle_output_stream(void* place) __asm__(TRIANGLE_OUTPUT_STREAM);
void triangle_output_stream(void* place) { new (place) std::ostringstream(std::ios_base::out); }
TRIANGLE_HIDDEN void triangle_stream(void* place) __asm__(TRIANGLE_STREAM);
void triangle_stream(void* place) { new (place) std::stringstream(std::ios_base::in | std::ios_base::out); }
#endif
