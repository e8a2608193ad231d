#pragma once
// Texts in windows, of which each entry is a domain: what the data sets of bytes and of tokens have in
// common.
#include <string>
#include <vector>

#include "gatewright/data/dataset.h"

namespace gw::inline data {

/// Gathers the windows of texts; the last `test_share` of each, one at least, are for the test.
class TextDomains {
 public:
  explicit TextDomains(double test_share) : test_share_(test_share) {}
  /// False, and nothing is added, where no window of training would be left. `origin`: path or name of the
  /// text; the domain has its stem. Cost: a copy of the windows.
  bool add(const TensorSet& windows, const std::string& origin);
  /// Train and test, "label" and "domain" being the place of an entry; the vocabulary is left alone.
  void finish(TaskData& data) const;

 private:
  double test_share_;
  std::vector<TensorSet> train_, test_;
  std::vector<std::string> origins_;
};

}  // namespace gw::inline data
