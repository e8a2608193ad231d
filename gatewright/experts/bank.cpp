#include "gatewright/experts/bank.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"

namespace gw::inline experts {

void check_rows(const char* part, const at::Tensor& rows, const std::vector<int64_t>& offsets,
                const Bank::Context& context) {
  const bool shaped = rows.dim() >= 2 && rows.size(1) == context.in;
  GW_CHECK(shaped, "{}: expected rows [N, {}, …], got {} dimensions, second of size {}", part, context.in,
           rows.dim(), rows.dim() < 2 ? 0 : rows.size(1));
  const bool counted = static_cast<int64_t>(offsets.size()) == context.experts + 1;
  GW_CHECK(counted, "{}: expected {} offsets, got {}", part, context.experts + 1, offsets.size());
  const bool monotone = offsets.front() == 0 && std::is_sorted(offsets.begin(), offsets.end()) &&
                        offsets.back() == rows.size(0);
  GW_CHECK(monotone, "{}: expected offsets rising from 0 to {} rows, got {} to {}", part, rows.size(0),
           offsets.front(), offsets.back());
}

at::Tensor per_row(const at::Tensor& factor, const at::Tensor& rows) {
  std::vector<int64_t> shape(static_cast<size_t>(rows.dim()), 1);
  shape[0] = rows.size(0);
  return factor.to(rows.scalar_type()).view(shape);
}

at::Tensor scatter_rows(const at::Tensor& rows, const at::Tensor& token, const at::Tensor& weight,
                        int64_t tokens) {
  auto shape = rows.sizes().vec();
  shape[0] = tokens;
  return at::zeros(shape, rows.options()).index_add(0, token, rows * per_row(weight, rows));
}

at::Tensor run_each(Bank& bank, const at::Tensor& rows, const std::vector<int64_t>& offsets, int64_t out) {
  std::vector<at::Tensor> parts;
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    if (offsets[e] < offsets[e + 1])
      parts.push_back(
          bank.run_one(rows.narrow(0, offsets[e], offsets[e + 1] - offsets[e]), static_cast<int64_t>(e)));
  }
  return parts.empty() ? rows.new_zeros({0, out}) : at::cat(parts);
}

at::Tensor Bank::mix(const at::Tensor& x, const std::vector<int64_t>& offsets, const at::Tensor& token,
                     const at::Tensor& weight) {
  return scatter_rows(forward(x.index_select(0, token), offsets), token, weight, x.size(0));
}

at::Tensor Bank::like() const {
  if (!parameters_.is_empty()) return parameters_.begin()->value();  // parameters() builds a list of names
  const auto weights = parameters();
  return weights.empty() ? at::Tensor() : weights[0];
}

void Bank::take(Bank&) {
  fail("{}: expected a bank that holds its weights in several forms, got one of f32 only; take banks/mlp",
       name());
}

void Bank::keep(ops::CodedFfn) {
  fail("{}: expected a bank that multiplies from codes of a file, got one of values only; take banks/mlp",
       name());
}

}  // namespace gw::inline experts
