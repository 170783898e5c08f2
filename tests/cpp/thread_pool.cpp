#include "tests/cpp/thread_pool.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "csrc/cpu/parallel.h"

namespace triangle::cpu {
namespace {

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) threads_.emplace_back([this, i] { serve(i); });
  }
  ~Pool() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    start_.notify_all();
    for (std::thread& t : threads_) t.join();
  }
  int size() const { return static_cast<int>(threads_.size()) + 1; }

  void run(int workers, const std::function<void(int)>& f) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      f_ = &f;
      workers_ = workers;
      running_ = static_cast<int>(threads_.size());
      ++round_;
    }
    start_.notify_all();
    f(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  void serve(int index) {
    for (long seen = 0;;) {
      const std::function<void(int)>* f;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        start_.wait(lock, [&] { return stop_ || round_ > seen; });
        if (stop_) return;
        seen = round_;
        f = index < workers_ ? f_ : nullptr;
      }
      if (f) (*f)(index);
      const std::lock_guard<std::mutex> lock(mutex_);
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  const std::function<void(int)>* f_ = nullptr;
  int workers_ = 0, running_ = 0;
  long round_ = 0;
  bool stop_ = false;
};

std::unique_ptr<Pool>& pool() {
  static std::unique_ptr<Pool> p = std::make_unique<Pool>(1);
  return p;
}

}  // namespace

void set_num_threads(int threads) { pool() = std::make_unique<Pool>(threads); }
int num_threads() { return pool()->size(); }
void run_workers(int workers, const std::function<void(int)>& f) { pool()->run(workers, f); }

}  // namespace triangle::cpu
