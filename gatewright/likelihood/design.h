#pragma once
// The data as fits read it: standardised columns, padded to whole vectors, the gate's and the experts' side
// by side.
#include <string>
#include <vector>

#include "gatewright/likelihood/aligned.h"
#include "gatewright/likelihood/chunks.h"
#include "gatewright/likelihood/mixture.h"

namespace gw::likelihood {

/// Columns of mean 0 and deviation 1 (weighted): normal equations then lose little precision, and one ridge
/// or step limit suits all units.
/// Errors: ValueError naming the column that is constant or that others determine, for a constant response,
///         for fewer rows with weight than parameters of one expert.
class Design {
 public:
  /// `names`: of the columns of x, for messages; may be empty.
  Design(const DataView& data, const MixtureSpec& spec, const std::vector<std::string>& names = {});
  Design(const Design&) = delete;
  Design& operator=(const Design&) = delete;

  int64_t rows = 0, padded = 0, d = 0;  ///< d: columns of x
  std::vector<const double*> input,
      gate_input;  ///< padded columns; the gate's are shared with the experts' where they are the same
  const double* y = nullptr;
  const double* weight = nullptr;  ///< 0 in the padding
  double total_weight = 0;
  double row_unit = 1;             ///< rows_per_weight of the data
  double y_mean = 0, y_scale = 1;  ///< 0 and 1 for classes

  /// Parameters for standardised data, and back. The densities are those of y in its own units only after
  /// `log_jacobian` is added.
  MixtureParameters to_standard(const MixtureParameters& parameters) const;
  MixtureParameters to_data(const MixtureParameters& parameters) const;
  double log_jacobian() const;

  /// x = mean + scale · (standardised column), in the order of `input` and `gate_input`.
  struct Unit {
    double mean, scale;
  };
  std::vector<Unit> input_units() const { return units(inputs_); }
  std::vector<Unit> gate_units() const { return units(gates_); }

 private:
  struct Column {
    int64_t source;
    bool transformed, centred;
    double mean, scale;
    const double* values;
  };
  const Column& column(const DataView& data, int64_t source, bool transformed, bool centred);
  static std::vector<Unit> units(const std::vector<Column>& columns);
  void standardise_response(const DataView& data);
  void check_columns(const std::vector<Column>& columns, const char* who) const;
  MixtureParameters convert(const MixtureParameters& parameters, bool to_data) const;

  std::string name_of(int64_t column) const;
  MixtureSpec spec_;
  std::vector<std::string> names_;
  std::vector<AlignedVector> storage_;
  std::vector<Column> made_, inputs_, gates_;
};

}  // namespace gw::likelihood
