#include <algorithm>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/gate_linear.h"

namespace gw::likelihood {
namespace {

/// The same with all but the largest scores at -infinity.
class TopKGateStep : public LinearGateStep {
 public:
  TopKGateStep(const MixtureSpec& spec, const Design& design, const FitOptions& options)
      // Within one choice of experts the overall steepness may not matter (top 1): a penalty would move the
      // borders.
      : LinearGateStep(spec, design, options, 0),
        keep_(spec.gate.top_k),
        with_bias_(spec.gate.select_with_bias) {}
  void scores(const Block& block, const MixtureParameters& parameters, double* score) const override;
  bool jumps() const override { return keep_ < experts_; }
  bool ridged() const override { return false; }

 private:
  int64_t keep_;
  bool with_bias_;
};

void TopKGateStep::scores(const Block& block, const MixtureParameters& p, double* score) const {
  LinearGateStep::scores(block, p, score);
  std::vector<double> rank(static_cast<size_t>(experts_));
  std::vector<int64_t> order(rank.size());
  for (int64_t r = 0; r < block.rows; ++r) {
    for (int64_t k = 0; k < experts_; ++k) {
      rank[static_cast<size_t>(k)] =
          score[k * Block::kStride + r] - (with_bias_ ? 0 : p.gate_bias[static_cast<size_t>(k)]);
      order[static_cast<size_t>(k)] = k;
    }
    std::sort(order.begin(), order.end(),
              [&](int64_t a, int64_t b) {  // ties go to the lower index, as in log_gates
                const double left = rank[static_cast<size_t>(a)], right = rank[static_cast<size_t>(b)];
                return left > right || (left == right && a < b);
              });
    for (int64_t i = keep_; i < experts_; ++i)
      score[order[static_cast<size_t>(i)] * Block::kStride + r] = -std::numeric_limits<double>::infinity();
  }
}

/// Softmax over the `top_k` largest scores, the others are zero.
/// Source: Nguyen, Akbarian, Yan, Ho 2024, Statistical Perspective of Top-K Sparse Softmax Gating Mixture of
///         Experts.
class TopK : public GateForm {
 public:
  static constexpr const char* kSummary = "softmax over the largest linear scores, the others are zero";
  static constexpr const char* kSource =
      "Nguyen, Akbarian, Yan, Ho 2024, Statistical Perspective of Top-K Sparse Softmax Gating Mixture of "
      "Experts";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  TopK(const Options&, const Context&) {}

  void check(const GateSpec& gate, int64_t experts) const override {
    GW_CHECK(gate.top_k >= 1 && gate.top_k <= experts, "fit: expected top_k in 1 … {} (the experts), got {}",
             experts, gate.top_k);
  }
  std::vector<std::string> options() const override { return {"top_k", "select_with_bias"}; }
  int64_t active(const GateSpec& gate, int64_t) const override { return gate.top_k; }
  bool has_origin(const GateSpec& gate) const override { return !gate.select_with_bias; }
  std::unique_ptr<GateStep> step(const MixtureSpec& spec, const Design& design,
                                 const FitOptions& options) const override {
    return std::make_unique<TopKGateStep>(spec, design, options);
  }
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::GateForm, likelihood::TopK);
