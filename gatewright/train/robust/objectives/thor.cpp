#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/objective.h"
#include "gatewright/train/robust/trades.h"

namespace gw::inline train {
namespace {

/// Random experts that must agree: two pathways drawn per batch learn the labels and each other's answers.
/// Math:   L = CE(p₁, y) + CE(p₂, y) + (α/2)·(KL(p₁ ‖ p₂) + KL(p₂ ‖ p₁)), p_i the answer of the i-th of two
///         distinct experts drawn uniformly for the batch and, with routing = "layer", for each layer by
///         itself; α = 0 trains both apart.
/// Errors: ValueError for a network without two experts.
/// Grad:   through both answers in all terms; the draw teaches no router: evaluate with policies/random, or
///         its average.
/// Source: Zuo et al. 2021, arXiv 2110.04260 (THOR). With routing = "image" there is one choice, so one draw,
///         for all layers.
class Thor : public Objective {
 public:
  static constexpr const char* kSummary = "two random pathways per batch, each to be right and to agree";
  static constexpr const char* kSource = "Zuo et al. 2021, arXiv 2110.04260";
  struct Options : OptionSet {
    double consistency = 5;
    void fields(OptionVisitor& v) override {
      v.real("consistency", consistency, "weight α of the agreement", 0, 1e6);
    }
  };

  Thor(const Options& options, const Context&) : options_(options) {}

  std::vector<std::string> reports(const Task&) const override {
    return {"loss", "disagreement", "clean_accuracy"};
  }

  StepReport step(StepContext& c) override {
    const int64_t experts = c.network().shape().experts;
    GW_CHECK(experts >= 2,
             "objectives/thor: expected a network of at least two experts, got {}; set network.experts",
             experts);
    GW_CHECK(
        !c.network().balanced(),
        "objectives/thor: expected no network.balancers, since draws make no scores to balance, got some; "
        "leave them out");
    const auto first = answer(c, 0), second = answer(c, 1);
    const auto agreement = (mean_kl(first, second) + mean_kl(second, first)) / 2;
    const auto& y = c.batch.at("label");
    const auto loss = at::cross_entropy_loss(first, y) + at::cross_entropy_loss(second, y) +
                      options_.consistency * agreement;
    c.experts.step(parameter_gradients(loss, c.experts.values(), "loss"), c.lr);
    StepReport report;
    report.values = {{"loss", loss.item<double>()},
                     {"disagreement", agreement.item<double>()},
                     {"clean_accuracy", (accuracy(first, y) + accuracy(second, y)) / 2}};
    return report;
  }

 private:
  static at::Tensor answer(const StepContext& c, int64_t place) {
    auto options = c.pass(c.rng.fork("objectives/thor"));
    options.random_expert = place;
    return c.network().forward(c.batch.at("image"), options).logits;
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Objective, gw::Thor);
