#include "gatewright/routing/replayer.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"

namespace gw::inline routing {
namespace {

std::string first_difference(const at::Tensor& recorded, const at::Tensor& present) {
  if (recorded.numel() != present.numel())
    return fmt::format("{} of them, got {}", recorded.numel(), present.numel());
  const auto where = recorded.ne(present).nonzero();
  if (where.numel() == 0) return "";
  const int64_t i = where[0].item<int64_t>();
  return fmt::format("{} at place {}, got {}", recorded[i].item<int64_t>(), i, present[i].item<int64_t>());
}

}  // namespace

void ReplayOptions::fields(OptionVisitor& v) {
  v.text("weights", weights, "fresh: by the policy, from the present scores; recorded: constants",
         {"fresh", "recorded"});
}

RouteReplayer::RouteReplayer(const std::string& path, const ReplayOptions& options)
    : reader_(path), recorded_weights_(options.weights == "recorded") {}

void RouteReplayer::expect_network(const Json& network) const {
  const auto& about = reader_.about();
  if (!about.contains("network") || !about["network"].is_object()) return;
  for (const char* key : {"backbone", "backbone_options", "experts", "routing", "policy"}) {
    const auto recorded = about["network"].value(key, Json()), present = network.value(key, Json());
    GW_CHECK(recorded == present,
             "replay: expected the network of {}, whose \"{}\" is {}, got {}; replay needs the same layers "
             "and experts",
             reader_.name(), key, recorded.dump().substr(0, 80), present.dump().substr(0, 80));
  }
}

std::string RouteReplayer::place() const {
  return fmt::format("{} step {} batch {}, decision {}", route_phase_name(here_.phase), here_.step,
                     here_.batch, decisions_);
}

void RouteReplayer::check_samples(const RouteFrame& frame) const {
  const auto compare = [&](const char* what, const at::Tensor& recorded, const at::Tensor& present) {
    const auto difference =
        recorded.defined() && present.defined() ? first_difference(recorded, present) : std::string();
    GW_CHECK(difference.empty(),
             "replay: expected the {} of {} step {}: {}; replay needs the same data, seed and batch size",
             what, route_phase_name(frame.phase), frame.step, difference);
  };
  compare("positions", reader_.frame().index, frame.index);
  compare("labels", reader_.frame().labels, frame.labels);
}

void RouteReplayer::begin(const RouteFrame& frame) {
  const std::lock_guard lock(mutex_);
  if (!reader_.find(frame.phase, frame.step,
                    frame.batch)) {  // what there is instead costs a pass over the file: only now
    fail("replay: expected {} step {} batch {} in {}, got none: it has {}", route_phase_name(frame.phase),
         frame.step, frame.batch, reader_.name(), reader_.contents());
  }
  check_samples(frame);
  here_ = frame, in_frame_ = true, decisions_ = 0;
}

void RouteReplayer::end() {
  const std::lock_guard lock(mutex_);
  in_frame_ = false;
  GW_CHECK(
      reader_.peek() != RecordingReader::Item::kDecision,
      "replay: expected more decisions after {}, got the end of the batch; was another objective recorded?",
      place());
}

void RouteReplayer::check_decision(const RouteQuery& query) const {
  const auto& d = reader_.decision();
  const auto& site = reader_.site();
  const int64_t experts = query.experts, tokens = query.scores.size(0);
  const bool same =
      site.name == query.site && d.purpose == query.purpose && d.tokens == tokens && site.experts == experts;
  GW_CHECK(same,
           "replay: expected at {}: layer \"{}\" ({} pass, {} tokens, {} experts), got layer \"{}\" ({} "
           "pass, {} tokens, {} experts); replay "
           "needs the same model, data and objective",
           place(), site.name, route_purpose_name(d.purpose), d.tokens, site.experts, query.site,
           route_purpose_name(query.purpose), tokens, experts);
}

RoutingPlan RouteReplayer::decide(const RouteQuery& query) {
  if (query.soft) return query.chosen();
  const std::lock_guard lock(mutex_);
  if (!in_frame_ &&
      reader_.peek() ==
          RecordingReader::Item::kFrame) {  // inference has batches of its own only where `begin` was called
    reader_.next();
    here_ = reader_.frame(), decisions_ = 0;
  }
  const bool more = reader_.peek() == RecordingReader::Item::kDecision;
  GW_CHECK(more,
           "replay: expected no further decision after {}, got one of layer \"{}\"; replay needs the same "
           "model and objective",
           place(), query.site);
  reader_.next();
  check_decision(query);
  ++decisions_;
  const auto& d = reader_.decision();
  auto plan = decision_plan(d, query.experts);
  if (!recorded_weights_) {
    auto chosen = query.chosen();
    const bool same = chosen.offsets == plan.offsets && chosen.token.equal(plan.token);
    return same ? chosen
                : query.given(decision_slots(d));  // the policy's own plan to the bit, wherever it agrees
  }
  GW_CHECK(d.weights != RouteWeights::kNone,
           "replay: expected recorded weights at {}, got none; record with weights = true, or replay with "
           "fresh ones",
           place());
  plan.weight = plan.weight.to(query.scores.scalar_type());
  plan.scores = query.scores;
  return plan;
}

}  // namespace gw::inline routing
