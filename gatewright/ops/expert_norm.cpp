#include "gatewright/ops/expert_norm.h"

#include <ATen/ATen.h>

#include <utility>

#include "gatewright/base/check.h"

namespace gw::ops {
namespace {

using Tensors = std::vector<at::Tensor>;

NormParameters of_expert(const NormParameters& p, int64_t expert, int64_t norms) {
  const int64_t channels = p.weight.numel() / norms;
  const auto cut = [&](const at::Tensor& all) {
    return all.defined() ? all.narrow(0, expert * channels, channels) : all;
  };
  return {cut(p.weight), cut(p.bias), cut(p.running_mean), cut(p.running_var), p.eps, p.momentum};
}

Tensors norm_of(int64_t expert, const Tensors& x, NormParameters& p, int64_t norms, bool train, bool relu,
                const Tensors& residual) {
  auto own = of_expert(p, expert, norms);
  int64_t rows = 0;
  for (const auto& part : x) rows += part.numel() / part.size(1);
  return bucket_norm(x, own, train && rows != 1, relu, residual);
}

/// The whole batch in one part, in any order of experts.
at::Tensor masked(const at::Tensor& x, const at::Tensor& expert_of_row, NormParameters& p, int64_t norms,
                  bool train, bool relu, const Tensors& residual) {
  Tensors parts, order;
  for (int64_t e = 0; e < norms; ++e) {
    const auto rows = expert_of_row.eq(e).nonzero().squeeze(1);
    if (rows.size(0) == 0) continue;
    Tensors added;
    if (!residual.empty()) added = {residual[0].index_select(0, rows)};
    parts.push_back(norm_of(e, {x.index_select(0, rows)}, p, norms, train, relu, added)[0]);
    order.push_back(rows);
  }
  if (parts.empty()) return x;
  return at::cat(parts, 0).index_select(0, at::cat(order, 0).argsort());
}

}  // namespace

std::vector<at::Tensor> expert_norm(const std::vector<at::Tensor>& x, const PartRoutes& routes,
                                    NormParameters& p, int64_t norms, bool train, bool relu,
                                    const std::vector<at::Tensor>& residual) {
  if (norms == 1) return bucket_norm(x, p, train, relu, residual);
  if (routes.masked_expert.defined())
    return {masked(x.at(0), routes.masked_expert, p, norms, train, relu, residual)};
  GW_ENSURE(x.size() == routes.expert.size(), "expert_norm: {} parts, {} experts", x.size(),
            routes.expert.size());
  std::vector<at::Tensor> out(x.size());
  for (int64_t e = 0; e < norms; ++e) {
    Tensors parts, added;
    std::vector<size_t> places;
    for (size_t i = 0; i < x.size(); ++i) {
      if (routes.expert[i] != e) continue;
      places.push_back(i), parts.push_back(x[i]);
      if (!residual.empty()) added.push_back(residual[i]);
    }
    if (parts.empty()) continue;
    auto normed = norm_of(e, parts, p, norms, train, relu, added);
    for (size_t i = 0; i < places.size(); ++i) out[places[i]] = std::move(normed[i]);
  }
  return out;
}

}  // namespace gw::ops
