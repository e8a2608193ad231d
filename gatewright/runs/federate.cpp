#include "gatewright/runs/federate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"
#include "gatewright/models/safetensors.h"
#include "gatewright/runs/measured_arm.h"
#include "gatewright/runs/progress.h"

namespace gw::inline runs {
namespace {

constexpr int64_t kFloatBytes = 4;

const std::vector<std::string>& spoil_kinds() {
  static const std::vector<std::string> kKinds{"nan",      "shape", "absurd", "reversed",
                                               "nonsense", "die",   "hang"};
  return kKinds;
}

void save_weights(const std::string& path, const at::Tensor& weights) {
  SafetensorsFile file;
  file.tensors["weights"] = weights;
  save_safetensors(path, file);
}

class Federation {
 public:
  Federation(const TrainConfig& config, const FederatedTrialOptions& options, const Artefact& common,
             const ArmRun& run, ArmResult& result)
      : config_(config),
        o_(options),
        common_(common),
        run_(run),
        result_(result),
        rng_(Rng(static_cast<uint64_t>(config.seed)).fork("arms/federated")),
        folder_(run.directory + "/rounds") {}

  void run() {
    begin();
    std::optional<Progress> progress;
    if (run_.progress != nullptr) {
      auto how = progress_for(run_.progress, run_.now_s);
      how.label = config_.arm, how.unit = "rounds";
      progress.emplace(o_.rounds, how, 0);
    }
    for (int64_t round = 1; round <= o_.rounds; ++round) {
      if (run_.stop.requested()) throw Interrupted("interrupted between rounds; nothing is kept of this arm");
      one_round(round);
      if (round % o_.measure_every == 0 || round == o_.rounds) note_accuracy(round);
      if (progress) progress->update(round);
    }
    pool_.reset();
    std::filesystem::remove_all(folder_);
    measure();
  }

 private:
  struct Unseen {
    TensorSet images;
    Features common;
  };

  void begin() {
    data_ = load_data(config_);
    GW_CHECK(data_.train.has("image") && data_.train.has("label"),
             "arms/federated: expected images with classes for arm \"{}\", got other data", config_.arm);
    GW_CHECK(!o_.gated() || o_.experts <= data_.classes,
             "arms/federated: expected at most {} experts, as there are classes, got {}", data_.classes,
             o_.experts);
    GW_CHECK(o_.clients->users >= o_.per_round && o_.clients->users > o_.experts,
             "arms/federated: expected more clients than experts, and {} at least for a round, got {}",
             o_.per_round, o_.clients->users);
    common_model_ = trained_model(common_, data_);
    const auto make = [this] { return make_model(config_, data_, *make_task(config_)); };
    judge_ = std::make_unique<LocalTraining>(make, common_model_, o_, static_cast<uint64_t>(config_.seed));
    expert_ = make();
    draw_weights();
    for (int64_t u = 0; u < o_.unseen; ++u) unseen_.push_back(unseen_client(u));
    std::filesystem::create_directories(folder_);
    const ClientSetup setup{config_, o_, common_.directory};
    const auto path = folder_ + "/clients.setup";
    write_atomic(path, dump_json(to_json(setup)));
    open_pool(setup, path);
  }

  void open_pool(const ClientSetup& setup, const std::string& path) {
    const auto program = o_.run_as == "threads" ? "" : program_for_clients();
    GW_CHECK(
        o_.run_as != "processes" || !program.empty(),
        "arms/federated: expected the program gatewright for clients that are processes, got another; set "
        "GATEWRIGHT_PROGRAM, or run_as = \"threads\" for arm \"{}\"",
        config_.arm);
    if (program.empty())
      pool_ = clients_in_threads(o_.hosts, setup);
    else
      pool_ = clients_in_processes(
          {o_.hosts, {{program, "client", path, "--threads", "1"}, {}}, o_.timeout, run_.stop});
  }

  /// Experts start as the common one, or each from draws of its own.
  void draw_weights() {
    for (int64_t e = 0; e < o_.expert_count(); ++e) {
      auto config = config_;
      config.seed = config_.seed + 1000 * (e + 1);
      const auto drawn = make_model(config, data_, *make_task(config));
      GW_CHECK(o_.start == "drawn" || common_model_->parameter_count() == drawn->parameter_count(),
               "arms/federated: expected experts of {} weights, as the common one has, got {}; take its "
               "network, or start = \"drawn\"",
               common_model_->parameter_count(), drawn->parameter_count());
      weights_.expert.push_back(flat_weights(o_.start == "drawn" ? *drawn : *common_model_));
    }
    if (o_.gated()) weights_.gate = judge_->gate().drawn(rng_.fork("gate"));
  }

