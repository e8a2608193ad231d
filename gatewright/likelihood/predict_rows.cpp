#include "gatewright/likelihood/predict_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "gatewright/likelihood/chunks.h"
#include "gatewright/likelihood/density.h"
#include "gatewright/likelihood/predict.h"

namespace gw::likelihood {
namespace {

std::string number(double value) { return fmt::format("{:.10g}", value); }

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::vector<std::string> header_of(const MixtureModel& model, bool explain) {
  std::vector<std::string> header{"row"};
  const auto add = [&](const std::string& what, int64_t k) {
    header.push_back(fmt::format("{}_{}", what, k + 1));
  };
  if (model.schema.classes.empty()) {
    header.insert(header.end(), {"mean", "mean_error", "mean_low", "mean_high", "low", "high"});
    for (int64_t k = 0; k < model.fit.spec.experts; ++k) add("expert", k);
  } else {
    header.push_back("class");
    for (const auto& name : model.schema.classes) header.push_back("p_" + name);
  }
  for (int64_t k = 0; k < model.fit.spec.experts; ++k) add("gate", k);
  if (!explain) return header;
  header.push_back("log_density");
  for (int64_t k = 0; k < model.fit.spec.experts; ++k) add("responsibility", k);
  return header;
}

}  // namespace

PredictedRows predict_rows(const MixtureModel& model, const CsvTable& table, double level, bool drop_missing,
                           bool explain) {
  const Frame frame = apply_schema(table, model.schema, drop_missing, explain);
  const auto& [spec, p] = std::tie(model.fit.spec, model.fit.parameters);
  const auto d = static_cast<int64_t>(model.schema.columns().size());
  PredictedRows out{header_of(model, explain), std::vector<std::vector<std::string>>(frame.row.size()),
                    frame.dropped};
  const Chunks chunks(frame.size());
  parallel_for(chunks.count(), [&](int64_t c) {
    std::vector<double> posterior(static_cast<size_t>(spec.experts));
    for (int64_t i = chunks.begin(c); i < chunks.end(c); ++i) {
      const double* x = frame.x.data() + i * d;
      const auto at = predict(spec, p, x, level, &model.inference);
      auto& row = out.rows[static_cast<size_t>(i)];
      row.push_back(fmt::format("{}", frame.row[static_cast<size_t>(i)] + 1));
      if (model.schema.classes.empty()) {
        const auto& of_mean = at.mean_interval;
        row.insert(row.end(), {number(at.mean), at.mean_error ? number(*at.mean_error) : "",
                               of_mean ? number(of_mean->low) : "", of_mean ? number(of_mean->high) : "",
                               number(at.low), number(at.high)});
        for (const double mean : at.expert) row.push_back(number(mean));
      } else {
        row.push_back(model.schema.classes[static_cast<size_t>(at.mean)]);
        for (const double chance : at.classes) row.push_back(number(chance));
      }
      for (const double chance : at.gate) row.push_back(number(chance));
      if (!explain) continue;
      row.push_back(number(log_density(spec, p, x, frame.y[static_cast<size_t>(i)], posterior.data())));
      for (const double chance : posterior) row.push_back(number(chance));
    }
  });
  return out;
}

std::string to_csv(const PredictedRows& predicted) {
  std::string text;
  const auto line = [&](const std::vector<std::string>& cells) {
    for (size_t i = 0; i < cells.size(); ++i) text += (i > 0 ? "," : "") + quoted(cells[i]);
    text += '\n';
  };
  line(predicted.header);
  for (const auto& row : predicted.rows) line(row);
  return text;
}

}  // namespace gw::likelihood
