#include "gatewright/runs/learn.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"
#include "gatewright/runs/progress.h"
#include "gatewright/train/trainer.h"

namespace gw::inline runs {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostPairs = 20;

/// Networks and their options, beside sizes.
const std::map<std::string, std::pair<std::string, Json>>& presets() {
  static const std::map<std::string, std::pair<std::string, Json>> kPresets{
      {"autoint",
       {"inputs that attend to each other; tells which pairs act together", Json{{"part", "autoint"}}}},
      {"gg_moe",
       {"perceptrons under a gate with Gumbel noise, after quantile embeddings",
        Json{{"policy", {{"part", "gumbel_softmax"}, {"samples", 10}, {"common", true}}}}}},
      {"moe", {"the same under a softmax gate without noise", Json{{"policy", {{"part", "dense_softmax"}}}}}},
      {"mlp", {"one perceptron of the same width after quantile embeddings", Json{{"experts", 1}}}}};
  return kPresets;
}

/// The folder that becomes the model, beside its final place so that one rename is enough; gone if it does
/// not get that far.
class Staging {
 public:
  explicit Staging(const std::string& directory)
      : final_(fs::path(directory).lexically_normal()), path_(final_) {
    if (!path_.has_filename()) path_ = path_.parent_path();  // "models/" is "models"
    final_ = path_;
    GW_CHECK(!final_.empty(), "learn: expected a directory for the model, got none");
    std::error_code ignored;
    const bool free = !fs::exists(final_, ignored) || holds_learned_model(final_.string()) ||
                      (fs::is_directory(final_, ignored) && fs::is_empty(final_, ignored));
    GW_CHECK(free,
             "learn: expected a new directory, an empty one or an earlier model in \"{}\", got something "
             "else; choose another",
             shown(final_.string()));
    path_ += fmt::format(".part{}", ::getpid());
    std::error_code error;
    fs::create_directories(path_, error);
    if (error)
      throw IoError(fmt::format("learn: cannot make the folder \"{}\": {}; {}", shown(path_.string()),
                                error.message(), remedy_of(error.value(), false)));
  }
  ~Staging() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  std::string path() const { return path_.string(); }

  void commit() {
    const auto old = fs::path(path_).concat(".old");
    std::error_code error;
    const bool replaces = fs::exists(final_, error);
    if (replaces) fs::rename(final_, old, error);
    if (!error) fs::rename(path_, final_, error);
    if (error) {
      std::error_code ignored;
      if (replaces && !fs::exists(final_, ignored)) fs::rename(old, final_, ignored);
      throw IoError(fmt::format("learn: cannot put the model at \"{}\": {}; {}", shown(final_.string()),
                                error.message(), remedy_of(error.value(), false)));
    }
    if (replaces) fs::remove_all(old, error);
    const auto parent = final_.has_parent_path() ? final_.parent_path() : fs::path(".");
    const int folder = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY);
    if (folder < 0) return;  // the rename stands; only a power cut could undo it
    ::fsync(folder);
    ::close(folder);
  }

 private:
  fs::path final_, path_;
};

class LearnObserver : public TrainObserver {
 public:
  explicit LearnObserver(const LearnRun& run) : run_(run) {}

  void on_step(const Json& record, int64_t done, int64_t total) override {
    steps_ = done;
    if (run_.progress == nullptr) return;
    if (!progress_) {
      auto options = progress_for(run_.progress, run_.now_s);
      options.label = "learn";
      progress_.emplace(total, options);
    }
    progress_->update(done, fmt::format("loss {:.3f}{}", record.value("loss", 0.0), validated_));
  }
  void on_validation(const Json& record) override {
    epochs_ = record.value("epoch", int64_t{0}) + 1;
    for (const char* name : {"accuracy", "rmse"}) {
      if (record.contains(name))
        validated_ = fmt::format("  validation {} {:.4f}", name, record.value(name, 0.0));
    }
  }
  void finish() { progress_.reset(); }
  int64_t steps() const { return steps_; }
  int64_t epochs() const { return epochs_; }

 private:
  const LearnRun& run_;
  std::optional<Progress> progress_;
  std::string validated_;
  int64_t steps_ = 0, epochs_ = 0;
};

