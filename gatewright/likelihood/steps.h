#pragma once
// The two halves of an iteration, behind one interface each: what gates and experts do with a block of rows
// and with the sums over all.
#include <memory>
#include <vector>

#include "gatewright/likelihood/design.h"
#include "gatewright/likelihood/fit.h"
#include "gatewright/ops/em.h"

namespace gw::likelihood {

/// One block of rows with its columns, the ones for intercepts first and the response last.
struct Block {
  const Design* design = nullptr;
  int64_t begin = 0, rows = 0;             ///< rows: whole vectors
  std::vector<const double*> gate, input;  ///< input ends with y
  static constexpr int64_t kStride = Chunks::kBlockRows;

  ops::EmColumns gates() const { return {gate.data(), static_cast<int64_t>(gate.size()), rows}; }
  ops::EmColumns inputs() const { return {input.data(), static_cast<int64_t>(input.size()) - 1, rows}; }
  ops::EmColumns inputs_and_response() const {
    return {input.data(), static_cast<int64_t>(input.size()), rows};
  }
  /// Columns without the ones, for which intercepts stand.
  static ops::EmColumns beside_ones(ops::EmColumns columns) {
    ++columns.column, --columns.count;
    return columns;
  }
  const double* y() const { return input.back(); }
  const double* weight() const { return design->weight + begin; }
};

/// Gates: scores of a block, what is summed over rows, and the parameters that follow. Arrays per expert lie
/// Block::kStride apart.
class GateStep {
 public:
  virtual ~GateStep() = default;
  virtual int64_t sums() const = 0;
  virtual int64_t scratch() const { return 1; }  ///< columns of scratch it needs
  virtual void scores(const Block& block, const MixtureParameters& parameters, double* score) const = 0;
  /// True where scores jump: rows change sides, and steps along the slope inside one arrangement find no
  /// other.
  virtual bool jumps() const { return false; }
  /// Whether `gate_ridge` applies: not where scores may stay the same along a line of parameters, which a
  /// penalty would slide down.
  virtual bool ridged() const { return false; }
  virtual void accumulate(const Block& block, const MixtureParameters& parameters, const double* probability,
                          const double* posterior, double* scratch, double* sum) const = 0;
  /// Writes the gate of `target`: one step from `parameters` along which the expected log-likelihood rises at
  /// first.
  virtual void update(const MixtureParameters& parameters, const double* sum,
                      MixtureParameters& target) const = 0;
};

/// Experts, likewise. `accumulate` follows `densities` on the same block with the same scratch, which may
/// carry values over.
class ExpertStep {
 public:
  virtual ~ExpertStep() = default;
  virtual int64_t sums() const = 0;
  virtual int64_t scratch() const { return 1; }  ///< columns of scratch it needs
  virtual void densities(const Block& block, const MixtureParameters& parameters, double* joint,
                         double* scratch) const = 0;
  virtual void accumulate(const Block& block, const MixtureParameters& parameters, const double* posterior,
                          double* scratch, double* sum) const = 0;
  virtual void update(const MixtureParameters& parameters, const double* sum,
                      MixtureParameters& target) const = 0;
  /// Which of its sums is the posterior weight of an expert; -1 if none is.
  virtual int64_t mass_at(int64_t) const { return -1; }
  /// False where `update` maximises outright; true where it is a step that may have to be shortened.
  virtual bool may_overshoot() const { return false; }
  virtual double ridge() const { return 0; }  ///< on squared slopes
};

std::unique_ptr<GateStep> make_gate_step(const MixtureSpec& spec, const Design& design,
                                         const FitOptions& options);
std::unique_ptr<ExpertStep> make_expert_step(const MixtureSpec& spec, const Design& design,
                                             const FitOptions& options);

}  // namespace gw::likelihood
