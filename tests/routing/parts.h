#pragma once
// What the suites of this folder share: parts by name, scores without ties, and facts about tokens for
// whoever asks.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/balancer.h"
#include "gatewright/routing/gate.h"
#include "gatewright/routing/load.h"
#include "gatewright/routing/policy.h"

namespace gw::test {

constexpr int64_t kExperts = 4;
constexpr int64_t kWidth = 6;  // of tokens: also the logits of three exits with two classes each

inline std::vector<std::string> names(const char* kind) {
  std::vector<std::string> out;
  for (const auto& part : Registry::instance().list(kind)) out.push_back(part.name);
  return out;
}

inline bool has_trait(const char* kind, const std::string& name, const std::string& word) {
  const auto& traits = Registry::instance().info(kind, name).traits;
  return std::find(traits.begin(), traits.end(), word) != traits.end();
}

inline bool has_option(const char* kind, const std::string& name, const std::string& option) {
  const auto& options = Registry::instance().info(kind, name).options;
  return std::any_of(options.begin(), options.end(), [&](const OptionInfo& o) { return o.name == option; });
}

inline std::shared_ptr<Policy> policy(const std::string& name, const Json& options = Json::object(),
                                      int64_t experts = kExperts) {
  return make_part<Policy>(name, options, {experts});
}

/// The call must be refused with this kind of error (NumericError: values that are not finite), in words that
/// hold `part`.
template <class Kind = ValueError, class Call>
void expect_refusal(const Call& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    EXPECT_NE(dynamic_cast<const Kind*>(&error), nullptr) << "another kind of error: " << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << "looked for: " << part << "\nin: " << error.what();
  }
}

/// Normal scores in f64, as many columns as the policy wants.
inline at::Tensor scores_for(const Policy& policy, int64_t tokens, uint64_t seed) {
  return ops::normal(Rng(seed), {tokens, policy.columns()}, 0, 2).to(at::kDouble);
}

inline at::Tensor distinct_scores(int64_t tokens, uint64_t seed, int64_t experts = kExperts) {
  return ops::normal(Rng(seed), {tokens, experts}, 0, 2).to(at::kDouble);
}

/// Everything a router may ask for, for T tokens: two tasks, sequences of four.
inline RouterInputs inputs_for(int64_t tokens) {
  RouterInputs inputs;
  inputs.rng = Rng(3);
  const auto t = at::arange(tokens, at::kLong);
  inputs.token_id = (t * 37 + 11).remainder(97);
  inputs.task = (t * 5).remainder(7).remainder(2);
  inputs.sequence = at::div(t, 4, "floor");
  inputs.position = ops::uniform(Rng(5), {tokens, 2}, -1, 1);
  inputs.route = t.remainder(kExperts);
  return inputs;
}

/// The same facts for some of the tokens, sequences renumbered from zero.
inline RouterInputs selected(const RouterInputs& inputs, const at::Tensor& index) {
  auto out = inputs;
  out.token_id = inputs.token_id.index_select(0, index);
  out.task = inputs.task.index_select(0, index);
  out.position = inputs.position.index_select(0, index);
  out.route = inputs.route.index_select(0, index);
  out.sequence = inputs.sequence.index_select(0, index);
  if (index.numel() > 0) out.sequence = out.sequence - out.sequence.min();
  return out;
}

inline RoutingPlan plan_of(const Policy& policy, const at::Tensor& scores, bool train) {
  return policy.plan_for(scores, inputs_for(scores.size(0)), train);
}

/// A plan in which token t goes to its best score with weight one.
inline RoutingPlan best_plan(const at::Tensor& scores) {
  auto plan = make_plan(scores.detach().argmax(1, true), at::ones({scores.size(0), 1}, scores.options()),
                        scores.size(1));
  plan.scores = scores;
  return plan;
}

inline std::shared_ptr<Gate> gate(const std::string& name, const Json& options = Json::object()) {
  const int64_t experts = has_trait("gates", name, "2 experts only") ? 2 : kExperts;
  return make_part<Gate>(name, options, Gate::Context{kWidth, experts, 11});
}

/// Names become test names. Not `info`: the macro's own parameter of that name would be shadowed.
inline const auto kPartName = [](const auto& part) { return part.param; };

}  // namespace gw::test
