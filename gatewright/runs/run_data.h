#pragma once
// What the report reads: the documents of a run directory and of a check directory. All text is UTF-8 JSON; a
// number that is null or missing was not measured; fields not named here are allowed and, unless said
// otherwise, ignored.
//
// <run>/recipe.json       the resolved recipe, any object. Read: "title", "name", "arm" (texts), "seed"
//                         (integer), "paper" {"title", "year", "identifier"}. Shown whole, folded.
// <run>/about.json        {"title": the recipe's title, "arm_title", "command", "machine", "date", "paper":
//                         texts}: what no number depends on
// <run>/metrics.jsonl     one object a line, in the order of steps:
//                         {"step": integer, "epoch": number, "kind": "train" | "validation",
//                          "loss", "clean_accuracy", "robust_accuracy": numbers,
//                          "load": [E] share of the rows that each expert got, adding up to 1,
//                          "entropy": mean entropy of the gate in nats, and any other number: each becomes a
//                          curve of its own}
//                         "wall_time_s" and names that end in "_per_s" or "_s" are clock readings: no curve.
// <run>/evaluation.json   {"arm": text, "seed": integer, "dataset": text, "checkpoint": text, "classes": [C]
//                          texts, "images": number of test images,
//                          "clean_accuracy": number, "robust_accuracy": {attack: number}, "flip_rate": share
//                          of the samples whose route an attack changed, "metrics": {name: number} (further
//                          columns of the result table), "cost": {"backbone_macs", "router_macs",
//                          "dense_macs"} multiply-adds per sample; dense = the same model with all experts,
//                          "timing": {batch size: {"ms_per_image": number, "dense_ms_per_image": number}},
//                          "affinity": {"clean": [E][C] counts of samples, "attacked": [E][C]}}
// <run>/samples.json      {"samples": [{"channels", "height", "width", "clean": base64 of the planar u8
//                          pixels [C, H, W], "attacked": the same, or missing, "label", "predicted_clean",
//                          "predicted_attacked": class numbers, "route_clean", "route_attacked": expert
//                          number or list of them}]}, 12 at most are shown, of 1 or 3 channels only.
// <run>/rates.json        a statistical experiment: {"axis": text, "curves": [{"name": text, "x", "median",
//                         "low", "high": lists of numbers of equal length (null: not finite), "slope": number
//                         or null}]}; charts of the medians over the axis
// <run>/results.json      curves and tables that an arm leaves beside its numbers: {"curves": {name: {"axis":
// text,
//                         "x", "y": lists of numbers of equal length (null: not finite)}}, "tables": {name:
//                         {"row": text, what a row is, "columns", "names": lists of texts, "values": a list
//                         of numbers for each name, one a column}}}; charts and tables of the page
// <run>/routes.bin        the recorded decisions (docs/recording.md)
// <check>/check.json      {"title", "name", "command", "machine", "date": texts,
//                          "rows": [{"claim", "mark": texts, "measured", "spread": text or number, "verdict":
//                          "pass" | "fail" | "shown" | "not shown" | "not judged" | other text, "note": text,
//                          "order": true if the paper compares two arms here, "meets": true if the measured
//                          value meets the bound, judged or not}], "arms": [{"arm": text, "title": text,
//                          "seeds": integer, "metrics": {name: {"mean", "min", "max"}}}]}
// <check>/<arm>-seed<k>/  the runs of a check: every folder that holds a recipe.json, metrics.jsonl or
// evaluation.json
//
// Accuracies and shares are fractions, 0 … 1.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gatewright/base/json.h"
#include "gatewright/base/options.h"
#include "gatewright/runs/results.h"
#include "gatewright/runs/route_view.h"

namespace gw::inline runs {

using Counts = std::vector<std::vector<double>>;  ///< [E][C]

/// evaluation.json. `nan` stands for what was not measured.
struct Evaluation {
  struct Timing {
    double ms_per_image, dense_ms_per_image;
  };
  std::string arm, dataset, checkpoint;
  std::optional<int64_t> seed;
  std::vector<std::string> classes;
  double clean_accuracy, flip_rate;
  std::map<std::string, double> robust_accuracy, metrics;
  double backbone_macs, router_macs, dense_macs;
  std::map<int64_t, Timing> timing;  ///< by batch size
  Counts affinity_clean, affinity_attacked;
  int64_t images = 0;  ///< test images; 0: not known

  Evaluation();
};

/// One image of samples.json.
struct Sample {
  int64_t channels = 0, height = 0, width = 0;
  std::vector<uint8_t> clean, attacked;  ///< [C, H, W]; `attacked` may be empty
  int64_t label = -1, predicted_clean = -1, predicted_attacked = -1;
  std::vector<int64_t> route_clean, route_attacked;
};

/// check.json.
struct CheckRow {
  std::string claim, mark, measured, spread, verdict, note;
  bool order = false, meets = false;
};
struct Range {
  double mean, min, max;
};
struct ArmSummary {
  std::string arm;
  int64_t seeds = 0;
  std::map<std::string, Range> metrics;
  std::string title = {};  ///< "": the arm's name serves
};
struct CheckResult {
  std::string title, command, machine, date;
  std::vector<CheckRow> rows;
  std::vector<ArmSummary> arms;
};

/// One curve of rates.json.
struct Rate {
  std::string name;
  std::vector<double> x, median, low, high;
  double slope;
};
struct Rates {
  std::string axis;
  std::vector<Rate> curves;
};
inline constexpr const char* kRatesFile = "rates.json";

/// about.json: where a run comes from. Nothing that is computed depends on it.
struct About {
  std::string title, arm_title, command, machine, date, paper = {};  ///< paper: "Title (year), identifier"
};
inline constexpr const char* kAboutFile = "about.json";

/// One run directory as read.
struct RunData {
  std::string directory, arm, title;  ///< title: the recipe's for the arm, "" where nobody told it
  About about;
  std::optional<int64_t> seed;
  Json recipe;  ///< null without recipe.json
  std::vector<Json> records;
  std::optional<Evaluation> evaluation;
  std::vector<Sample> samples;
  Results results;                  ///< empty unless the arm left curves or tables
  Rates rates;                      ///< without curves unless the run was an experiment
  std::optional<RouteView> routes;  ///< of a recorded run

  /// The title, or the arm without one.
  std::string name() const;
  /// "name" or "name, seed 3".
  std::string label() const;
};

/// "Title (year), identifier" of a recipe's table [paper]; empty for anything else.
std::string paper_text(const Json& paper);

/// Documents, for who writes them.
Json to_json(const About& about);
Json to_json(const Evaluation& evaluation);
Json to_json(const std::vector<Sample>& samples);

/// Documents, read and checked. `where` names the file in errors.
/// Errors: ValueError naming the file, the field, what was expected and what was found.
About parse_about(const Json& document, const std::string& where);
Evaluation parse_evaluation(const Json& document, const std::string& where);
std::vector<Sample> parse_samples(const Json& document, const std::string& where);
CheckResult parse_check(const Json& document, const std::string& where);
Rates parse_rates(const Json& document, const std::string& where);

/// Reads what a run directory has. Errors: those above; ValueError if it has none of recipe, metrics and
/// evaluation.
RunData read_run(const std::string& directory);
bool is_run_directory(const std::string& directory);
bool is_check_directory(const std::string& directory);
/// The runs in a check directory, sorted by name with numbers in order (seed2 before seed10).
std::vector<std::string> runs_of_check(const std::string& directory);

/// A number of a record, nan if it is missing or null.
double number_or_nan(const Json& object, const std::string& key);

}  // namespace gw::inline runs
