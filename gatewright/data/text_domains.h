#pragma once
// Texts in windows, of which each entry is a domain: what the data sets of bytes and of tokens have in
// common.
#include <string>
#include <vector>

#include "gatewright/data/dataset.h"

namespace gw::inline data {

/// Gathers the windows of texts, of which `test_share`, one at least, is for the test: the last ones, or
/// `scattered` ones, drawn from all of the text. What follows a text is of another kind than what is between;
/// a bound that was found on windows held out of training holds for scattered ones alone.
class TextDomains {
 public:
  explicit TextDomains(double test_share, bool scattered = false)
      : test_share_(test_share), scattered_(scattered) {}
  /// False, and nothing is added, where no window of training would be left. `origin`: path or name of the
  /// text; the domain has its stem. Cost: a copy of the windows.
  bool add(const TensorSet& windows, const std::string& origin);
  /// Train and test, "label" and "domain" being the place of an entry; the vocabulary is left alone.
  void finish(TaskData& data) const;

 private:
  double test_share_;
  bool scattered_;
  std::vector<TensorSet> train_, test_;
  std::vector<std::string> origins_;
};

}  // namespace gw::inline data
