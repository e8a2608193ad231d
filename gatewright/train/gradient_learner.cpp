#include "gatewright/train/gradient_learner.h"

#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/train/made_parts.h"
#include "gatewright/train/trainer.h"

namespace gw::inline train {

void GradientLearner::begin(const LearnerSetup& setup) {
  config_ = &setup.config, task_ = &setup.task;
  const auto& schedule = *setup.config.schedule;
  GW_CHECK(schedule.shape == "constant",
           "learners: expected schedule = {{shape = \"constant\"}}, as a stream has no end to plan for, got "
           "\"{}\"",
           schedule.shape);
  lr_ = schedule.lr;
  model_ = make_model(setup.config, setup.data, setup.task);
  objective_ = make_objective(setup.config, setup.task);
  GW_CHECK(!objective_->separate_router(),
           "learners: expected an objective with one optimizer for all parameters, got \"{}\"; take natural",
           setup.config.objective.name);
  restart_optimizer();
}

void GradientLearner::restart_optimizer() {
  optimizer_ = make_optimizer(*config_, *model_, model_->parameters());
}

Answered GradientLearner::answer(const Batch& batch, const Rng& rng) {
  model_->eval();
  Pass pass;
  pass.rng = rng, pass.train = false;
  return answer_for(*task_, *model_, batch, pass, false);
}

void GradientLearner::remember(const Batch& batch) {
  if (options_.memory == 0) return;
  memory_.push_back(batch);
  int64_t rows = 0;
  for (const auto& one : memory_) rows += one.size();
  while (!memory_.empty() && rows - memory_.front().size() >= options_.memory)
    rows -= memory_.front().size(), memory_.pop_front();
}

Batch GradientLearner::with_memory(const Batch& batch) const {
  if (memory_.empty()) return batch;
  Batch all = batch;
  for (auto& [name, field] : all.fields) {
    std::vector<at::Tensor> parts;
    for (const auto& one : memory_) parts.push_back(one.at(name));
    parts.push_back(field);
    field = at::cat(parts);
  }
  std::vector<at::Tensor> index;
  for (const auto& one : memory_) index.push_back(one.index);
  index.push_back(batch.index);
  all.index = at::cat(index);
  return all;
}

double GradientLearner::step(const Batch& batch, const Rng& rng, double lr) {
  StepContext context{*model_, *task_, batch, *optimizer_, nullptr, lr, rng, false, done_++};
  const double loss = objective_->step(context).values.at("loss");
  model_->end_step();
  return loss;
}

double GradientLearner::take_steps(const Batch& batch, const Rng& rng, double rate) {
  model_->train();
  double sum = 0;
  for (int64_t i = 0; i < options_.steps; ++i)
    sum += step(batch, rng.fork("step", static_cast<uint64_t>(i)), lr_ * rate);
  return sum / static_cast<double>(options_.steps);
}

LearnerNews GradientLearner::learn(const Answered& answered, const StreamMoment& moment) {
  const auto all = with_memory(answered.batch);
  remember(answered.batch);
  return {{{"train_loss", take_steps(all, moment.rng, 1)}}, false};
}

}  // namespace gw::inline train
