#include "gatewright/train/adam_moments.h"

#include "gatewright/ops/adam.h"

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
  ops::adam_step({options.beta1, options.beta2, options.epsilon}, lr, step, g, value, first, second);
}

}  // namespace gw::inline train
