#include "gatewright/train/robust/apgd.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

namespace gw::inline train {
namespace {

constexpr double kMomentum = 0.75, kEnoughRises = 0.75;

/// Candidates with the gradient of their loss.
struct Iterate : Candidates {
  at::Tensor gradient;
};

Iterate visit(const SampleObjective& objective, const at::Tensor& images, bool with_gradient) {
  Candidates judged;
  Iterate iterate;
  if (with_gradient) {
    const ImageObjective total = [&](const at::Tensor& leaf) {
      return (judged = objective(leaf)).loss.sum();
    };
    iterate.gradient = image_gradient(images, total).gradient;
  } else {
    judged = objective(images);
    iterate.gradient = at::zeros_like(images);
  }
  iterate.images = images;
  iterate.loss = judged.loss.detach();
  iterate.margin = judged.margin.detach();
  return iterate;
}

void replace(const at::Tensor& takes, Iterate& old, const Iterate& by) {
  const at::Tensor wide = takes.view({-1, 1, 1, 1});
  old.images = at::where(wide, by.images, old.images);
  old.gradient = at::where(wide, by.gradient, old.gradient);
  old.loss = at::where(takes, by.loss, old.loss);
  old.margin = at::where(takes, by.margin, old.margin);
}

/// Step lengths of the samples and what decides when they halve.
struct StepSizes {
  at::Tensor step;         ///< [B]
  at::Tensor rises;        ///< [B] steps since the last checkpoint in which the loss rose
  at::Tensor last_best;    ///< [B] best loss at the last checkpoint
  at::Tensor last_halved;  ///< [B] bool: halved at the last checkpoint
  int64_t last_checkpoint = 0;

  /// Which samples halve at this checkpoint, after `done` steps.
  at::Tensor halve(int64_t done, const at::Tensor& best_loss) {
    const double needed = kEnoughRises * static_cast<double>(done - last_checkpoint);
    const at::Tensor stalled = ~last_halved & (best_loss <= last_best);
    const at::Tensor halves = (rises < needed) | stalled;
    step = at::where(halves, step * 0.5, step);
    rises = at::zeros_like(rises);
    last_best = best_loss;
    last_halved = halves;
    last_checkpoint = done;
    return halves;
  }
};

}  // namespace

std::vector<int64_t> apgd_checkpoints(int64_t steps) {
  std::vector<int64_t> checkpoints;
  for (double before = 0, now = 0.22; now < 1;) {
    const auto at_step = static_cast<int64_t>(std::ceil(now * static_cast<double>(steps) - 1e-9));
    const bool fresh = at_step > 0 && (checkpoints.empty() || at_step > checkpoints.back());
    if (fresh && at_step < steps) checkpoints.push_back(at_step);
    const double next = now + std::max(now - before - 0.03, 0.06);
    before = now;
    now = next;
  }
  return checkpoints;
}

Candidates apgd(const SampleObjective& objective, const at::Tensor& x, const at::Tensor& start,
                double epsilon, int64_t steps) {
  at::AutoGradMode no_graph(false);
  const std::vector<int64_t> checkpoints = apgd_checkpoints(steps);
  Iterate now = visit(objective, project(start, x, epsilon), true);
  Iterate best = now;
  Candidates worst = now;
  at::Tensor previous = now.images;
  StepSizes sizes{at::full_like(now.loss, 2 * epsilon), at::zeros_like(now.loss), now.loss,
                  at::zeros_like(now.margin, at::kBool), 0};
  for (int64_t done = 1; done <= steps; ++done) {
    const double momentum = done == 1 ? 1.0 : kMomentum;
    const at::Tensor ahead =
        project(now.images + sizes.step.view({-1, 1, 1, 1}) * now.gradient.sign(), x, epsilon);
    const at::Tensor target =
        now.images + momentum * (ahead - now.images) + (1 - momentum) * (now.images - previous);
    Iterate next = visit(objective, project(target, x, epsilon), done < steps);
    sizes.rises = sizes.rises + (next.loss > now.loss);
    previous = now.images;
    replace(next.loss > best.loss, best, next);
    keep_worst(worst, next);
    now = next;
    if (std::binary_search(checkpoints.begin(), checkpoints.end(), done))
      replace(sizes.halve(done, best.loss), now, best);
  }
  return worst;
}

void ApgdOptions::fields(OptionVisitor& v) {
  v.integer("steps", steps, "gradient steps of a run", 1, 100000);
  v.integer("restarts", restarts, "runs from different starts on the images that still resist", 1, 1000);
}

void apgd_restarted(const ApgdOptions& options,
                    const std::function<SampleObjective(const at::Tensor& rows)>& objective_of,
                    const at::Tensor& x, double epsilon, const Rng& rng, bool rank_by_margin,
                    Candidates& worst) {
  for (int64_t restart = 0; restart < options.restarts; ++restart) {
    const at::Tensor rows = unreached_rows(worst.margin);
    if (rows.numel() == 0) return;
    const at::Tensor centre = take_rows(x, rows);
    const at::Tensor start =
        random_start(rng.fork("restart", static_cast<uint64_t>(restart)), centre, epsilon);
    Candidates found = apgd(objective_of(rows), centre, start, epsilon, options.steps);
    if (rank_by_margin) found.loss = found.margin;
    keep_worst_rows(worst, rows, found);
  }
}

}  // namespace gw::inline train
