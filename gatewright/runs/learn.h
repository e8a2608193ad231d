#pragma once
// From a table to a model of it in one call: detect the task, split, train with early stopping, score on rows
// that were held out, leave a folder.
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "gatewright/base/stop.h"
#include "gatewright/data/csv.h"
#include "gatewright/runs/table_scores.h"

namespace gw::inline runs {

struct LearnRequest {
  std::string path, response;
  std::string model = "gg_moe";  ///< one of learn_models()
  std::string target = "auto";   ///< class, number, or by the values
  std::vector<std::string> inputs, exclude, factors;
  CsvOptions csv;                              ///< separator, decimal sign, comment, marks of missing values
  std::string directory;                       ///< where the model goes
  double test_share = 0.2, validation = 0.15;  ///< shares of all rows, and of what the test leaves
  int64_t most_test = 5000, most_validation = 3000;  ///< rows of either; 0: no limit
  int64_t seed = 0;
  int64_t epochs = 0, patience = 0;  ///< most, and without a better validation; 0: by the rows
  double seconds = 0;                ///< of training in place of epochs; 0: no limit
  int64_t repeats = 3;               ///< shuffles of each input; 0: no importances
};

/// How it is run: what to say, and when to stop. The clock is needed for `seconds` alone.
struct LearnRun {
  std::FILE* progress = nullptr;
  Stop stop = {};
  std::function<double()> now_s = {};
};

/// What stands in learned.json too.
struct LearnOutcome {
  TableEncoding encoding;
  std::vector<std::string> notes;  ///< columns that were left out, and the like
  std::string reason;              ///< why the response is a class or a number
  int64_t train = 0, validation = 0, test = 0, without_response = 0;  ///< rows
  int64_t epochs = 0, steps = 0, parameters = 0;
  std::vector<HeldOutScore> scores;
  std::vector<InputImportance> importance;
  TableExpertUse experts;
  /// Of models whose inputs look at each other: which of them act together, most first, 20 at most.
  std::vector<InputPair> pairs;
};

/// The kinds of models and what they are, by name.
std::vector<std::pair<std::string, std::string>> learn_models();

/// Trains on the table and writes the folder whole or not at all: table.json, model.safetensors,
/// learned.json. A folder that holds such a model is replaced, as one. The same request on the same table
/// gives the same weights whatever the number of threads, unless `seconds` ends it. Errors: ValueError for
/// what the table or the request have wrong (data/table_encoding.h), for a directory
///         that holds something else, before anything is trained; NumericError, IoError, Interrupted: the
///         folder is then as it was.
LearnOutcome learn_table(const LearnRequest& request, const LearnRun& run);

Json to_json(const LearnOutcome& outcome);

}  // namespace gw::inline runs
