#pragma once
#include <ATen/core/Tensor.h>

#include "gatewright/base/options.h"

namespace gw::inline train {

/// Options that Adam and AdamW share.
struct AdamOptions : OptionSet {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  std::vector<std::string> no_decay;
  void fields(OptionVisitor& v) override;
};

/// The update of Kingma and Ba 2015, algorithm 1, with bias correction; writes value, first and second
/// moment.
void adam_move(const AdamOptions& options, at::Tensor& value, const at::Tensor& g, at::Tensor& first,
               at::Tensor& second, double lr, int64_t step);

}  // namespace gw::inline train
