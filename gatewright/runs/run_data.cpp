#include "gatewright/runs/run_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "gatewright/base/base64.h"
#include "gatewright/base/check.h"
#include "gatewright/runs/document_reader.h"
#include "gatewright/runs/run_directory.h"
#include "gatewright/train/route_recording.h"

namespace gw::inline runs {
namespace {

namespace fs = std::filesystem;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Counts parse_counts(const DocumentReader& reader, const char* key, size_t classes) {
  Counts counts;
  if (!reader.has(key)) return counts;
  reader.expect(reader.raw(key).is_array(), key, "a list of lists of counts");
  for (const Json& row : reader.raw(key)) {
    reader.expect(row.is_array() && !row.empty() && (classes == 0 || row.size() == classes), key,
                  "one list per expert, one count per class,");
    classes = row.size();
    counts.emplace_back();
    for (const Json& count : row) {
      reader.expect(count.is_number() && count.get<double>() >= 0, key, "counts of at least 0");
      counts.back().push_back(count.get<double>());
    }
  }
  return counts;
}

std::vector<uint8_t> parse_pixels(const DocumentReader& reader, const char* key, const Sample& sample) {
  if (!reader.has(key)) return {};
  const std::string bytes = base64_decode(reader.text(key), "report: " + reader.where() + ": " + key);
  const int64_t expected = sample.channels * sample.height * sample.width;
  GW_CHECK(static_cast<int64_t>(bytes.size()) == expected,
           "report: expected {} bytes of pixels at \"{}\" of {}, got {}; write planar u8 [C, H, W]", expected,
           key, reader.where(), bytes.size());
  return {bytes.begin(), bytes.end()};
}

std::vector<int64_t> parse_route(const DocumentReader& reader, const char* key) {
  if (!reader.has(key)) return {};
  if (!reader.raw(key).is_array()) return {reader.integer(key, 0)};
  std::vector<int64_t> route;
  for (const Json& expert : reader.raw(key)) {
    reader.expect(expert.is_number_integer(), key, "a list of expert numbers");
    route.push_back(expert.get<int64_t>());
  }
  return route;
}

Sample parse_sample(const DocumentReader& reader) {
  Sample sample;
  sample.channels = reader.integer("channels", 0);
  sample.height = reader.integer("height", 0);
  sample.width = reader.integer("width", 0);
  const auto side = [](int64_t n) { return n >= 1 && n <= 4096; };
  GW_CHECK(side(sample.channels) && side(sample.height) && side(sample.width),
           "report: expected channels and sides of 1 … 4096 at {}, got {} × {} × {}; see "
           "gatewright/runs/run_data.h",
           reader.where(), sample.channels, sample.height, sample.width);
  sample.clean = parse_pixels(reader, "clean", sample);
  GW_CHECK(!sample.clean.empty(),
           "report: expected pixels at \"clean\" of {}, got none; see gatewright/runs/run_data.h",
           reader.where());
  sample.attacked = parse_pixels(reader, "attacked", sample);
  sample.label = reader.integer("label", -1);
  sample.predicted_clean = reader.integer("predicted_clean", -1);
  sample.predicted_attacked = reader.integer("predicted_attacked", -1);
  sample.route_clean = parse_route(reader, "route_clean");
  sample.route_attacked = parse_route(reader, "route_attacked");
  return sample;
}

std::string last_folder(const std::string& directory) {
  const fs::path path = fs::path(directory).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

/// Splits a folder "<arm>-seed<k>".
void name_from_folder(const std::string& folder, RunData& run) {
  const size_t at = folder.rfind("-seed");
  const std::string digits = at == std::string::npos ? "" : folder.substr(at + 5);
  const bool seeded =
      !digits.empty() && digits.size() < 18 && digits.find_first_not_of("0123456789") == std::string::npos;
  if (run.arm.empty()) run.arm = seeded ? folder.substr(0, at) : folder;
  if (!run.seed && seeded) run.seed = std::stoll(digits);
}

}  // namespace

Evaluation::Evaluation()
    : clean_accuracy(kNan), flip_rate(kNan), backbone_macs(kNan), router_macs(kNan), dense_macs(kNan) {}

std::string RunData::name() const { return title.empty() ? arm : title; }

std::string RunData::label() const { return seed ? fmt::format("{}, seed {}", name(), *seed) : name(); }

double number_or_nan(const Json& object, const std::string& key) {
  if (!object.is_object()) return kNan;
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : kNan;
}

std::string paper_text(const Json& paper) {
  if (!paper.is_object()) return "";
  const auto part = [&](const char* key) {
    if (!paper.contains(key)) return std::string();
    return paper[key].is_string() ? paper[key].get<std::string>() : dump_json(paper[key]);
  };
  std::string text = part("title");
  if (!part("year").empty()) text += " (" + part("year") + ")";
  if (!part("identifier").empty()) text += (text.empty() ? "" : ", ") + part("identifier");
  return text;
}

Json to_json(const About& about) {
  return {{"title", about.title},     {"arm_title", about.arm_title}, {"command", about.command},
          {"machine", about.machine}, {"date", about.date},           {"paper", about.paper}};
}

Json to_json(const Evaluation& e) {
  Json document = {
      {"arm", e.arm},
      {"dataset", e.dataset},
      {"checkpoint", e.checkpoint},
      {"classes", e.classes},
      {"clean_accuracy", e.clean_accuracy},
      {"flip_rate", e.flip_rate},
      {"robust_accuracy", e.robust_accuracy},
      {"metrics", e.metrics},
      {"cost",
       {{"backbone_macs", e.backbone_macs}, {"router_macs", e.router_macs}, {"dense_macs", e.dense_macs}}}};
  if (e.images > 0) document["images"] = e.images;
  if (e.seed) document["seed"] = *e.seed;
  for (const auto& [batch, timing] : e.timing)
    document["timing"][std::to_string(batch)] = {{"ms_per_image", timing.ms_per_image},
                                                 {"dense_ms_per_image", timing.dense_ms_per_image}};
  if (!e.affinity_clean.empty()) document["affinity"]["clean"] = e.affinity_clean;
  if (!e.affinity_attacked.empty()) document["affinity"]["attacked"] = e.affinity_attacked;
  return document;
}

Json to_json(const std::vector<Sample>& samples) {
  const auto text = [](const std::vector<uint8_t>& pixels) {
    return base64_encode({reinterpret_cast<const char*>(pixels.data()), pixels.size()});
  };
  Json list = Json::array();
  for (const Sample& s : samples) {
    Json sample = {{"channels", s.channels},
                   {"height", s.height},
                   {"width", s.width},
                   {"clean", text(s.clean)},
                   {"label", s.label},
                   {"predicted_clean", s.predicted_clean},
                   {"predicted_attacked", s.predicted_attacked}};
    if (!s.attacked.empty()) sample["attacked"] = text(s.attacked);
    if (!s.route_clean.empty()) sample["route_clean"] = s.route_clean;
    if (!s.route_attacked.empty()) sample["route_attacked"] = s.route_attacked;
    list.push_back(std::move(sample));
  }
  return {{"samples", list}};
}

About parse_about(const Json& document, const std::string& where) {
  const DocumentReader reader(document, where);
  return {reader.text("title"),   reader.text("arm_title"), reader.text("command"),
          reader.text("machine"), reader.text("date"),      reader.text("paper")};
}

Evaluation parse_evaluation(const Json& document, const std::string& where) {
  const DocumentReader reader(document, where);
  Evaluation e;
  e.arm = reader.text("arm");
  e.dataset = reader.text("dataset");
  e.checkpoint = reader.text("checkpoint");
  if (reader.has("seed")) e.seed = reader.integer("seed", 0);
  if (reader.has("classes")) {
    reader.expect(reader.raw("classes").is_array(), "classes", "a list of texts");
    for (const Json& name : reader.raw("classes")) {
      reader.expect(name.is_string(), "classes", "a list of texts");
      e.classes.push_back(name.get<std::string>());
    }
  }
  e.images = reader.integer("images", 0);
  e.clean_accuracy = reader.number("clean_accuracy");
  e.flip_rate = reader.number("flip_rate");
  e.robust_accuracy = reader.numbers("robust_accuracy");
  e.metrics = reader.numbers("metrics");
  if (reader.has("cost")) {
    const DocumentReader cost(reader.raw("cost"), where + ": cost");
    e.backbone_macs = cost.number("backbone_macs");
    e.router_macs = cost.number("router_macs");
    e.dense_macs = cost.number("dense_macs");
  }
  for (const auto& [batch, timing] : reader.children("timing")) {
    const bool digits =
        !batch.empty() && batch.size() < 10 && batch.find_first_not_of("0123456789") == std::string::npos;
    GW_CHECK(digits,
             "report: expected a batch size at timing of {}, got \"{}\"; see gatewright/runs/run_data.h",
             where, batch);
    e.timing[std::stoll(batch)] = {timing.number("ms_per_image"), timing.number("dense_ms_per_image")};
  }
  if (reader.has("affinity")) {
    const DocumentReader affinity(reader.raw("affinity"), where + ": affinity");
    e.affinity_clean = parse_counts(affinity, "clean", e.classes.size());
    e.affinity_attacked = parse_counts(affinity, "attacked", e.classes.size());
  }
  return e;
}

std::vector<Sample> parse_samples(const Json& document, const std::string& where) {
  std::vector<Sample> samples;
  for (const DocumentReader& reader : DocumentReader(document, where).objects("samples"))
    samples.push_back(parse_sample(reader));
  return samples;
}

CheckResult parse_check(const Json& document, const std::string& where) {
  const DocumentReader reader(document, where);
  CheckResult result{reader.text(reader.has("title") ? "title" : "name"),
                     reader.text("command"),
                     reader.text("machine"),
                     reader.text("date"),
                     {},
                     {}};
  for (const DocumentReader& row : reader.objects("rows"))
    result.rows.push_back({row.text("claim"), row.shown("mark"), row.shown("measured"), row.shown("spread"),
                           row.text("verdict"), row.text("note"), row.flag("order"), row.flag("meets")});
  for (const DocumentReader& arm : reader.objects("arms")) {
    ArmSummary summary{arm.text("arm"), arm.integer("seeds", 0), {}, arm.text("title")};
    for (const auto& [name, range] : arm.children("metrics"))
      summary.metrics[name] = {range.number("mean"), range.number("min"), range.number("max")};
    result.arms.push_back(std::move(summary));
  }
  return result;
}

Rates parse_rates(const Json& document, const std::string& where) {
  const DocumentReader reader(document, where);
  Rates rates{reader.text("axis"), {}};
  for (const DocumentReader& curve : reader.objects("curves")) {
    rates.curves.push_back({curve.text("name"), curve.list("x"), curve.list("median"), curve.list("low"),
                            curve.list("high"), curve.number("slope")});
    const Rate& rate = rates.curves.back();
    for (const auto* list : {&rate.median, &rate.low, &rate.high})
      GW_CHECK(list->size() == rate.x.size(),
               "report: expected {} values at {}, got {}; see gatewright/runs/run_data.h", rate.x.size(),
               curve.where(), list->size());
  }
  return rates;
}

RunData read_run(const std::string& directory) {
  GW_CHECK(is_run_directory(directory),
           "report: expected a run or check directory, got {}, which has no recipe.json, metrics.jsonl or "
           "evaluation.json; "
           "give the directory that a run wrote",
           directory);
  RunData run;
  run.directory = directory;
  const auto file = [&](const char* name) { return directory + "/" + name; };
  if (fs::exists(file(kRecipeFile))) {
    run.recipe = read_json(file(kRecipeFile));
    const DocumentReader recipe(run.recipe, file(kRecipeFile));
    if (recipe.has("arm") && recipe.raw("arm").is_string()) run.arm = recipe.text("arm");
    if (recipe.has("seed") && recipe.raw("seed").is_number_integer()) run.seed = recipe.integer("seed", 0);
  }
  if (fs::exists(file(kAboutFile)))
    run.about = parse_about(read_json(file(kAboutFile)), file(kAboutFile)), run.title = run.about.arm_title;
  if (fs::exists(file(kMetricsFile))) run.records = read_records(file(kMetricsFile));
  if (fs::exists(file("evaluation.json")))
    run.evaluation = parse_evaluation(read_json(file("evaluation.json")), file("evaluation.json"));
  run.results = read_results(directory);
  if (fs::exists(file(kRatesFile))) run.rates = parse_rates(read_json(file(kRatesFile)), file(kRatesFile));
  if (fs::exists(file("samples.json")))
    run.samples = parse_samples(read_json(file("samples.json")), file("samples.json"));
  if (fs::exists(file(kRoutesFile))) run.routes = read_routes(file(kRoutesFile));
  if (run.evaluation && !run.evaluation->arm.empty()) run.arm = run.evaluation->arm;
  if (run.evaluation && run.evaluation->seed) run.seed = run.evaluation->seed;
  name_from_folder(last_folder(directory), run);
  return run;
}

}  // namespace gw::inline runs
