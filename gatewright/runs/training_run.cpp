#include "gatewright/runs/training_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "gatewright/data/image_files.h"
#include "gatewright/runs/progress.h"
#include "gatewright/runs/route_export.h"
#include "gatewright/train/field_pairs.h"
#include "gatewright/train/robust/evaluate.h"
#include "gatewright/train/timing.h"

namespace gw::inline runs {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTimedBatches[] = {1, 128};
constexpr const char* kTimesFile = "step_times.json";
constexpr size_t kTimedSteps = 2000;  // the first so many of a training

/// " clean 81.2% robust 45.0%", " bits_per_token 2.41": what a validation measured, in few letters.
std::string measures_of(const Json& record) {
  std::string text;
  for (const auto& [name, value] : record.items()) {
    if (!value.is_number() || name == "step" || name == "epoch" ||
        name.find("entropy") != std::string::npos || name == "flip_rate" || name == "route_loss_rate")
      continue;
    constexpr std::string_view kAccuracy = "_accuracy";
    const bool share = name.size() > kAccuracy.size() && name.ends_with(kAccuracy);
    text += share ? fmt::format(" {} {:.1f}%", name.substr(0, name.size() - kAccuracy.size()),
                                100 * value.get<double>())
                  : fmt::format(" {} {:.3f}", name, value.get<double>());
  }
  return text;
}

Json part(const Json& kept, const char* name) {
  return kept.is_object() && kept.contains(name) ? kept[name] : Json();
}

/// Writes records and moves the progress line.
class DirectoryObserver : public TrainObserver {
 public:
  DirectoryObserver(RunDirectory& directory, const ArmRun& run, std::string label)
      : directory_(directory), run_(run), label_(std::move(label)), routes_(directory) {}

  Json kept() override {
    // Beside the checkpoint: its bytes are the same however often a run is interrupted.
    if (!steps_ms_.empty()) directory_.write_json(kTimesFile, {{"ms_per_step", steps_ms_}});
    return {{"logs", directory_.marks()}, {"routes", routes_.state()}};
  }

  void on_resume(int64_t step, const Json& kept) override {
    directory_.rewind(part(kept, "logs"));
    routes_.go_on(part(kept, "routes"));
    if (const auto times = directory_.file(kTimesFile); kept.is_object() && fs::exists(times))
      steps_ms_ = read_json(times).at("ms_per_step").get<std::vector<double>>();
    start_ = step;
  }

  void on_routes(const RouteSummary& summary) override { routes_.add(summary); }

  /// The median milliseconds between the ends of two steps, without validations and pauses; nothing without
  /// a clock, and for fewer than 8 steps.
  std::optional<double> ms_per_step() const {
    if (steps_ms_.size() < 8) return std::nullopt;
    std::vector<double> times = steps_ms_;
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  }

  /// Ends the progress line and writes what waits for the end.
  void finish() {
    progress_.reset();
    routes_.write();
  }

  void on_step(const Json& record, int64_t done, int64_t total) override {
    directory_.append(record);
    note_time();
    if (run_.progress == nullptr) return;
    if (record.contains("reach")) {  // once, before hours are spent on a router that no loss teaches
      for (const auto& item : record["reach"].items()) {
        say(run_.progress, fmt::format("{}: {} reaches the router, gradient norm {:.3g}\n", label_,
                                       item.key(), item.value().get<double>()));
      }
    }
    if (!progress_) {
      auto options = progress_for(run_.progress, run_.now_s);
      options.label = label_;
      progress_.emplace(total, options, start_);
    }
    std::string note = fmt::format("loss {:.3f}", record.value("loss", 0.0));
    if (!validation_.empty()) note += "  " + validation_;
    progress_->update(done, note);
  }

  void on_validation(const Json& record) override {
    directory_.append(record);
    last_s_.reset();
    routes_.write();
    validation_ = "val" + measures_of(record);
  }

 private:
  void note_time() {
    if (!run_.now_s) return;
    const double now = run_.now_s();
    if (last_s_ && steps_ms_.size() < kTimedSteps) steps_ms_.push_back(1e3 * (now - *last_s_));
    last_s_ = now;
  }

