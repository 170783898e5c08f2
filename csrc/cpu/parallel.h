// The one thing the CPU kernels need from their host: a pool of threads. The torch extension supplies torch's own pool
// (so torch.set_num_threads holds); the stand-alone test program supplies std::thread.
#pragma once
#include <cstdint>
#include <functional>

namespace triangle::cpu {

int num_threads();
// Runs f(worker) once for each worker in [0, workers); workers <= num_threads(). Workers may run one after another (a
// host is free to have fewer threads than it said), so f must never wait for a worker with a higher index to start.
void run_workers(int workers, const std::function<void(int)>& f);

}  // namespace triangle::cpu
