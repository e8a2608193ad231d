#include "gatewright/train/adam_moments.h"

#include <ATen/ATen.h>

#include <cmath>

namespace gw::inline train {

void AdamOptions::fields(OptionVisitor& v) {
  v.real("beta1", beta1, "decay of the first moment", 0, 0.999999);
  v.real("beta2", beta2, "decay of the second moment", 0, 0.99999999);
  v.real("epsilon", epsilon, "added to the root of the second moment", 0, 1);
  v.real("weight_decay", weight_decay, "weight decay", 0, 1e3);
  v.texts("no_decay", no_decay,
          "parts of parameter names that are not decayed, such as \"norm\" or \"bias\"");
}

void adam_move(const AdamOptions& options, at::Tensor& value, const at::Tensor& g, at::Tensor& first,
               at::Tensor& second, double lr, int64_t step) {
  first.mul_(options.beta1).add_(g, 1 - options.beta1);
  second.mul_(options.beta2).addcmul_(g, g, 1 - options.beta2);
  const double correction1 = 1 - std::pow(options.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(options.beta2, static_cast<double>(step));
  const auto denominator = (second.sqrt() / std::sqrt(correction2)).add_(options.epsilon);
  value.addcdiv_(first, denominator, -lr / correction1);
}

}  // namespace gw::inline train
