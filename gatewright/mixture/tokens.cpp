#include "gatewright/mixture/tokens.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <fmt/ranges.h>

#include "gatewright/base/check.h"

namespace gw::inline mixture {
namespace {

bool computed(at::ScalarType type) {
  return type == at::kFloat || type == at::kBFloat16 || type == at::kDouble;
}

/// How libtorch's users write a dtype.
std::string written(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "torch::kFloat";
    case at::kDouble:
      return "torch::kDouble";
    case at::kBFloat16:
      return "torch::kBFloat16";
    case at::kHalf:
      return "torch::kHalf";
    case at::kLong:
      return "torch::kLong";
    default:
      return c10::toString(type);
  }
}

std::string shape_remedy(const at::Tensor& x, int64_t width) {
  if (x.dim() == 3 && x.size(2) == width)
    return "; flatten to [B*T, D]: x.flatten(0, 1), and give the answer its shape back with view()";
  if (x.dim() == 1 && x.size(0) == width) return "; one token is x.unsqueeze(0)";
  if (x.dim() == 2 && x.size(0) == width) return "; tokens are rows: x.t()";
  return "; \"in\" is the width that the layer was made for";
}

void check_dtype(const std::string& layer, at::ScalarType got, at::ScalarType weights) {
  GW_CHECK(computed(weights),
           "{}: expected weights in f32, bf16 or f64, got {}; call layer->to(torch::kBFloat16) or "
           "to(torch::kFloat)",
           layer, written(weights));
  if (got == weights) return;
  const bool both = computed(got);
  fail("{}: expected tokens in {} as the experts' weights, got {}; take x.to({}){}", layer, written(weights),
       written(got), written(weights), both ? fmt::format(" or layer->to({})", written(got)) : "");
}

}  // namespace

at::Tensor accepted_tokens(const std::string& layer, const at::Tensor& x, int64_t width,
                           const at::Tensor& weight) {
  GW_CHECK(x.defined(), "{}: expected tokens [T, {}], got an undefined tensor", layer, width);
  GW_CHECK(x.layout() == at::kStrided, "{}: expected dense tokens, got a {} tensor; call to_dense()", layer,
           c10::str(x.layout()));
  GW_CHECK(x.device().is_cpu(), "{}: expected tokens on the CPU, got them on {}{}", layer, x.device().str(),
           x.is_meta() ? "; a meta tensor has no values" : "; move them with x.cpu()");
  GW_CHECK((x.dim() == 2 || x.dim() == 4) && x.size(1) == width,
           "{}: expected tokens [T, {}] or maps [B, {}, H, W], got [{}]{}", layer, width, width,
           fmt::join(x.sizes(), ", "), shape_remedy(x, width));
  if (!weight.defined()) return x;
  GW_CHECK(weight.device().is_cpu(),
           "{}: expected weights on the CPU, got them on {}; call layer->to(torch::kCPU)", layer,
           weight.device().str());
  if (at::autocast::is_cpu_enabled() && computed(weight.scalar_type()) && computed(x.scalar_type()))
    return x.to(weight.scalar_type());
  check_dtype(layer, x.scalar_type(), weight.scalar_type());
  return x;
}

}  // namespace gw::inline mixture
