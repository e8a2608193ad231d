#include "gatewright/train/robust/evaluate.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "gatewright/base/base64.h"
#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/loader.h"
#include "gatewright/ops/frozen.h"
#include "gatewright/routing/load.h"
#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/certificate.h"
#include "gatewright/train/robust/network_victim.h"

namespace gw::inline train {
namespace {

/// The plans of the clean pass, given again to the pass after it.
class HeldRoutes : public RouteTap {
 public:
  RoutingPlan decide(const RouteQuery& query) override {
    if (query.purpose != RoutePurpose::kClean) return plans_.at(next_++);
    plans_.push_back(query.chosen());
    return plans_.back();
  }

 private:
  std::vector<RoutingPlan> plans_;
  size_t next_ = 0;
};

/// The expert of each image; where several serve it, its first choice (pathways that are averaged may weigh
/// the same), or the one of the largest weight.
at::Tensor strongest_experts(const Network& network, const RoutingPlan& plan) {
  if (plan.rows() == plan.tokens) return chosen_experts(plan);
  if (network.combines() && plan.facts.first_choice.defined()) return plan.facts.first_choice;
  return dense_weights(plan).argmax(1);
}

/// How many pathways a batch of images meets together.
double pathways_of(Network& network, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  return static_cast<double>(network.plan_in_evaluation(network.route(images)).rows());
}

struct Answers {
  at::Tensor predicted, route;  // [n] each; route undefined when dense
};

Answers answers(Network& network, const at::Tensor& images, ForwardOptions pass = {},
                RoutePurpose purpose = RoutePurpose::kClean) {
  const at::NoGradGuard no_grad;
  pass.purpose = purpose;
  const auto out = network.forward(images, pass);
  Answers result{out.logits.argmax(1), {}};
  if (!out.plans.empty()) result.route = strongest_experts(network, out.plans.front().plan);
  return result;
}

/// [B] bool: right on `attacked` when the routes of `clean` are held.
at::Tensor right_with_held_routes(Network& network, const at::Tensor& clean, const at::Tensor& attacked,
                                  const at::Tensor& labels, ForwardOptions pass) {
  HeldRoutes held;
  pass.tap = &held;
  answers(network, clean, pass);
  return answers(network, attacked, pass, RoutePurpose::kAttacked).predicted.eq(labels);
}

void count(std::vector<std::vector<int64_t>>& table, const NetworkShape& shape, const at::Tensor& route,
           const at::Tensor& labels) {
  if (!route.defined()) return;
  table.resize(static_cast<size_t>(shape.experts),
               std::vector<int64_t>(static_cast<size_t>(shape.classes), 0));
  for (int64_t i = 0; i < route.size(0); ++i) {
    const int64_t expert = route[i].item<int64_t>();
    GW_ENSURE(expert >= 0 && expert < shape.experts,
              "evaluate: expected an expert below {} for image {}, got {}", shape.experts, i, expert);
    ++table[static_cast<size_t>(expert)][static_cast<size_t>(labels[i].item<int64_t>())];
  }
}

double entropy_of(const std::vector<std::vector<int64_t>>& table) {
  std::vector<int64_t> rows;
  for (const auto& row : table) rows.push_back(std::accumulate(row.begin(), row.end(), int64_t{0}));
  return load_entropy(rows);
}

std::vector<double> forced_accuracies(Network& network, const Loader& loader) {
  std::vector<double> correct(static_cast<size_t>(network.routed() ? network.shape().experts : 0), 0);
  const at::NoGradGuard no_grad;
  int64_t total = 0;
  for (int64_t b = 0; b < loader.batches(); ++b) {
    const auto batch = loader.get(0, b);
    total += batch.at("label").size(0);
    for (size_t e = 0; e < correct.size(); ++e) {
      ForwardOptions forced;
      forced.forced_expert = static_cast<int64_t>(e);
      correct[e] += network.forward(batch.at("image"), forced)
                        .logits.argmax(1)
                        .eq(batch.at("label"))
                        .sum()
                        .item<double>();
    }
  }
  for (auto& c : correct) c /= static_cast<double>(std::max<int64_t>(total, 1));
  return correct;
}

std::shared_ptr<Attack> make_attack(const std::string& name, const Json& options, double epsilon) {
  return make_part<Attack>(name, options.value(name, Json::object()), Attack::Context{epsilon});
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> all_attacks(const EvaluationConfig& config) {
  auto names = config.attacks;
  names.insert(names.end(), config.beside.begin(), config.beside.end());
  return names;
}

/// What is certified of the routes, batch by batch, and the check that it holds.
class Certificate {
 public:
  Certificate(Network& network, double epsilon) : network_(network), epsilon_(epsilon) {
    check_certifiable(network);
  }
  void take(const at::Tensor& images) {
    route_ = sole_experts(network_, images);
    stands_ = certified_routes(network_, images, at::full({images.size(0)}, epsilon_, at::kDouble));
    all_.push_back(stands_), radii_.push_back(certified_radii(network_, images));
  }
  void hold(const std::string& attack, const at::Tensor& attacked) const {
    const auto broken = sole_experts(network_, attacked).ne(route_).logical_and(stands_);
    GW_ENSURE(!broken.any().item<bool>(),
              "evaluate: expected certified routes to stand, got {} that the attack \"{}\" changed",
              broken.sum().item<int64_t>(), attack);
  }
  CertifiedRoutes summary() const {
    return {at::cat(all_).to(at::kDouble).mean().item<double>(), at::cat(radii_).median().item<double>()};
  }

 private:
  Network& network_;
  double epsilon_;
  at::Tensor route_, stands_;
  std::vector<at::Tensor> all_, radii_;
};

/// Adds one batch's counts to `out`: clean and attacked answers, routes, and who stood every attack.
void attack_batch(Network& network, const Batch& batch, const ForwardOptions& pass,
                  const EvaluationConfig& config, double epsilon,
                  const std::function<Rng(const std::string&)>& stream, NetworkEvaluation& out,
                  Certificate* certificate) {
  const ops::FrozenParameters constant;
  NetworkVictim victim(network, pass);
  if (certificate != nullptr) certificate->take(batch.at("image"));
  const auto& options = config.attack_options.json();
  const auto on_clean = answers(network, batch.at("image"), pass);
  out.clean_accuracy += on_clean.predicted.eq(batch.at("label")).sum().item<double>();
  count(out.affinity_clean, network.shape(), on_clean.route, batch.at("label"));
  if (network.combines()) out.pathways[kClean] += pathways_of(network, batch.at("image"));
  auto standing = at::ones({batch.at("label").size(0)}, at::kBool);
  for (const auto& name : all_attacks(config)) {
    const auto result =
        make_attack(name, options, epsilon)->run(victim, batch.at("image"), batch.at("label"), stream(name));
    const auto held = result.fooled.logical_not();
    if (certificate != nullptr) certificate->hold(name, result.images);
    if (network.combines()) out.pathways[name] += pathways_of(network, result.images);
    if (holds(config.attacks, name)) standing = standing.logical_and(held);
    out.robust_accuracy[name] += held.sum().item<double>();
    out.forced_robust.resize(std::max(out.forced_robust.size(), result.fooled_per_expert.size()), 0);
    for (size_t e = 0; e < result.fooled_per_expert.size(); ++e) {
      out.forced_robust[e] += result.fooled_per_expert[e].logical_not().sum().item<double>();
    }
    const bool first = !config.attacks.empty() && name == config.attacks.front();
    if (!first || !on_clean.route.defined()) continue;
    const auto attacked = answers(network, result.images, pass, RoutePurpose::kAttacked);
    out.flip_rate += attacked.route.ne(on_clean.route).sum().item<double>();
    const auto lost = attacked.predicted.ne(batch.at("label"))
                          .logical_and(right_with_held_routes(network, batch.at("image"), result.images,
                                                              batch.at("label"), pass));
    out.route_loss_rate += lost.sum().item<double>();
    count(out.affinity_attacked, network.shape(), attacked.route, batch.at("label"));
  }
  if (!config.attacks.empty()) out.robust_accuracy[kWorstCase] += standing.sum().item<double>();
}

}  // namespace

void check_evaluation(const EvaluationConfig& config, double epsilon) {
  const auto& options = config.attack_options.json();
  std::vector<std::string> seen;
  for (const auto& name : all_attacks(config)) {
    make_attack(name, options, epsilon);
    GW_CHECK(
        !holds(seen, name),
        "evaluation: expected every attack once in \"attacks\" and \"beside\" together, got \"{}\" twice",
        name);
    seen.push_back(name);
  }
  for (const auto& item : options.items())
    make_attack(item.key(), options, epsilon);  // options of no attack are a typo
}

NetworkEvaluation evaluate(Network& network, const TensorSet& whole, const EvaluationConfig& config,
                           double epsilon, const Rng& rng, const Tick& tick, RouteFrame frame,
                           RouteTap* tap) {
  check_evaluation(config, epsilon);
  network.eval();
  const auto set = whole.first(config.images);
  const Loader loader(set, config.batch, {}, false, rng);
  NetworkEvaluation out;
  out.images = set.size();
  ForwardOptions pass;
  pass.step = frame.step, pass.tap = tap;
  std::optional<Certificate> certificate;
  if (config.certify) certificate.emplace(network, epsilon);
  for (int64_t b = 0; b < loader.batches(); ++b) {
    const auto batch = loader.get(0, b);
    frame.batch = b, frame.labels = batch.at("label"), frame.index = batch.index;
    if (tap != nullptr) tap->begin(frame);
    attack_batch(
        network, batch, pass, config, epsilon,
        [&](const std::string& name) { return rng.fork(name, static_cast<uint64_t>(b)); }, out,
        certificate ? &*certificate : nullptr);
    if (tap != nullptr) tap->end();
    if (tick) tick(std::min((b + 1) * config.batch, out.images), out.images);
  }
  // Counts until here; shares from here on.
  const double n = static_cast<double>(std::max<int64_t>(out.images, 1));
  out.clean_accuracy /= n;
  out.flip_rate /= n, out.route_loss_rate /= n;
  for (auto& item : out.robust_accuracy) item.second /= n;
  for (auto& kept : out.forced_robust) kept /= n;
  for (auto& item : out.pathways) item.second /= n;
  if (certificate) out.certified = certificate->summary();
  if (!out.affinity_clean.empty()) out.load_entropy = entropy_of(out.affinity_clean);
  out.forced_accuracy = forced_accuracies(network, loader);
  return out;
}

double clean_accuracy(Network& network, const TensorSet& set, int64_t batch) {
  network.eval();
  const Loader loader(set, batch, {}, false, Rng(0));
  double correct = 0;
  for (int64_t b = 0; b < loader.batches(); ++b) {
    const auto images = loader.get(0, b);
    correct += answers(network, images.at("image")).predicted.eq(images.at("label")).sum().item<double>();
  }
  return correct / static_cast<double>(std::max<int64_t>(set.size(), 1));
}

Json evaluation_json(const NetworkEvaluation& e) {
  Json json{{"clean_accuracy", e.clean_accuracy},
            {"robust_accuracy", e.robust_accuracy},
            {"flip_rate", e.flip_rate},
            {"route_loss_rate", e.route_loss_rate},
            {"affinity", {{"clean", e.affinity_clean}, {"attacked", e.affinity_attacked}}},
            {"forced_accuracy", e.forced_accuracy},
            {"forced_robust_accuracy", e.forced_robust},
            {"load_entropy", e.load_entropy},
            {"images", e.images}};
  if (e.certified)
    json["certified"] = {{"routes", e.certified->routes}, {"median_radius", e.certified->median_radius}};
  if (!e.pathways.empty()) json["pathways"] = e.pathways;
  return json;
}

void calibrate_routes(Network& network, const TensorSet& set, int64_t batch) {
  if (!network.image_routed() || !network.image_policy().wants_calibration()) return;
  network.eval();
  const at::NoGradGuard no_grad;
  const Loader loader(set, batch, {}, false, Rng(0));
  std::vector<at::Tensor> scores;
  for (int64_t b = 0; b < loader.batches(); ++b)
    scores.push_back(network.route(loader.get(0, b).at("image")));
  network.calibrate(at::cat(scores));
}

SampleImages sample_images(Network& network, const TensorSet& set, int64_t count, double epsilon,
                           const Rng& rng) {
  network.eval();
  const auto few = set.first(count);
  const auto batch = Loader(few, std::max<int64_t>(few.size(), 1), {}, false, rng).get(0, 0);
  NetworkVictim victim(network);
  const auto attacked = make_attack("joint", Json::object(), epsilon)
                            ->run(victim, batch.at("image"), batch.at("label"), rng.fork("samples"))
                            .images;
  const auto on_clean = answers(network, batch.at("image")),
             on_attacked = answers(network, attacked, {}, RoutePurpose::kAttacked);
  const auto list = [](const at::Tensor& t) {
    if (!t.defined()) return std::vector<int64_t>{};
    const auto c = t.contiguous();
    return std::vector<int64_t>(c.data_ptr<int64_t>(), c.data_ptr<int64_t>() + c.numel());
  };
  const auto bytes = [](const at::Tensor& images) {
    return images.detach().mul(255).round().clamp(0, 255).to(at::kByte).contiguous();
  };
  return {
      bytes(batch.at("image")),    bytes(attacked),      list(batch.at("label")), list(on_clean.predicted),
      list(on_attacked.predicted), list(on_clean.route), list(on_attacked.route)};
}

Json samples_json(const SampleImages& s) {
  Json list = Json::array();
  for (int64_t i = 0; i < s.clean.size(0); ++i) {
    const auto text = [&](const at::Tensor& images) {
      const auto image = images[i].contiguous();
      return base64_encode(std::string_view(reinterpret_cast<const char*>(image.data_ptr<uint8_t>()),
                                            static_cast<size_t>(image.numel())));
    };
    const auto n = static_cast<size_t>(i);
    Json sample{{"channels", s.clean.size(1)},
                {"height", s.clean.size(2)},
                {"width", s.clean.size(3)},
                {"clean", text(s.clean)},
                {"attacked", text(s.attacked)},
                {"label", s.label[n]},
                {"predicted_clean", s.predicted_clean[n]},
                {"predicted_attacked", s.predicted_attacked[n]}};
    if (!s.route_clean.empty())
      sample["route_clean"] = s.route_clean[n], sample["route_attacked"] = s.route_attacked[n];
    list.push_back(std::move(sample));
  }
  return {{"samples", list}};
}

}  // namespace gw::inline train