  RunDirectory& directory_;
  const ArmRun& run_;
  std::string label_, validation_;
  std::optional<double> last_s_;  ///< the end of the step before; none after a validation
  std::vector<double> steps_ms_;
  int64_t start_ = 0;
  RouteExporter routes_;
  std::optional<Progress> progress_;
};

std::shared_ptr<Network> dense_twin(const TrainConfig& config, const TaskData& data) {
  auto dense = config;
  auto network = config.network.json();
  network["experts"] = 1, network["ratio"] = 1.0;
  dense.network = network;
  auto evaluation = config.evaluation.json();
  evaluation.erase("certify");  // it has no routes
  dense.evaluation = evaluation;
  return make_network(dense, data);
}

std::vector<double> timed(const std::vector<Model*>& models, int64_t batch, const ArmRun& run) {
  return milliseconds_per_example(models, batch, batch == 1 ? 10 * run.timing_rounds : run.timing_rounds,
                                  run.now_s);
}

/// Operations and times of an image network beside those of the dense network of the same backbone.
void add_cost(Trainer& trainer, Network& network, const ArmRun& run, Json& evaluation,
              std::map<std::string, double>& metrics) {
  const auto dense = dense_twin(trainer.config(), trainer.data());
  const auto full = dense->cost();
  auto cost = network.cost();
  if (evaluation.contains("pathways"))  // of some images several: what the test images met on average
    cost.backbone =
        std::llround(evaluation["pathways"][kClean].get<double>() * static_cast<double>(cost.backbone));
  evaluation["cost"] = {
      {"backbone_macs", cost.backbone}, {"router_macs", cost.router}, {"dense_macs", full.total()}};
  metrics["macs"] = static_cast<double>(cost.total());
  metrics["macs_ratio"] = static_cast<double>(cost.total()) / static_cast<double>(full.total());
  metrics["pathway_ratio"] = static_cast<double>(cost.backbone) / static_cast<double>(full.total());
  metrics["router_ratio"] = static_cast<double>(cost.router) / static_cast<double>(cost.backbone);
  for (const int64_t batch : kTimedBatches) {
    if (run.timing_rounds == 0) break;
    const auto ms = timed({&network, dense.get()}, batch, run);
    evaluation["timing"][std::to_string(batch)] = {{"ms_per_image", ms[0]}, {"dense_ms_per_image", ms[1]}};
    metrics[fmt::format("ms_per_image.{}", batch)] = ms[0];
    metrics[fmt::format("dense_ms_per_image.{}", batch)] = ms[1];
    metrics[fmt::format("time_ratio.{}", batch)] = ms[0] / ms[1];
  }
}

/// The same of a model that has no dense twin.
void add_cost(Model& model, const ArmRun& run, std::map<std::string, double>& metrics) {
  metrics["macs"] = static_cast<double>(count_macs(model));
  for (const int64_t batch : kTimedBatches) {
    if (run.timing_rounds == 0) break;
    metrics[fmt::format("ms_per_example.{}", batch)] = timed({&model}, batch, run)[0];
  }
}

void add_costs(Trainer& trainer, bool images, const ArmRun& run, Json& evaluation,
               std::map<std::string, double>& metrics) {
  const auto alone = run.alone && run.timing_rounds > 0 ? run.alone() : nullptr;
  images ? add_cost(trainer, trainer.network(), run, evaluation, metrics)
         : add_cost(trainer.model(), run, metrics);
}

/// "train.loss", "validation.accuracy", …: every number of metrics.jsonl over the steps.
std::map<std::string, Curve> recorded_curves(const std::string& directory) {
  std::map<std::string, Curve> curves;
  for (const auto& record : read_records(directory + "/" + kMetricsFile)) {
    const auto kind = record.value("kind", "");
    const double step = number_or_nan(record, "step");
    for (const auto& [name, value] : record.items()) {
      if (name == "step" || name == "epoch" || !(value.is_number() || value.is_null())) continue;
      auto& curve = curves[kind + "." + name];
      curve.axis = "step", curve.x.push_back(step), curve.y.push_back(number_or_nan(record, name));
    }
  }
  return curves;
}

/// Means over the training steps of what objectives/natural says of the first layer that decides.
void add_training_load(const std::map<std::string, Curve>& curves, std::map<std::string, double>& metrics) {
  for (const char* name : {"max_load", "without_expert"}) {
    const auto found = curves.find(std::string("train.") + name);
    if (found == curves.end() || found->second.y.empty()) continue;
    double sum = 0;
    for (const double value : found->second.y) sum += value;
    metrics[name] = sum / static_cast<double>(found->second.y.size());
  }
}

/// What the steps were like: curves, load, time.
void add_steps(const ArmRun& run, DirectoryObserver& observer, ArmResult& result) {
  result.curves = recorded_curves(run.directory);
  add_training_load(result.curves, result.metrics);
  if (const auto ms = observer.ms_per_step(); ms && run.timing_rounds > 0)
    result.metrics["ms_per_step"] = *ms;
}

/// Which fields of a table act together, of models whose fields look at each other and of data that know it.
void add_pairs(Trainer& trainer, ArmResult& result) {
  constexpr int64_t kRows = 1000;
  constexpr size_t kShown = 20;
  const auto& data = trainer.data();
  if (data.fields.size() < 2 || !data.test.has("x")) return;
  const Rng rng = Rng(static_cast<uint64_t>(trainer.config().seed)).fork("field pairs");
  trainer.model().eval();
  const auto answer = answering(trainer.model(), rng.fork("draws"));
  const auto x = data.test.at("x");
  if (data.known_pairs.empty() && !answer(x.slice(0, 0, 2)).attention.defined()) return;
  const auto pairs = field_pairs(answer, x, data.fields, kRows, rng);
  result.tables["pairs"] = pair_table(pairs, data.fields, kShown);
  for (const bool attention : {false, true}) {
    const double found = pairs_found(pairs, data.known_pairs, attention);
    if (std::isfinite(found)) result.metrics[attention ? "pairs_found_by_attention" : "pairs_found"] = found;
  }
}

/// The tables that the task left, out of the evaluation's details.
std::map<std::string, ValueTable> task_tables(Json& details) {
  if (!details.contains("tables")) return {};
  const Json document{{"curves", Json::object()}, {"tables", details["tables"]}};
  details.erase("tables");
  return parse_results(document, "the evaluation").tables;
}

/// What the test says of each expert: its share of the rows, and how right it is where it alone answers.
std::map<std::string, ValueTable> expert_tables(const Json& evaluation) {
  ValueTable table{"expert", {}, {}, {}};
  const auto add = [&](const char* heading, const char* field, bool share) {
    const auto list = evaluation.value(field, Json::array());
    if (list.size() < 2 || (!table.names.empty() && list.size() != table.names.size())) return;
    double sum = 0;
    for (const auto& value : list) sum += value.get<double>();
    table.columns.push_back(heading);
    table.values.resize(list.size());
    for (size_t e = 0; e < list.size(); ++e) {
      if (table.names.size() == e) table.names.push_back(fmt::format("E{}", e));
      table.values[e].push_back(list[e].get<double>() / (share && sum > 0 ? sum : 1));
    }
  };
  add("share of the rows", "load", true);
  add("accuracy, alone", "forced_accuracy", false);
  add("worst case, alone", "forced_robust_accuracy", false);
  if (table.columns.empty()) return {};
  return {{"experts", table}};
}

/// Files of the data set that could not be read and were left out.
void say_what_is_missing(const std::string& origin, const TrainConfig& config, const ArmRun& run) {
  if (run.progress != nullptr && origin.find(kLeftOut) != std::string::npos)
    say(run.progress, fmt::format("{} seed {}: {}\n", config.arm, config.seed, origin));
}

Json measure(Trainer& trainer, const ArmRun& run, TrainObserver& observer,
             std::map<std::string, double>& metrics) {
  const auto& config = trainer.config();
  std::optional<Progress> progress;
  const auto tick = [&](int64_t done, int64_t total) {
    if (run.stop.requested())
      throw Interrupted(
          "interrupted while evaluating; the trained checkpoint is kept, and the run can be resumed");
    if (run.progress == nullptr) return;
    if (!progress) {
      auto options = progress_for(run.progress, run.now_s);
      options.label = fmt::format("{} seed {} evaluation", config.arm, config.seed),
      options.unit = "examples";
      progress.emplace(total, options, 0);
    }
    progress->update(done);
  };
  auto result = trainer.evaluate_on_test(observer, tick);
  metrics = result.metrics;
  return result.details;
}

}  // namespace

