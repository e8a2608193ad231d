#include "gatewright/train/robust/label_groups.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "gatewright/base/check.h"

namespace gw::inline train {
namespace {

int64_t labels_of(const LabelGroups& groups) {
  return std::accumulate(groups.begin(), groups.end(), int64_t{0},
                         [](int64_t n, const auto& group) { return n + static_cast<int64_t>(group.size()); });
}

constexpr int64_t kExact = 12;        // labels: S(12, 5) = 1.4 million partitions are seconds at most
constexpr double kSameScore = 1e-12;  // of sums of shares in other orders

/// What is kept together by having two labels in one group, and how large groups may be.
struct Problem {
  int64_t labels = 0, count = 0, least = 0, most = 0;
  std::vector<double> affinity;  ///< [labels · labels], symmetric, 0 on the diagonal
  double at(int64_t i, int64_t j) const { return affinity[static_cast<size_t>(i * labels + j)]; }
  /// Labels that groups of these sizes want before each has its least.
  int64_t missing(const std::vector<int64_t>& sizes) const {
    int64_t sum = 0;
    for (const int64_t size : sizes) sum += std::max<int64_t>(0, least - size);
    return sum;
  }
};

Problem problem_of(const at::Tensor& confusion, int64_t count, int64_t slack) {
  const bool square = confusion.defined() && confusion.dim() == 2 && confusion.size(0) == confusion.size(1);
  GW_CHECK(square, "label groups: expected a confusion matrix [labels, labels], got {}",
           confusion.defined() ? c10::str(confusion.sizes()) : "none");
  const auto c = confusion.to(at::kDouble);
  GW_CHECK(at::isfinite(c).all().item<bool>() && c.ge(0).all().item<bool>(),
           "label groups: expected counts or shares of at least 0, got negative ones, NaN or infinity");
  Problem p;
  p.labels = c.size(0), p.count = count;
  GW_CHECK(count >= 2 && count <= p.labels, "label groups: expected 2 to {} groups of {} labels, got {}",
           p.labels, p.labels, count);
  GW_CHECK(slack >= 0, "label groups: expected a slack of at least 0, got {}", slack);
  p.least = std::max<int64_t>(1, p.labels / count - slack);
  p.most = (p.labels + count - 1) / count + slack;
  const auto shares = c / c.sum(1, true).clamp_min(1e-300);
  const auto sum = (shares + shares.t()).fill_diagonal_(0).contiguous();
  p.affinity.assign(sum.data_ptr<double>(), sum.data_ptr<double>() + sum.numel());
  return p;
}

/// Every partition once: label i goes to a group that has labels, or to the first that has none.
class Enumeration {
 public:
  explicit Enumeration(const Problem& problem)
      : p_(problem),
        size_(static_cast<size_t>(p_.count)),
        group_(static_cast<size_t>(p_.labels)),
        rest_(static_cast<size_t>(p_.labels + 1)) {
    for (int64_t i = p_.labels - 1; i >= 0; --i) {
      rest_[static_cast<size_t>(i)] = rest_[static_cast<size_t>(i + 1)];
      for (int64_t j = 0; j < i; ++j) rest_[static_cast<size_t>(i)] += p_.at(i, j);
    }
  }
  std::vector<int64_t> best() {
    place(0, 0, 0);
    return best_;
  }

 private:
  void place(int64_t label, int64_t used, double score) {
    if (p_.missing(size_) > p_.labels - label) return;
    // No more than everything that is left in the groups where it counts.
    if (!best_.empty() && score + rest_[static_cast<size_t>(label)] <= best_score_ + kSameScore) return;
    if (label == p_.labels) {
      best_ = group_, best_score_ = score;
      return;
    }
    for (int64_t g = 0; g < std::min(used + 1, p_.count); ++g) {
      if (size_[static_cast<size_t>(g)] == p_.most) continue;
      double with = score;
      for (int64_t j = 0; j < label; ++j) {
        if (group_[static_cast<size_t>(j)] == g) with += p_.at(label, j);
      }
      group_[static_cast<size_t>(label)] = g, ++size_[static_cast<size_t>(g)];
      place(label + 1, std::max(used, g + 1), with);
      --size_[static_cast<size_t>(g)];
    }
  }