  Unseen unseen_client(int64_t number) const {
    auto options = *o_.clients;
    options.train = 10, options.test = o_.unseen_images;
    auto user = make_user(data_.test, data_.classes, options, rng_.fork("unseen"), number);
    return {user.test, features_of(*common_model_, user.test)};
  }

  /// Anchors first, as many as their share, then others; both in a random order.
  std::vector<int64_t> clients_of(int64_t round) const {
    const auto rng = rng_.fork("round", static_cast<uint64_t>(round));
    const bool anchored = o_.gated() && o_.anchors;
    const int64_t wanted = anchored ? std::llround(o_.anchor_share * static_cast<double>(o_.per_round)) : 0;
    std::vector<int64_t> anchors, others;
    for (const int64_t c : rng.permutation(o_.clients->users))
      (anchored && c < o_.experts ? anchors : others).push_back(c);
    std::vector<int64_t> chosen(
        anchors.begin(), anchors.begin() + std::min<int64_t>(wanted, static_cast<int64_t>(anchors.size())));
    for (const int64_t c : others)
      if (static_cast<int64_t>(chosen.size()) < o_.per_round) chosen.push_back(c);
    return chosen;
  }

  std::string spoil_of(int64_t client) const {
    for (size_t s = 0; s < o_.spoils.size(); ++s)
      if (std::find(o_.spoils[s].begin(), o_.spoils[s].end(), client) != o_.spoils[s].end())
        return o_.spoiled[s];
    return "";
  }

  void one_round(int64_t round) {
    const auto clients = clients_of(round);
    std::vector<Json> jobs;
    const auto honest = static_cast<int64_t>(clients.size()) - o_.liars;
    for (const int64_t c : clients) {
      const auto spoil = static_cast<int64_t>(jobs.size()) < honest ? spoil_of(c) : o_.lie;
      jobs.push_back({{"client", c}, {"round", round}, {"folder", folder_}, {"spoil", spoil}});
      std::filesystem::remove(update_file(folder_, c));  // of an earlier round
    }
    for (size_t e = 0; e < weights_.expert.size(); ++e)
      save_weights(expert_file(folder_, static_cast<int64_t>(e)), weights_.expert[e]);
    if (weights_.gate.defined()) save_weights(gate_file(folder_), weights_.gate);
    const auto replies = pool_->run(jobs);
    std::vector<ClientUpdate> updates;
    for (size_t i = 0; i < replies.size(); ++i) {
      auto why = replies[i].failure;
      const bool lost = !why.empty();
      if (!lost) why = take(clients[i], round, replies[i].said, updates);
      if (!why.empty()) leave_out(round, clients[i], why, lost);
    }
    auto absurd = absurd_updates(updates, weights_, o_.absurd);
    for (size_t i = absurd.size(); i-- > 0;) {
      leave_out(round, updates[absurd[i]].client, "weights went absurdly far", false);
      updates.erase(updates.begin() + static_cast<std::ptrdiff_t>(absurd[i]));
    }
    count_experts(updates);
    aggregate(updates, weights_, o_.rule);
    ++rounds_;
  }

  void leave_out(int64_t round, int64_t client, const std::string& why, bool lost) {
    result_.metrics[lost ? "lost" : "refused"] += 1;
    left_out_.names.push_back(fmt::format("round {}, client {}: {}", round, client, why));
    left_out_.values.push_back({static_cast<double>(round), static_cast<double>(client)});
  }

  /// Reads the update of a client that answered; why it cannot be used, "" where it can.
  std::string take(int64_t client, int64_t round, const Json& said, std::vector<ClientUpdate>& updates) {
    ClientUpdate update;
    update.client = client;
    try {
      GW_CHECK(said.is_object() && said.at("client") == client && said.at("round") == round,
               "expected an answer of client {} in round {}, got {}", client, round, shown(said.dump(), 80));
      update.chosen = said.at("chosen").get<std::vector<int64_t>>(), update.samples = said.at("samples");
      GW_CHECK(static_cast<int64_t>(update.chosen.size()) == o_.chosen(), "expected {} experts, got {}",
               o_.chosen(), update.chosen.size());
      count_sent(update.chosen);
      constexpr uint64_t kHeaderBytes = 1 << 16;
      const auto most =
          static_cast<uint64_t>(o_.chosen() * judge_->expert_size() * kFloatBytes + gate_bytes());
      const auto file = load_safetensors(update_file(folder_, client), most + kHeaderBytes);
      for (size_t i = 0; i < update.chosen.size(); ++i)
        update.expert.push_back(file.tensor("expert" + std::to_string(i)));
      if (weights_.gate.defined()) update.gate = file.tensor("gate");
      for (const auto& item : file.tensors) up_ += static_cast<int64_t>(item.second.nbytes());
    } catch (const Error& error) {
      return shown(error.what(), 200);
    }
    auto why = update_problem(update, weights_, o_.chosen(), o_.clients->train);
    if (why.empty()) updates.push_back(std::move(update));
    return why;
  }

