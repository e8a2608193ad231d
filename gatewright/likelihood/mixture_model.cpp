#include "gatewright/likelihood/mixture_model.h"

#include <cmath>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/distributions.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json.h"
#include "gatewright/base/json_text.h"
#include "gatewright/likelihood/gate_form.h"
#include "gatewright/likelihood/location_scale.h"
#include "gatewright/likelihood/small_sample.h"

namespace gw::likelihood {
namespace {

using Kind = FreeParameter::Kind;
constexpr const char* kFormat = "gatewright mixture";
constexpr double kLargest = 1e100;  // squares and products with data of the same size stay finite
constexpr const char* kScaled = "bring the columns and the response near 1 and fit again";
constexpr int kVersion =
    2;  // 2: the factor of the covariance and the undetermined directions, which predictions need

Json spec_json(const MixtureSpec& spec) {
  Json json{{"experts", spec.experts}, {"family", name_of(spec.family)}, {"gate", name_of(spec.gate.kind)}};
  if (spec.family->classes()) json["classes"] = spec.classes;
  const Json of_gate{{"top_k", spec.gate.top_k},
                     {"select_with_bias", spec.gate.select_with_bias},
                     {"activation", name_of(spec.gate.activation)},
                     {"input_scale", spec.gate.input_scale}};
  for (const auto& name : spec.gate.kind->options()) json[name] = of_gate.at(name);
  if (spec.gate.columns) json["gate_columns"] = *spec.gate.columns;
  if (spec.columns) json["expert_columns"] = *spec.columns;
  return json;
}

MixtureSpec spec_from(const Json& json) {
  MixtureSpec spec;
  spec.experts = json.at("experts").get<int64_t>();
  spec.family = family(json.at("family").get<std::string>());
  spec.classes = json.value("classes", int64_t{2});
  spec.gate.kind = gate_kind(json.at("gate").get<std::string>());
  spec.gate.top_k = json.value("top_k", int64_t{1});
  spec.gate.select_with_bias = json.value("select_with_bias", true);
  spec.gate.activation = activation(json.value("activation", std::string("tanh")));
  spec.gate.input_scale = json.value("input_scale", 1.0);
  if (json.contains("gate_columns")) spec.gate.columns = json["gate_columns"].get<std::vector<int64_t>>();
  if (json.contains("expert_columns")) spec.columns = json["expert_columns"].get<std::vector<int64_t>>();
  return spec;
}

Json parameters_json(const MixtureParameters& p) {
  return {{"gate_bias", p.gate_bias},
          {"gate_slope", p.gate_slope},
          {"intercept", p.intercept},
          {"slope", p.slope},
          {"scale", p.scale},
          {"freedom", p.freedom},
          {"temperature", p.temperature}};
}

MixtureParameters parameters_from(const Json& json, const MixtureSpec& spec, int64_t d,
                                  const std::string& where) {
  auto p = make_parameters(spec, d);
  const auto take = [&](const char* name, std::vector<double>& to) {
    auto values = json.at(name).get<std::vector<double>>();
    GW_CHECK(values.size() == to.size(), "{}: expected {} values of {}, got {}", where, to.size(), name,
             values.size());
    to = std::move(values);
  };
  take("gate_bias", p.gate_bias), take("gate_slope", p.gate_slope), take("intercept", p.intercept),
      take("slope", p.slope);
  take("scale", p.scale), take("freedom", p.freedom);
  p.temperature = json.at("temperature").get<double>();
  for (const auto* list : {&p.gate_bias, &p.gate_slope, &p.intercept, &p.slope}) {
    for (const double value : *list)
      GW_CHECK(std::abs(value) <= kLargest, "{}: expected coefficients of at most {:g}, got {:g}; {}", where,
               kLargest, value, kScaled);
  }
  const auto check_size = [&](const char* what, double value) {
    GW_CHECK(value >= 1 / kLargest && value <= kLargest, "{}: expected {} from {:g} to {:g}, got {:g}; {}",
             where, what, 1 / kLargest, kLargest, value, kScaled);
  };
  for (const double scale : p.scale) check_size("scales", scale);
  for (const double freedom : p.freedom) check_size(spec.family->shape()->name, freedom);
  check_size("a temperature", p.temperature);
  return p;
}

Json errors_json(const std::vector<std::optional<double>>& errors) {
  Json json = Json::array();
  for (const auto& error : errors) json.push_back(error ? Json(*error) : Json());
  return json;
}

Json inference_json(const Inference& i) {
  return {{"estimate", i.estimate},
          {"error", errors_json(i.error)},
          {"robust_error", errors_json(i.robust_error)},
          {"covariance", i.covariance},
          {"robust_covariance", i.robust_covariance},
          {"factor", i.factor},
          {"undetermined", i.undetermined},
          {"warnings", i.warnings}};
}

/// What no covariance can be: negative in its diagonal.
void check_variances(const std::vector<double>& covariance, size_t size, const std::string& where) {
  for (size_t a = 0; a < size; ++a) {
    const double variance = covariance[a * size + a];
    GW_CHECK(variance >= 0,
             "{}: expected variances of at least 0, got {:g} for estimate {}; the model file is damaged",
             where, variance, a + 1);
  }
}

Inference inference_from(const Json& json, const MixtureSpec& spec, int64_t d, const std::string& where) {
  Inference i;
  i.parameter = free_parameter_list(spec, d);
  const size_t size = i.parameter.size();
  const auto take = [&](const char* name, size_t expected) {
    auto values = json.at(name).get<std::vector<double>>();
    GW_CHECK(values.size() == expected, "{}: expected {} values of {}, got {}", where, expected, name,
             values.size());
    return values;
  };
  i.estimate = take("estimate", size), i.covariance = take("covariance", size * size),
  i.robust_covariance = take("robust_covariance", size * size);
  i.factor = take("factor", size * size);
  i.undetermined = json.at("undetermined").get<std::vector<std::vector<double>>>();
  for (const auto& direction : i.undetermined)
    GW_CHECK(direction.size() == size, "{}: expected {} values of a direction in undetermined, got {}", where,
             size, direction.size());
  for (const auto* covariance : {&i.covariance, &i.robust_covariance})
    check_variances(*covariance, size, where);
  for (const double value : i.factor)
    GW_CHECK(std::abs(value) <= kLargest,
             "{}: expected a factor of the covariance of at most {:g}, got {:g}; {}", where, kLargest, value,
             kScaled);
  for (auto* to : {&i.error, &i.robust_error}) {
    const Json& list = json.at(to == &i.error ? "error" : "robust_error");
    GW_CHECK(list.is_array() && list.size() == size, "{}: expected {} standard errors", where, size);
    for (const auto& value : list)
      to->push_back(value.is_null() ? std::nullopt : std::optional(value.get<double>()));
  }
  i.warnings = json.value("warnings", std::vector<std::string>{});
  return i;
}

/// JSON has no word for infinity and NaN: they would be written as null, which read_model refuses.
void check_finite(const Json& json, const std::string& path, const std::string& at) {
  if (json.is_number_float())
    GW_CHECK(std::isfinite(json.get<double>()),
             "{}: expected finite numbers in a model, got {} at {}; bring columns and response near 1", path,
             json.get<double>(), at);
  if (!json.is_structured()) return;
  for (const auto& [key, value] : json.items()) check_finite(value, path, at + "/" + key);
}

std::string part_of(const MixtureModel& model, const FreeParameter& free) {
  if (free.kind == Kind::kTemperature) return "gates";
  if (free.kind == Kind::kGateBias || free.kind == Kind::kGateSlope)
    return fmt::format("gate {}", free.expert + 1);
  const bool classes =
      !model.schema.classes.empty() && (free.kind == Kind::kIntercept || free.kind == Kind::kSlope);
  return fmt::format("expert {}", free.expert + 1) +
         (classes ? ", " + model.schema.classes[static_cast<size_t>(free.output)] : "");
}

std::string name_of(const FreeParameter& free, const Family& family,
                    const std::vector<std::string>& columns) {
  switch (free.kind) {
    case Kind::kScale:
      return "scale";
    case Kind::kFreedom:
      return family->shape()->name;
    case Kind::kTemperature:
      return "temperature";
    default:
      return free.column < 0 ? "(intercept)" : columns[static_cast<size_t>(free.column)];
  }
}

/// Few rows cost a normal expert's coefficients what they cost those of least squares.
void count_freedom(const MixtureModel& model, int64_t expert, CoefficientRow& row) {
  const auto* law = model.fit.spec.family->location_scale();
  if (law == nullptr || !law->least_squares()) return;
  const auto small = small_sample(model.fit.spec, model.fit.parameters, model.inference, expert);
  if (!small) return;
  row.freedom = small->freedom;
  for (auto* error : {&row.error, &row.robust_error}) {
    if (*error) **error *= small->factor;
  }
}

void test_zero(CoefficientRow& row) {
  constexpr double kUpper = 0.975;
  row.t = row.estimate / *row.error;
  const double away = -std::abs(*row.t);
  row.p = 2 * (row.freedom ? student_cdf(away, *row.freedom) : normal_cdf(away));
  const double quantile = row.freedom ? student_quantile(kUpper, *row.freedom) : normal_quantile(kUpper);
  row.low = row.estimate - quantile * *row.error, row.high = row.estimate + quantile * *row.error;
}

}  // namespace

std::vector<CoefficientRow> coefficient_rows(const MixtureModel& model) {
  std::vector<CoefficientRow> rows;
  const auto columns = model.schema.columns();
  const auto& i = model.inference;
  for (size_t j = 0; j < i.parameter.size(); ++j) {
    CoefficientRow row;
    row.part = part_of(model, i.parameter[j]),
    row.name = name_of(i.parameter[j], model.fit.spec.family, columns);
    row.estimate = i.estimate[j], row.error = i.error[j], row.robust_error = i.robust_error[j];
    if (i.parameter[j].kind == Kind::kIntercept || i.parameter[j].kind == Kind::kSlope)
      count_freedom(model, i.parameter[j].expert, row);
    if (!i.parameter[j].logarithmic() && row.error && *row.error > 0) test_zero(row);
    rows.push_back(std::move(row));
  }
  return rows;
}

Json to_json(const MixtureModel& model) {
  const auto& fit = model.fit;
  const auto& c = model.criteria;
  return {{"format", kFormat},
          {"version", kVersion},
          {"schema", to_json(model.schema)},
          {"model", spec_json(fit.spec)},
          {"parameters", parameters_json(fit.parameters)},
          {"fit",
           {{"log_likelihood", fit.log_likelihood},
            {"iterations", fit.iterations},
            {"converged", fit.converged},
            {"rows", fit.n},
            {"weight", fit.weight},
            {"warnings", fit.warnings}}},
          {"criteria",
           {{"parameters", c.parameters},
            {"aic", c.aic},
            {"bic", c.bic},
            {"icl", c.icl},
            {"entropy", c.entropy}}},
          {"inference", inference_json(model.inference)}};
}

MixtureModel mixture_from_json(const Json& json, const std::string& where) {
  try {
    GW_CHECK(json.is_object() && json.value("format", "") == kFormat,
             "{}: expected a model file of `gatewright fit`, got something else", where);
    const int version = json.at("version").get<int>();
    GW_CHECK(version == kVersion, "{}: expected version {}, got {}; fit the model again", where, kVersion,
             version);
    MixtureModel model;
    model.schema = schema_from_json(json.at("schema"), where);
    const auto d = static_cast<int64_t>(model.schema.columns().size());
    auto& fit = model.fit;
    fit.spec = spec_from(json.at("model"));
    fit.d = d;
    fit.parameters = parameters_from(json.at("parameters"), fit.spec, d, where);
    const Json& of = json.at("fit");
    fit.log_likelihood = of.at("log_likelihood").get<double>(),
    fit.iterations = of.at("iterations").get<int64_t>();
    fit.converged = of.at("converged").get<bool>(), fit.n = of.at("rows").get<int64_t>(),
    fit.weight = of.at("weight").get<double>();
    fit.warnings = of.value("warnings", std::vector<std::string>{});
    const Json& c = json.at("criteria");
    model.criteria = {fit.log_likelihood,        c.at("parameters").get<int64_t>(),
                      c.at("aic").get<double>(), c.at("bic").get<double>(),
                      c.at("icl").get<double>(), c.at("entropy").get<double>()};
    model.inference = inference_from(json.at("inference"), fit.spec, d, where);
    const bool classes = fit.spec.family->classes();
    GW_CHECK(classes == !model.schema.classes.empty() &&
                 (!classes || static_cast<int64_t>(model.schema.classes.size()) == fit.spec.classes),
             "{}: expected as many class names as classes", where);
    return model;
  } catch (const JsonError& error) {
    fail("{}: the model file is damaged: {}", where, error.what());
  }
}

void write_model(const std::string& path, const MixtureModel& model) {
  const Json json = to_json(model);
  check_finite(json, path, "");
  write_atomic(path, dump_json(json, 1) + "\n");
}
MixtureModel read_model(const std::string& path) { return mixture_from_json(read_json(path), path); }

}  // namespace gw::likelihood
