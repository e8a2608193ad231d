#pragma once
// What a model of a table is worth on rows that it has not seen: scores with intervals, what its inputs are
// good for, and who served whom.
#include <string>
#include <vector>

#include "gatewright/data/dataset.h"
#include "gatewright/runs/learned_model.h"

namespace gw::inline runs {

/// A number and the ends of its 95 % interval.
struct HeldOutScore {
  std::string name;
  double value = 0, low = 0, high = 0;
};

/// Of classes: "accuracy" (interval of Wilson 1927), "log_loss" in nats, and "most_frequent", the share that
/// always naming the most frequent class of training tells right; of numbers: "rmse" and
/// "mean_absolute_error" in units of the table, and "r2", against the mean of training. Intervals of means
/// are the mean ± 1.96 standard errors; that of rmse is the root of the one of the mean square. They say what
/// another test of this size would give of this model, not what another training would. Errors: ValueError
/// for no rows.
std::vector<HeldOutScore> held_out_scores(const TableEncoding& encoding, const LearnedModel::Answers& answers,
                                          const TaskData& data);

/// What the score loses where one input is shuffled among the rows.
struct InputImportance {
  std::string name;
  double loss = 0;   ///< share told right that is lost, or rmse gained in units of the table
  double error = 0;  ///< standard deviation over the shuffles
};

/// Permutation importance of every input of the table, largest first: all columns of x that come from it are
/// shuffled together. Of at most 10 000 of the rows. Cost: a forward pass of them for each input and repeat.
/// Source: Breiman 2001 (random forests). Inputs that say the same stand in for each other: both look
/// useless.
std::vector<InputImportance> permutation_importance(const LearnedModel& model, const TaskData& data,
                                                    int64_t repeats, const Rng& rng);

/// Two inputs that act together in a model's answers (gatewright/train/field_pairs.h).
struct InputPair {
  std::string first, second;
  double together = 0;   ///< in logits, or in units of the table
  double attention = 0;  ///< mean of how much each looks at the other, 0 … 1
};

/// The first `most` pairs over at most 1000 rows of the test, for a model whose inputs look at each other;
/// empty for others. Errors: none. Cost: a pass of those rows for each pair of inputs, 32 of them at most.
std::vector<InputPair> input_pairs(const LearnedModel& model, const TaskData& data, size_t most,
                                   const Rng& rng);

/// Mean weight of every expert on the rows of each group: a class, or a quarter of the responses.
struct TableExpertUse {
  std::vector<std::string> groups;
  std::vector<int64_t> rows;
  std::vector<std::vector<double>> weight;  ///< [group][expert]
};
/// Empty for a model without a gate.
TableExpertUse expert_use(const TableEncoding& encoding, const LearnedModel::Answers& answers,
                          const TaskData& data);

}  // namespace gw::inline runs
