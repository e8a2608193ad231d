#pragma once
// A compiled pathway: the steps of one forward pass on channel planes, image by image.
#include <ATen/core/Tensor.h>

#include <memory>
#include <mutex>
#include <vector>

#include "gatewright/ops/step_log.h"

namespace gw::kernels {
class ThreadPool;
}

namespace gw::ops {

struct PlaneStep;

/// Inference through logged steps (gatewright/ops/step_log.h) without a tensor or a library call between
/// them. Weights are copied: later training does not reach a program. f32. Cost:   the steps' multiply-adds;
/// memory: the weights once, and for every image that is under way the maps that
///         live at the same time.
/// The same bits for any batch and number of threads: every image is computed by itself. Sums go in another
/// order than libtorch's, so answers agree with it to rounding.
class PlaneProgram {
 public:
  /// `input` and `output`: the tensors that the logged pass took [1, C, H, W] and answered [1, n].
  /// Errors: ValueError naming the step that planes cannot run (kernels other than 1×1 and 3×3, strides above
  /// 2, an
  ///         input that no step made, another dtype than f32).
  PlaneProgram(const StepLog& log, const at::Tensor& input, const at::Tensor& output);
  ~PlaneProgram();
  int64_t outputs() const { return outputs_; }
  /// Multiply-adds of one image in convolutions and matrix products.
  int64_t macs() const { return macs_; }

  /// Answers the images `row[0 … count)` of `images` [B, C, H, W] (f32, any strides): image r's goes to out +
  /// r·outputs(). Several threads may run one program.
  void run(const at::Tensor& images, const int64_t* row, int64_t count, float* out,
           kernels::ThreadPool& pool) const;

 private:
  class Lease;
  void run_group(const at::Tensor& images, const int64_t* row, int64_t count, float* out, float* memory,
                 kernels::ThreadPool* pool) const;

  int64_t outputs_ = 0, macs_ = 0, image_floats_ = 0, group_ = 1, channels_, height_, width_, input_at_ = 0,
          output_at_ = 0;
  std::vector<std::unique_ptr<PlaneStep>> steps_;
  mutable std::mutex lock_;
  mutable std::vector<std::vector<float>> idle_;  ///< of calls that have ended, borders already zero
};

}  // namespace gw::ops
