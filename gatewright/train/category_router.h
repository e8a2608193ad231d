#pragma once
// Which category a text belongs to: its nearest neighbours among texts whose category is known, and how sure
// that is.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gatewright/base/options.h"

namespace gw::inline train {

struct CategoryRouterOptions : OptionSet {
  int64_t width = 4096, shortest = 1, longest = 3, neighbours = 15;
  std::string doubt = "entropy";
  double unsure = 0.05;
  void fields(OptionVisitor& v) override;
};

/// Texts as vectors: runs of `shortest` … `longest` bytes, hashed to `width` places.
/// Math:   v_i = log(1 + count_i) · (log((1 + N) / (1 + N_i)) + 1), N_i of the N known texts have place i;
/// then
///         of length 1. Sums are f64 in a fixed order: no thread and no batch changes a bit.
class TextVectors {
 public:
  using Sparse = std::vector<std::pair<int32_t, double>>;  ///< places ascending, no zeros
  TextVectors(const std::vector<std::string>& known, const CategoryRouterOptions& options);
  Sparse of(std::string_view text) const;

 private:
  Sparse counts(std::string_view text) const;
  int64_t width_, shortest_, longest_;
  std::vector<double> weight_;  ///< [width]
};

/// The category that most of the `neighbours` nearest known texts have, each weighed by its cosine. A text is
/// unsure where the doubt is above that of all but the share `unsure` of the known texts, each of which was
/// routed by the others.
///   entropy   of the votes, over its largest value
///   margin    1 − (the largest share of the votes − the second)
///   distance  1 − the mean cosine of the neighbours
/// Source: after the category router of Composition of Experts, arXiv 2412.01868 (reconstructed: its full
/// text
///         was not at hand): text vectors, threshold and `distance` are ours.
/// Cost:   a text of L bytes meets L · (longest − shortest + 1) places, each in a part of the known texts.
class CategoryRouter {
 public:
  /// Errors: ValueError for no texts, lists of unequal length, and categories outside 0 … categories − 1.
  CategoryRouter(const std::vector<std::string>& texts, const std::vector<int64_t>& category,
                 int64_t categories, const CategoryRouterOptions& options);
  struct Routed {
    int64_t category = 0;
    double doubt = 0;
    bool unsure = false;
  };
  Routed route(std::string_view text) const;
  int64_t categories() const { return categories_; }
  double threshold() const { return threshold_; }

 private:
  Routed vote(const TextVectors::Sparse& vector, int64_t left_out) const;

  CategoryRouterOptions options_;
  TextVectors vectors_;
  std::vector<int64_t> category_;
  std::vector<TextVectors::Sparse> known_;
  std::vector<std::vector<std::pair<int32_t, double>>>
      texts_with_;  ///< by place: known texts and their value
  int64_t categories_;
  double threshold_ = 0;
};

}  // namespace gw::inline train
