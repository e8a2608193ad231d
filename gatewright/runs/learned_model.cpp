#include "gatewright/runs/learned_model.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"
#include "gatewright/data/table_cells.h"
#include "gatewright/train/trainer.h"

namespace gw::inline runs {
namespace {

constexpr int64_t kRowsAtOnce = 1024;  // 8 experts of 16 columns: half a megabyte for each layer
constexpr int64_t kRowsOfText = 8192;
constexpr uint64_t kTableLimit_bytes = uint64_t{64} << 20;

/// Data of no rows that look like those that the model was trained on.
TaskData shape_of(const TableEncoding& encoding) {
  TaskData data;
  data.numeric = encoding.numeric(), data.fields = encoding.fields();
  data.train.fields["x"] = at::zeros({0, encoding.width()});
  if (encoding.classes.empty()) {
    data.train.fields["y"] = at::zeros({0});
  } else {
    data.train.fields["label"] = at::zeros({0}, at::kLong);
    data.class_names = encoding.classes, data.classes = static_cast<int64_t>(encoding.classes.size());
  }
  data.test = data.train;
  return data;
}

/// A cell of CSV: quoted where it holds what would end it.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

/// Compares answers with the response where the table has it.
class ResponseScore {
 public:
  ResponseScore(const TableEncoding& encoding, const CsvTable& table) : encoding_(encoding), table_(table) {
    const auto& header = table.header();
    const auto found = std::find(header.begin(), header.end(), encoding.response);
    column_ = found == header.end() ? -1 : found - header.begin();
  }

  void add_class(int64_t row, int64_t predicted, PredictedTable& told) {
    if (column_ < 0 || table_.missing(row, column_)) return;
    const auto& classes = encoding_.classes;
    const auto true_class = level_of(table_, row, column_);
    ++told.scored;
    told.score += classes[static_cast<size_t>(predicted)] == true_class ? 1 : 0;
    told.unseen_classes += std::binary_search(classes.begin(), classes.end(), true_class) ? 0 : 1;
  }
  void add_value(int64_t row, double predicted, PredictedTable& told) const {
    double value = 0;
    if (column_ < 0 || table_.missing(row, column_) || !table_.number(row, column_, value)) return;
    ++told.scored, told.score += (predicted - value) * (predicted - value);
  }
  void finish(PredictedTable& told) const {
    if (told.scored == 0) return;
    told.score /= static_cast<double>(told.scored);
    if (encoding_.classes.empty()) told.score = std::sqrt(told.score);
  }

 private:
  const TableEncoding& encoding_;
  const CsvTable& table_;
  int64_t column_;
};

void append_classes(const LearnedModel& model, const at::Tensor& probability, int64_t first,
                    ResponseScore& score, PredictedTable& told, std::string& text) {
  const auto& classes = model.encoding.classes;
  std::vector<std::string> cells;
  for (const auto& name : classes) cells.push_back(csv_cell(name));
  const auto p = probability.contiguous();
  const double* row = p.data_ptr<double>();
  for (int64_t i = 0; i < p.size(0); ++i, row += p.size(1)) {
    const int64_t best = std::max_element(row, row + p.size(1)) - row;
    text += cells[static_cast<size_t>(best)];
    for (int64_t c = 0; c < p.size(1); ++c) fmt::format_to(std::back_inserter(text), ",{:.6g}", row[c]);
    text += '\n';
    score.add_class(first + i, best, told);
  }
}

void append_values(const at::Tensor& value, int64_t first, const ResponseScore& score, PredictedTable& told,
                   std::string& text) {
  const auto values = value.contiguous();
  const double* v = values.data_ptr<double>();
  for (int64_t i = 0; i < values.size(0); ++i) {
    fmt::format_to(std::back_inserter(text), "{:.9g}\n", v[i]);
    score.add_value(first + i, v[i], told);
  }
}

}  // namespace

LearnedModel::Answers LearnedModel::answers(const at::Tensor& x) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> answer, weight;
  Pass pass;
  pass.rng = Rng(seed).fork("learned"), pass.train = false;
  for (int64_t first = 0; first < x.size(0); first += kRowsAtOnce) {
    Batch batch;
    batch.fields["x"] = x.slice(0, first, first + kRowsAtOnce);
    batch.index = at::arange(first, first + batch.fields["x"].size(0), at::kLong);
    const auto out = model->answer(batch, pass);
    answer.push_back(out.answer);
    if (!out.plans.empty()) weight.push_back(dense_weights(out.plans.front().plan));
  }
  Answers answers;
  const auto all = at::cat(answer, 0).to(at::kDouble);
  GW_ENSURE(at::isfinite(all).all().item<bool>(), "learned: an answer is not finite");
  if (!weight.empty()) answers.weight = at::cat(weight, 0);
  if (encoding.classes.empty())
    answers.value = all.squeeze(1) * encoding.y_deviation + encoding.y_mean;
  else
    answers.probability = at::softmax(all, 1);
  return answers;
}

bool holds_learned_model(const std::string& directory) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(directory + "/" + kTableFile, ignored);
}

LearnedModel read_learned_model(const std::string& directory) {
  GW_CHECK(holds_learned_model(directory),
           "learned: expected a folder with {}, as learning from a table leaves it, got {}", kTableFile,
           shown(directory));
  const auto where = directory + "/" + kTableFile;
  LearnedModel out;
  const auto document = Json::parsed(read_file(where, kTableLimit_bytes));
  GW_CHECK(document.has_value(), "{}: expected JSON, got something else; the file is damaged", shown(where));
  out.encoding = table_encoding_from_json(*document, shown(where));
  const auto weights = directory + "/" + kWeightsFile;
  const auto file = load_checkpoint(weights);
  const auto config = read_config(weights, checkpoint_config(file, weights));
  out.model = make_model(config, shape_of(out.encoding), *make_task(config));
  load_model(*out.model, file, weights);
  out.model->eval();
  out.seed = static_cast<uint64_t>(config.seed);
  return out;
}

PredictedTable predict_table(const LearnedModel& model, const CsvTable& table,
                             const std::function<void(std::string_view)>& out) {
  const auto& encoding = model.encoding;
  std::string text = csv_cell(encoding.response);
  for (const auto& name : encoding.classes) text += "," + csv_cell("p_" + name);
  text += '\n';
  PredictedTable told;
  ResponseScore score(encoding, table);
  for (told.rows = 0; told.rows < table.rows();) {
    const int64_t count = std::min(kRowsOfText, table.rows() - told.rows);
    const auto answers = model.answers(encode_rows(table, encoding, told.rows, count));
    if (encoding.classes.empty())
      append_values(answers.value, told.rows, score, told, text);
    else
      append_classes(model, answers.probability, told.rows, score, told, text);
    out(text);
    text.clear();
    told.rows += count;
  }
  score.finish(told);
  return told;
}

}  // namespace gw::inline runs
