#include "stats/em.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "stats/experts_gaussian.h"
#include "stats/linear_algebra.h"
#include "stats/score.h"

namespace gw::stats {

/// Columns of one block, not filled: clearing them would take as long as a tenth of a block's work.
struct EmProblem::Workspace {
  Block block;
  AlignedVector storage;
  double *score, *joint, *scratch, *gate_scratch;
  Workspace(int64_t experts, int64_t columns, int64_t gate_columns)
      : storage(static_cast<size_t>((2 * experts + columns + gate_columns) * Block::kStride)), score(storage.data()),
        joint(score + experts * Block::kStride), scratch(joint + experts * Block::kStride), gate_scratch(scratch + columns * Block::kStride) {}
};

namespace {

const double* ones() {
  static const AlignedVector values(Block::kStride, 1.0);
  return values.data();
}

void add(std::vector<double>& to, const std::vector<double>& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

}  // namespace

EmProblem::EmProblem(const Design& design, const MixtureSpec& spec, const FitOptions& options)
    : design_(design), spec_(spec), options_(options), gate_(make_gate_step(spec, design, options)), expert_(make_expert_step(spec, design, options)) {
  if (!gate_->jumps()) return;
  MixtureSpec soft = spec;
  soft.gate.kind = GateKind::kSoftmax;
  soft_ = std::make_unique<EmProblem>(design, soft, options);
}

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
  gate_->scores(block, p, w.score);
  expert_->densities(block, p, w.joint, w.scratch);
  sums.log_likelihood += ops::mixture_posterior(w.score, w.joint, Block::kStride, spec_.experts, block.weight(), block.rows);
  gate_->accumulate(block, p, w.score, w.joint, w.gate_scratch, sums.gate.data());
  expert_->accumulate(block, p, w.joint, w.scratch, sums.expert.data());
  const double* one = ones();
  for (int64_t k = 0; k < spec_.experts; ++k) {
    ops::mixture_sums(w.joint + k * Block::kStride, {&one, 1, block.rows}, &sums.mass[static_cast<size_t>(k)]);
  }
}

// One reading of the data: each block stays in the nearest caches from its scores to its last moment.
EmProblem::Sums EmProblem::pass(const MixtureParameters& p) const {
  const Chunks chunks(design_.padded);
  std::vector<Sums> parts(static_cast<size_t>(chunks.count()));
  parallel_for(chunks.count(), [&](int64_t c) {
    Workspace workspace(spec_.experts, expert_->scratch(), gate_->scratch());
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

double EmProblem::least_mass() const {
  const double rows = options_.least_rows > 0 ? options_.least_rows : 2 * static_cast<double>(design_.input.size() + 2);
  return rows * design_.total_weight / static_cast<double>(design_.rows);
}

double EmProblem::penalty(const MixtureParameters& p) const {
  const auto square = [](const std::vector<double>& values) { return std::inner_product(values.begin(), values.end(), values.begin(), 0.0); };
  return 0.5 * ((gate_->ridged() ? options_.gate_ridge * square(p.gate_slope) : 0) + expert_->ridge() * square(p.slope));
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

EmProblem::State EmProblem::examine(MixtureParameters parameters) const {
  State state{std::move(parameters), {}, 0};
  state.sums = pass(state.parameters);
  state.objective = state.sums.log_likelihood - penalty(state.parameters);
  return state;
}

double EmProblem::rounding(const State& state) const { return 1e-13 * (std::abs(state.objective) + design_.total_weight); }

// Shortens the way to the target until the objective does not fall. The last try leaves what may overshoot as it is: experts in closed
// form cannot lower the likelihood on their own.
bool EmProblem::try_target(const MixtureParameters& target, int tries, State& state) const {
  double share = 1;
  for (int i = 0; i < tries; ++i, share *= 0.5) {
    State next = examine(blend(state.parameters, target, i + 1 < tries ? share : 0.0));
    if (!options_.all_iterations && !(next.objective - state.objective >= -rounding(state))) continue;
    state = std::move(next);
    return true;
  }
  return false;
}

bool EmProblem::advance(State& state) const {
  constexpr int kTries = 20, kTriesAcross = 8;
  MixtureParameters target = state.parameters;
  gate_->update(state.parameters, state.sums.gate.data(), target);
  expert_->update(state.parameters, state.sums.expert.data(), target);
  if (!soft_) return try_target(target, kTries, state);
  // Two ways on: within the present choice of experts, and where a gate without jumps would go; the higher end wins.
  State within = state, across = state;
  const bool moved_within = try_target(target, kTries, within);
  const State soft = soft_->examine(state.parameters);
  soft_->gate_->update(state.parameters, soft.sums.gate.data(), target);
  const bool moved_across = try_target(target, kTriesAcross, across);
  if (moved_across && (!moved_within || across.objective > within.objective)) {
    state = std::move(across);
  } else if (moved_within) {
    state = std::move(within);
  }
  return moved_within || moved_across;
}

// Where no slope leads on, a gate that jumps may still rise by a small change of one coefficient: rows change sides one by one.
bool EmProblem::search_gate(State& state) const {
  const double before = state.objective;
  for (double width = 0.5; width > 1e-4; width *= 0.25) {
    for (auto member : {&MixtureParameters::gate_bias, &MixtureParameters::gate_slope}) {
      const size_t free = (state.parameters.*member).size() / static_cast<size_t>(spec_.experts) * static_cast<size_t>(spec_.experts - 1);
      for (size_t i = 0; i < free; ++i) {
        for (const double sign : {-1.0, 1.0}) {
          MixtureParameters moved = state.parameters;
          (moved.*member)[i] += sign * width * std::max(1.0, std::abs((moved.*member)[i]));
          State next = examine(std::move(moved));
          if (next.objective > state.objective + rounding(state)) state = std::move(next);
        }
      }
    }
  }
  return state.objective > before;
}

// Squared extrapolation (Varadhan & Roland 2008): from three points of the iteration guesses where it is going; kept only if higher.
// Weakly identified mixtures creep: where plain iterations take thousands, this takes tens.
void EmProblem::extrapolate(const std::vector<double>& first, const std::vector<double>& second, State& state) const {
  const auto third = flatten(state.parameters);
  double move = 0, bend = 0;
  for (size_t i = 0; i < third.size(); ++i) {
    const double r = second[i] - first[i], v = third[i] - second[i] - r;
    move += r * r, bend += v * v;
  }
  if (!(bend > 0)) return;
  constexpr double kFarthest = 256;
  for (double length = std::min(std::sqrt(move / bend), kFarthest); length > 1.5; length = std::min(length / 8, 4.0)) {
    std::vector<double> guess(third.size());
    for (size_t i = 0; i < third.size(); ++i) {
      const double r = second[i] - first[i], v = third[i] - second[i] - r;
      guess[i] = first[i] + 2 * length * r + length * length * v;
    }
    State next = examine(unflatten(guess));
    if (next.objective > state.objective) {
      state = std::move(next);
      return;
    }
    if (length <= 4) return;
  }
}

EmRun EmProblem::run(const MixtureParameters& start, int64_t iterations, double tolerance, const std::function<bool(const EmRun&)>& tick) const {
  EmRun run;
  State state = examine(start);
  const bool extrapolates = options_.accelerate && !soft_;
  std::vector<double> first = flatten(start), second;
  double last_gain = 0;
  while (run.iterations < iterations && !run.converged) {
    const double before = state.objective;
    if (!advance(state)) {  // no step rises: this is the maximum, up to rounding
      run.converged = !soft_ || !search_gate(state);
      if (run.converged) break;
    }
    double gain = state.objective - before;
    run.converged = !options_.all_iterations && is_small(gain, last_gain, tolerance, state);
    if (run.converged && soft_ && search_gate(state)) {
      gain = state.objective - before;
      run.converged = gain < tolerance * (std::abs(state.objective) + 1);
    }
    last_gain = gain;
    if (second.empty()) {
      second = flatten(state.parameters);
    } else if (extrapolates && !run.converged) {
      extrapolate(first, second, state);
      first = flatten(state.parameters), second.clear();
      last_gain = 0;
    }
    ++run.iterations;
    run.trace.push_back(state.objective);
    run.log_likelihood = state.sums.log_likelihood, run.objective = state.objective;
    if (tick && !tick(run)) break;
  }
  run.parameters = std::move(state.parameters), run.objective = state.objective;
  run.log_likelihood = state.sums.log_likelihood, run.mass = std::move(state.sums.mass);
  return run;
}

double EmProblem::objective(MixtureParameters& p) const {
  for (auto& value : p.scale) value = std::max(value, options_.min_scale);
  for (auto& value : p.freedom) value = std::clamp(value, kLeastFreedom, kMostFreedom);
  return examine(p).objective;
}

void EmProblem::climb(const DataView& data, int64_t steps, EmRun& run) const {
  for (int64_t i = 0; i < steps; ++i) {
    const MixtureParameters here = design_.to_data(run.parameters);
    const auto sums = score_sums(spec_, here, data, Products::kWeighted);
    const auto direction = solve(sums.outer, sums.gradient);
    const auto at = to_vector(spec_, here);
    const double before = run.objective;
    for (double share = 1; share > 1e-2 && run.objective <= before; share *= 0.5) {
      auto moved = at;
      for (size_t j = 0; j < at.size(); ++j) moved[j] += share * direction[j];
      MixtureParameters candidate = design_.to_standard(from_vector(spec_, design_.d, moved));
      const double value = objective(candidate);
      if (value > before) run.parameters = std::move(candidate), run.objective = value;
    }
    if (run.objective <= before) return;
    run.trace.push_back(run.objective);
    ++run.iterations;
  }
}

// Gains shrink by a constant factor in the end: what remains is a geometric series. Two gains are needed to know the factor.
bool EmProblem::is_small(double gain, double last_gain, double tolerance, const State& state) const {
  if (gain <= rounding(state)) return true;
  if (last_gain <= 0) return false;
  const double factor = std::min(gain / last_gain, 0.9999);
  return gain / (1 - factor) < tolerance * (std::abs(state.objective) + 1);
}

// Positive parameters as logarithms: any extrapolation of them is valid.
std::vector<double> EmProblem::flatten(const MixtureParameters& p) const {
  std::vector<double> flat;
  for (const auto* list : {&p.gate_bias, &p.gate_slope, &p.intercept, &p.slope}) flat.insert(flat.end(), list->begin(), list->end());
  for (const auto* list : {&p.scale, &p.freedom}) {
    for (const double value : *list) flat.push_back(std::log(value));
  }
  flat.push_back(std::log(p.temperature));
  return flat;
}

MixtureParameters EmProblem::unflatten(const std::vector<double>& flat) const {
  MixtureParameters p = make_parameters(spec_, design_.d);
  auto next = flat.begin();
  for (auto* list : {&p.gate_bias, &p.gate_slope, &p.intercept, &p.slope}) {
    std::copy_n(next, list->size(), list->begin());
    next += static_cast<std::ptrdiff_t>(list->size());
  }
  for (auto& value : p.scale) value = std::max(std::exp(*next++), options_.min_scale);
  for (auto& value : p.freedom) value = std::clamp(std::exp(*next++), kLeastFreedom, kMostFreedom);
  p.temperature = std::exp(*next);
  return p;
}

std::vector<double> EmProblem::label_sums(const ExpertStep& step, const MixtureParameters& p, const std::vector<int32_t>& label) const {
  constexpr double kOwn = 0.9;
  const double other = spec_.experts > 1 ? (1 - kOwn) / static_cast<double>(spec_.experts - 1) : 0;
  const Chunks chunks(design_.padded);
  std::vector<std::vector<double>> parts(static_cast<size_t>(chunks.count()), std::vector<double>(static_cast<size_t>(step.sums()), 0.0));
  parallel_for(chunks.count(), [&](int64_t c) {
    Workspace w(spec_.experts, step.scratch(), 0);
    for (int64_t begin = chunks.begin(c); begin < chunks.end(c); begin += Block::kStride) {
      fill_block(begin, std::min(begin + Block::kStride, chunks.end(c)), w);
      step.densities(w.block, p, w.joint, w.scratch);
      for (int64_t r = 0; r < w.block.rows; ++r) {
        const int64_t own = begin + r < design_.rows ? label[static_cast<size_t>(begin + r)] : 0;
        for (int64_t k = 0; k < spec_.experts; ++k) {
          w.joint[k * Block::kStride + r] = w.block.weight()[r] * (k == own || spec_.experts == 1 ? kOwn : other);
        }
      }
      step.accumulate(w.block, p, w.joint, w.scratch, parts[static_cast<size_t>(c)].data());
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
