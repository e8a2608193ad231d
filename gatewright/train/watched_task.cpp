#include "gatewright/train/watched_task.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/train/slope.h"

namespace gw::inline train {

std::vector<WatchedTask::Watched> watched_of(const Task& task, const Output& output, const Batch& batch) {
  const at::NoGradGuard no_grad;
  if (const auto* own = dynamic_cast<const WatchedTask*>(&task)) return own->watched(output, batch);
  return {{"loss", task.loss(output, batch).item<double>()}};
}

Answered answer_for(const Task& task, Model& model, const Batch& batch, const Pass& pass, bool learns) {
  const auto* sloped = dynamic_cast<const SlopedTask*>(&task);
  const int64_t of = sloped != nullptr ? sloped->sloped_class() : -1;
  if (of < 0) {
    const at::AutoGradMode mode(learns);
    return {model.answer(batch, pass), batch};
  }
  auto [output, slope] = answer_with_slope(model, batch, pass, of, learns);
  Answered out{std::move(output), batch};
  out.batch.fields["slope"] = std::move(slope);
  return out;
}

Answered joined(const std::vector<Answered>& answers) {
  Answered out;
  std::vector<at::Tensor> parts, index;
  for (const auto& one : answers) parts.push_back(one.output.answer), index.push_back(one.batch.index);
  out.output.answer = at::cat(parts), out.batch.index = at::cat(index);
  out.batch.common = answers.at(0).batch.common;
  for (const auto& [name, first] : answers[0].batch.fields) {
    std::vector<at::Tensor> rows;
    for (const auto& one : answers) rows.push_back(one.batch.at(name));
    out.batch.fields[name] = at::cat(rows);
  }
  return out;
}

Measured measure_whole(const Task& task, const EvaluationPass& pass, int64_t size) {
  std::vector<Answered> answers;
  each_batch(pass, size, [&](const Batch& batch, const Pass& one) {
    answers.push_back(answer_for(task, pass.model, batch, one, false));
  });
  const auto all = joined(answers);
  Measured out;
  out.metrics = task.measure(all.output, all.batch, task.loss(all.output, all.batch).item<double>());
  task.finish(out.metrics);
  out.details["examples"] = pass.set.size();
  return out;
}

}  // namespace gw::inline train