  /// What the server gave to a client that answered: the experts that it says it has read, and the gate.
  void count_sent(const std::vector<int64_t>& chosen) {
    ++answered_, down_gate_ += gate_bytes();
    for (const int64_t e : chosen)
      if (e >= 0 && e < o_.expert_count())
        down_ += static_cast<int64_t>(weights_.expert[static_cast<size_t>(e)].nbytes());
  }

  int64_t gate_bytes() const { return weights_.gate.defined() ? weights_.gate.numel() * kFloatBytes : 0; }

  void count_experts(const std::vector<ClientUpdate>& updates) {
    trained_.resize(weights_.expert.size(), {0, 0});
    for (const auto& update : updates)
      for (const int64_t e : update.chosen)
        trained_[static_cast<size_t>(e)].first += 1,
            trained_[static_cast<size_t>(e)].second += update.samples;
  }

  /// Every expert's answers to a set: [experts] of [n, classes].
  std::vector<at::Tensor> answers_of(const TensorSet& set) {
    std::vector<at::Tensor> answers;
    for (const auto& weights : weights_.expert) {
      set_flat_weights(*expert_, weights);
      answers.push_back(answers_to(*expert_, set));
    }
    return answers;
  }

  at::Tensor gate_of(const Features& common) const {
    if (!weights_.gate.defined()) return at::zeros({common.label.numel(), 1});
    return judge_->gate().logits(weights_.gate, common.feature);
  }

  /// The answers of the k experts that a client gets, mixed by the gate.
  at::Tensor own_mixture(const std::vector<at::Tensor>& answers, const at::Tensor& gate) const {
    const auto chosen = choose_experts(gate, o_.chosen());
    const auto p = at::softmax(gate.index_select(1, at::tensor(chosen, at::kLong)), 1);
    at::Tensor mixed = at::zeros_like(answers[0]);
    for (size_t i = 0; i < chosen.size(); ++i)
      mixed = mixed + answers[static_cast<size_t>(chosen[i])] * p.narrow(1, static_cast<int64_t>(i), 1);
    return mixed;
  }

  static at::Tensor best_answers(const std::vector<at::Tensor>& answers, const at::Tensor& gate) {
    const auto stacked = at::stack(answers, 1);  // [n, experts, classes]
    const auto best = gate.argmax(1).view({-1, 1, 1}).expand({-1, 1, stacked.size(2)});
    return stacked.gather(1, best).squeeze(1);
  }

  void note_accuracy(int64_t round) {
    const at::NoGradGuard no_grad;
    double sum = 0;
    for (const auto& client : unseen_)
      sum += share_right(own_mixture(answers_of(client.images), gate_of(client.common)), client.common.label);
    auto& curve = result_.curves["accuracy"];
    curve.axis = "round";
    curve.x.push_back(static_cast<double>(round)),
        curve.y.push_back(sum / static_cast<double>(unseen_.size()));
  }

  void measure() {
    const at::NoGradGuard no_grad;
    auto& m = result_.metrics;
    const auto n = static_cast<double>(unseen_.size());
    for (const auto& client : unseen_) {
      const auto answers = answers_of(client.images);
      const auto gate = gate_of(client.common);
      const auto& label = client.common.label;
      double perfect = 0;
      for (const auto& answer : answers) perfect = std::max(perfect, share_right(answer, label));
      m["unseen.accuracy"] += share_right(own_mixture(answers, gate), label) / n;
      m["unseen.best"] += share_right(best_answers(answers, gate), label) / n;
      m["unseen.perfect"] += perfect / n;
      m["common.accuracy"] += share_right(client.common.logits, label) / n;
    }
    m["gain"] = m["unseen.accuracy"] - m["common.accuracy"];
    const auto everybody = features_of(*common_model_, data_.test);
    const auto gate = gate_of(everybody);
    m["everybody.accuracy"] = share_right(best_answers(answers_of(data_.test), gate), everybody.label);
    m["refused"] += 0, m["lost"] += 0;
    tell_bytes();
    tell_experts(gate, everybody.label);
    result_.tables["left_out"] = left_out_;
  }

  void tell_bytes() {
    auto& m = result_.metrics;
    const auto rounds = static_cast<double>(rounds_);
    m["bytes_down"] = static_cast<double>(down_ + down_gate_) / rounds,
    m["bytes_up"] = static_cast<double>(up_) / rounds;
    const auto all = static_cast<double>(o_.expert_count() * judge_->expert_size() * kFloatBytes);
    m["bytes_share"] =
        answered_ == 0 ? std::nan("") : static_cast<double>(down_) / (all * static_cast<double>(answered_));
    const int64_t due = answered_ * (o_.chosen() * judge_->expert_size() * kFloatBytes + gate_bytes());
    m["bytes_beyond"] = static_cast<double>(std::abs(down_ + down_gate_ - due) + std::abs(up_ - due));
  }

