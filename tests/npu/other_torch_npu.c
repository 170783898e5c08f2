/* Preloaded, it makes the installed torch_npu look like another one to those who look its functions up:
 *   HIDDEN_SYMBOLS=a,b    symbols that it does not have
 *   FAILED_QUEUE=1        its host queue has stopped: asked for a drained stream, it gives null (read at each call)
 *   NULL_STREAM=1         its stream is null, drained or not: the default stream of the context (read at each call) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef void* lookup(void*, const char*);
typedef void* stream_of(const void*, unsigned char);

static lookup* real(void) {
  static lookup* found;
  if (found == NULL) found = (lookup*)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
  if (found == NULL) found = (lookup*)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
  return found;
}

static stream_of* real_stream;

static int is_set(const char* name) {
  const char* value = getenv(name);
  return value != NULL && *value == '1';
}

static void* stream(const void* self, unsigned char drained) {
  void* own = real_stream(self, drained);
  return is_set("NULL_STREAM") || (drained && is_set("FAILED_QUEUE")) ? NULL : own;
}

static int hidden(const char* name) {
  const char* all = getenv("HIDDEN_SYMBOLS");
  const size_t length = strlen(name);
  for (const char* at = all; at != NULL && (at = strstr(at, name)) != NULL; ++at)
    if ((at == all || at[-1] == ',') && (at[length] == 0 || at[length] == ',')) return 1;
  return 0;
}

void* dlsym(void* handle, const char* name) {
  if (hidden(name)) return NULL;
  if (strcmp(name, "_ZNK7c10_npu9NPUStream6streamEb") == 0) {
    real_stream = (stream_of*)real()(handle, name);
    return real_stream == NULL ? NULL : (void*)&stream;
  }
  return real()(handle, name); /* a tail call, so that RTLD_NEXT is seen from the caller's library */
}
