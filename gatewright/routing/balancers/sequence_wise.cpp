#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/load.h"

namespace gw::inline routing {
namespace {

/// The Switch loss of each sequence (or task) by itself, averaged: no sequence may lean on one expert even if
/// others make up for it; tasks may then use different experts only as far as each uses all of them.
/// Math:   L = c · mean_q Σ_e f_qe P_qe, f_qe = E/(K·T_q) · rows of sequence q at e (a constant), P_qe = mean
///         over q of p_te.
/// Balance: 1 for every K (each sequence even). Collapse (K = 1): E.
/// Shapes: plan.facts.sequence [T] with ids in [0, T); without it the whole batch is one sequence. by =
///         "task": plan.facts.task [T], which must be there.
/// Source: DeepSeek-AI 2024, arXiv 2412.19437, eq. 17-20, with c = 1e-4; p are sigmoid scores normalised to
///         sum one there. by = "task": Gupta et al. 2022, arXiv 2204.07689, reconstructed from its abstract.
class SequenceWise : public Balancer {
 public:
  static constexpr const char* kSummary = "Switch loss of each sequence, averaged over sequences";
  static constexpr const char* kSource = "DeepSeek-AI 2024, arXiv 2412.19437";
  static constexpr BalancerTraits kTraits = [] {
    BalancerTraits traits;
    traits.needs = "sequence";
    return traits;
  }();
  struct Options : OptionSet {
    double coefficient = 1e-4;
    std::string by = "sequence";
    void fields(OptionVisitor& v) override {
      v.real("coefficient", coefficient, "weight of the loss", 0, 1e6);
      v.text("by", by, "what the tokens of one loss share: their sequence, or their task",
             {"sequence", "task"});
    }
  };

  SequenceWise(const Options& options, const Context&) : options_(options) {}

  at::Tensor loss(const RoutingPlan& plan) const override {
    if (batch_tokens(plan) == 0) return zero_loss(plan);
    const auto p = probabilities(plan);
    const bool tasks = options_.by == "task";
    const auto& given = tasks ? plan.facts.task : plan.facts.sequence;
    GW_CHECK(
        !tasks || given.defined(),
        "balancers/sequence_wise: expected the tasks of the tokens for by = \"task\", got none; take data "
        "with domains, or by = \"sequence\"");
    const auto sequence = !given.defined()
                              ? at::zeros({plan.tokens}, at::kLong)
                              : required_ids("balancers/sequence_wise", options_.by.c_str(), given,
                                             plan.tokens, tasks ? int64_t{1} << 20 : plan.tokens);
    const int64_t count = plan.tokens == 0 ? 1 : sequence.max().item<int64_t>() + 1, experts = plan.experts();
    // Sequences lie on one rank each, and tasks are balanced on each rank by themselves; a batch that is one
    // sequence lies on all of them.
    const bool whole = !given.defined();
    const auto sum = [&](const at::Tensor& local) { return whole ? over_ranks(plan, local) : local; };
    const auto length = sum(at::bincount(sequence, {}, count).to(p.scalar_type()));
    const auto mean_probability = sum(at::zeros({count, experts}, p.options()).index_add(0, sequence, p)) /
                                  length.clamp_min(1).unsqueeze(1);
    // Soft plans have no tokens in their rows; theirs are even by construction.
    GW_CHECK(!plan.soft(),
             "balancers/sequence_wise: expected a plan of tokens, got soft slots; they are even already");
    const auto flat = sequence.index_select(0, plan.token) * experts + expert_of_rows(plan);
    const auto rows = sum(counts_of(flat, count * experts, p.scalar_type()).view({count, experts}));
    const auto share =
        rows * static_cast<double>(experts) / rows.sum(1, true).clamp_min(1);  // K·T_q counted, not assumed
    const auto present = length.gt(0).to(p.scalar_type());
    const auto total = ((share * mean_probability).sum(1) * present).sum();
    if (whole) return options_.coefficient * total;
    return options_.coefficient * over_ranks(plan, total) / over_ranks(plan, present.sum());
  }

  double at_balance(int64_t, int64_t) const override { return 1; }
  double at_collapse(int64_t experts) const override { return static_cast<double>(experts); }
  double coefficient() const override { return options_.coefficient; }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline routing

GW_REGISTER(gw::Balancer, gw::SequenceWise);
