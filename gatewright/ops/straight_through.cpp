#include "gatewright/ops/straight_through.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/ops/first_order.h"

namespace gw::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_floating(const char* part, const at::Tensor& x) {
  GW_CHECK(x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble),
           "{}: expected f32 or f64 on the CPU, got {} on {}", part, c10::toString(x.scalar_type()),
           x.device().str());
}

template <class T>
at::Tensor one_hot_of_largest(const at::Tensor& scores) {
  const auto dense = scores.contiguous();
  const auto experts = dense.size(1);
  auto result = at::zeros(dense.sizes(), dense.options());
  const T* s = dense.data_ptr<T>();
  T* y = result.data_ptr<T>();
  for (int64_t b = 0; b < dense.size(0); ++b, s += experts, y += experts) {
    int64_t best = 0;
    for (int64_t e = 0; e < experts; ++e) {
      GW_CHECK(!std::isnan(s[e]),
               "straight_through_one_hot: expected scores in an order, got NaN for row {} and expert {}", b,
               e);
      if (s[e] > s[best]) best = e;
    }
    y[best] = 1;
  }
  return result;
}

class OneHot : public torch::autograd::Function<OneHot> {
 public:
  static at::Tensor forward(AutogradContext*, const at::Tensor& scores) {
    return scores.scalar_type() == at::kFloat ? one_hot_of_largest<float>(scores)
                                              : one_hot_of_largest<double>(scores);
  }
  static variable_list backward(AutogradContext*, const variable_list& gradient) { return {gradient[0]}; }
};

at::MemoryFormat format_of(const at::Tensor& x) {
  return x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

at::Tensor scale_rows(const at::Tensor& x, const at::Tensor& weight) {
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return x * weight.view(shape);
}

template <class T>
T dot(const T* a, const T* b, int64_t count) {
  constexpr int64_t kSums = 16;  // independent chains, so that the additions do not wait for each other
  T sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int64_t k = 0; k < kSums; ++k) sums[k] += a[i + k] * b[i + k];
  }
  T total = 0;
  for (const T s : sums) total += s;
  for (; i < count; ++i) total += a[i] * b[i];
  return total;
}

template <class T>
at::Tensor row_dots(const at::Tensor& a, const at::Tensor& b) {
  const auto n = a.size(0), count = n == 0 ? 0 : a.numel() / n;
  auto result = at::empty({n}, a.options());
  const T *pa = a.data_ptr<T>(), *pb = b.data_ptr<T>();
  T* out = result.data_ptr<T>();
  at::parallel_for(0, n, std::max<int64_t>(1, 32768 / std::max<int64_t>(1, count)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i)
                       out[i] = dot(pa + i * count, pb + i * count, count);
                   });
  return result;
}

class RouteWeight : public torch::autograd::Function<RouteWeight> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            bool weight_is_one) {
    const auto dense = x.contiguous(format_of(x));
    // Kept only for who needs it: x for the weight's gradient, the weight for x's.
    ctx->save_for_backward({weight.requires_grad() ? dense : at::Tensor(),
                            x.requires_grad() && !weight_is_one ? weight : at::Tensor()});
    ctx->saved_data["one"] = weight_is_one;
    return weight_is_one ? x : scale_rows(dense, weight);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradient) {
    check_first_order("apply_route_weight");
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    variable_list result(3);
    if (ctx->needs_input_grad(0))
      result[0] = ctx->saved_data["one"].toBool() ? gradient[0] : scale_rows(gradient[0], weight);
    if (ctx->needs_input_grad(1)) {
      const auto g = gradient[0].contiguous(format_of(x));
      result[1] = x.scalar_type() == at::kFloat ? row_dots<float>(g, x) : row_dots<double>(g, x);
    }
    return result;
  }
};

}  // namespace

at::Tensor straight_through_one_hot(const at::Tensor& scores) {
  GW_CHECK(scores.dim() == 2 && scores.size(1) > 0,
           "straight_through_one_hot: expected scores [B, E] with E > 0, got {} dimensions", scores.dim());
  check_floating("straight_through_one_hot", scores);
  return OneHot::apply(scores);
}

at::Tensor apply_route_weight(const at::Tensor& x, const at::Tensor& weight, bool weight_is_one) {
  GW_CHECK(x.dim() >= 1 && weight.dim() == 1 && weight.size(0) == x.size(0),
           "apply_route_weight: expected x [n, …] and weight [n], got {} dimensions and {} weights", x.dim(),
           weight.numel());
  check_floating("apply_route_weight", x);
  GW_CHECK(weight.scalar_type() == x.scalar_type(), "apply_route_weight: expected one dtype, got {} and {}",
           c10::toString(x.scalar_type()), c10::toString(weight.scalar_type()));
  if (weight_is_one && !weight.requires_grad()) return x;
  return RouteWeight::apply(x, weight, weight_is_one);
}

}  // namespace gw::ops
