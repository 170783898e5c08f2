// The C interface of the simulator: what ctypes, and any other host, calls.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ascend_sim_buffer {
  const char* name;
  void* address;
  uint64_t bytes;
  int32_t initialised;  // 0: reading it before writing is a finding
} ascend_sim_buffer;

typedef struct ascend_sim_launch_options {
  const char* soc;         // "Ascend910B2"
  const char* parameters;  // overrides: "fixpipe=41;ghz=1.8", or ""
  const char* type;        // "", "aic_only", "aiv_only", "mix_1_0", "mix_0_1", "mix_1_1", "mix_1_2"
  const char* order;       // "eager", "lazy", "random"
  uint32_t block_dim;
  uint64_t seed;
  int32_t auto_sync, timing_only, determinism, trace;
  uint64_t stack_bytes, instruction_budget;
  double watchdog_seconds;
  // Synchronisation calls of the kernel that are left out, ";" between them, or null: see core/sync_calls.h.
  const char* ignore_sites;
  int32_t lenient;           // see LaunchOptions
  int32_t poison_zero;       // on-chip memory that nobody wrote holds zeros, not ones
  const char* suppressions;  // a file of findings to leave out, or null: see core/findings.h
} ascend_sim_launch_options;

typedef struct ascend_sim_report ascend_sim_report;

// Loads a kernel library; its kernels are looked up by that path. 0, or an error text (valid until the next call).
const char* ascend_sim_load(const char* path);
// JSON list of the kernels of a library: [{"name", "type", "args": [{"kind", "bytes"}]}]. Free with ascend_sim_free.
char* ascend_sim_kernels(const char* path);

// args[i] points to the value of argument i; arg_bytes[i] is its size. Always returns a report.
ascend_sim_report* ascend_sim_launch(const char* path, const char* kernel, const ascend_sim_launch_options* options,
                                     void* const* args, const uint64_t* arg_bytes, uint32_t arg_count,
                                     const ascend_sim_buffer* buffers, uint32_t buffer_count);
char* ascend_sim_report_json(const ascend_sim_report* report);
uint32_t ascend_sim_report_findings(const ascend_sim_report* report);
int ascend_sim_report_completed(const ascend_sim_report* report);
// The findings as text, one a line. Free with ascend_sim_free.
char* ascend_sim_report_text(const ascend_sim_report* report);
// Writes the Chrome/Perfetto trace of a launch made with trace = 1. 0 on success.
int ascend_sim_report_trace(const ascend_sim_report* report, const char* file);
// The bars of the same trace, in the order of issue: cycles, index of the core, pipe (S, V, M, MTE1, MTE2, MTE3, FIX).
typedef struct ascend_sim_trace_event {
  double start, end, done;
  uint32_t site;
  uint16_t core;
  uint8_t pipe, reserved;
} ascend_sim_trace_event;
const ascend_sim_trace_event* ascend_sim_report_events(const ascend_sim_report* report, uint64_t* count);
void ascend_sim_report_free(ascend_sim_report* report);

// Instructions that the running launch has issued; may be asked from another thread.
uint64_t ascend_sim_progress(void);

// GM memory: 512 B aligned, zeroed, between guard pages.
void* ascend_sim_gm_alloc(uint64_t bytes);
void ascend_sim_gm_free(void* address, uint64_t bytes);
// JSON: the chips and their parameters.
char* ascend_sim_socs(void);
void ascend_sim_free(char* text);

#ifdef __cplusplus
}
#endif
