#include <ATen/ATen.h>

#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// Experts wanted by different tokens: their columns of probabilities should be orthogonal.
/// Math:   c_e = p_·e / ‖p_·e‖ over the tokens of the batch; L = c · mean over pairs e ≠ f of ⟨c_e, c_f⟩.
/// Balance with uniform scores: 1 (all columns are alike). Collapse: (E − 2)/E, as unused columns count as
/// alike among each other,
///         so that leaving experts unused is no way to be diverse. Even and sure: 0.
/// Errors: none; E = 1 has no pairs and costs 0.
/// Source: after Guo et al. 2025, arXiv 2505.22323 (orthogonality of experts) and Guo et al. 2024, arXiv
///         2405.14297 (DynMoE's diversity of gate weights); differs: on the probabilities, which every gate
///         has, not on weights or outputs.
class Diversity : public Balancer {
 public:
  static constexpr const char* kSummary = "mean cosine between the experts' columns of probabilities";
  static constexpr const char* kSource = "Guo et al. 2024, arXiv 2405.14297";
  struct Options : OptionSet {
    double coefficient = 0.01;
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
    }
  };

  Diversity(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    const int64_t experts = plan.experts();
    if (batch_tokens(plan) == 0 || experts < 2) return zero_loss(plan) * 0;
    // One row of equal entries joins every column: unused experts are then alike, and used ones hardly
    // change.
    const auto p = probabilities(plan);
    const auto products = over_ranks(plan, at::matmul(p.t(), p)) + kFloor * kFloor;
    const auto norm = products.diagonal().sqrt();
    const auto cosines = products / (norm.unsqueeze(0) * norm.unsqueeze(1));
    const double pairs = static_cast<double>(experts * (experts - 1));
    return options_.coefficient * (cosines.sum() - cosines.diagonal().sum()) / pairs;
  }

  double at_balance(int64_t, int64_t) const override { return 1; }
  double at_collapse(int64_t experts) const override {
    // The unused columns are alike (cosine 1), the used one is orthogonal to them.
    return static_cast<double>(experts - 2) / static_cast<double>(experts);
  }
  double coefficient() const override { return options_.coefficient; }

 private:
  static constexpr double kFloor = 1e-9;
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::Diversity);
