#include "gatewright/models/field_embedding.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/models/model.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {

std::vector<InputField> fields_of(const DataSpec& data) {
  if (!data.fields.empty()) return data.fields;
  std::vector<InputField> fields;
  for (int64_t c = 0; c < data.inputs; ++c) {
    const bool number =
        data.numeric.empty() || std::find(data.numeric.begin(), data.numeric.end(), c) != data.numeric.end();
    fields.push_back({"x" + std::to_string(c), c, 1, number});
  }
  return fields;
}

FieldEmbedding::FieldEmbedding(const std::vector<InputField>& fields, int64_t inputs, const Options& options,
                               const Rng& rng)
    : torch::nn::Module("FieldEmbedding"), fields_(fields), options_(options) {
  int64_t next = 0;
  for (const auto& field : fields_) {
    GW_CHECK(field.first == next && field.width >= 1 && (!field.number || field.width <= 2),
             "field embedding: expected fields side by side, got \"{}\" at column {} of {} columns after {}",
             field.name, field.first, field.width, next);
    next += field.width;
  }
  GW_CHECK(next == inputs && inputs > 0, "field embedding: expected fields of {} columns in all, got {}",
           inputs, next);
  std::vector<int64_t> numbers, flags, flagged;
  for (size_t m = 0; m < fields_.size(); ++m) {
    const auto& field = fields_[m];
    if (!field.number) {
      factors_.push_back(m);
      continue;
    }
    numbers.push_back(field.first), flags.push_back(field.first + field.width - 1);
    flagged.push_back(field.width - 1);
  }
  number_columns_ = at::tensor(numbers, at::kLong), flag_columns_ = at::tensor(flags, at::kLong);
  flagged_ = at::tensor(flagged, at::kFloat);
  std::vector<int64_t> order;  // pieces are the numbers, then the factors
  int64_t number = 0, factor = static_cast<int64_t>(numbers.size());
  for (const auto& field : fields_) order.push_back(field.number ? number++ : factor++);
  order_ = at::tensor(order, at::kLong);
  vectors_ = register_parameter(
      "vectors", ops::normal(rng.fork("vectors"), {inputs, options.width}, 0, options.deviation));
  if (options.bins > 0 && !numbers.empty())
    quantiles_ = register_module(
        "quantiles", std::make_shared<QuantileEmbedding>(static_cast<int64_t>(numbers.size()), options.bins,
                                                         options.width, rng.fork("quantiles")));
}

at::Tensor FieldEmbedding::numbers(const at::Tensor& x) const {
  const auto value = x.index_select(1, number_columns_);
  const auto flag = x.index_select(1, flag_columns_) * flagged_.to(x.scalar_type());
  const auto missing = flag.unsqueeze(2) * vectors_.index_select(0, flag_columns_);
  if (quantiles_)
    return quantiles_->forward(value).view({x.size(0), value.size(1), options_.width}) + missing;
  return value.unsqueeze(2) * vectors_.index_select(0, number_columns_) + missing;
}

at::Tensor FieldEmbedding::forward(const at::Tensor& x) const {
  ops::CostRecorder::add(x.size(0) * vectors_.numel());
  std::vector<at::Tensor> pieces;
  if (number_columns_.numel() > 0) pieces.push_back(numbers(x));
  for (const size_t m : factors_) {
    const auto& field = fields_[m];
    pieces.push_back(
        at::matmul(x.narrow(1, field.first, field.width), vectors_.narrow(0, field.first, field.width))
            .unsqueeze(1));
  }
  return at::cat(pieces, 1).index_select(1, order_);
}

void FieldEmbedding::prepare(const at::Tensor& x) {
  if (quantiles_) quantiles_->prepare(x.index_select(1, number_columns_));
}

}  // namespace gw::inline models
