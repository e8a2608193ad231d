#pragma once
// Layers along time: run whole over a sequence, or frame by frame over streams without end, with the same
// answers.
#include <torch/nn/module.h>

#include <memory>

#include "gatewright/base/rng.h"

namespace gw::inline models {

/// y = x Wᵀ + b of a frame [S, in] without gradients, on the kernels of the experts, which read the matrix as
/// it lies and are not shared among threads where it is small. `weight` holds out · in values, a row for each
/// output; a row's bits depend on no other stream.
at::Tensor frame_product(const at::Tensor& frame, const at::Tensor& weight, int64_t out,
                         const at::Tensor& bias = {});
/// y ← x + y, in place; y contiguous and without gradients, f32 or f64.
void add_frame(const at::Tensor& x, at::Tensor& y);

/// What one layer keeps between the frames of S streams, which come one at a time.
class FrameSteps {
 public:
  virtual ~FrameSteps() = default;
  /// Takes the next frame [S, in], or an undefined one behind the end of the streams, and gives the frame
  /// [S, out] that is then complete. It is undefined for the first `delay()` calls, and once nothing waits
  /// behind the end. Errors: ValueError for a frame behind the end, and for another number of streams.
  at::Tensor step(const at::Tensor& frame);
  /// By how many frames an answer comes later than the frame that it belongs to.
  virtual int64_t delay() const { return 0; }
  /// Frames that were taken and not answered yet.
  int64_t waiting() const { return taken_ - given_; }
  /// As if nothing had come yet.
  void reset();

 protected:
  virtual at::Tensor pushed(const at::Tensor& frame) = 0;
  virtual void forget() = 0;

 private:
  int64_t taken_ = 0, given_ = 0, pushes_ = 0, streams_ = 0;
  bool ended_ = false;
};

/// Gives each frame `delay` frames later: the other branch of a residual connection around a layer that
/// waits.
std::unique_ptr<FrameSteps> delay_line(int64_t delay);

struct TimeConvShape {
  int64_t in = 1, out = 1, kernel = 3, dilation = 1;
  int64_t ahead =
      0;  ///< frames behind the present one that are seen: 0, causal, to reach(), looks ahead only
  int64_t reach() const { return (kernel - 1) * dilation; }
};

/// Convolution along time.
/// Math:   y_t = b + Σ_j W_j x_{t + ahead − j·dilation}, j = 0 … kernel − 1; nothing lies before the first
///         frame and behind the last.
/// Shapes: whole [B, T, in] → [B, T, out]; frame by frame [S, in] → [S, out], `ahead` frames later.
/// Cost:   kernel·in·out multiply-adds for each frame, either way. Step by step each frame is multiplied once
///         with all taps, and its products are added to the reach() + 1 sums that wait for them.
/// Errors: ValueError for an `ahead` outside 0 … reach().
/// Source: Hedegaard and Iosifidis 2022, arXiv 2106.00050 (continual convolution).
class TimeConv : public torch::nn::Module {
 public:
  TimeConv(const TimeConvShape& shape, const Rng& rng);
  at::Tensor forward(const at::Tensor& x) const;
  /// Reads the weights of this layer as they are at each step.
  std::unique_ptr<FrameSteps> steps() const;
  const TimeConvShape& shape() const { return shape_; }

 private:
  TimeConvShape shape_;
  at::Tensor weight_, bias_;  // [kernel, out, in], [out]
};

/// Attention of the frames within a window of n, without positions: convolutions before it know the order.
/// Math:   q, k, v = x W; a_t = Σ_j softmax_j(q_t·k_j / √d_h) v_j per head; y = a W_o.
///         newest  frame t looks at itself and the n − 1 before it.
///         all     the last n frames look at each other; y is of the mean of their a.
/// Shapes: newest: [B, T, D] → [B, T, D]; all: [B, T, D] → [B, D]. Frame by frame [S, D] → [S, D].
/// Cost:   step by step, beside the projections: newest 2·n·D multiply-adds; all 7·n·D − 4·D: of each of the
///         n − 1 rows that stay one column leaves and one comes (4·(n − 1)·D), the row of the new frame
///         (2·n·D), a division by the row's sum (n·D). Whole: 2·T²·D and 2·n²·D.
/// Source: Hedegaard, Bakhtiarnia and Iosifidis 2023, arXiv 2201.06268 (single output and retroactive
///         attention); differs: sums are kept in f64 relative to a maximum of each row, and are made anew
///         once additions and subtractions may have cost six of its sixteen digits.
class TimeAttention : public torch::nn::Module {
 public:
  /// Errors: ValueError for a width that the heads do not divide.
  TimeAttention(int64_t width, int64_t heads, int64_t window, const Rng& rng);
  at::Tensor newest(const at::Tensor& x) const;
  at::Tensor mean_of_all(const at::Tensor& x) const;
  std::unique_ptr<FrameSteps> newest_steps() const;
  std::unique_ptr<FrameSteps> all_steps() const;
  int64_t window() const { return window_; }

 private:
  struct Parts {
    at::Tensor q, k, v;  // [B, heads, T, d]
  };
  Parts parts(const at::Tensor& x) const;
  at::Tensor joined(const at::Tensor& heads) const;

  int64_t heads_, window_;
  at::Tensor in_, out_;  // [3·D, D], [D, D]
};

}  // namespace gw::inline models
