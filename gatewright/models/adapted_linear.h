#pragma once
// Linear layers that are trained, or held still and corrected by a mixture of adapters.
#include "gatewright/base/json.h"
#include "gatewright/mixture/mixture.h"
#include "gatewright/models/model.h"

namespace gw::inline models {

/// A mixture of adapters beside a linear map: banks/lora unless the options say otherwise.
/// Shapes: [T, in] → [T, out]. `options`: of the gw::Mixture but "in", "out" and "seed".
/// `site`: what the layer is called where its decisions are recorded. Errors: ValueError for options that a
/// mixture refuses; `part` names the model.
std::shared_ptr<Mixture> make_adapters(int64_t in, int64_t out, const Json& options, const Rng& rng,
                                       const std::string& site, const char* part);
/// y + what the adapters make of x, with draws of the site's own; the plan is appended to `plans`.
at::Tensor with_adapters(const at::Tensor& y, Mixture& adapters, const std::string& site, const at::Tensor& x,
                         const RouterInputs& inputs, const Pass& pass, std::vector<SitedPlan>& plans);

/// y = W x + b, trained; or, with adapters, y = W x + b + Σ_e weight_e(x)·adapter_e(x) with W and b held
/// still. Shapes: x [T, in] → [T, out]. Both forms have W and b under the same names, so that the second
/// starts from the first's checkpoint (start = {copies = true}). Until the adapters' first update the answers
/// are the frozen layer's, bit for bit, with banks that start at zero (banks/lora). Source: Hu et al. 2021,
/// arXiv 2106.09685; Liu and Luo 2024, arXiv 2405.00361.
class AdaptedLinear : public torch::nn::Module {
 public:
  /// `adapters`: as make_adapters; empty: none, and W and b are trained. Errors: as make_adapters.
  AdaptedLinear(int64_t in, int64_t out, const Json& adapters, const Rng& rng, const std::string& site,
                const char* part);
  /// The plan, where there is one, is appended to `plans` under the layer's site.
  at::Tensor forward(const at::Tensor& x, const RouterInputs& inputs, const Pass& pass,
                     std::vector<SitedPlan>& plans);
  bool adapted() const { return adapters_ != nullptr; }
  int64_t experts() const { return adapters_ == nullptr ? 1 : adapters_->policy().experts(); }
  void end_step();

 private:
  std::string site_;
  at::Tensor weight_, bias_;
  std::shared_ptr<Mixture> adapters_;
};

}  // namespace gw::inline models