Json csv_json(const CsvOptions& csv) {
  static const std::map<char, const char*> kNames{
      {'\0', "auto"}, {',', "comma"}, {';', "semicolon"}, {'\t', "tab"}, {'|', "bar"}};
  const auto name = kNames.find(csv.separator);
  GW_CHECK(name != kNames.end(), "learn: expected comma, semicolon, tab or bar between cells, got {}",
           csv.separator);
  Json json{{"separator", name->second}, {"decimal", std::string(1, csv.decimal)}};
  if (csv.comment != 0) json["comment"] = std::string(1, csv.comment);
  if (csv.missing) json["own_marks"] = true, json["missing_marks"] = *csv.missing;
  return json;
}

TrainConfig data_config(const LearnRequest& request) {
  Json data = csv_json(request.csv);
  data["part"] = "mixed_table", data["path"] = request.path, data["response"] = request.response;
  data["inputs"] = request.inputs, data["exclude"] = request.exclude, data["factors"] = request.factors;
  data["target"] = request.target, data["test_share"] = request.test_share, data["seed"] = request.seed;
  if (request.most_test > 0) data["most_test"] = request.most_test;
  TrainConfig config;
  config.name = "learn", config.arm = request.model, config.seed = request.seed;
  config.data = data;
  return config;
}

/// A network of the request's kind for so many rows.
Json sized_network(const std::string& model, int64_t rows) {
  const bool small = rows < 2000;
  Json network = presets().at(model).second;
  network["bins"] = std::clamp<int64_t>(rows / 50, 4, 16);
  network["dropout"] = small ? 0.1 : 0.0;
  if (network.contains("part")) {
    network["layers"] = 2, network["width"] = small ? 16 : 32, network["embedding"] = small ? 8 : 16;
    network["deep"] = Json::array({small ? 32 : 64});
    return network;
  }
  network["part"] = "gg_moe", network["bias"] = true;
  network["width"] = small ? 64 : 128, network["depth"] = 2;
  if (!network.contains("experts")) network["experts"] = small ? 4 : 8;
  return network;
}

/// Sizes by the number of rows: steps enough for small tables, few enough for large ones.
TrainConfig sized_config(const LearnRequest& request, const TaskData& data) {
  auto config = data_config(request);
  const int64_t rows = data.train.size();
  const bool small = rows < 2000;
  config.network = sized_network(request.model, rows);
  config.task = data.classes > 0 ? "classification" : "regression";
  config.objective = "natural";
  config.optimizer = Json{{"part", "adamw"}, {"weight_decay", 1e-3}};
  const double warmup = small ? 1.0 : 0.1;
  config.schedule = Json{{"shape", "constant"}, {"lr", 3e-3}, {"warmup_epochs", warmup}};
  config.batch = rows < 1000 ? 32 : rows < 8000 ? 128 : rows < 100000 ? 256 : 512;
  config.validation = request.validation;
  if (request.most_validation > 0)
    config.validation = std::min(config.validation, static_cast<double>(request.most_validation) /
                                                        static_cast<double>(std::max<int64_t>(rows, 1)));
  const double per_epoch = std::max(1.0, static_cast<double>(rows) / static_cast<double>(config.batch));
  config.average = std::clamp(1 - 2 / per_epoch, 0.9, 0.995);
  constexpr double kMostSteps = 20000;
  const auto most = std::clamp<int64_t>(std::llround(kMostSteps / per_epoch), 10, 400);
  config.epochs = request.epochs > 0 ? request.epochs : most;
  config.patience = request.patience > 0 ? request.patience : small ? 40 : 16;
  if (request.seconds > 0 || request.epochs > 0) {  // an end that is known: the rate falls to it
    config.schedule = Json{{"shape", "cycles"}, {"per_step", true}, {"lr", 1e-2}, {"warmup_epochs", warmup}};
    config.patience = request.patience;
  }
  if (request.seconds > 0) config.budget = Json{{"seconds", request.seconds}};
  return config;
}

/// The best weights alone: a checkpoint without the optimizer's state.
void leave_weights(const std::string& folder) {
  auto file = load_checkpoint(folder + "/" + kBestCheckpoint);
  std::erase_if(file.tensors, [](const auto& item) { return !item.first.starts_with("model/"); });
  seal_checkpoint(file);
  save_safetensors(folder + "/" + kWeightsFile, file);
  fs::remove(folder + "/" + kBestCheckpoint), fs::remove(folder + "/" + kLastCheckpoint);
}

