#include <cmath>
#include <map>

#include "gatewright/base/check.h"
#include "gatewright/likelihood/experiment.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/theory/divergence.h"
#include "gatewright/likelihood/theory/local_mle.h"
#include "gatewright/likelihood/theory/model_options.h"
#include "gatewright/likelihood/theory/voronoi.h"

namespace gw::likelihood {
namespace {

/// How fast a maximum likelihood estimate approaches the truth as the sample grows: fits from starts near the
/// truth, so that what is measured is statistics and not the search for a maximum.
/// Math:    curves over n: loss (Voronoi loss of the fit), hellinger and kl (distance of the conditional
///          densities, by quadrature), single.<coordinate> and multiple.<coordinate> (largest error in cells
///          of one atom and of several), weighted.<coordinate> (mean by weight in cells of several),
///          temperature_ratio (|b1/T − b1*/T*| of the first expert, dense-to-sparse gates). Scalar:
///          converged.
/// Shapes:  one input column; n rows for every n of `sizes`, `replications` samples each.
/// Errors:  ValueError for a truth whose lists do not fit each other, for more input columns than 1, or for
///          fewer experts than true ones.
/// Cost:    replications · sum of n · starts · iterations · (experts · parameters + parameters²) flop.
/// Source:  simulations of Nguyen, Nguyen, Ho 2023, arXiv 2305.03288, section 4; differs: Newton steps
///          instead of EM, medians over replications instead of means, shared weights of copied starts.
class NearTruth : public Experiment {
 public:
  static constexpr const char* kSummary =
      "rate of a maximum likelihood fit from starts near the truth, over growing samples";
  static constexpr const char* kSource = "Nguyen, Nguyen, Ho 2023, arXiv 2305.03288";
  struct Options : OptionSet {
    Nested<TruthOptions> truth{Json{{"gate_bias", {0, 0}},
                                    {"gate_slope", {2, 0}},
                                    {"intercept", {1, -1}},
                                    {"slope", {-1, 1}},
                                    {"scale", {0.3, 0.3}}}};
    Nested<FittedOptions> fit;
    Nested<InputDistributionOptions> design;
    Nested<StartNoiseOptions> start;
    std::string loss = "exact";
    std::vector<double> sizes = {200, 800};
    int64_t replications = 3, starts = 1, loss_active = 0, nodes = 200, max_iterations = 300;
    double slope_from = 0;
    bool pin_last_slope = true, hold_constants = false;
    void fields(OptionVisitor& v) override {
      v.table("truth", truth, "family, gate and parameters of the true model");
      v.table("fit", fit, "what differs in the fitted model: experts, gate");
      v.table("design", design, "distribution of x");
      v.table("start", start, "how far from the truth the fits start");
      v.text("loss", loss, "powers of the Voronoi loss",
             {"exact", "softmax_gaussian", "activation", "multinomial"});
      v.integer("loss_active", loss_active, "top-k: largest sum over so many cells; 0: all", 0, 64);
      v.reals("sizes", sizes, "numbers of rows", 10, 1e8);
      v.integer("replications", replications, "samples of each size", 1, 100000);
      v.integer("starts", starts, "fits of each sample; the most likely one counts", 1, 1000);
      v.integer("nodes", nodes, "quadrature nodes in x", 2, 1000000);
      v.integer("max_iterations", max_iterations, "of each fit", 1, 1000000);
      v.real("slope_from", slope_from, "slopes are fitted for n from here on", 0, kInfinity);
      v.flag("hold_constants", hold_constants,
             "gate biases and intercepts are known: they stay where a fit starts");
      v.flag("pin_last_slope", pin_last_slope, "hold the last gate's slope at its true value");
    }
  };

  NearTruth(const Options& options, const Context& context)
      : options_(options),
        rng_(Rng(context.seed).fork("experiments/near_truth")),
        truth_(true_model(part("truth"), *options.truth)),
        fitted_(fitted_model(part("fit"), *options.fit, truth_)),
        design_(input_distribution(part("design"), *options.design)),
        noise_(options.start->noise),
        loss_(loss_kind(options.loss)),
        nodes_(nodes_of(design_, options.nodes)) {
    GW_CHECK(!options.sizes.empty(), "experiments/near_truth: expected at least one size, got none");
    GW_CHECK(truth_.parameters.inputs == 1, "experiments/near_truth: expected a truth with 1 input, got {}",
             truth_.parameters.inputs);
  }

