#include "gatewright/ops/adam.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "gatewright/kernels/adam/family.h"

namespace gw::ops {
namespace {

constexpr int64_t kAdamPiece = 1 << 14;  // values of one thread at least: 0.4 MB, 20 µs

bool dense_f32(const at::Tensor& t) {
  return t.scalar_type() == at::kFloat && t.device().is_cpu() && t.layout() == at::kStrided &&
         t.is_contiguous();
}

void in_one_pass(const kernels::AdamStep& step, const at::Tensor& gradient, const at::Tensor& value,
                 const at::Tensor& first, const at::Tensor& second) {
  const auto* g = gradient.data_ptr<float>();
  auto *theta = value.data_ptr<float>(), *m = first.data_ptr<float>(), *v = second.data_ptr<float>();
  const auto move = kernels::adam_family()().move;
  at::parallel_for(0, value.numel(), kAdamPiece, [&](int64_t begin, int64_t end) {
    move(step, end - begin, g + begin, theta + begin, m + begin, v + begin);
  });
  // What was made from the values, folded or packed weights, is told by their versions.
  for (const auto& t : {value, first, second}) t.unsafeGetTensorImpl()->bump_version();
}

}  // namespace

void adam_step(const AdamRule& rule, double lr, int64_t step, const at::Tensor& gradient, at::Tensor& value,
               at::Tensor& first, at::Tensor& second) {
  const double correction1 = 1 - std::pow(rule.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(rule.beta2, static_cast<double>(step));
  if (gradient.sizes() == value.sizes() && dense_f32(gradient) && dense_f32(value) && dense_f32(first) &&
      dense_f32(second)) {
    const auto f32 = [](double x) { return static_cast<float>(x); };
    const kernels::AdamStep s{f32(rule.beta1),
                              f32(rule.beta2),
                              f32(1 - rule.beta1),
                              f32(1 - rule.beta2),
                              f32(rule.epsilon),
                              f32(lr / correction1),
                              f32(1 / std::sqrt(correction2))};
    return in_one_pass(s, gradient, value, first, second);
  }
  first.mul_(rule.beta1).add_(gradient, 1 - rule.beta1);
  second.mul_(rule.beta2).addcmul_(gradient, gradient, 1 - rule.beta2);
  const auto denominator = (second.sqrt() / std::sqrt(correction2)).add_(rule.epsilon);
  value.addcdiv_(first, denominator, -lr / correction1);
}

}  // namespace gw::ops