  const Problem& p_;
  std::vector<int64_t> size_, group_, best_;
  std::vector<double> rest_;  ///< all that labels from here on can add
  double best_score_ = 0;
};

/// One partition that is grown from seeds far apart and improved by moves and swaps.
class Growth {
 public:
  Growth(const Problem& problem, int64_t first)
      : p_(problem),
        size_(static_cast<size_t>(p_.count), 0),
        group_(static_cast<size_t>(p_.labels), -1),
        pull_(static_cast<size_t>(p_.labels * p_.count), 0) {
    put(first, 0);
    for (int64_t g = 1; g < p_.count; ++g) put(farthest(), g);
    for (int64_t left = p_.labels - p_.count; left > 0; --left) grow(left);
    while (improve()) {
    }
  }
  const std::vector<int64_t>& groups() const { return group_; }
  double score() const {
    double twice = 0;
    for (int64_t i = 0; i < p_.labels; ++i) twice += pull(i, of(i));
    return twice / 2;
  }

 private:
  int64_t of(int64_t label) const { return group_[static_cast<size_t>(label)]; }
  int64_t& size(int64_t group) { return size_[static_cast<size_t>(group)]; }
  /// What a label has in common with those of a group.
  double pull(int64_t label, int64_t group) const {
    return pull_[static_cast<size_t>(label * p_.count + group)];
  }
  void put(int64_t label, int64_t group) {
    const int64_t before = std::exchange(group_[static_cast<size_t>(label)], group);
    if (before >= 0) --size(before);
    ++size(group);
    for (int64_t i = 0; i < p_.labels; ++i) {
      if (before >= 0) pull_[static_cast<size_t>(i * p_.count + before)] -= p_.at(i, label);
      pull_[static_cast<size_t>(i * p_.count + group)] += p_.at(i, label);
    }
  }
  int64_t farthest() const {
    int64_t found = -1;
    double least = 0;
    for (int64_t i = 0; i < p_.labels; ++i) {
      if (of(i) >= 0) continue;
      double near = 0;
      for (int64_t g = 0; g < p_.count; ++g) near += pull(i, g);
      if (found < 0 || near < least - kSameScore) found = i, least = near;
    }
    return found;
  }
  /// Puts the label that wants most into its group; groups that are too small come first once the labels left
  /// are just enough for them.
  void grow(int64_t left) {
    const int64_t missing = p_.missing(size_);
    int64_t label = -1, group = -1;
    for (int64_t i = 0; i < p_.labels; ++i) {
      if (of(i) >= 0) continue;
      for (int64_t g = 0; g < p_.count; ++g) {
        const bool open = size(g) < (missing == left ? p_.least : p_.most);
        if (open && (label < 0 || pull(i, g) > pull(label, group) + kSameScore)) label = i, group = g;
      }
    }
    put(label, group);
  }
  /// The move or swap that gains most; false if none gains.
  bool improve() {
    double most = kSameScore;
    int64_t label = -1, with = -1, to = -1;
    for (int64_t i = 0; i < p_.labels; ++i) {
      for (int64_t g = 0; g < p_.count && size(of(i)) > p_.least; ++g) {
        const double gain = pull(i, g) - pull(i, of(i));
        if (g != of(i) && size(g) < p_.most && gain > most) most = gain, label = i, with = -1, to = g;
      }
      for (int64_t j = i + 1; j < p_.labels; ++j) {
        const double gain =
            pull(i, of(j)) + pull(j, of(i)) - pull(i, of(i)) - pull(j, of(j)) - 2 * p_.at(i, j);
        if (of(i) != of(j) && gain > most) most = gain, label = i, with = j, to = of(j);
      }
    }
    if (label < 0) return false;
    if (with >= 0) put(with, of(label));
    put(label, to);
    return true;
  }

