#include "gatewright/train/trainer.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/base/shown.h"
#include "gatewright/routing/load.h"
#include "gatewright/train/answers.h"
#include "gatewright/train/made_parts.h"
#include "gatewright/train/prepared_data.h"
#include "gatewright/train/variations.h"

namespace gw::inline train {
namespace {

BudgetOptions budget_of(const TrainConfig& config) {
  check_budget(*config.budget, !config.budget.empty());
  return *config.budget;
}

// Prefixes in a checkpoint: of the averages, and of what tells an epoch's order.
constexpr const char *kAverage = "average/", *kOrder = "order/";

}  // namespace

Json TrainObserver::kept() { return nullptr; }

std::shared_ptr<Task> make_task(const TrainConfig& config) {
  return make_chosen<Task>(config.task, {config});
}

namespace {

std::shared_ptr<Model> model_for(const TrainConfig& config, const DataSpec& data, const Task& task) {
  auto choice = config.network.json();
  if (!choice.contains("part")) choice["part"] = "image";
  auto model = make_chosen<Model>(part_choice("network", choice),
                                  {data, task.answer(data), static_cast<uint64_t>(config.seed)});
  task.check_model(*model);
  return model;
}

}  // namespace

std::shared_ptr<Model> make_model(const TrainConfig& config, const TaskData& data, const Task& task) {
  check_fields(config.task.name, task, data);
  return model_for(config, spec_of(data), task);
}

std::shared_ptr<Network> make_network(const TrainConfig& config, const TaskData& data) {
  auto model = make_model(config, data, *make_task(config));
  image_network(*model, "network");
  return std::static_pointer_cast<Network>(model);
}

namespace {

/// The model as it would be for data of a made-up size.
std::shared_ptr<Model> model_without_data(const TrainConfig& config) {
  DataSpec made_up;
  made_up.channels = 3, made_up.height = made_up.width = 32, made_up.classes = 10;
  made_up.vocabulary = 256, made_up.context = made_up.source_context = 16, made_up.inputs = 4,
  made_up.domains = 2;
  made_up.degree = 2;
  for (const auto& name : make_chosen<Dataset>(config.data, {})->targets())
    made_up.targets.push_back({name, {}});
  made_up.numeric = {0, 1, 2};
  return model_for(config, made_up, *make_task(config));
}

}  // namespace

void check_config(const TrainConfig& config) {
  make_chosen<Dataset>(config.data, {});
  probe_names(config);
  const auto model = model_without_data(config);
  {  // a policy that the model cannot follow shows in the first batch only
    const at::NoGradGuard no_grad;
    Pass pass;
    pass.step = 0;
    model->answer(model->example(4, Rng(0)), pass);
  }
  make_objective(config, *make_task(config));
  make_chosen<Optimizer>(config.optimizer, {});
  make_order(config);
  budget_of(config);
}

void check_start(const TrainConfig& config, const TrainConfig& source, const std::string& source_name) {
  const auto weights = pack_checkpoint(*model_without_data(source), nullptr, nullptr, {}, Json::object());
  auto start = *config.start;
  start.crc32c.clear();
  start_from(*model_without_data(config), weights, "of " + source_name, start);
}

TrainConfig noting_start(TrainConfig config) {
  const auto note = [](OptionTable& table, const std::string& path, const std::string& crc32c, auto sum_of) {
    if (path.empty() || !crc32c.empty()) return;
    Json noted = table.json();
    noted["crc32c"] = sum_of(path);
    table.read("start", noted);
  };
  const auto of_checkpoint = [](const std::string& path) {
    return checkpoint_checksum(load_checkpoint(path));
  };
  note(config.start, config.start->checkpoint, config.start->crc32c, of_checkpoint);
  note(config.teacher, config.teacher->checkpoint, config.teacher->crc32c, of_checkpoint);
  note(config.variations, config.variations->file, config.variations->crc32c, variations_checksum);
  return config;
}

RecordNames record_names(const TrainConfig& config) {
  const auto task = make_task(config);
  RecordNames names{make_objective(config, *task)->reports(*task), task->validated(), task->tested()};
  names.steps.insert(names.steps.end(), {"lr", "entropy"});
  for (const auto& probe : probe_names(config)) names.tested.push_back(probe);
  return names;
}

Trainer::Trainer(const TrainConfig& config) : Trainer(config, load_data(config)) {}

Trainer::Trainer(const TrainConfig& config, TaskData data)
    : config_(config),
      schedule_(*config.schedule),
      budget_(budget_of(config)),
      data_(std::move(data)),
      task_(make_task(config)) {
  auto rows = data_.train;
  rows.fields["row"] = at::arange(rows.size(), at::kLong);
  auto split = split_validation(rows, data_.classes, config.validation, static_cast<uint64_t>(config.seed));
  const auto trained_on = split.train.at("row");
  split.train.fields.erase("row"), split.validation.fields.erase("row");
  train_ = split.train;
  validation_ = split.validation;
  // Held-out examples stay what they are: they choose the checkpoint for the images that will come.
  if (!config.variations->file.empty()) train_ = with_variations(data_.train, *config.variations, trained_on);
  model_ = make_model(config, data_, *task_);
  model_->prepare(train_);
  objective_ = make_objective(config, *task_);
  const auto* network = dynamic_cast<const Network*>(model_.get());
  const bool apart = objective_->separate_router() && network != nullptr && network->image_routed();
  const auto experts = apart ? model_->other_parameters() : model_->parameters();
  experts_ = make_optimizer(config, *model_, experts);
  if (apart) router_ = make_optimizer(config, *model_, model_->router_parameters());
  if (!config.teacher->checkpoint.empty()) teacher_ = std::make_unique<Teacher>(*config.teacher, data_);
  const Rng rng(static_cast<uint64_t>(config.seed));
  loader_ = std::make_shared<Loader>(train_, config.batch, *config.augment, true, rng.fork("loader"));
  order_ = EpochOrder(make_order(config));
  schedule_.per_step = schedule_.per_step || budget_.given();
  steps_total_ = budget_.given() ? steps_of_budget() : loader_->batches() * config.epochs;
}

/// 0 where only a clock knows.
int64_t Trainer::steps_of_budget() const {
  double examples = static_cast<double>(budget_.examples);
  if (budget_.seconds > 0) return 0;
  if (budget_.tokens > 0) {
    GW_CHECK(train_.has("token"), "budget: expected data with tokens, got none; give the budget in examples");
    const auto each = static_cast<double>(train_.at("token").numel()) / static_cast<double>(train_.size());
    examples = std::ceil(static_cast<double>(budget_.tokens) / each);
  }
  if (budget_.macs > 0) {
    auto* network = dynamic_cast<Network*>(model_.get());
    const int64_t each = network != nullptr ? network->cost().total() : count_macs(*model_);
    examples = std::ceil(budget_.macs / static_cast<double>(std::max<int64_t>(each, 1)));
  }
  constexpr double kMost = 1e15;
  GW_CHECK(examples < kMost, "budget: expected fewer than {} examples, got {}; lower it", kMost, examples);
  const int64_t per_epoch = loader_->batches(),
                met = std::min(per_epoch * config_.batch, loader_->examples());
  return steps_for(static_cast<int64_t>(examples), per_epoch, config_.batch, met);
}

bool Trainer::spent() const {
  if (config_.patience > 0 && at_.stale >= config_.patience) return true;
  return budget_.seconds > 0 ? used_seconds() >= budget_.seconds : at_.step >= steps_total_;
}

Json Trainer::config_json() const {
  auto json = config_.document();
  // Equal runs have equal checkpoints, wherever the weights lay that they started from.
  for (const char* other : {"start", "teacher"}) {
    if (json.contains(other)) json[other].erase("checkpoint");
  }
  if (json.contains("variations")) json["variations"].erase("file");
  return json;
}

void Trainer::load_start() {
  const auto& start = *config_.start;
  if (!start.checkpoint.empty())
    start_from(*model_, load_checkpoint(start.checkpoint), start.checkpoint, start);
}

void Trainer::begin(const RunOptions& options, TrainObserver& observer) {
  const auto last = options.directory + "/" + kLastCheckpoint,
             best = options.directory + "/" + kBestCheckpoint;
  std::error_code ignored;
  const bool has_last = std::filesystem::exists(last, ignored),
             has_best = std::filesystem::exists(best, ignored);
  // Killed before its first checkpoint a run has neither; one that has only its best lost a file.
  GW_CHECK(!options.resume || has_last || !has_best,
           "train: expected the checkpoint {} beside {}, got none; restore it from a copy, or train again "
           "into another directory",
           shown(last), kBestCheckpoint);
  const bool goes_on = options.resume && has_last;
  SafetensorsFile file;
  if (goes_on) {
    file = load_checkpoint(last);
    at_ = unpack_checkpoint(*model_, experts_.get(), router_.get(), file, last);
  }
  const Json kept = std::exchange(at_.kept, Json());
  const auto kept_of = [&](const char* whose) {
    return kept.is_object() && kept.contains(whose) ? kept[whose] : Json();
  };
  if (goes_on) check_routes(options.directory, kept_of("recording"));
  if (options.resume) observer.on_resume(at_.step, kept_of("observer"));
  open_taps(options, observer, goes_on);
  if (!goes_on) load_start();
  if (config_.average > 0) average_.emplace(*model_, config_.average);
  if (goes_on && average_) average_->load_state(tensors_under(file, kAverage));
  if (goes_on && at_.batch > 0) order_.load_state(*loader_, at_.epoch, tensors_under(file, kOrder));
  if (!goes_on) save(last, observer);  // an unwritable place is found before an hour's work
}

void Trainer::open_taps(const RunOptions& options, TrainObserver& observer, bool goes_on) {
  routes_ = open_routes(config_, data_.class_names, options.directory, goes_on, at_.step);
  if (routes_.recorder)
    routes_.recorder->listen([&observer](const RouteSummary& summary) { observer.on_routes(summary); });
}

RouteFrame Trainer::frame(RoutePhase phase, const Batch& batch) const {
  const int64_t done =
      at_.step + (phase == RoutePhase::kTrain ? 1 : 0);  // as in the records: this step included
  return framed({phase, done, at_.epoch, 0, {}, {}}, batch);
}

Measured Trainer::evaluate_on_test(TrainObserver& observer, const Tick& tick) {
  const Rng rng = Rng(static_cast<uint64_t>(config_.seed)).fork("test");
  if (routes_.recorder)
    routes_.recorder->listen([&observer](const RouteSummary& summary) { observer.on_routes(summary); });
  auto result =
      task_->test({*model_, data_.test, rng, frame(RoutePhase::kTest, {}), tick, routes_.tap.get()});
  routes_ = {};  // probes, timings and sample images after this are no part of the run
  for (const auto& [name, probe] : probes_of(config_, data_.test)) {
    const auto answers = answers_to({*model_, probe, rng.fork(name), frame(RoutePhase::kTest, {})});
    result.metrics[name] = share_right(answers, probe.at("label"));
  }
  return result;
}

Json Trainer::samples() {
  return task_->samples({*model_, data_.test, Rng(static_cast<uint64_t>(config_.seed)), {}});
}

void Trainer::run(const RunOptions& options, TrainObserver& observer) {
  if (budget_.seconds > 0) {
    GW_CHECK(static_cast<bool>(options.now_s), "train: expected a clock for a budget in seconds, got none");
    clock_ = options.now_s, began_s_ = clock_();
  }
  begin(options, observer);
  while (!spent() || at_.batch > 0) {  // a budget may end within an epoch, which is then closed all the same
    while (at_.batch < loader_->batches() && !spent()) {
      if (options.stop.requested()) interrupt(options.directory, observer);
      step(observer);
      const bool due = config_.checkpoint_steps > 0 && at_.step % config_.checkpoint_steps == 0;
      if (due && at_.batch < loader_->batches()) save(options.directory + "/" + kLastCheckpoint, observer);
    }
    end_epoch(options.directory, observer);
  }
  const auto best = options.directory + "/" + kBestCheckpoint;
  load_model(*model_, load_checkpoint(best), best);
  model_->eval();
}

/// Where only a clock knows: as many as there will be if the rest goes as fast, so that the share of the run
/// behind is that of its seconds.
double Trainer::epochs_of_run() const {
  const auto per_epoch = static_cast<double>(loader_->batches());
  if (steps_total_ > 0 || budget_.seconds <= 0) return static_cast<double>(steps_total_) / per_epoch;
  const double used = std::min(used_seconds() / budget_.seconds, 1.0);
  const double behind = static_cast<double>(at_.epoch) + static_cast<double>(at_.batch) / per_epoch;
  return used > 0 ? behind / used : 0;
}

void Trainer::step(TrainObserver& observer) {
  const Rng run(static_cast<uint64_t>(config_.seed));
  const double epochs = epochs_of_run();
  order_.arrange(*loader_, {train_, *model_, at_.epoch, steps_total_ > 0 ? epochs : 0, run.fork("epochs")});
  model_->train();
  const auto batch = loader_->get(at_.epoch, at_.batch);
  const double lr = schedule_.at(at_.epoch, at_.batch, loader_->batches(), epochs);
  const Rng rng = run.fork("step", static_cast<uint64_t>(at_.step));
  StepContext context{*model_,       *task_,
                      batch,         *experts_,
                      router_.get(), lr,
                      rng,           /*first=*/at_.step == 0,
                      at_.step,      routes_.tap.get(),
                      teacher_.get()};
  if (steps_total_ > 0) context.progress = static_cast<double>(at_.step) / static_cast<double>(steps_total_);
  StepReport report;
  if (routes_.tap) routes_.tap->begin(frame(RoutePhase::kTrain, batch));
  try {
    report = objective_->step(context);
    model_->end_step();
    if (average_) average_->update(at_.step + 1);
  } catch (const NumericError& error) {
    stopped(error);
  }
  if (routes_.tap) routes_.tap->end();
  ++at_.batch, ++at_.step;
  Json record{{"step", at_.step}, {"epoch", at_.epoch}, {"kind", "train"}, {"lr", lr}};
  for (const auto& [name, value] : report.values) record[name] = value;
  if (!report.reach.empty()) record["reach"] = report.reach;
  if (!report.load.empty()) {
    const auto all = static_cast<double>(
        std::max<int64_t>(std::accumulate(report.load.begin(), report.load.end(), int64_t{0}), 1));
    std::vector<double> share;
    for (const int64_t rows : report.load) share.push_back(static_cast<double>(rows) / all);
    record["load"] = share;
    record["entropy"] = load_entropy(report.load);
  }
  observer.on_step(record, at_.step, steps_total_);
}

void Trainer::stopped(const NumericError& error) const {
  throw NumericError(fmt::format("{}; stopped at step {} (epoch {}), the last good checkpoint was kept",
                                 error.what(), at_.step, at_.epoch));
}

double Trainer::validate(TrainObserver& observer) {
  const Rng rng = Rng(static_cast<uint64_t>(config_.seed)).fork("validation");
  const auto& held_out = validation_.size() > 0 ? validation_ : train_;
  const auto result =
      task_->validate({*model_, held_out, rng, frame(RoutePhase::kValidation, {}), {}, routes_.tap.get()});
  Json record{{"step", at_.step}, {"epoch", at_.epoch}, {"kind", "validation"}};
  for (const auto& [name, value] : result.metrics) record[name] = value;
  observer.on_validation(record);
  return task_->score(result);
}

void Trainer::end_epoch(const std::string& directory, TrainObserver& observer) {
  {
    const WeightAverage::Scope averaged(average());
    double score = 0;
    try {
      score = validate(observer);
    } catch (const NumericError& error) {
      stopped(error);
    }
    at_.batch = 0;
    ++at_.epoch;
    const bool better = score > at_.best;
    if (better) at_.best = score;
    at_.stale = better || config_.patience == 0 ? 0 : at_.stale + 1;
    // Best before last: cut between the two, a resumed run repeats the epoch and writes the same best again.
    if (better) save(directory + "/" + kBestCheckpoint, observer);
  }
  save(directory + "/" + kLastCheckpoint, observer);
}

void Trainer::save(const std::string& path, TrainObserver& observer) const {
  // The step that ruins the weights still has a finite loss: only the next one would notice, after the good
  // checkpoint is gone.
  for (const auto& item : model_->named_parameters()) {
    const bool finite = at::isfinite(item.value()).all().item<bool>();
    if (!finite)
      stopped(NumericError(
          fmt::format("train: the weights \"{}\" are not finite; lower the learning rate", item.key())));
  }
  auto at = at_;
  at.seconds = used_seconds();
  at.kept = Json{{"observer", observer.kept()}, {"recording", route_marks(routes_)}};
  auto file = pack_checkpoint(*model_, experts_.get(), router_.get(), at, config_json());
  const auto packed = file.tensors.size();
  if (average_)
    for (const auto& [name, tensor] : average_->state()) file.tensors[kAverage + name] = tensor;
  if (at_.batch > 0)  // the next epoch's is made when it begins
    for (const auto& [name, tensor] : order_.state()) file.tensors[kOrder + name] = tensor;
  if (file.tensors.size() > packed) seal_checkpoint(file);
  save_safetensors(path, file);
}

void Trainer::interrupt(const std::string& directory, TrainObserver& observer) {
  save(directory + "/" + kLastCheckpoint, observer);
  throw Interrupted(fmt::format("interrupted at step {} (epoch {}); saved, the run in {} can be resumed",
                                at_.step, at_.epoch, shown(directory)));
}

}  // namespace gw::inline train
