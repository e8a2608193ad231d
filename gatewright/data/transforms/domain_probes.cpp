#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/transform.h"

namespace gw::inline data {
namespace {

/// Accuracies of some domains, beside the one of all: the metric `names[i]` is that of the test examples of
/// `domains[i]`. The data stay as they are.
/// Errors: ValueError for data without labels or domains, a domain that they have not, names that are not as
///         many as the lists.
class DomainProbes : public Transform {
 public:
  static constexpr const char* kSummary = "accuracies of some domains beside the one of all";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    std::vector<std::string> names;
    std::vector<std::vector<int64_t>> domains;
    void fields(OptionVisitor& v) override {
      v.texts("names", names, "of the metrics");
      v.integer_lists("domains", domains, "of each metric: [[0, 1], [2]]", 0, INT64_MAX);
    }
  };

  DomainProbes(const Options& options, const Context&) : options_(options) {
    GW_CHECK(
        !options.names.empty() && options.names.size() == options.domains.size(),
        "transforms/domain_probes: expected as many names as lists of domains, at least one, got {} and {}",
        options.names.size(), options.domains.size());
  }

  TaskData apply(TaskData data) const override {
    GW_CHECK(data.test.has("domain") && data.test.has("label"),
             "transforms/domain_probes: expected data with labels and domains, got none; take it out of "
             "\"transforms\"");
    for (const auto& list : options_.domains) {
      for (const int64_t domain : list) {
        GW_CHECK(domain < static_cast<int64_t>(data.domain_names.size()),
                 "transforms/domain_probes: expected domains below {}, got {}", data.domain_names.size(),
                 domain);
      }
    }
    return data;
  }

  Probes probes(const TensorSet& test) const override {
    Probes all;
    for (size_t i = 0; i < options_.names.size(); ++i) {
      auto wanted = at::zeros({test.size()}, at::kBool);
      for (const int64_t domain : options_.domains[i])
        wanted = wanted.logical_or(test.at("domain").eq(domain));
      const auto rows = wanted.nonzero().flatten();
      GW_CHECK(rows.numel() > 0, "transforms/domain_probes: expected test examples for \"{}\", got none",
               options_.names[i]);
      auto set = test.rows(rows);
      set.fields["source"] = rows;
      all[options_.names[i]] = set;
    }
    return all;
  }

  std::vector<std::string> probe_names() const override { return options_.names; }

 private:
  Options options_;
};

}  // namespace
}  // namespace gw::inline data

GW_REGISTER(gw::Transform, gw::DomainProbes);
