#include <algorithm>
#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/family.h"
#include "gatewright/likelihood/logistic.h"
#include "gatewright/likelihood/steps.h"

namespace gw::likelihood {
namespace {

constexpr double kLongestStep = 5;

/// Multinomial logistic experts, the last class the reference: one Newton step each per iteration.
class MultinomialStep : public ExpertStep {
 public:
  MultinomialStep(const MixtureSpec& spec, const Design& design, double ridge);
  int64_t sums() const override { return experts_ * logistic_.size(); }
  int64_t scratch() const override { return (experts_ + 1) * (outputs_ + 1) + LogisticSums::kScratch; }
  void densities(const Block& block, const MixtureParameters& parameters, double* joint,
                 double* scratch) const override;
  void accumulate(const Block& block, const MixtureParameters& parameters, const double* posterior,
                  double* scratch, double* sum) const override;
  void update(const MixtureParameters& parameters, const double* sum,
              MixtureParameters& target) const override;
  bool may_overshoot() const override { return true; }
  double ridge() const override;

 private:
  int64_t experts_, outputs_, columns_;
  double ridge_;
  LogisticSums logistic_;
};

// The ridge is on all coefficients but intercepts, in standardised units: 1e-6 keeps separable classes finite
// and shifts others by a millionth.
MultinomialStep::MultinomialStep(const MixtureSpec& spec, const Design& design, double ridge)
    : experts_(spec.experts),
      outputs_(spec.outputs()),
      columns_(static_cast<int64_t>(design.input.size()) + 1),
      ridge_(ridge / design.row_unit),
      logistic_(outputs_, columns_, true) {}

double MultinomialStep::ridge() const { return ridge_; }

// Per expert the probabilities of all classes, then `classes` columns that the softmax needs beside them.
void MultinomialStep::densities(const Block& block, const MixtureParameters& p, double* joint,
                                double* scratch) const {
  const auto columns = Block::beside_ones(block.inputs());
  double* unused = scratch + experts_ * (outputs_ + 1) * Block::kStride;
  for (int64_t k = 0; k < experts_; ++k) {
    double* chance = scratch + k * (outputs_ + 1) * Block::kStride;
    for (int64_t s = 0; s < outputs_; ++s) {
      const int64_t row = k * outputs_ + s;
      ops::em_linear(columns, p.intercept[static_cast<size_t>(row)], p.slope.data() + row * p.inputs,
                     chance + s * Block::kStride);
    }
    std::fill_n(chance + outputs_ * Block::kStride, block.rows, 0.0);
    std::fill_n(unused, (outputs_ + 1) * Block::kStride, 0.0);
    ops::em_posterior(chance, unused, Block::kStride, outputs_ + 1, block.weight(), block.rows);
    for (int64_t r = 0; r < block.rows; ++r) {
      const double of_class = chance[static_cast<int64_t>(block.y()[r]) * Block::kStride + r];
      joint[k * Block::kStride + r] = std::log(std::max(of_class, 1e-300));
    }
  }
}

void MultinomialStep::accumulate(const Block& block, const MixtureParameters&, const double* posterior,
                                 double* scratch, double* sum) const {
  double* target = scratch + experts_ * (outputs_ + 1) * Block::kStride;
  double* column = target + outputs_ * Block::kStride;
  for (int64_t k = 0; k < experts_; ++k) {
    const double* chance = scratch + k * (outputs_ + 1) * Block::kStride;
    const double* t = posterior + k * Block::kStride;
    for (int64_t s = 0; s < outputs_; ++s) {
      for (int64_t r = 0; r < block.rows; ++r)
        target[s * Block::kStride + r] = block.y()[r] == static_cast<double>(s) ? t[r] : 0;
    }
    logistic_.accumulate(block.inputs(), t, chance, target, Block::kStride, column,
                         sum + k * logistic_.size());
  }
}

void MultinomialStep::update(const MixtureParameters& p, const double* sum, MixtureParameters& target) const {
  for (int64_t k = 0; k < experts_; ++k) {
    std::vector<double> current;
    for (int64_t row = k * outputs_; row < (k + 1) * outputs_; ++row) {
      current.push_back(p.intercept[static_cast<size_t>(row)]);
      current.insert(current.end(), p.slope.begin() + row * p.inputs, p.slope.begin() + (row + 1) * p.inputs);
    }
    const auto step = logistic_.step(sum + k * logistic_.size(), current, ridge_, kLongestStep);
    for (int64_t s = 0; s < outputs_; ++s) {
      const int64_t row = k * outputs_ + s;
      const double* of = step.data() + s * columns_;
      target.intercept[static_cast<size_t>(row)] = p.intercept[static_cast<size_t>(row)] + of[0];
      for (int64_t j = 0; j < p.inputs; ++j)
        target.slope[static_cast<size_t>(row * p.inputs + j)] += of[1 + j];
    }
  }
}

/// Classes by multinomial logistic regression, the last class the reference.
class Multinomial : public Density {
 public:
  static constexpr const char* kSummary =
      "classes by multinomial logistic regression, the last class the reference";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    void fields(OptionVisitor&) override {}
  };
  Multinomial(const Options&, const Context&) {}

  double log_density(const ExpertAt& at, double y) const override {
    const auto chosen = static_cast<int64_t>(y);
    double largest = 0;
    for (int64_t s = 0; s < at.outputs; ++s) largest = std::max(largest, at.predictor[s]);
    double sum = std::exp(-largest);
    for (int64_t s = 0; s < at.outputs; ++s) sum += std::exp(at.predictor[s] - largest);
    return (chosen < at.outputs ? at.predictor[chosen] : 0.0) - largest - std::log(sum);
  }

  void derivatives(const ExpertAt& at, double y, double* first, double* second) const override {
    const auto probability = probabilities(at);
    for (int64_t s = 0; s < at.outputs; ++s) {
      const double p = probability[static_cast<size_t>(s)];
      first[s] = (y == static_cast<double>(s) ? 1.0 : 0.0) - p;
      for (int64_t u = 0; second != nullptr && u < at.outputs; ++u)
        second[s * at.outputs + u] = p * probability[static_cast<size_t>(u)] - (s == u ? p : 0.0);
    }
  }

  double draw(const ExpertAt& at, double uniform) const override {
    const auto probability = probabilities(at);
    double sum = 0;
    for (int64_t s = 0; s < at.outputs; ++s) {
      sum += probability[static_cast<size_t>(s)];
      if (uniform < sum) return static_cast<double>(s);
    }
    return static_cast<double>(at.outputs);
  }

  std::unique_ptr<ExpertStep> step(const MixtureSpec& spec, const Design& design,
                                   const FitOptions& options) const override {
    return std::make_unique<MultinomialStep>(spec, design, options.class_ridge);
  }

 private:
  /// Of all classes.
  static std::vector<double> probabilities(const ExpertAt& at) {
    std::vector<double> result(at.predictor, at.predictor + at.outputs);
    result.push_back(0);
    const double total = log_sum_exp(result.data(), at.outputs + 1);
    for (double& value : result) value = std::exp(value - total);
    return result;
  }
};

}  // namespace
}  // namespace gw::likelihood

GW_REGISTER(gw::likelihood::Density, likelihood::Multinomial);