LeftNames training_names(const TrainConfig& config) {
  const auto records = record_names(config);
  LeftNames names{records.tested, {}, {}};
  const auto add = [&](std::initializer_list<const char*> more) {
    names.metrics.insert(names.metrics.end(), more.begin(), more.end());
  };
  add({"macs", "parameters", "trained_share", "ms_per_step", "max_load", "without_expert"});
  const bool images = trains_images(config);
  if (!images) add({"pairs_found", "pairs_found_by_attention"});
  if (images) add({"macs_ratio", "pathway_ratio", "router_ratio"});
  const auto times = images ? std::vector<std::string>{"ms_per_image", "dense_ms_per_image", "time_ratio"}
                            : std::vector<std::string>{"ms_per_example"};
  for (const int64_t batch : kTimedBatches) {
    for (const auto& time : times) names.metrics.push_back(fmt::format("{}.{}", time, batch));
  }
  for (const auto& name : records.steps) names.curves.push_back("train." + name);
  for (const auto& name : records.validations) names.curves.push_back("validation." + name);
  names.tables = make_task(config)->tables();
  names.tables.insert(names.tables.end(), {"experts", "pairs"});
  return names;
}

bool trains_images(const TrainConfig& config) {
  const auto tested = make_task(config)->tested();
  return std::find(tested.begin(), tested.end(), "clean_accuracy") != tested.end();
}

