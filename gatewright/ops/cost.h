#pragma once
#include <cstdint>

namespace gw::ops {

/// Counts the multiply-adds of the convolutions and matrix products that are really executed while it lives
/// (forward passes only, this thread). What the sparse path saves is therefore measured, not claimed. Nests:
/// inner counts are part of outer ones.
class CostRecorder {
 public:
  CostRecorder() : outer_(current()) { current() = this; }
  ~CostRecorder() {
    current() = outer_;
    if (outer_ != nullptr) outer_->macs_ += macs_;
  }
  CostRecorder(const CostRecorder&) = delete;
  CostRecorder& operator=(const CostRecorder&) = delete;
  int64_t macs() const { return macs_; }

  static void add(int64_t macs) {
    if (current() != nullptr) current()->macs_ += macs;
  }

 private:
  static CostRecorder*& current() {
    thread_local CostRecorder* recorder = nullptr;
    return recorder;
  }
  CostRecorder* outer_;
  int64_t macs_ = 0;
};

}  // namespace gw::ops