  const Problem& p_;
  std::vector<int64_t> size_, group_;
  std::vector<double> pull_;  ///< [labels · count]
};

std::vector<int64_t> grown(const Problem& problem) {
  std::vector<int64_t> best;
  double score = 0;
  for (int64_t first = 0; first < problem.labels; ++first) {
    const Growth growth(problem, first);
    if (best.empty() || growth.score() > score + kSameScore) best = growth.groups(), score = growth.score();
  }
  return best;
}

constexpr const char* kForm =
    "expected \"groups\" as a list of labels for each expert, such as [[0, 2], [1]]";

}  // namespace

LabelGroups read_label_groups(const std::string& part, const Json& groups) {
  GW_CHECK(groups.is_array() && !groups.empty(), "{}: {}, got {}", part, kForm,
           groups.is_array() ? "none" : "something else");
  LabelGroups out;
  std::vector<int64_t> all;
  for (const auto& group : groups) {
    GW_CHECK(group.is_array(), "{}: {}, got something else than a list as group {}", part, kForm, out.size());
    GW_CHECK(!group.empty(), "{}: expected at least one label in every group, got none in group {}", part,
             out.size());
    auto& labels = out.emplace_back();
    for (const auto& label : group) {
      GW_CHECK(label.is_number_integer() && label.get<int64_t>() >= 0 && label.get<int64_t>() < (1 << 20),
               "{}: expected labels of at least 0, got {} in group {}", part, label.dump().substr(0, 40),
               out.size() - 1);
      labels.push_back(label.get<int64_t>()), all.push_back(labels.back());
    }
  }
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i < all.size(); ++i) {
    const auto wanted = static_cast<int64_t>(i);
    GW_CHECK(all[i] >= wanted, "{}: expected every label in one group, got label {} in several", part,
             all[i]);
    GW_CHECK(all[i] <= wanted, "{}: expected every label from 0 to {} in a group, got none with label {}",
             part, all.back(), wanted);
  }
  return out;
}

void check_label_groups(const std::string& part, const LabelGroups& groups, int64_t classes,
                        int64_t experts) {
  GW_CHECK(static_cast<int64_t>(groups.size()) == experts,
           "{}: expected as many groups of labels as experts, {}, got {}", part, experts, groups.size());
  GW_CHECK(labels_of(groups) == classes, "{}: expected all {} labels in \"groups\", got {}", part, classes,
           labels_of(groups));
}

at::Tensor group_of_labels(const LabelGroups& groups) {
  std::vector<int64_t> of_label(static_cast<size_t>(labels_of(groups)));
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const int64_t label : groups[g]) of_label[static_cast<size_t>(label)] = static_cast<int64_t>(g);
  }
  return at::tensor(of_label, at::kLong);
}

LabelGroups group_by_confusion(const at::Tensor& confusion, int64_t count, int64_t slack) {
  const auto problem = problem_of(confusion, count, slack);
  const auto of_label = problem.labels <= kExact ? Enumeration(problem).best() : grown(problem);
  LabelGroups groups(static_cast<size_t>(count));
  for (size_t i = 0; i < of_label.size(); ++i)
    groups[static_cast<size_t>(of_label[i])].push_back(static_cast<int64_t>(i));
  std::sort(groups.begin(), groups.end());
  return groups;
}

at::Tensor group_weights(const LabelGroups& groups) {
  std::vector<double> weights;
  const auto fair = static_cast<double>(labels_of(groups)) / static_cast<double>(groups.size());
  for (const auto& group : groups) weights.push_back(fair / static_cast<double>(group.size()));
  return at::tensor(weights, at::kDouble);
}

}  // namespace gw::inline train
