#include "gatewright/runs/client_worker.h"

#include <ATen/ATen.h>

#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/models/safetensors.h"
#include "gatewright/runs/measured_arm.h"

namespace gw::inline runs {
namespace {

constexpr const char* kWeights = "weights";
constexpr uint64_t kRoundFileBytes = uint64_t{4} << 30;

at::Tensor weights_in(const std::string& path) {
  return load_safetensors(path, kRoundFileBytes).tensor(kWeights);
}

/// How far somebody goes who turns its steps round: within what counts as absurd.
constexpr double kReversed = -5;

void spoil_weights(const std::string& kind, const std::vector<at::Tensor>& expert, const at::Tensor& gate,
                   ClientUpdate& update) {
  if (kind == "reversed") {
    for (size_t i = 0; i < expert.size(); ++i)
      update.expert[i] = expert[i] + kReversed * (update.expert[i] - expert[i]);
    if (update.gate.defined()) update.gate = gate + kReversed * (update.gate - gate);
    return;
  }
  auto& weights = update.expert.at(0);
  if (kind == "nan") weights.view({-1})[0] = std::numeric_limits<float>::quiet_NaN();
  if (kind == "shape") weights = weights.narrow(0, 0, weights.numel() - 1).clone();
  if (kind == "absurd") weights = weights * -1e4;
}

}  // namespace

Json to_json(const ClientSetup& setup) {
  auto options = setup.options;
  return {
      {"config", setup.config.document()}, {"federated", write_options(options)}, {"common", setup.common}};
}

ClientSetup parse_client_setup(const Json& document, const std::string& where) {
  GW_CHECK(document.is_object() && document.contains("config") && document.contains("federated") &&
               document.value("common", Json()).is_string(),
           "{}: expected the setup of a federated run, got something else", where);
  ClientSetup setup;
  setup.config = read_config(where, document.at("config"));
  parse_options(where, document.at("federated"), setup.options);
  setup.common = document.at("common").text();
  return setup;
}

std::string gate_file(const std::string& folder) { return folder + "/gate.safetensors"; }
std::string expert_file(const std::string& folder, int64_t expert) {
  return fmt::format("{}/expert-{}.safetensors", folder, expert);
}
std::string update_file(const std::string& folder, int64_t client) {
  return fmt::format("{}/update-{}.safetensors", folder, client);
}

int64_t anchored_expert(const FederatedOptions& o, int64_t client) {
  return o.gated() && o.anchors && client < o.experts ? client : -1;
}

User make_client(const TensorSet& pool, int64_t classes, const FederatedOptions& o, uint64_t seed,
                 int64_t number) {
  const auto rng = Rng(seed).fork("clients");
  if (number >= o.experts) return make_user(pool, classes, *o.clients, rng, number);
  std::vector<int64_t> favourites;
  for (int64_t c = number * classes / o.experts; c < (number + 1) * classes / o.experts; ++c)
    favourites.push_back(c);
  return make_user(pool, classes, *o.clients, rng, number, favourites);
}

struct ClientWorker::State {
  explicit State(const ClientSetup& given) : setup(given), data(load_data(given.config)) {
    const auto make = [this] { return make_model(setup.config, data, *make_task(setup.config)); };
    training = std::make_unique<LocalTraining>(make, trained_model({"common", setup.common}, data),
                                               setup.options, static_cast<uint64_t>(setup.config.seed));
  }
  const TensorSet& own(int64_t client) {
    const auto found = images.find(client);
    if (found != images.end()) return found->second;
    auto made = make_client(data.train, data.classes, setup.options, static_cast<uint64_t>(setup.config.seed),
                            client);
    return images.emplace(client, std::move(made.train)).first->second;
  }
  ClientSetup setup;
  TaskData data;
  std::unique_ptr<LocalTraining> training;
  std::map<int64_t, TensorSet> images;
};

ClientWorker::ClientWorker(const ClientSetup& setup) : state_(std::make_unique<State>(setup)) {}
ClientWorker::~ClientWorker() = default;

Json ClientWorker::answer(const Json& job) {
  const int64_t client = job.at("client"), round = job.at("round");
  const auto folder = job.at("folder").text(), spoil = job.value("spoil", "");
  if (spoil == "die" || spoil == "hang" || spoil == "nonsense") return {{"spoil", spoil}};
  const auto& o = state_->setup.options;
  const auto& own = state_->own(client);
  auto& training = *state_->training;
  std::vector<int64_t> chosen{0};
  at::Tensor gate;
  if (o.gated()) {
    gate = weights_in(gate_file(folder));
    chosen = choose_experts(training.gate_logits(client, own, gate), o.k, anchored_expert(o, client));
  }
  std::vector<at::Tensor> expert;
  for (const int64_t e : chosen) expert.push_back(weights_in(expert_file(folder, e)));
  auto update = training.learn(client, round, own, chosen, expert, gate, anchored_expert(o, client));
  spoil_weights(spoil, expert, gate, update);
  SafetensorsFile file;
  for (size_t i = 0; i < chosen.size(); ++i) file.tensors["expert" + std::to_string(i)] = update.expert[i];
  if (update.gate.defined()) file.tensors["gate"] = update.gate;
  save_safetensors(update_file(folder, client), file);
  return {{"client", client}, {"round", round}, {"chosen", chosen}, {"samples", update.samples}};
}

}  // namespace gw::inline runs
