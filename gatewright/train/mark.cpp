#include "gatewright/train/mark.h"

#include <algorithm>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/json.h"

namespace gw::inline train {
namespace {

void expect_known(const std::string& where, const char* what, const std::string& name,
                  const std::vector<std::string>& known) {
  GW_CHECK(std::find(known.begin(), known.end(), name) != known.end(), "{}: unknown {} \"{}\"{}", where, what,
           name, near_miss(name, known));
}

/// Keys of one kind of mark say nothing in another, and would be read as if they did.
void check_keys_of(const std::string& where, const Json& table, Mark::Kind kind) {
  static const std::vector<std::pair<Mark::Kind, std::vector<const char*>>> wrong{
      {Mark::Kind::kBound, {"better", "interval", "confidence"}},
      {Mark::Kind::kOrder,
       {"arm", "minus", "minus_metric", "divided_by", "at_most", "not_worse_by", "better", "interval",
        "confidence"}},
      {Mark::Kind::kNotWorse, {"minus_metric", "divided_by", "at_least", "at_most"}}};
  for (const auto& [of, keys] : wrong) {
    for (const char* key : keys) {
      GW_CHECK(of != kind || !table.contains(key), "{}: expected no \"{}\" beside {}, got one; leave it out",
               where, key,
               kind == Mark::Kind::kOrder      ? "\"order\""
               : kind == Mark::Kind::kNotWorse ? "\"not_worse_by\""
                                               : "a bound, which only \"not_worse_by\" reads");
    }
  }
}

void check_value(const std::string& where, const Json& table, const Mark& mark) {
  GW_CHECK(mark.metric.empty() != mark.curve.empty(), "{}: expected a metric or a curve, got {}; name {}",
           where, mark.metric.empty() ? "none" : "both", mark.metric.empty() ? "one" : "one of them");
  for (const char* key : {"measure", "level"}) {
    GW_CHECK(!mark.curve.empty() || !table.contains(key),
             "{}: expected a curve for \"{}\", got none; name it", where, key);
  }
  GW_CHECK(table.contains("level") == (mark.measure == "crossing" && !mark.curve.empty()),
           "{}: expected \"level\" with measure = \"crossing\" and nowhere else, got measure = \"{}\"", where,
           mark.measure);
}

void check_bound(const std::string& where, const Mark& mark) {
  GW_CHECK(mark.at_least > -kInfinity || mark.at_most < kInfinity,
           "{}: expected at_least or at_most, got no bound; it could not fail", where);
  GW_CHECK(mark.at_least <= mark.at_most,
           "{}: expected at_least <= at_most, got {} and {}; it could not hold", where, mark.at_least,
           mark.at_most);
}

void check_order(const std::string& where, const Mark& mark) {
  const std::set<std::string> once(mark.order.begin(), mark.order.end());
  GW_CHECK(mark.order.size() >= 2 && once.size() == mark.order.size(),
           "{}: expected at least two different arms in \"order\", got {}", where,
           once.size() < mark.order.size() ? "one of them twice" : "fewer");
}

}  // namespace

void Mark::fields(OptionVisitor& v) {
  v.text("name", name, "what the mark is about");
  v.text("claim", claim, "what the paper claims");
  v.text("metric", metric, "measured value: robust_accuracy, clean_accuracy, macs_ratio, …");
  v.text("minus_metric", minus_metric, "another metric of the same run, subtracted");
  v.text("curve", curve, "instead of a metric: train.loss, validation.accuracy, …");
  v.text("measure", measure, "what is taken from the curve", {"area", "slope", "crossing"});
  v.real("level", level, "crossing: the value that the curve passes through", -kInfinity, kInfinity);
  v.text("arm", arm, "whose value");
  v.text("minus", minus, "arm whose value is subtracted");
  v.text("divided_by", divided_by, "arm whose value divides");
  v.texts("order", order, "arms in rising order of the value");
  v.text("spread", spread, "how the mark was calibrated: seeds, observed range, date");
  v.real("at_least", at_least, "lower bound; of an order: on the step from each arm to the next", -kInfinity,
         kInfinity);
  v.real("at_most", at_most, "upper bound", -kInfinity, kInfinity);
  v.real("not_worse_by", not_worse_by, "how much worse than `minus` is still allowed", 0, kInfinity);
  v.text("better", better, "not worse: whether more or less of the value is better", {"more", "less"});
  v.text("interval", interval, "not worse: over paired seeds", {"t", "bootstrap"});
  v.real("confidence", confidence, "not worse: of the one-sided interval", 0.5, 0.9999);
  v.real("scale", scale, "factor on the measured value", -1e9, 1e9);
  v.text("unit", unit, "of the measured value after scaling");
  v.flag("of_paper", of_paper, "the paper's own claim: shown or not shown, outside the exit code");
  v.texts("sizes", sizes, "where the mark applies; empty: everywhere");
}

Mark::Kind Mark::kind() const {
  if (!order.empty()) return Kind::kOrder;
  return not_worse_by < kInfinity ? Kind::kNotWorse : Kind::kBound;
}

std::vector<std::string> Mark::arms() const {
  auto all = order;
  for (const auto& one : {arm, minus, divided_by})
    if (!one.empty()) all.push_back(one);
  return all;
}

bool Mark::applies(const std::string& size) const {
  return sizes.empty() || std::find(sizes.begin(), sizes.end(), size) != sizes.end();
}

Mark read_mark(const std::string& recipe, const Json& table, const std::vector<std::string>& arms,
               const std::vector<std::string>& sizes) {
  Mark mark;
  const auto kind_of_part = "recipe " + recipe + " mark";
  parse_options(kind_of_part, table, mark);
  const auto where = fmt::format("{} \"{}\"", kind_of_part, mark.name);
  check_keys_of(where, table, mark.kind());
  check_value(where, table, mark);
  GW_CHECK(mark.kind() == Mark::Kind::kOrder || !mark.arm.empty(), "{}: expected an arm, got none; name it",
           where);
  if (mark.kind() == Mark::Kind::kBound) check_bound(where, mark);
  if (mark.kind() == Mark::Kind::kOrder) check_order(where, mark);
  GW_CHECK(mark.kind() != Mark::Kind::kNotWorse || !mark.minus.empty(),
           "{}: expected the arm that \"{}\" is compared with under \"minus\", got none", where, mark.arm);
  for (const auto& arm : mark.arms()) expect_known(where, "arm", arm, arms);
  for (const auto& size : mark.sizes) expect_known(where, "size", size, sizes);
  return mark;
}

void check_names(const std::string& recipe, const Mark& mark, const std::map<std::string, LeftNames>& arms) {
  const auto where = fmt::format("recipe {} mark \"{}\"", recipe, mark.name);
  for (const auto& arm : mark.arms()) {
    const auto found = arms.find(arm);
    if (found == arms.end()) continue;
    const auto& left = found->second;
    if (!mark.metric.empty()) expect_known(where, "metric", mark.metric, left.metrics);
    if (!mark.curve.empty()) expect_known(where, "curve", mark.curve, left.curves);
    if (!mark.minus_metric.empty() && arm == mark.arm)
      expect_known(where, "metric", mark.minus_metric, left.metrics);
  }
}

}  // namespace gw::inline train
