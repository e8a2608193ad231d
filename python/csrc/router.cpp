// torch.classes.gatewright.Router: gate, policy and balancers of the catalogues for gatewright.nn, and what
// the catalogues hold.
#include "gatewright/mixture/router.h"

#include <torch/custom_class.h>
#include <torch/library.h>

#include "gatewright/base/registry.h"
#include "python/csrc/bind.h"

namespace gw::python {
namespace {

using at::Tensor;
using Tensors = c10::Dict<std::string, Tensor>;

Router::Options options_of(const Json& json) {
  Router::Options options;
  options.experts = json.at("experts").get<int64_t>(), options.width = json.at("width").get<int64_t>();
  options.gate = json.at("gate"), options.policy = json.at("policy");
  options.seed = static_cast<uint64_t>(json.at("seed").get<int64_t>());
  for (const auto& balancer : json.at("balancers").get<Json::List>())
    options.balancers.emplace_back(balancer);
  return options;
}

/// Experts that the caller names instead of the policy: recorded routes. Without `weight` the policy weighs
/// them, and its own plan is used, to the bit, wherever it chooses the same.
class GivenRoutes : public RouteTap {
 public:
  GivenRoutes(Tensor expert, Tensor weight) : expert_(std::move(expert)), weight_(std::move(weight)) {}
  RoutingPlan decide(const RouteQuery& query) override {
    if (query.soft) return query.chosen();
    auto plan =
        make_plan(expert_, weight_.defined() ? weight_ : at::ones_like(expert_, at::kFloat), query.experts);
    if (!weight_.defined()) {
      auto chosen = query.chosen();
      const bool same = chosen.offsets == plan.offsets && chosen.token.equal(plan.token);
      return same ? chosen : query.given(expert_);
    }
    plan.weight = plan.weight.to(query.scores.scalar_type());
    plan.scores = query.scores;
    return plan;
  }

 private:
  Tensor expert_, weight_;
};

/// Parameters are Python's: they are lent before each pass. So are the buffers, which controllers change in
/// place.
class PythonRouter : public torch::CustomClassHolder {
 public:
  explicit PythonRouter(const std::string& text)
      : text_(text),
        router_(guarded([&] { return std::make_unique<Router>(options_of(Json::parse(text))); })) {
    router_->register_in(buffers_, "gate");
  }

  Tensors parameters() const { return named(router_->gate().named_parameters()); }
  /// What the gate keeps and what controllers adjust, under "gate.…", "policy_…" and "<balancer>_…".
  Tensors buffers() const { return named(buffers_.named_buffers()); }

  void lend(const Tensors& given) {
    guarded([&] {
      lend_to(router_->gate().named_parameters(), given);
      lend_to(buffers_.named_buffers(), given);
    });
  }

  Tensor scores(const Tensor& x, bool train, const Tensors& facts) {
    return guarded([&] {
      router_->gate().train(train);
      return router_->scores(x, inputs(train, 0, facts));
    });
  }

  /// Among the facts "given" [T, K] (−1: empty slot), and "given_weight" with it, are routes to force.
  /// offsets, token and weight of the plan; under names: losses "aux.…", and bypass, dispatch, combine where
  /// there are some. `again`: computed a second time for a backward pass, which controllers have seen.
  std::tuple<Tensor, Tensor, Tensor, Tensors> decide(const Tensor& scores, bool train, bool again,
                                                     int64_t seed, const Tensors& facts) {
    return guarded([&] {
      Pass pass;
      pass.train = train;
      GivenRoutes given(fact_of(facts, "given"), fact_of(facts, "given_weight"));
      if (facts.contains("given")) pass.tap = &given;
      const auto before = again ? std::make_unique<Router>(options_of(Json::parse(text_))) : nullptr;
      if (again) before->follow(*router_);
      const auto plan =
          router_->decide("router", scores, scores.size(0), inputs(train, seed, facts), pass, train);
      if (again) router_->follow(*before);
      Tensors named;
      for (const auto& [name, loss] : plan.aux) named.insert("aux." + name, loss);
      if (plan.bypass.defined()) named.insert("bypass", plan.bypass);
      if (plan.soft()) named.insert("dispatch", plan.dispatch), named.insert("combine", plan.combine);
      return std::tuple(at::tensor(plan.offsets, at::kLong), plan.token, plan.weight, named);
    });
  }

  void end_step() {
    guarded([&] { router_->end_step(); });
  }
  std::string text() const { return text_; }

 private:
  template <class Items>
  static Tensors named(const Items& items) {
    Tensors out;
    for (const auto& item : items) out.insert(item.key(), item.value());
    return out;
  }
  template <class Items>
  static void lend_to(const Items& items, const Tensors& given) {
    const at::NoGradGuard no_grad;
    for (const auto& item : items) {
      auto own = item.value();
      if (const auto found = given.find(item.key()); found != given.end())
        own.set_data(found->value().detach());
    }
  }
  static Tensor fact_of(const Tensors& facts, const char* name) {
    return facts.contains(name) ? facts.at(name) : Tensor();
  }
  static RouterInputs inputs(bool train, int64_t seed, const Tensors& facts) {
    const auto fact = [&](const char* name) { return fact_of(facts, name); };
    RouterInputs in;
    in.train = train, in.rng = Rng(static_cast<uint64_t>(seed));
    in.token_id = fact("token_id"), in.task = fact("task"), in.sequence = fact("sequence"),
    in.position = fact("position"), in.route = fact("route");
    return in;
  }

  std::string text_;
  torch::nn::Module buffers_;
  std::unique_ptr<Router> router_;
};

Json part_json(const PartInfo& part) {
  std::vector<Json> all;
  for (const auto& o : part.options)
    all.push_back({{"name", o.name},
                   {"type", o.type},
                   {"range", o.range},
                   {"default", o.default_value},
                   {"help", o.help}});
  return {{"name", part.name},
          {"summary", part.summary},
          {"source", part.source},
          {"traits", part.traits},
          {"options", Json(all)}};
}

std::string catalogue(std::string kind) {
  return guarded([&] {
    const auto kinds = Registry::instance().kinds();
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
      throw ValueError("parts: expected a catalogue, got \"" + kind + "\"" + near_miss(kind, kinds));
    std::vector<Json> all;
    for (const auto& part : Registry::instance().list(kind)) all.push_back(part_json(part));
    return Json(all).dump();
  });
}

}  // namespace
}  // namespace gw::python

TORCH_LIBRARY_FRAGMENT(gatewright, m) {
  m.def("catalogue(str kind) -> str", gw::python::catalogue);
  using gw::python::PythonRouter;
  m.class_<PythonRouter>("Router")
      .def(torch::init<std::string>())
      .def("parameters", &PythonRouter::parameters)
      .def("buffers", &PythonRouter::buffers)
      .def("lend", &PythonRouter::lend)
      .def("scores", &PythonRouter::scores)
      .def("decide", &PythonRouter::decide)
      .def("end_step", &PythonRouter::end_step)
      .def_pickle([](const c10::intrusive_ptr<PythonRouter>& self) { return self->text(); },
                  [](std::string text) { return c10::make_intrusive<PythonRouter>(text); });
}
