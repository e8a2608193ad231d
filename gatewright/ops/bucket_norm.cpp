#include "gatewright/ops/bucket_norm.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/kernels/bucket_norm/family.h"
#include "gatewright/ops/bucket_rows.h"
#include "gatewright/ops/first_order.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
const kernels::BucketNormTable<T>& table(const BucketRows& rows) {
  const kernels::BucketNormTable<T>* made;
  if constexpr (std::is_same_v<T, float>) {
    made = &kernels::bucket_norm_family()();
  } else {
    made = &kernels::bucket_norm_ref_f64;
  }
  return rows.planes() ? *made->planes : *made;
}

template <class T>
std::vector<T*> pointers(at::TensorList tensors) {
  std::vector<T*> result;
  for (const auto& tensor : tensors) result.push_back(tensor.defined() ? tensor.data_ptr<T>() : nullptr);
  return result;
}

at::MemoryFormat format_of(const at::Tensor& x, bool planes) {
  return x.dim() == 4 && !planes ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

at::Tensor dense(const at::Tensor& x, bool planes) { return x.contiguous(format_of(x, planes)); }

at::Tensor dense_empty(const at::Tensor& like, bool planes) {
  return at::empty(like.sizes(), like.options(), format_of(like, planes));
}

variable_list map(at::TensorList tensors, bool planes, at::Tensor (*f)(const at::Tensor&, bool)) {
  variable_list result;
  for (const auto& tensor : tensors) result.push_back(f(tensor, planes));
  return result;
}

/// [C] in f64: of the batch, or as given.
struct Moments {
  std::vector<double> mean, variance;
};

template <class T>
Moments batch_moments(at::TensorList buckets, const BucketRows& rows) {
  const auto channels = rows.channels();
  const auto x = pointers<T>(buckets);
  std::vector<T> partial(
      static_cast<size_t>(rows.chunks() * 3 * channels));  // per chunk: its first row, sums, sums of squares
  rows.each_chunk(false, [&](int64_t chunk) {
    T* shift = partial.data() + chunk * 3 * channels;
    rows.each_piece(chunk, [&](size_t bucket, int64_t at, int64_t count) {
      if (rows.starts_chunk(bucket, at)) table<T>(rows).origin(x[bucket] + at, count, channels, shift);
      table<T>(rows).accumulate(x[bucket] + at, count, channels, shift, shift + channels,
                                shift + 2 * channels);
    });
  });
  const auto total = static_cast<double>(rows.total());
  Moments m{std::vector<double>(static_cast<size_t>(channels)),
            std::vector<double>(static_cast<size_t>(channels))};
  for (int64_t k = 0; k < rows.chunks(); ++k) {
    const T* shift = partial.data() + k * 3 * channels;
    const auto n = static_cast<double>(rows.rows_of(k));
    for (int64_t c = 0; c < channels; ++c)
      m.mean[static_cast<size_t>(c)] += (n * shift[c] + shift[channels + c]) / total;
  }
  for (int64_t k = 0; k < rows.chunks(); ++k) {
    const T* shift = partial.data() + k * 3 * channels;
    const auto n = static_cast<double>(rows.rows_of(k));
    for (int64_t c = 0; c < channels; ++c) {
      const double sum = shift[channels + c], between = shift[c] + sum / n - m.mean[static_cast<size_t>(c)];
      m.variance[static_cast<size_t>(c)] +=
          (std::max(shift[2 * channels + c] - sum * sum / n, 0.0) + n * between * between) / total;
    }
  }
  return m;
}

std::vector<double> to_f64(const at::Tensor& x) {
  const auto copy = x.to(at::kDouble).contiguous();
  return {copy.data_ptr<double>(), copy.data_ptr<double>() + copy.numel()};
}

at::Tensor from_f64(const std::vector<double>& x, const at::TensorOptions& options) {
  return at::tensor(x, at::kDouble).to(options.dtype());
}

struct Call {
  int64_t buckets = 0;
  bool planes = false, train = false, relu = false, residual = false, recorded = false;
  NormParameters parameters;
};

template <class T>
Moments moments_of(at::TensorList x, const BucketRows& rows, const Call& call) {
  const auto& p = call.parameters;
  if (!call.train) return {to_f64(p.running_mean), to_f64(p.running_var)};
  auto m = batch_moments<T>(x, rows);
  if (!p.running_mean.defined()) return m;
  auto unbiased = m.variance;
  for (auto& v : unbiased) v *= static_cast<double>(rows.total()) / static_cast<double>(rows.total() - 1);
  at::Tensor(p.running_mean).lerp_(from_f64(m.mean, p.running_mean.options()), p.momentum);
  at::Tensor(p.running_var).lerp_(from_f64(unbiased, p.running_var.options()), p.momentum);
  return m;
}

/// Per-channel coefficients as the kernels take them. The mean is rounded to T first; what that loses goes
/// into the offset, so that a mean of 1000 with a deviation of 1 costs no digits of y.
template <class T>
struct Coefficients {
  Coefficients(const double* exact_mean, int64_t channels) : mean(exact_mean, exact_mean + channels) {
    for (int64_t c = 0; c < channels; ++c)
      lost.push_back(static_cast<double>(mean[static_cast<size_t>(c)]) - exact_mean[c]);
  }
  std::vector<T> mean;
  std::vector<double> lost;  ///< rounded mean - mean
};

/// `saved` f64 [3, C]: mean, 1 / deviation, scale.
at::Tensor make_saved(const Moments& m, const at::Tensor& weight, double eps) {
  const auto channels = static_cast<int64_t>(m.mean.size());
  auto saved = at::empty({3, channels}, at::kDouble);
  auto* s = saved.data_ptr<double>();
  const auto w = to_f64(weight);
  for (int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<size_t>(c);
    s[c] = m.mean[i];
    s[channels + c] = 1 / std::sqrt(m.variance[i] + eps);
    s[2 * channels + c] = w[i] * s[channels + c];
  }
  return saved;
}

template <class T>
void apply_rows(at::TensorList x, at::TensorList residual, const BucketRows& rows, const at::Tensor& saved,
                const at::Tensor& bias, bool relu, at::TensorList y, uint8_t* mask) {
  const auto channels = rows.channels();
  const auto* s = saved.data_ptr<double>();
  const Coefficients<T> k(s, channels);
  const std::vector<T> scale(s + 2 * channels, s + 3 * channels);
  std::vector<T> offset;
  const auto b = to_f64(bias);
  for (size_t c = 0; c < b.size(); ++c)
    offset.push_back(static_cast<T>(b[c] + k.lost[c] * s[2 * channels + static_cast<int64_t>(c)]));
  const auto from = pointers<T>(x), also = pointers<T>(residual), to = pointers<T>(y);
  // Downwards: the statistics pass went upwards, so the last chunks are the ones still in the cache.
  rows.each_chunk(true, [&](int64_t chunk) {
    rows.each_piece(chunk, [&](size_t i, int64_t at, int64_t count) {
      uint8_t* bits = mask == nullptr ? nullptr : mask + rows.mask_bytes_before(i, at);
      table<T>(rows).apply(from[i] + at, also.empty() ? nullptr : also[i] + at, count, channels,
                           k.mean.data(), scale.data(), offset.data(), relu, to[i] + at, bits);
    });
  });
}

struct Gradients {
  variable_list x, residual;
  at::Tensor weight, bias;
};

/// What a backward pass has at hand and what it is asked for.
struct Request {
  variable_list gradient, x;  ///< x is empty when the statistics are fixed and the weight needs no gradient
  at::Tensor saved, mask;
  bool planes = false, train = false, want_x = false, want_parameters = false, want_residual = false;
};

/// [2, C] in f64: sums of g and of g·(x - mean).
template <class T>
std::vector<double> gradient_sums(const Request& q, const BucketRows& rows, const Coefficients<T>& k) {
  const auto channels = rows.channels();
  const auto gradient = pointers<T>(q.gradient), x = pointers<T>(q.x);
  const uint8_t* mask = q.mask.defined() ? q.mask.data_ptr<uint8_t>() : nullptr;
  std::vector<T> partial(static_cast<size_t>(rows.chunks() * 2 * channels));
  rows.each_chunk(false, [&](int64_t chunk) {
    T* sums = partial.data() + chunk * 2 * channels;
    rows.each_piece(chunk, [&](size_t i, int64_t at, int64_t count) {
      const uint8_t* bits = mask == nullptr ? nullptr : mask + rows.mask_bytes_before(i, at);
      table<T>(rows).reduce_gradient(gradient[i] + at, x[i] + at, bits, count, channels, k.mean.data(), sums,
                                     sums + channels);
    });
  });
  std::vector<double> sums(static_cast<size_t>(2 * channels));
  for (size_t i = 0; i < partial.size(); i += sums.size()) {
    for (size_t j = 0; j < sums.size(); ++j) sums[j] += partial[i + j];
  }
  for (size_t c = 0; c < k.lost.size(); ++c) sums[k.lost.size() + c] += k.lost[c] * sums[c];
  return sums;
}

template <class T>
void input_gradients(const Request& q, const BucketRows& rows, const Coefficients<T>& k,
                     const std::vector<double>& sums, Gradients& out) {
  const auto channels = rows.channels();
  const auto* s = q.saved.data_ptr<double>();
  std::vector<T> a, b, c;
  for (int64_t i = 0; i < channels; ++i) {
    const double inverse = s[channels + i], scale = s[2 * channels + i],
                 total = static_cast<double>(rows.total());
    const double slope =
        q.train ? -scale * inverse * inverse * sums[static_cast<size_t>(channels + i)] / total : 0;
    a.push_back(static_cast<T>(scale)), b.push_back(static_cast<T>(slope));
    c.push_back(static_cast<T>(
        q.train ? k.lost[static_cast<size_t>(i)] * slope - scale * sums[static_cast<size_t>(i)] / total : 0));
  }
  const uint8_t* mask = q.mask.defined() ? q.mask.data_ptr<uint8_t>() : nullptr;
  if (q.want_x) out.x = map(q.gradient, q.planes, dense_empty);
  if (q.want_residual) out.residual = mask == nullptr ? q.gradient : map(q.gradient, q.planes, dense_empty);
  if (!q.want_x && mask == nullptr) return;  // the gradient of the residual is the incoming one
  const auto gradient = pointers<T>(q.gradient), x = pointers<T>(q.x), dx = pointers<T>(out.x);
  const auto dresidual = mask == nullptr ? std::vector<T*>{} : pointers<T>(out.residual);
  rows.each_chunk(true, [&](int64_t chunk) {
    rows.each_piece(chunk, [&](size_t i, int64_t at, int64_t count) {
      const uint8_t* bits = mask == nullptr ? nullptr : mask + rows.mask_bytes_before(i, at);
      table<T>(rows).input_gradient(gradient[i] + at, q.train ? x[i] + at : nullptr, bits, count, channels,
                                    k.mean.data(), a.data(), b.data(), c.data(),
                                    dx.empty() ? nullptr : dx[i] + at,
                                    dresidual.empty() ? nullptr : dresidual[i] + at);
    });
  });
}

template <class T>
Gradients gradients(const Request& q) {
  const BucketRows rows(q.gradient, q.planes);
  const auto channels = rows.channels();
  const Coefficients<T> k(q.saved.data_ptr<double>(), channels);
  Gradients out;
  std::vector<double> sums;
  if (q.want_parameters || (q.train && q.want_x)) sums = gradient_sums<T>(q, rows, k);
  if (q.want_parameters) {
    const auto all = at::tensor(sums, at::kDouble).view({2, channels});
    out.bias = all[0].to(q.gradient.front().dtype());
    out.weight = (all[1] * q.saved[1]).to(q.gradient.front().dtype());
  }
  if (q.want_x || q.want_residual) input_gradients<T>(q, rows, k, sums, out);
  return out;
}

/// Inputs: the buckets, weight, bias, the residuals.
class BucketNorm : public torch::autograd::Function<BucketNorm> {
 public:
  static variable_list forward(AutogradContext* ctx, at::TensorList inputs, const Call& call) {
    return inputs.front().scalar_type() == at::kFloat ? run<float>(ctx, inputs, call)
                                                      : run<double>(ctx, inputs, call);
  }

  static variable_list backward(AutogradContext* ctx, variable_list gradient) {
    check_first_order("bucket_norm");
    const auto saved = ctx->get_saved_variables();
    const auto n = gradient.size();
    const auto inputs = n + 2 + (ctx->saved_data["residual"].toBool() ? n : 0);
    const auto wanted = [&](size_t begin, size_t end) {
      bool any = false;
      for (auto i = begin; i < end; ++i) any |= ctx->needs_input_grad(i);
      return any;
    };
    const auto options = at::TensorOptions().dtype(ctx->saved_data["dtype"].toScalarType());
    const auto shapes = ctx->saved_data["shapes"].toIntVector();
    Request q;
    q.planes = ctx->saved_data["planes"].toBool();
    for (size_t i = 0, at = 0; i < n; ++i) {
      const at::IntArrayRef shape(shapes.data() + at + 1, static_cast<size_t>(shapes[at]));
      q.gradient.push_back(dense(gradient[i].defined() ? gradient[i] : at::zeros(shape, options), q.planes));
      at += 1 + shape.size();
    }
    q.saved = saved[0], q.mask = saved[1];
    if (saved.size() > 2) q.x = variable_list(saved.begin() + 2, saved.end());
    q.train = ctx->saved_data["train"].toBool();
    q.want_x = wanted(0, n), q.want_parameters = wanted(n, n + 2), q.want_residual = wanted(n + 2, inputs);
    auto out = options.dtype() == at::kFloat ? gradients<float>(q) : gradients<double>(q);
    variable_list result(inputs + 1);  // the last belongs to Call
    std::copy(out.x.begin(), out.x.end(), result.begin());
    result[n] = out.weight, result[n + 1] = out.bias;
    std::copy(out.residual.begin(), out.residual.end(), result.begin() + static_cast<int64_t>(n) + 2);
    return result;
  }

 private:
  template <class T>
  static variable_list run(AutogradContext* ctx, at::TensorList inputs, const Call& call) {
    const auto n = static_cast<size_t>(call.buckets);
    const auto x = map(inputs.slice(0, n), call.planes, dense),
               residual = map(inputs.slice(n + 2), call.planes, dense);
    const auto &weight = inputs[n], &bias = inputs[n + 1];
    const BucketRows rows(x, call.planes);
    const auto y = map(x, call.planes, dense_empty);
    const auto saved = rows.total() == 0
                           ? at::zeros({3, rows.channels()}, at::kDouble)
                           : make_saved(moments_of<T>(x, rows, call), weight, call.parameters.eps);
    at::Tensor mask;
    if (call.relu && call.recorded) mask = at::empty({rows.mask_bytes_of_all()}, at::kByte);
    apply_rows<T>(x, residual, rows, saved, bias, call.relu, y,
                  mask.defined() ? mask.data_ptr<uint8_t>() : nullptr);
    if (call.recorded) record(ctx, call, x, weight, bias, saved, mask);
    return y;
  }

  static void record(AutogradContext* ctx, const Call& call, const variable_list& x, const at::Tensor& weight,
                     const at::Tensor& bias, const at::Tensor& saved, const at::Tensor& mask) {
    variable_list keep{saved, mask};
    if (call.train || weight.requires_grad() || bias.requires_grad())
      keep.insert(keep.end(), x.begin(), x.end());
    ctx->save_for_backward(std::move(keep));
    ctx->set_materialize_grads(false);
    std::vector<int64_t> shapes;  // of gradients that do not come: x may not be kept
    for (const auto& bucket : x) {
      shapes.push_back(bucket.dim());
      shapes.insert(shapes.end(), bucket.sizes().begin(), bucket.sizes().end());
    }
    ctx->saved_data["shapes"] = shapes;
    ctx->saved_data["dtype"] = x.front().scalar_type();
    ctx->saved_data["planes"] = call.planes, ctx->saved_data["train"] = call.train;
    ctx->saved_data["residual"] = call.residual;
  }
};

void check_vector(const char* name, const at::Tensor& v, const at::Tensor& x) {
  GW_CHECK(
      v.defined() && v.dim() == 1 && v.size(0) == x.size(1) && v.scalar_type() == x.scalar_type(),
      "bucket_norm: expected {} of shape [{}] and the dtype of x, got {}", name, x.size(1),
      v.defined() ? fmt::format("{} values of {}", v.numel(), c10::toString(v.scalar_type())) : "nothing");
}

void check_bucket(const char* name, const at::Tensor& bucket, const at::Tensor& first) {
  GW_CHECK(bucket.defined() && (bucket.dim() == 4 || bucket.dim() == 2) && bucket.size(1) > 0,
           "bucket_norm: expected {} of shapes [n, C, H, W] or [n, C] with C > 0, got {} dimensions", name,
           bucket.defined() ? bucket.dim() : 0);
  GW_CHECK(
      bucket.device().is_cpu() && (bucket.scalar_type() == at::kFloat || bucket.scalar_type() == at::kDouble),
      "bucket_norm: expected {} in f32 or f64 on the CPU, got {} on {}", name,
      c10::toString(bucket.scalar_type()), bucket.device().str());
  GW_CHECK(bucket.size(1) == first.size(1) && bucket.scalar_type() == first.scalar_type(),
           "bucket_norm: expected all of {} with {} channels in {}, got {} in {}", name, first.size(1),
           c10::toString(first.scalar_type()), bucket.size(1), c10::toString(bucket.scalar_type()));
}

void check_call(const std::vector<at::Tensor>& x, const NormParameters& p, bool train,
                const std::vector<at::Tensor>& residual) {
  GW_CHECK(!x.empty(), "bucket_norm: expected at least one bucket, got none");
  int64_t rows = 0;
  for (const auto& bucket : x) check_bucket("x", bucket, x.front()), rows += bucket.numel() / bucket.size(1);
  GW_CHECK(residual.empty() || residual.size() == x.size(),
           "bucket_norm: expected as many residuals as buckets ({}), got {}", x.size(), residual.size());
  for (size_t i = 0; i < residual.size(); ++i) {
    check_bucket("residual", residual[i], x.front());
    GW_CHECK(residual[i].sizes() == x[i].sizes(),
             "bucket_norm: expected residual {} of the shape of its bucket, got another", i);
  }
  check_vector("weight", p.weight, x.front()), check_vector("bias", p.bias, x.front());
  GW_CHECK(p.running_mean.defined() == p.running_var.defined(),
           "bucket_norm: expected both running statistics or none, got one");
  if (!train || p.running_mean.defined()) {
    check_vector("running_mean", p.running_mean, x.front()),
        check_vector("running_var", p.running_var, x.front());
  }
  GW_CHECK(!train || rows != 1, "bucket_norm: expected more than 1 value per channel when training, got 1");
}

}  // namespace

std::vector<at::Tensor> bucket_norm(const std::vector<at::Tensor>& x, NormParameters& p, bool train,
                                    bool relu, const std::vector<at::Tensor>& residual) {
  check_call(x, p, train, residual);
  variable_list inputs = x;
  inputs.push_back(p.weight), inputs.push_back(p.bias);
  inputs.insert(inputs.end(), residual.begin(), residual.end());
  Call call{static_cast<int64_t>(x.size()), bucket_planes(x), train, relu, !residual.empty(), false, p};
  call.recorded = at::GradMode::is_enabled() &&
                  std::any_of(inputs.begin(), inputs.end(), [](const auto& t) { return t.requires_grad(); });
  // As a TensorList: Function takes a std::vector<Tensor> for a constant and would record nothing.
  return BucketNorm::apply(at::TensorList(inputs), call);
}

int64_t BucketRows::mask_bytes(int64_t values) { return kernels::bucket_norm_mask_bytes(values); }

}  // namespace gw::ops
