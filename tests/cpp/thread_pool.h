// The threads behind csrc/cpu/parallel.h in programs without torch.
#pragma once

namespace triangle::cpu {
void set_num_threads(int threads);
}
