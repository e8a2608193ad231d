#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace gw::ops {

/// What torch.nn.BatchNorm2d holds. `running_mean` and `running_var` are updated in place by a training call;
/// both may be undefined if only training calls are made. Shapes: all [C].
struct NormParameters {
  at::Tensor weight, bias, running_mean, running_var;
  double eps = 1e-5, momentum = 0.1;
};

/// Batch normalisation of a list of buckets as if they were one batch, with residual addition and ReLU in the
/// same pass.
/// Math:   y_i = relu?((x_i - mean) / sqrt(var + eps) · weight + bias + residual_i?). train: mean and
///         (biased) variance over the rows of all buckets, running statistics updated with the unbiased
///         variance; else: running statistics.
/// Shapes: x_i [n_i, C, H_i, W_i] or [n_i, C], n_i = 0 allowed → y_i of the same shape, channels-last;
///         maps of up to 16 channels that all come contiguous and of one size (up to 4096 pixels) stay
///         contiguous. No rows at all: empty results, statistics untouched.
/// Errors: ValueError for differing C or dtypes, other shapes, other dtypes than f32 and f64, a training call
///         with a single row, or a backward pass that asks for second derivatives.
/// Cost:   bytes for N f32 values: forward train 12·N (two reads, one write) plus 4·N for owning the written
///         lines, eval 8·N (+4·N); backward train 20·N (+4·N), eval for x alone 8·N (+4·N). A residual adds
///         4·N forward and, with ReLU, 4·N (+4·N) backward.
///         Keeps x and N/8 bytes of ReLU mask for the backward pass; eval with gradient for x alone keeps
///         only the mask.
///         Other inputs that are not channels-last are copied first.
/// Grad:   x, weight, bias, residual, each only where asked for; undefined incoming gradients count as zero.
/// Same bits for any number of threads and for any split of the same rows into buckets: sums are over chunks
/// of 256 rows of the concatenation (of one image where maps stay contiguous), combined in f64 in order.
std::vector<at::Tensor> bucket_norm(const std::vector<at::Tensor>& x, NormParameters& p, bool train,
                                    bool relu, const std::vector<at::Tensor>& residual = {});

}  // namespace gw::ops
