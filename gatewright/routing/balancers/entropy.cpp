#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Entropy of the router, per token or of the batch.
/// Math:   H(q) = −Σ_e q_e ln q_e. of = "batch": L = c · (ln E − H(mean_t p_t)), even use of experts. of =
///         "token": L = c · mean_t H(p_t), sure decisions (top-p routing). Rows of p are normalised first.
/// Balance (uniform scores): 0 for "batch", ln E for "token". Collapse: ln E for "batch", 0 for "token".
/// Source: Csordás et al. 2023, arXiv 2310.10837, eq. 16 ("batch", up to the constant ln E); Huang et al.
///         2024, arXiv 2403.07652 ("token").
class Entropy : public Balancer {
 public:
  static constexpr const char* kSummary =
      "lack of entropy of the mean probabilities, or entropy of each token's";
  static constexpr const char* kSource = "Csordás et al. 2023, arXiv 2310.10837";
  struct Options : OptionSet {
    double coefficient = 0.001;
    std::string of = "batch";
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
      v.text("of", of, "whose entropy: of the batch's mean (maximised), or of each token (minimised)",
             {"batch", "token"});
    }
  };

  Entropy(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    const double tokens = batch_tokens(plan);
    if (tokens == 0) return zero_loss(plan);
    const auto p = probabilities(plan).clamp_min(0);
    const auto normalised = p / p.sum(1, true).clamp_min(1e-30);
    if (options_.of == "token")
      return options_.coefficient * over_ranks(plan, entropy(normalised).sum()) / tokens;
    const auto mean = over_ranks(plan, normalised.sum(0, true)) / tokens;
    return options_.coefficient * (std::log(static_cast<double>(plan.experts())) - entropy(mean).sum());
  }

  double at_balance(int64_t experts, int64_t) const override {
    return options_.of == "batch" ? 0 : std::log(static_cast<double>(experts));
  }
  double at_collapse(int64_t experts) const override {
    return options_.of == "batch" ? std::log(static_cast<double>(experts)) : 0;
  }
  double coefficient() const override { return options_.coefficient; }

 private:
  // 0·ln 0 = 0: the floor is far below what a probability contributes.
  static at::Tensor entropy(const at::Tensor& p) { return -(p * p.clamp_min(1e-30).log()).sum(1); }

  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::Entropy);
