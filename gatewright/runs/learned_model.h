#pragma once
// A model that `learn_table` left in a folder, and what it answers for the rows of other tables.
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "gatewright/data/table_encoding.h"
#include "gatewright/models/model.h"

namespace gw::inline runs {

inline constexpr const char* kTableFile = "table.json";           ///< how rows become numbers
inline constexpr const char* kWeightsFile = "model.safetensors";  ///< a checkpoint without optimizer state
inline constexpr const char* kLearnedFile = "learned.json";       ///< scores, importances, experts

/// A network and the encoding of its rows.
struct LearnedModel {
  TableEncoding encoding;
  std::shared_ptr<Model> model;
  uint64_t seed = 0;  ///< of the draws of its gate, the same for all rows and calls

  struct Answers {
    at::Tensor probability;  ///< [n, classes] f64; undefined for numbers
    at::Tensor value;        ///< [n] f64 in units of the table; undefined for classes
    at::Tensor weight;       ///< [n, E] what each expert counts for; undefined without a gate
  };
  /// Answers for encoded rows x [n, width], in batches that fit the cache. A row's answer depends on no other
  /// row. Cost: those of the network's forward pass.
  Answers answers(const at::Tensor& x) const;
};

/// Whether the folder holds such a model.
bool holds_learned_model(const std::string& directory);

/// Errors: ValueError for a folder without one, a damaged file, and weights that do not fit; IoError.
LearnedModel read_learned_model(const std::string& directory);

/// What was found while a table was predicted.
struct PredictedTable {
  int64_t rows = 0;
  int64_t scored = 0;          ///< rows of the table that have the response too
  double score = 0;            ///< of those: share told right, or root mean square error
  int64_t unseen_classes = 0;  ///< of those: rows of a class that training never saw, all told wrong
};

/// The answers for every row of a table as CSV text, in its order: the response's name with the class of
/// largest probability and p_<class> for each, or the response's name with the value. Pieces go to `out`.
/// Errors: as encode_rows. Cost: memory for 8192 rows at a time beside the table.
PredictedTable predict_table(const LearnedModel& model, const CsvTable& table,
                             const std::function<void(std::string_view)>& out);

}  // namespace gw::inline runs
