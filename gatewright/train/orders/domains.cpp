#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/order.h"

namespace gw::inline train {
namespace {

/// Examples of small domains more often than their share, and of some only from a point of the run on.
/// Math:   domain d of n_d examples has the share q_d = n_d^(1/temperature) / Σ over the domains that are in,
///         of an epoch's draws, which are as many as there are examples. A domain's examples come in turn, in
///         an order that is drawn anew each time all of them have been met. Domain d is in from the first
///         epoch that begins at or after `enter[d]`, a share of the run; those without an entry from the
///         start.
/// Errors: ValueError for data without domains, more entries than domains, a share where only a clock ends
///         the run, and a run that no domain is in at its beginning.
/// Source: the temperature of Arivazhagan et al. 2019, arXiv 1907.05019; the phases of NLLB team 2022, arXiv
///         2207.04672, section 6: pairs enter the later, the earlier a training of all of them over-fits to
///         them. Differs: phases begin with an epoch, an epoch has as many draws as there are examples.
class DomainOrder : public Order {
 public:
  static constexpr const char* kSummary =
      "examples of small domains more often, of some domains later: temperature and curriculum";
  static constexpr const char* kSource =
      "Arivazhagan et al. 2019, arXiv 1907.05019; NLLB team 2022, arXiv 2207.04672";
  struct Options : OptionSet {
    double temperature = 1;
    std::vector<double> enter;
    void fields(OptionVisitor& v) override {
      v.real("temperature", temperature, "1: by their sizes; large: all domains equally often", 1, 1e6);
      v.reals("enter", enter, "share of the run after which each domain is met: [0, 0, 0.5]", 0, 1);
    }
  };

  DomainOrder(Options options, const Context&) : options_(std::move(options)) {}

  std::vector<int64_t> rows(const EpochStart& start) const override {
    const auto members = members_of(start.set);
    const auto taken = quotas(members, start, start.epoch);
    std::vector<int64_t> before(members.size(), 0);
    for (int64_t e = 0; e < start.epoch; ++e) {
      const auto past = quotas(members, start, e);
      for (size_t d = 0; d < past.size(); ++d) before[d] += past[d];
    }
    std::vector<int64_t> all;
    for (size_t d = 0; d < members.size(); ++d)
      take(members[d], before[d], taken[d], start.rng.fork("turn", d), all);
    const auto place = start.rng.fork("place", static_cast<uint64_t>(start.epoch))
                           .permutation(static_cast<int64_t>(all.size()));
    std::vector<int64_t> out;
    out.reserve(all.size());
    for (const int64_t i : place) out.push_back(all[static_cast<size_t>(i)]);
    return out;
  }

 private:
  using Members = std::vector<std::vector<int64_t>>;

  Members members_of(const TensorSet& set) const {
    const auto field = set.find("domain");
    GW_CHECK(field.defined(), "orders/domains: expected data with the field \"domain\", got none");
    const auto domain = field.contiguous();
    const auto* ids = domain.data_ptr<int64_t>();
    Members members;
    for (int64_t row = 0; row < domain.size(0); ++row) {
      const auto d = static_cast<size_t>(ids[row]);
      if (d >= members.size()) members.resize(d + 1);
      members[d].push_back(row);
    }
    GW_CHECK(options_.enter.size() <= members.size(),
             "orders/domains: expected at most an entry for each of {} domains in \"enter\", got {}",
             members.size(), options_.enter.size());
    return members;
  }

  bool is_in(size_t domain, const EpochStart& start, int64_t epoch) const {
    if (domain >= options_.enter.size() || options_.enter[domain] == 0) return true;
    GW_CHECK(
        start.epochs > 0,
        "orders/domains: expected a run whose end is known for \"enter\", got a budget in seconds; give it "
        "in examples or epochs");
    return static_cast<double>(epoch) >= options_.enter[domain] * start.epochs - 1e-9;
  }

  /// Draws of each domain in an epoch, as many in all as there are examples: whole parts first, then one more
  /// for the largest remainders.
  std::vector<int64_t> quotas(const Members& members, const EpochStart& start, int64_t epoch) const {
    std::vector<double> share(members.size(), 0);
    for (size_t d = 0; d < members.size(); ++d)
      if (!members[d].empty() && is_in(d, start, epoch))
        share[d] = std::pow(static_cast<double>(members[d].size()), 1 / options_.temperature);
    const double sum = std::accumulate(share.begin(), share.end(), 0.0);
    GW_CHECK(sum > 0, "orders/domains: expected a domain that is met in epoch {}, got none; lower \"enter\"",
             epoch);
    const auto all = static_cast<double>(start.set.size());
    std::vector<int64_t> out;
    std::vector<size_t> by_rest(members.size());
    for (auto& value : share) value = value / sum * all, out.push_back(static_cast<int64_t>(value));
    std::iota(by_rest.begin(), by_rest.end(), size_t{0});
    const auto rest = [&](size_t d) { return share[d] - std::floor(share[d]); };
    std::stable_sort(by_rest.begin(), by_rest.end(), [&](size_t a, size_t b) { return rest(a) > rest(b); });
    int64_t left = start.set.size() - std::accumulate(out.begin(), out.end(), int64_t{0});
    for (size_t i = 0; left > 0; i = (i + 1) % by_rest.size())
      if (share[by_rest[i]] > 0) ++out[by_rest[i]], --left;
    return out;
  }

  /// Rows `first` … of a domain's endless sequence of permutations.
  static void take(const std::vector<int64_t>& members, int64_t first, int64_t count, const Rng& rng,
                   std::vector<int64_t>& into) {
    const auto n = static_cast<int64_t>(members.size());
    std::vector<int64_t> order;
    for (int64_t i = first; i < first + count; ++i) {
      if (order.empty() || i % n == 0) order = rng.fork("round", static_cast<uint64_t>(i / n)).permutation(n);
      into.push_back(members[static_cast<size_t>(order[static_cast<size_t>(i % n)])]);
    }
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Order, gw::DomainOrder);