  void tell_experts(const at::Tensor& gate, const at::Tensor& label) {
    ValueTable table{"expert", {"clients", "examples"}, {}, {}};
    for (int64_t c = 0; c < data_.classes; ++c)
      table.columns.push_back(static_cast<size_t>(c) < data_.class_names.size()
                                  ? data_.class_names[static_cast<size_t>(c)]
                                  : std::to_string(c));
    const auto p = at::softmax(gate.to(at::kDouble), 1);
    trained_.resize(weights_.expert.size(), {0, 0});
    double idle = 0;
    for (size_t e = 0; e < trained_.size(); ++e) {
      table.names.push_back(std::to_string(e));
      std::vector<double> row{static_cast<double>(trained_[e].first),
                              static_cast<double>(trained_[e].second)};
      for (int64_t c = 0; c < data_.classes; ++c)
        row.push_back(p.select(1, static_cast<int64_t>(e)).masked_select(label.eq(c)).mean().item<double>());
      table.values.push_back(std::move(row));
      idle += trained_[e].first == 0 ? 1 : 0;
    }
    result_.metrics["idle_experts"] = idle;
    result_.tables["experts"] = std::move(table);
  }

  TrainConfig config_;
  const FederatedTrialOptions& o_;
  Artefact common_;
  const ArmRun& run_;
  ArmResult& result_;
  Rng rng_;
  std::string folder_;
  TaskData data_;
  std::shared_ptr<Model> common_model_, expert_;
  std::unique_ptr<LocalTraining> judge_;  ///< knows the sizes of experts and gate
  std::unique_ptr<ClientPool> pool_;
  FederatedWeights weights_;
  std::vector<Unseen> unseen_;
  std::vector<std::pair<int64_t, int64_t>> trained_;  ///< by expert: clients and examples, over all rounds
  ValueTable left_out_{"left out", {"round", "client"}, {}, {}};
  int64_t down_ = 0, down_gate_ = 0, up_ = 0, answered_ = 0, rounds_ = 0;
};

}  // namespace

void FederatedTrialOptions::fields(OptionVisitor& v) {
  FederatedOptions::fields(v);
  v.text("run_as", run_as,
         "clients are processes or threads; auto: processes where the program is gatewright",
         {"auto", "processes", "threads"});
  v.integer("hosts", hosts, "processes or threads, each of which hosts a part of the clients", 1, 256);
  v.integer("unseen", unseen, "clients of the test images, which no round has met", 1, 10000);
  v.integer("unseen_images", unseen_images, "of each of them", 10, 1000000);
  v.integer("measure_every", measure_every, "rounds", 1, 1000000);
  v.real("timeout", timeout, "seconds for a client's round, of clients that are processes", 0.01, 86400);
  v.integer("liars", liars, "for trials: clients of each round that lie, whoever is drawn last", 0, 1000000);
  v.text("lie", lie, "for trials: what they send", spoil_kinds());
  v.texts("spoiled", spoiled, "for trials: how clients misbehave, for each list of spoils");
  v.integer_lists("spoils", spoils, "for trials: the clients that misbehave so", 0, 1000000);
}

void federate(const TrainConfig& config, const FederatedTrialOptions& options, const Artefact& common,
              const ArmRun& run, ArmResult& result) {
  GW_CHECK(options.spoils.size() == options.spoiled.size(),
           "arms/federated: expected a list of clients in spoils for each word of spoiled, got {} and {}",
           options.spoils.size(), options.spoiled.size());
  GW_CHECK(options.liars <= options.per_round,
           "arms/federated: expected liars among the {} clients of a round, got {}", options.per_round,
           options.liars);
  for (const auto& kind : options.spoiled)
    GW_CHECK(std::find(spoil_kinds().begin(), spoil_kinds().end(), kind) != spoil_kinds().end(),
             "arms/federated: unknown word \"{}\" in spoiled{}", kind, near_miss(kind, spoil_kinds()));
  Federation(config, options, common, run, result).run();
}

LeftNames federated_names() {
  return {
      {"unseen.accuracy", "unseen.best", "unseen.perfect", "common.accuracy", "gain", "everybody.accuracy",
       "bytes_down", "bytes_up", "bytes_share", "bytes_beyond", "refused", "lost", "idle_experts"},
      {"accuracy"},
      {"experts", "left_out"}};
}

}  // namespace gw::inline runs
