#pragma once
// The loop of expectation and maximisation over standardised data.
#include <functional>
#include <limits>

#include "gatewright/likelihood/parameter_codec.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {

/// One run.
struct EmRun {
  MixtureParameters parameters;  ///< for standardised data
  double objective =
      -std::numeric_limits<double>::infinity();  ///< penalised log-likelihood of the standardised data
  double log_likelihood = -std::numeric_limits<double>::infinity();
  int64_t iterations = 0;
  bool converged = false;
  std::vector<double> trace;  ///< objective after each iteration
  std::vector<double> mass;   ///< posterior weight of each expert
};

/// Steps and data of one model. Thread-safe once made.
class EmProblem {
 public:
  EmProblem(const Design& design, const MixtureSpec& spec, const FitOptions& options);

  /// Runs from `start` until the expected rest of the way is below `tolerance` of the objective, or for
  /// `iterations`.
  /// `tick` is called after each iteration with the run so far; false ends it. Without one, `options().stop`
  /// is asked.
  using Tick = std::function<bool(const EmRun&)>;
  EmRun run(const MixtureParameters& start, int64_t iterations, double tolerance,
            const Tick& tick = {}) const;

  /// The penalised log-likelihood of standardised parameters, which are moved into their bounds first.
  double objective(MixtureParameters& parameters) const;
  /// Steps of score over outer products (Berndt, Hall, Hall, Hausman 1974) from where `run` ended, for
  /// likelihoods so flat that iterations creep: near the maximum of a model that fits, a step costs one pass
  /// and squares the distance by a factor of about 1/sqrt(n).
  /// `data`: the rows behind the design.
  void bhhh_steps(const DataView& data, int64_t steps, EmRun& run) const;

  /// Parameters that follow from a partition of the rows (`label` in 0 … experts-1 for each): each
  /// expert is fitted to its own rows at weight 0.9 and to the others at 0.1; gates are constant.
  MixtureParameters from_labels(const std::vector<int32_t>& label) const;

  /// The mass below which an expert has died: it fits its few rows by chance (four of 400 rows that lie on a
  /// plane gain more likelihood than a whole true expert).
  double least_mass() const;

  /// The model with all experts active: of use for top-k starts. Null where gates do not jump.
  const EmProblem* soft() const { return soft_.get(); }
  const Design& design() const { return design_; }
  const MixtureSpec& spec() const { return spec_; }
  const FitOptions& options() const { return options_; }

 private:
  /// Of one pass, side by side: the log-likelihood, the experts' masses, what the gate sums, what the experts
  /// sum.
  using Sums = std::vector<double>;
  struct Workspace;
  struct State {  // where a run is: parameters, what the last pass over the data summed, and the objective
    MixtureParameters parameters;
    Sums sums;
    double objective = 0;
  };
  void pass(const MixtureParameters& parameters, Sums& total) const;
  void evaluate(State& state) const;  ///< fills the sums and the objective of its parameters
  State evaluated(MixtureParameters parameters) const;
  EmRun iterate(const MixtureParameters& start, int64_t iterations, double tolerance, const Tick& tick) const;
  // `spare` and `target` are memory that is used again from one iteration to the next.
  bool try_target(const MixtureParameters& target, int tries, State& state, State& spare) const;
  bool advance(State& state, State& spare, MixtureParameters& target) const;
  bool search_gate(State& state) const;
  void extrapolate(const std::vector<double>& first, const std::vector<double>& second, State& state) const;
  bool is_small(double gain, double last_gain, double tolerance, const State& state) const;
  double rounding(const State& state) const;
  void move_into_bounds(MixtureParameters& parameters) const;
  MixtureParameters decoded(const std::vector<double>& values) const;
  void pass_block(const MixtureParameters& parameters, Workspace& workspace, double* sums) const;
  void fill_block(int64_t begin, int64_t end, Workspace& workspace) const;
  std::vector<double> label_sums(const ExpertStep& step, const MixtureParameters& parameters,
                                 const std::vector<int32_t>& label) const;
  double penalty(const MixtureParameters& parameters) const;
  void blend(const MixtureParameters& from, const MixtureParameters& to, double share,
             MixtureParameters& result) const;

  const Design& design_;
  MixtureSpec spec_;
  FitOptions options_;
  ParameterCodec codec_;
  std::unique_ptr<GateStep> gate_;
  std::unique_ptr<ExpertStep> expert_;
  size_t gate_at_, expert_at_, sums_;  // places among the sums, and how many there are
  std::unique_ptr<EmProblem>
      soft_;  // where gates jump: the same model with a softmax gate, which sees across the borders
};

}  // namespace gw::likelihood
