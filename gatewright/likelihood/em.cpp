#include "gatewright/likelihood/em.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "gatewright/likelihood/experts_gaussian.h"
#include "gatewright/likelihood/linear_algebra.h"
#include "gatewright/likelihood/score.h"

namespace gw::likelihood {

EmProblem::EmProblem(const Design& design, const MixtureSpec& spec, const FitOptions& options)
    : design_(design),
      spec_(spec),
      options_(options),
      codec_(spec, design.d, ParameterCodec::LastGate::kWhole, ParameterCodec::Order::kByKind),
      gate_(make_gate_step(spec, design, options)),
      expert_(make_expert_step(spec, design, options)),
      gate_at_(static_cast<size_t>(1 + spec.experts)),
      expert_at_(gate_at_ + static_cast<size_t>(gate_->sums())),
      sums_(expert_at_ + static_cast<size_t>(expert_->sums())) {
  if (!gate_->jumps()) return;
  MixtureSpec soft = spec;
  soft.gate.kind = GateKind("softmax");
  soft_ = std::make_unique<EmProblem>(design, soft, options);
}

double EmProblem::least_mass() const {
  const double rows =
      options_.least_rows > 0 ? options_.least_rows : 2 * static_cast<double>(design_.input.size() + 2);
  return rows / design_.row_unit;
}

double EmProblem::penalty(const MixtureParameters& p) const {
  const auto square = [](const std::vector<double>& values) {
    return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
  };
  return 0.5 * ((gate_->ridged() ? options_.gate_ridge / design_.row_unit * square(p.gate_slope) : 0) +
                expert_->ridge() * square(p.slope));
}

void EmProblem::blend(const MixtureParameters& from, const MixtureParameters& to, double share,
                      MixtureParameters& result) const {
  result = to;
  if (share == 1) return;
  const auto mix = [&](const std::vector<double>& a, const std::vector<double>& b, std::vector<double>& out) {
    for (size_t i = 0; i < a.size(); ++i) out[i] = a[i] + share * (b[i] - a[i]);
  };
  mix(from.gate_bias, to.gate_bias, result.gate_bias);
  mix(from.gate_slope, to.gate_slope, result.gate_slope);
  result.temperature = from.temperature * std::pow(to.temperature / from.temperature, share);
  for (size_t e = 0; e < to.freedom.size(); ++e)
    result.freedom[e] = from.freedom[e] * std::pow(to.freedom[e] / from.freedom[e], share);
  if (expert_->may_overshoot()) {
    mix(from.intercept, to.intercept, result.intercept);
    mix(from.slope, to.slope, result.slope);
  }
}

void EmProblem::evaluate(State& state) const {
  pass(state.parameters, state.sums);
  state.objective = state.sums[0] - penalty(state.parameters);
}

EmProblem::State EmProblem::evaluated(MixtureParameters parameters) const {
  State state{std::move(parameters), {}, 0};
  evaluate(state);
  return state;
}

double EmProblem::rounding(const State& state) const {
  return 1e-13 * (std::abs(state.objective) + design_.total_weight);
}

// Shortens the way to the target until the objective does not fall. The last try leaves what may overshoot as
// it is: experts in closed form cannot lower the likelihood on their own.
bool EmProblem::try_target(const MixtureParameters& target, int tries, State& state, State& spare) const {
  double share = 1;
  for (int i = 0; i < tries; ++i, share *= 0.5) {
    blend(state.parameters, target, i + 1 < tries ? share : 0.0, spare.parameters);
    evaluate(spare);
    if (!options_.all_iterations && !(spare.objective - state.objective >= -rounding(state))) continue;
    std::swap(state, spare);
    return true;
  }
  return false;
}

bool EmProblem::advance(State& state, State& spare, MixtureParameters& target) const {
  constexpr int kTries = 20, kTriesAcross = 8;
  target = state.parameters;
  gate_->update(state.parameters, state.sums.data() + gate_at_, target);
  expert_->update(state.parameters, state.sums.data() + expert_at_, target);
  if (!soft_) return try_target(target, kTries, state, spare);
  // Two ways on: within the present choice of experts, and where a gate without jumps would go; the higher
  // end wins.
  State within = state, across = state;
  const bool moved_within = try_target(target, kTries, within, spare);
  const State soft = soft_->evaluated(state.parameters);
  soft_->gate_->update(state.parameters, soft.sums.data() + soft_->gate_at_, target);
  const bool moved_across = try_target(target, kTriesAcross, across, spare);
  if (moved_across && (!moved_within || across.objective > within.objective)) {
    state = std::move(across);
  } else if (moved_within) {
    state = std::move(within);
  }
  return moved_within || moved_across;
}

// Where no slope leads on, a gate that jumps may still rise by a small change of one coefficient: rows change
// sides one by one.
bool EmProblem::search_gate(State& state) const {
  const double before = state.objective;
  for (double width = 0.5; width > 1e-4; width *= 0.25) {
    for (auto member : {&MixtureParameters::gate_bias, &MixtureParameters::gate_slope}) {
      const size_t free = (state.parameters.*member).size() / static_cast<size_t>(spec_.experts) *
                          static_cast<size_t>(spec_.experts - 1);
      for (size_t i = 0; i < free; ++i) {
        for (const double sign : {-1.0, 1.0}) {
          MixtureParameters moved = state.parameters;
          (moved.*member)[i] += sign * width * std::max(1.0, std::abs((moved.*member)[i]));
          State next = evaluated(std::move(moved));
          if (next.objective > state.objective + rounding(state)) state = std::move(next);
        }
      }
    }
  }
  return state.objective > before;
}

// Squared extrapolation (Varadhan & Roland 2008): from three points of the iteration guesses where it is
// going; kept only if higher.
// Weakly identified mixtures creep: where plain iterations take thousands, this takes tens.
void EmProblem::extrapolate(const std::vector<double>& first, const std::vector<double>& second,
                            State& state) const {
  const auto third = codec_.encode(state.parameters);
  double move = 0, bend = 0;
  for (size_t i = 0; i < third.size(); ++i) {
    const double r = second[i] - first[i], v = third[i] - second[i] - r;
    move += r * r, bend += v * v;
  }
  if (!(bend > 0)) return;
  constexpr double kFarthest = 256;
  for (double length = std::min(std::sqrt(move / bend), kFarthest); length > 1.5;
       length = std::min(length / 8, 4.0)) {
    std::vector<double> guess(third.size());
    for (size_t i = 0; i < third.size(); ++i) {
      const double r = second[i] - first[i], v = third[i] - second[i] - r;
      guess[i] = first[i] + 2 * length * r + length * length * v;
    }
    State next = evaluated(decoded(guess));
    if (next.objective > state.objective) {
      state = std::move(next);
      return;
    }
    if (length <= 4) return;
  }
}

EmRun EmProblem::run(const MixtureParameters& start, int64_t iterations, double tolerance,
                     const Tick& tick) const {
  EmRun result;
  ThreadPool::keep([&] { result = iterate(start, iterations, tolerance, tick); });
  return result;
}

EmRun EmProblem::iterate(const MixtureParameters& start, int64_t iterations, double tolerance,
                         const Tick& tick) const {
  EmRun run;
  State state = evaluated(start), spare;
  MixtureParameters target;
  const bool extrapolates = options_.accelerate && !soft_;
  std::vector<double> first = codec_.encode(start), second;
  double last_gain = 0;
  while (run.iterations < iterations && !run.converged) {
    const double before = state.objective;
    if (!advance(state, spare, target)) {  // no step rises: this is the maximum, up to rounding
      run.converged = !soft_ || !search_gate(state);
      if (run.converged) break;
    }
    double gain = state.objective - before;
    run.converged = !options_.all_iterations && is_small(gain, last_gain, tolerance, state);
    if (run.converged && soft_ && search_gate(state)) {
      gain = state.objective - before;
      run.converged = gain < tolerance * (std::abs(state.objective) + 1 / design_.row_unit);
    }
    last_gain = gain;
    if (second.empty()) {
      second = codec_.encode(state.parameters);
    } else if (extrapolates && !run.converged) {
      extrapolate(first, second, state);
      first = codec_.encode(state.parameters), second.clear();
      last_gain = 0;
    }
    ++run.iterations;
    run.trace.push_back(state.objective);
    run.log_likelihood = state.sums[0], run.objective = state.objective;
    const bool ends = tick ? !tick(run) : options_.stop.requested();
    if (ends) break;
  }
  run.parameters = std::move(state.parameters), run.objective = state.objective;
  run.log_likelihood = state.sums[0],
  run.mass.assign(state.sums.begin() + 1,
                  state.sums.begin() + 1 + static_cast<std::ptrdiff_t>(spec_.experts));
  return run;
}

void EmProblem::move_into_bounds(MixtureParameters& p) const {
  for (auto& value : p.scale) value = std::max(value, options_.min_scale);
  const auto shape = spec_.family->shape();
  for (auto& value : p.freedom) value = std::clamp(value, shape->least, shape->most);
}

double EmProblem::objective(MixtureParameters& p) const {
  move_into_bounds(p);
  return evaluated(p).objective;
}

MixtureParameters EmProblem::decoded(const std::vector<double>& values) const {
  MixtureParameters p = make_parameters(spec_, design_.d);
  codec_.decode(values, p);
  move_into_bounds(p);
  return p;
}

void EmProblem::bhhh_steps(const DataView& data, int64_t steps, EmRun& run) const {
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

// Gains shrink by a constant factor in the end: what remains is a geometric series. Two gains are needed to
// know the factor.
bool EmProblem::is_small(double gain, double last_gain, double tolerance, const State& state) const {
  if (gain <= rounding(state)) return true;
  if (last_gain <= 0) return false;
  const double factor = std::min(gain / last_gain, 0.9999);
  return gain / (1 - factor) < tolerance * (std::abs(state.objective) + 1 / design_.row_unit);
}

MixtureParameters EmProblem::from_labels(const std::vector<int32_t>& label) const {
  MixtureParameters p = make_parameters(spec_, design_.d);
  std::vector<double> mass(static_cast<size_t>(spec_.experts), 1e-3 * design_.total_weight);
  for (int64_t i = 0; i < design_.rows; ++i)
    mass[static_cast<size_t>(label[static_cast<size_t>(i)])] += design_.weight[i];
  for (size_t k = 0; k < mass.size(); ++k) p.gate_bias[k] = std::log(mass[k] / mass.back());
  // Least squares starts every family that has a residual; classes take a few Newton steps from even odds.
  const bool classes = spec_.family->classes();
  const GaussianStep normal(spec_, design_, options_);
  const ExpertStep& step = classes ? *expert_ : static_cast<const ExpertStep&>(normal);
  for (int round = 0; round < (classes ? 4 : 1); ++round) {
    MixtureParameters target = p;
    step.update(p, label_sums(step, p, label).data(), target);
    p = target;
  }
  return p;
}

}  // namespace gw::likelihood