namespace {

void name_evaluation(Json& evaluation, const TrainConfig& config, const TaskData& data) {
  evaluation["arm"] = config.arm, evaluation["seed"] = config.seed,
  evaluation["checkpoint"] = kBestCheckpoint;
  evaluation["dataset"] = config.data.name, evaluation["data"] = data.origin;
  evaluation["classes"] = data.class_names;
}

}  // namespace

ArmResult run_training(const TrainConfig& config, const ArmRun& run) {
  ArmResult result{config.arm, config.seed, {}};
  const auto document = config.document();
  if (auto done = finished_metrics(run.directory, document)) {
    result.metrics = std::move(*done), result.curves = recorded_curves(run.directory);
    result.tables = read_results(run.directory).tables;
    return result;
  }
  Trainer trainer(config);
  RunDirectory directory(run.directory, document,
                         {.resume = run.resume,
                          .tensorboard = true,
                          .wall_time_s = run.wall_time_s,
                          .may_differ = {"/start/checkpoint", "/teacher/checkpoint", "/variations/file"},
                          .brought_up = current_document});
  note_origin(directory, run.about);
  say_what_is_missing(trainer.data().origin, config, run);
  DirectoryObserver observer(directory, run, fmt::format("{} seed {}", config.arm, config.seed));
  trainer.run({run.directory, run.resume, run.stop, run.now_s}, observer);
  observer.finish();
  Json evaluation = measure(trainer, run, observer, result.metrics);
  auto tables = task_tables(evaluation);
  name_evaluation(evaluation, config, trainer.data());
  result.metrics["parameters"] = static_cast<double>(trainer.model().parameter_count());
  result.metrics["trained_share"] = trainer.model().trained_share();
  add_steps(run, observer, result);
  add_pairs(trainer, result);
  const bool images = trains_images(config);
  add_costs(trainer, images, run, evaluation, result.metrics);
  if (!images) evaluation["metrics"] = result.metrics;
  directory.write_json("evaluation.json", evaluation);
  if (const auto samples = trainer.samples(); !samples.is_null())
    directory.write_json("samples.json", samples);
  result.tables.merge(expert_tables(evaluation)), result.tables.merge(std::move(tables));
  if (!result.tables.empty()) directory.write_json(kResultsFile, to_json(Results{{}, result.tables}));
  directory.write_json(kSummaryFile, {{"config", document}, {"metrics", result.metrics}});
  return result;
}

}  // namespace gw::inline runs