LearnOutcome outcome_of(const Trainer& trainer, const Json& told, const TableEncoding& encoding) {
  LearnOutcome out;
  out.encoding = encoding;
  out.notes = told.at("notes").get<std::vector<std::string>>();
  out.reason = told.at("target").get<std::string>();
  out.without_response = told.at("without_response").get<int64_t>();
  out.validation = trainer.validation().size(), out.test = trainer.data().test.size();
  out.train = trainer.data().train.size() - out.validation;
  return out;
}

void check_request(const LearnRequest& request) {
  GW_CHECK(presets().contains(request.model), "learn: unknown model \"{}\"; known: autoint, gg_moe, mlp, moe",
           shown(request.model));
  GW_CHECK(request.validation > 0 && request.validation <= 0.9,
           "learn: expected a share above 0 and at most 0.9 for the validation, got {:g}",
           request.validation);
  GW_CHECK(request.seconds >= 0 && request.epochs >= 0 && request.patience >= 0 && request.repeats >= 0,
           "learn: expected no negative budget, got {:g} seconds, {} epochs, patience {} and {} shuffles",
           request.seconds, request.epochs, request.patience, request.repeats);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> learn_models() {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [name, preset] : presets()) out.emplace_back(name, preset.first);
  return out;
}

LearnOutcome learn_table(const LearnRequest& request, const LearnRun& run) {
  check_request(request);
  auto data = load_data(data_config(request));
  const auto encoding = table_encoding_from_json(data.encoding, "learn");
  const Json told = data.encoding.at("told");
  const auto config = sized_config(request, data);
  Staging staging(request.directory);
  Trainer trainer(config, std::move(data));
  LearnObserver observer(run);
  trainer.run({staging.path(), false, run.stop, run.now_s}, observer);
  observer.finish();
  leave_weights(staging.path());
  write_atomic(staging.path() + "/" + kTableFile, dump_json(to_json(encoding), 1) + "\n");
  const auto model = read_learned_model(staging.path());
  auto out = outcome_of(trainer, told, encoding);
  out.epochs = observer.epochs(), out.steps = observer.steps();
  out.parameters = model.model->parameter_count();
  const auto answers = model.answers(trainer.data().test.at("x"));
  out.scores = held_out_scores(encoding, answers, trainer.data());
  out.experts = expert_use(encoding, answers, trainer.data());
  if (request.repeats > 0)
    out.importance = permutation_importance(model, trainer.data(), request.repeats,
                                            Rng(static_cast<uint64_t>(request.seed)).fork("importance"));
  if (request.repeats > 0)
    out.pairs = input_pairs(model, trainer.data(), kMostPairs,
                            Rng(static_cast<uint64_t>(request.seed)).fork("pairs"));
  if (run.stop.requested()) throw Interrupted("interrupted; nothing was written");
  write_atomic(staging.path() + "/" + kLearnedFile, dump_json(to_json(out), 1) + "\n");
  staging.commit();
  return out;
}

Json to_json(const LearnOutcome& o) {
  Json scores = Json::object(), importance = Json::array(), experts = Json::array(), pairs = Json::array();
  for (const auto& p : o.pairs)
    pairs.push_back({{"inputs", {p.first, p.second}}, {"together", p.together}, {"attention", p.attention}});
  for (const auto& s : o.scores) scores[s.name] = {{"value", s.value}, {"low", s.low}, {"high", s.high}};
  for (const auto& i : o.importance)
    importance.push_back({{"input", i.name}, {"loss", i.loss}, {"error", i.error}});
  for (size_t g = 0; g < o.experts.groups.size(); ++g)
    experts.push_back(
        {{"group", o.experts.groups[g]}, {"rows", o.experts.rows[g]}, {"weight", o.experts.weight[g]}});
  return {{"response", o.encoding.response},
          {"classes", o.encoding.classes},
          {"because", o.reason},
          {"notes", o.notes},
          {"rows",
           {{"train", o.train},
            {"validation", o.validation},
            {"test", o.test},
            {"without_response", o.without_response}}},
          {"epochs", o.epochs},
          {"steps", o.steps},
          {"parameters", o.parameters},
          {"scores", scores},
          {"importance", importance},
          {"experts", experts},
          {"pairs", pairs}};
}

}  // namespace gw::inline runs
