#pragma once
// How much of each expert dense gates use, over a whole set: tables, numbers and alarms.
#include <map>

#include "gatewright/base/json.h"
#include "gatewright/models/expert_use.h"
#include "gatewright/train/curve.h"

namespace gw::inline train {

/// Adds up what the batches of a set say (gatewright/models/expert_use.h).
class ExpertReport {
 public:
  void add(const ExpertUse& use);
  bool empty() const { return rows_ == 0; }

  /// A row for each expert: the mean weight from each gate (not measured: the gate does not see it), the
  /// share of exact zeros among its answers, the deviation of its answers over rows and values, and 1 if it
  /// is dead.
  ValueTable table() const;
  Json table_json() const;  ///< as results.json has tables
  /// dead_experts    experts that no gate gives more than a tenth of an even share, or whose answers are zero
  ///                 for every row: their weights are not trained
  /// zero_share      exact zeros among all answers
  /// deviation_ratio the largest deviation of an expert's answers over the smallest, of experts that answer
  ///                 other than constants; the widest level counts
  /// own_weight.<gate> mean weight on experts that no other gate sees
  std::map<std::string, double> metrics() const;
  /// One line for each dead expert.
  std::vector<std::string> alarms() const;

 private:
  struct Answers {
    std::string name;
    double zeros = 0, sum = 0, squares = 0, count = 0;
    double deviation() const;
  };
  struct Weights {
    std::string name;
    std::vector<int64_t> experts, own;
    std::vector<double> sum;
  };
  bool dead(size_t expert) const;

  double rows_ = 0;
  std::vector<Answers> experts_;
  std::vector<Weights> gates_;
};

}  // namespace gw::inline train
