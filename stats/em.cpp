#include "stats/em.h"

#include <algorithm>
#include <cmath>

#include "stats/experts_gaussian.h"

namespace gw::stats {

struct EmProblem::Workspace {
  Block block;
  std::vector<double> score, joint, scratch;
  explicit Workspace(int64_t experts)
      : score(static_cast<size_t>(experts * Block::kStride)), joint(score.size()), scratch(kScratchColumns * Block::kStride) {}
};

namespace {

const double* ones() {
  static const std::vector<double> values(Block::kStride, 1.0);
  return values.data();
}

void add(std::vector<double>& to, const std::vector<double>& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

}  // namespace

EmProblem::EmProblem(const Design& design, const MixtureSpec& spec, const FitOptions& options)
    : design_(design), spec_(spec), options_(options), gate_(make_gate_step(spec, design, options)), expert_(make_expert_step(spec, design, options)) {}

EmProblem::Sums EmProblem::empty_sums() const {
  const auto zeros = [](int64_t count) { return std::vector<double>(static_cast<size_t>(count), 0.0); };
  return {0, zeros(spec_.experts), zeros(gate_->sums()), zeros(expert_->sums())};
}

void EmProblem::fill_block(int64_t begin, int64_t end, Workspace& w) const {
  auto& block = w.block;
  block.design = &design_, block.begin = begin, block.rows = end - begin;
  const auto fill = [&](std::vector<const double*>& to, const std::vector<const double*>& columns) {
    to.assign(1, ones());
    for (const double* column : columns) to.push_back(column + begin);
  };
  fill(block.gate, design_.gate_input);
  fill(block.input, design_.input);
  block.input.push_back(design_.y + begin);
}

void EmProblem::pass_block(const MixtureParameters& p, Workspace& w, Sums& sums) const {
  const auto& block = w.block;
  gate_->scores(block, p, w.score.data());
  expert_->densities(block, p, w.joint.data());
  sums.log_likelihood += ops::mixture_posterior(w.score.data(), w.joint.data(), Block::kStride, spec_.experts, block.weight(), block.rows);
  gate_->accumulate(block, p, w.score.data(), w.joint.data(), w.scratch.data(), sums.gate.data());
  expert_->accumulate(block, p, w.joint.data(), w.scratch.data(), sums.expert.data());
  const double* one = ones();
  for (int64_t k = 0; k < spec_.experts; ++k) {
    ops::mixture_sums(w.joint.data() + k * Block::kStride, {&one, 1, block.rows}, &sums.mass[static_cast<size_t>(k)]);
  }
}

// One reading of the data: each block stays in the nearest caches from its scores to its last moment.
EmProblem::Sums EmProblem::pass(const MixtureParameters& p) const {
  const Chunks chunks(design_.padded);
  std::vector<Sums> parts(static_cast<size_t>(chunks.count()));
  parallel_for(chunks.count(), [&](int64_t c) {
    Workspace workspace(spec_.experts);
    auto& sums = parts[static_cast<size_t>(c)] = empty_sums();
    for (int64_t begin = chunks.begin(c); begin < chunks.end(c); begin += Block::kStride) {
      fill_block(begin, std::min(begin + Block::kStride, chunks.end(c)), workspace);
      pass_block(p, workspace, sums);
    }
  });
  Sums total = std::move(parts.front());
  for (size_t c = 1; c < parts.size(); ++c) {
    total.log_likelihood += parts[c].log_likelihood;
    add(total.mass, parts[c].mass), add(total.gate, parts[c].gate), add(total.expert, parts[c].expert);
  }
  return total;
}

double EmProblem::penalty(const MixtureParameters& p) const {
  double square = 0;
  for (const double slope : p.gate_slope) square += slope * slope;
  return 0.5 * options_.gate_ridge * square;
}

MixtureParameters EmProblem::blend(const MixtureParameters& from, const MixtureParameters& to, double share) const {
  MixtureParameters result = to;
  const auto mix = [&](const std::vector<double>& a, const std::vector<double>& b, std::vector<double>& out) {
    for (size_t i = 0; i < a.size(); ++i) out[i] = a[i] + share * (b[i] - a[i]);
  };
  mix(from.gate_bias, to.gate_bias, result.gate_bias);
  mix(from.gate_slope, to.gate_slope, result.gate_slope);
  result.temperature = from.temperature * std::pow(to.temperature / from.temperature, share);
  if (expert_->may_overshoot()) {
    mix(from.intercept, to.intercept, result.intercept);
    mix(from.slope, to.slope, result.slope);
  }
  return result;
}

EmRun EmProblem::run(const MixtureParameters& start, int64_t iterations, double tolerance, const std::function<bool(const EmRun&)>& tick) const {
  constexpr int kHalvings = 20;
  EmRun run;
  run.parameters = start;
  Sums sums = pass(start);
  run.objective = sums.log_likelihood - penalty(start);
  double last_gain = 0;
  while (run.iterations < iterations && !run.converged) {
    MixtureParameters target = run.parameters;
    gate_->update(run.parameters, sums.gate.data(), target);
    expert_->update(run.parameters, sums.expert.data(), target);
    const double rounding = 1e-13 * (std::abs(run.objective) + design_.total_weight);
    double share = 1, gain = 0;
    int halving = 0;
    for (; halving < kHalvings; ++halving, share *= 0.5) {
      // The last try leaves gates as they are: closed-form experts alone cannot lower the likelihood.
      const auto candidate = blend(run.parameters, target, halving + 1 < kHalvings ? share : 0.0);
      Sums next = pass(candidate);
      gain = next.log_likelihood - penalty(candidate) - run.objective;
      if (!(gain >= -rounding)) continue;
      run.parameters = candidate, run.objective += gain;
      sums = std::move(next);
      break;
    }
    if (halving == kHalvings) {  // no step rises: this is the maximum, up to rounding
      run.converged = true;
      break;
    }
    ++run.iterations;
    run.trace.push_back(run.objective);
    // Gains shrink by a constant factor in the end: what remains is a geometric series.
    const double factor = last_gain > 0 ? std::min(std::max(gain / last_gain, 0.0), 0.999) : 0.999;
    run.converged = std::max(gain, 0.0) / (1 - factor) < tolerance * (std::abs(run.objective) + 1);
    last_gain = gain;
    run.log_likelihood = sums.log_likelihood, run.mass = sums.mass;
    if (tick && !tick(run)) break;
  }
  run.log_likelihood = sums.log_likelihood, run.mass = sums.mass;
  return run;
}

std::vector<double> EmProblem::label_sums(const ExpertStep& step, const MixtureParameters& p, const std::vector<int32_t>& label) const {
  constexpr double kOwn = 0.9;
  const double other = spec_.experts > 1 ? (1 - kOwn) / static_cast<double>(spec_.experts - 1) : 0;
  const Chunks chunks(design_.padded);
  std::vector<std::vector<double>> parts(static_cast<size_t>(chunks.count()), std::vector<double>(static_cast<size_t>(step.sums()), 0.0));
  parallel_for(chunks.count(), [&](int64_t c) {
    Workspace w(spec_.experts);
    for (int64_t begin = chunks.begin(c); begin < chunks.end(c); begin += Block::kStride) {
      fill_block(begin, std::min(begin + Block::kStride, chunks.end(c)), w);
      for (int64_t r = 0; r < w.block.rows; ++r) {
        const int64_t own = begin + r < design_.rows ? label[static_cast<size_t>(begin + r)] : 0;
        for (int64_t k = 0; k < spec_.experts; ++k) {
          w.joint[static_cast<size_t>(k * Block::kStride + r)] = w.block.weight()[r] * (k == own || spec_.experts == 1 ? kOwn : other);
        }
      }
      step.accumulate(w.block, p, w.joint.data(), w.scratch.data(), parts[static_cast<size_t>(c)].data());
    }
  });
  for (size_t c = 1; c < parts.size(); ++c) add(parts.front(), parts[c]);
  return parts.front();
}

MixtureParameters EmProblem::from_labels(const std::vector<int32_t>& label) const {
  MixtureParameters p = make_parameters(spec_, design_.d);
  std::vector<double> mass(static_cast<size_t>(spec_.experts), 1e-3 * design_.total_weight);
  for (int64_t i = 0; i < design_.rows; ++i) mass[static_cast<size_t>(label[static_cast<size_t>(i)])] += design_.weight[i];
  for (size_t k = 0; k < mass.size(); ++k) p.gate_bias[k] = std::log(mass[k] / mass.back());
  // Least squares starts every family that has a residual; classes take a few Newton steps from even odds.
  const bool classes = spec_.family == Family::kMultinomial;
  const GaussianStep normal(spec_, design_, options_);
  const ExpertStep& step = classes ? *expert_ : static_cast<const ExpertStep&>(normal);
  for (int round = 0; round < (classes ? 4 : 1); ++round) {
    MixtureParameters target = p;
    step.update(p, label_sums(step, p, label).data(), target);
    p = target;
  }
  return p;
}

}  // namespace gw::stats