  const char* axis() const override { return "n"; }
  int64_t trials() const override {
    return static_cast<int64_t>(options_.sizes.size()) * options_.replications;
  }
  TrialNames measures() const override {
    TrialNames names{{"hellinger", "kl", "loss", "temperature", "temperature_ratio"}, {"converged"}};
    for (const auto kind : {GroupKind::kGateSlope, GroupKind::kTemperature, GroupKind::kSlope,
                            GroupKind::kIntercept, GroupKind::kVariance}) {
      for (const char* cell : {"single.", "multiple.", "weighted."})
        names.curves.push_back(std::string(cell) + name_of(kind));
    }
    return names;
  }
  double work(int64_t index) const override { return static_cast<double>(size_of(index)); }
  double slope_from() const override { return options_.slope_from; }

  Trial trial(int64_t index) const override {
    const int64_t n = size_of(index);
    // The stream depends on the size too: samples of different sizes are independent, as the regression of
    // the medians assumes.
    const Rng rng = rng_.fork("trial", static_cast<uint64_t>(index));
    const auto data = simulate(truth_.spec, truth_.parameters, design_, n, rng);
    const auto fit = best_fit(data, rng);
    TrialPoint point{static_cast<double>(n), {}};
    const auto distance = divergence(truth_.spec, truth_.parameters, fitted_, fit.parameters, nodes_);
    point.values["hellinger"] = distance.hellinger;
    point.values["kl"] = distance.kl;
    add_losses(fit.parameters, point.values);
    return {{std::move(point)}, {{"converged", fit.converged ? 1.0 : 0.0}}};
  }

 private:
  static std::string part(const char* field) { return std::string("experiments/near_truth ") + field; }
  int64_t size_of(int64_t index) const {
    return static_cast<int64_t>(options_.sizes[static_cast<size_t>(index / options_.replications)]);
  }

  LocalFit best_fit(const SimulatedData& data, const Rng& rng) const {
    LocalFit best;
    LocalOptions local;
    local.max_iterations = options_.max_iterations;
    local.pin_last_slope = options_.pin_last_slope;
    local.hold_constants = options_.hold_constants;
    for (int64_t s = 0; s < options_.starts; ++s) {
      const auto start = start_near(truth_.parameters, fitted_.experts, data.view().n, noise_,
                                    rng.fork("restart", static_cast<uint64_t>(s)));
      auto fit = maximise_near(data.view(), fitted_, start, local);
      if (s == 0 || fit.log_likelihood > best.log_likelihood) best = std::move(fit);
    }
    return best;
  }

  void add_losses(const MixtureParameters& fit, std::map<std::string, double>& values) const {
    const bool linear = fitted_.gate.kind->linear(fitted_.gate);
    const auto result =
        voronoi_loss(mixing_measure(fitted_, fit), mixing_measure(truth_.spec, truth_.parameters), loss_,
                     options_.loss_active, linear);
    values["loss"] = result.loss;
    for (const auto& error : result.errors) {
      if (!std::isnan(error.single)) values[std::string("single.") + name_of(error.kind)] = error.single;
      if (!std::isnan(error.multiple))
        values[std::string("multiple.") + name_of(error.kind)] = error.multiple;
      if (!std::isnan(error.weighted))
        values[std::string("weighted.") + name_of(error.kind)] = error.weighted;
    }
    if (!fitted_.gate.kind->tempered()) return;
    values["temperature"] = std::abs(fit.temperature - truth_.parameters.temperature);
    values["temperature_ratio"] = std::abs(fit.gate_slope[0] / fit.temperature -
                                           truth_.parameters.gate_slope[0] / truth_.parameters.temperature);
  }

  Options options_;
  Rng rng_;
  TrueModel truth_;
  MixtureSpec fitted_;
  InputDistribution design_;
  StartNoise noise_;
  LossKind loss_;
  InputNodes nodes_;
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Experiment, likelihood::NearTruth);
