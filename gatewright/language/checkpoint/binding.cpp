#include "gatewright/language/checkpoint/binding.h"

#include <ATen/ATen.h>
#include <c10/util/accumulate.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/options.h"

namespace gw::inline language {
namespace {

bool listed(const std::string& name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) {
    return name.rfind(p, 0) == 0 ||
           (name.size() >= p.size() && name.compare(name.size() - p.size(), p.size(), p) == 0);
  });
}

}  // namespace

at::Tensor Piece::of(const at::Tensor& whole) const {
  GW_CHECK(
      shape.empty() || c10::multiply_integers(shape) == whole.numel(),
      "checkpoint: expected \"{}\" of as many values as [{}], got [{}]; config.json does not fit the tensors",
      tensor, fmt::join(shape, ", "), fmt::join(whole.sizes(), ", "));
  auto t = shape.empty() ? whole : whole.reshape(shape);
  if (transposed) t = t.transpose(-1, -2);
  if (parts == 1) return t;
  const int64_t dim = vector ? -1 : -2, n = t.size(dim) / parts;
  GW_CHECK(t.size(dim) % parts == 0, "checkpoint: expected {} equal parts in \"{}\", got {} outputs", parts,
           tensor, t.size(dim));
  return by_turns ? t.slice(dim, part, c10::nullopt, parts) : t.narrow(dim, part * n, n);
}

const std::vector<Piece>& way_in(const TensorSource& source, const Binding& binding) {
  const auto* nearest = &binding.ways.front();
  size_t most = 0;
  for (const auto& way : binding.ways) {
    const auto there = static_cast<size_t>(
        std::count_if(way.begin(), way.end(), [&](const Piece& p) { return source.has(p.tensor); }));
    if (there == way.size()) return way;
    if (there > most) nearest = &way, most = there;
  }
  const auto lacking =
      std::find_if(nearest->begin(), nearest->end(), [&](const Piece& p) { return !source.has(p.tensor); });
  fail("{}: no tensor \"{}\" for the parameter \"{}\"{}", source.where(), lacking->tensor, binding.parameter,
       near_miss(lacking->tensor, source.names()));
}

at::ScalarType loaded_type(const Binding& binding, at::ScalarType in_file, at::ScalarType wanted) {
  if (binding.exact) return at::kFloat;
  if (wanted != at::ScalarType::Undefined) return wanted;
  return in_file == at::kHalf ? at::kFloat : in_file;
}

ParameterLoader::ParameterLoader(torch::nn::Module& model, const TensorSource& source, at::ScalarType type)
    : parameters_(model.named_parameters()), buffers_(model.named_buffers()), source_(source), type_(type) {}

at::Tensor ParameterLoader::value(const Binding& binding, const std::vector<Piece>& pieces,
                                  at::IntArrayRef shape) {
  at::Tensor out;
  for (const auto& piece : pieces) {
    const auto t = piece.of(source_.tensor(piece.tensor));
    read_.push_back(piece.tensor);
    const auto wanted = piece.expert < 0 ? shape : shape.slice(1);
    GW_CHECK(t.sizes() == wanted && t.is_floating_point(),
             "{}: expected \"{}\" of the shape [{}] for the parameter \"{}\", got [{}] of {}; config.json "
             "does not "
             "fit the tensors",
             source_.where(), piece.tensor, fmt::join(wanted, ", "), binding.parameter,
             fmt::join(t.sizes(), ", "), c10::toString(t.scalar_type()));
    if (piece.expert < 0) return t.to(loaded_type(binding, t.scalar_type(), type_));
    if (!out.defined())
      out = at::empty(shape, t.options().dtype(loaded_type(binding, t.scalar_type(), type_)));
    out[piece.expert].copy_(t);
  }
  return out;
}

void ParameterLoader::leave(const Binding& binding, const std::vector<ops::CodedMatrix>& codes,
                            at::IntArrayRef shape) {
  const auto& front = codes.front();
  std::vector<int64_t> coded{front.out, front.in()};
  if (shape.size() == 3) coded.insert(coded.begin(), static_cast<int64_t>(codes.size()));
  GW_CHECK(
      shape.equals(coded),
      "{}: expected codes of the shape [{}] for the parameter \"{}\", got [{}]; config.json does not fit "
      "the tensors",
      source_.where(), fmt::join(shape, ", "), binding.parameter, fmt::join(coded, ", "));
  for (const auto& piece : way_in(source_, binding)) read_.push_back(piece.tensor);
  filled_.push_back(binding.parameter);
  report_.parameters += c10::multiply_integers(shape);
}

void ParameterLoader::load(const std::vector<Binding>& bindings, const KeptCodes& kept) {
  const at::NoGradGuard no_grad;
  for (const auto& binding : bindings) {
    auto* parameter = parameters_.find(binding.parameter);
    const bool buffer = parameter == nullptr;  // what a policy adjusts, shared with it: filled in place
    if (buffer) parameter = buffers_.find(binding.parameter);
    GW_ENSURE(parameter != nullptr, "checkpoint: the model has no parameter \"{}\"", binding.parameter);
    const auto shape = parameter->sizes().vec();
    if (const auto codes = kept.find(binding.parameter); codes != kept.end()) {
      leave(binding, codes->second, shape);
      continue;
    }
    const auto filled = value(binding, way_in(source_, binding), shape);
    if (buffer)
      parameter->copy_(filled);
    else
      parameter->set_data(filled);
    filled_.push_back(binding.parameter);
    report_.parameters += filled.numel(), report_.bytes += static_cast<int64_t>(filled.nbytes());
  }
}

LoadReport ParameterLoader::finish(const std::vector<std::string>& ignored) const {
  auto report = report_;
  for (const auto& item : parameters_)
    GW_ENSURE(std::find(filled_.begin(), filled_.end(), item.key()) != filled_.end(),
              "checkpoint: nothing fills the parameter \"{}\"", item.key());
  auto known = read_;
  std::sort(known.begin(), known.end());
  std::vector<std::string> over;
  for (const auto& name : source_.names()) {
    if (std::binary_search(known.begin(), known.end(), name)) continue;
    (listed(name, ignored) ? report.ignored : over).push_back(name);
  }
  if (over.size() > 4) over.resize(4), over.push_back("…");
  GW_CHECK(over.empty(), "{}: nothing reads the tensors {}: the model would not be the published one",
           source_.where(), fmt::join(over, ", "));
  return report;
}

}  // namespace gw::inline language
