#pragma once
// The steps of a PlaneProgram and where their maps lie.
#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "gatewright/kernels/thread_pool.h"
#include "gatewright/ops/step_log.h"

namespace gw::ops {

/// Where a map lies in the memory of an image: planes with a border of one zero pixel, or a row of values.
struct PlaneMap {
  int64_t channels = 0, height = 0, width = 0;
  bool flat = false;  ///< [channels] values, no planes
  int64_t at = 0;

  int64_t row() const { return width + 2; }
  int64_t plane() const { return (height + 2) * (width + 2); }
  int64_t inside() const { return row() + 1; }  ///< of a plane: its first pixel
  int64_t floats() const;
};

/// One group of images under way.
struct PlaneFrame {
  float* memory;
  int64_t images, image_floats;
  kernels::ThreadPool* pool;  ///< shares out the channels of large convolutions; null: the caller alone
  float* at(int64_t image, int64_t offset) const { return memory + image * image_floats + offset; }
};

struct PlaneStep {
  virtual ~PlaneStep() = default;
  virtual void run(const PlaneFrame& frame) const = 0;
};

struct PlaneOperands {
  PlaneMap x, other, out, mixing;
  int64_t scratch = 0;  ///< place of `plane_scratch` values of the step's own
};

/// The map that a step makes of its inputs. Errors: ValueError for what planes cannot run.
PlaneMap plane_result(const Step& step, const PlaneMap& x);
/// Values that a step needs for itself: the phases of the input of a convolution of stride 2, and a row;
/// merged kernels.
int64_t plane_scratch(const Step& step, const PlaneMap& x);
int64_t plane_macs(const Step& step, const PlaneMap& out);
std::unique_ptr<PlaneStep> make_plane_step(const Step& step, const PlaneOperands& operands);
std::unique_ptr<PlaneStep> make_plane_convolution(const Step& step, const PlaneOperands& operands);

/// Experts whose kernels a convolution merges; 1: it has its own.
int64_t plane_experts(const Step& step);
/// Of those, the values of the phases.
int64_t plane_phases(const Step& step, const PlaneMap& x);

inline std::vector<float> values_of(const at::Tensor& t) {
  if (!t.defined()) return {};
  const auto flat = t.detach().to(at::kFloat).contiguous().flatten();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}
inline const float* or_null(const std::vector<float>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace gw::ops
