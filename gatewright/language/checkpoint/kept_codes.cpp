#include "gatewright/language/checkpoint/kept_codes.h"

#include <set>

#include "gatewright/base/check.h"
#include "gatewright/experts/bank.h"
#include "gatewright/language/blocks/projection.h"
#include "gatewright/language/decoder.h"

namespace gw::inline language {
namespace {

constexpr const char *kUp = "w1", *kDown = "w2", *kGate = "wg", *kEmbedding = "embedding";

std::string last_of(const std::string& name) { return name.substr(name.rfind('.') + 1); }
std::string module_of(const std::string& name) {
  const auto dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(0, dot);
}
bool in_bank(const std::string& name) {
  const auto own = last_of(name);
  return own == kUp || own == kDown || own == kGate;
}

/// Multiplied in its blocks, other matrices of a bank are in codes of another way.
bool in_blocks(const std::vector<ops::CodedMatrix>& all) { return all.front().form == ops::FewBits::blocks; }

/// The matrices of a piece; none where it looks at its tensor in a way that rows of codes have not.
std::vector<ops::CodedMatrix> matrices_of(const Piece& piece, const CodedTensor& few) {
  const bool mxfp4 = few.form == ops::FewBits::mxfp4, blocks = few.form == ops::FewBits::blocks;
  // Dimensions of one matrix; another one before them counts experts.
  const int64_t own = mxfp4 || blocks ? 3 : 2, dims = few.codes.dim();
  if (piece.vector || piece.transposed != mxfp4 || (dims != own && dims != own + 1)) return {};
  const bool scaled = blocks || (few.scales.dim() == dims - (mxfp4 ? 1 : 0) &&
                                 (dims == own || few.scales.size(0) == few.codes.size(0)));
  if (!scaled || (blocks && piece.parts != 1)) return {};  // expanding says what is wrong
  const int64_t rows = few.codes.size(dims - own),
                width = few.codes.size(dims - own + 1) * (blocks ? few.type->values : 1);
  const std::vector<int64_t> one{1, rows, width};
  const bool as_one = !mxfp4 && dims == own && piece.shape == one;
  if ((!piece.shape.empty() && !as_one) || rows % piece.parts != 0) return {};
  ops::CodedMatrix m;
  m.form = few.form, m.type = few.type, m.rows = few.rows, m.columns = few.columns;
  m.out = rows / piece.parts;
  m.first = piece.by_turns ? piece.part : piece.part * m.out, m.step = piece.by_turns ? piece.parts : 1;
  std::vector<ops::CodedMatrix> all;
  for (int64_t e = 0; e < (dims == own ? 1 : few.codes.size(0)); ++e) {
    m.codes = dims == own ? few.codes : few.codes[e];
    if (!blocks) m.scales = dims == own ? few.scales : few.scales[e];
    ops::check_coded("checkpoint", m);
    all.push_back(m);
  }
  return all;
}

/// All experts' matrices of a parameter, or none.
std::vector<ops::CodedMatrix> matrices_of(const TensorSource& source, const Binding& binding) {
  std::vector<ops::CodedMatrix> all;
  for (const auto& piece : way_in(source, binding)) {
    const auto few = source.coded(piece.tensor);
    if (!few) return {};
    const auto own = matrices_of(piece, *few);
    const bool in_order =
        piece.expert < 0 ? all.empty() : own.size() == 1 && piece.expert == static_cast<int64_t>(all.size());
    if (own.empty() || !in_order) return {};
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

}  // namespace

KeptCodes kept_codes(const TensorSource& source, const std::vector<Binding>& bindings) {
  KeptCodes kept;
  std::set<std::string> others;  // banks of which a matrix has values
  for (const auto& binding : bindings) {
    const auto& name = binding.parameter;
    const bool embedding = last_of(name) == kEmbedding;
    if (binding.exact || (!in_bank(name) && !embedding && last_of(name) != "weight")) continue;
    auto all = matrices_of(source, binding);
    if (all.empty() && in_bank(name)) others.insert(module_of(name));
    if (all.empty() || (embedding && !in_blocks(all))) continue;
    kept[name] = std::move(all);
  }
  for (auto it = kept.begin(); it != kept.end();)  // a bank is in codes as a whole
    it = in_bank(it->first) && others.count(module_of(it->first)) > 0 ? kept.erase(it) : std::next(it);
  return kept;
}

int64_t kept_bytes(const std::vector<ops::CodedMatrix>& matrices) {
  int64_t sum = 0;
  for (const auto& m : matrices) sum += m.bytes();
  return sum;
}

void keep_codes(torch::nn::Module& model, const KeptCodes& codes) {
  const auto modules = model.named_modules();
  std::map<std::string, ops::CodedFfn> banks;
  for (const auto& [name, matrices] : codes) {
    const auto* module = modules.find(module_of(name));
    GW_ENSURE(module != nullptr, "checkpoint: the model has no module for the codes of \"{}\"", name);
    if (last_of(name) == kEmbedding) {
      auto* decoder = (*module)->as<Decoder>();
      GW_CHECK(decoder != nullptr, "checkpoint: expected a decoder for the codes of \"{}\", got {}", name,
               (*module)->name());
      decoder->keep_embedding(matrices.front());
    } else if (!in_bank(name)) {
      auto* projection = (*module)->as<Projection>();
      GW_CHECK(projection != nullptr && matrices.size() == 1,
               "checkpoint: expected a projection for the codes of \"{}\", got {}", name, (*module)->name());
      projection->keep(matrices.front());
    } else {
      auto& bank = banks[module_of(name)];
      (last_of(name) == kUp ? bank.up : last_of(name) == kDown ? bank.down : bank.gate) = matrices;
    }
  }
  for (auto& [name, bank] : banks) {
    auto* own = modules[name]->as<Bank>();
    GW_CHECK(own != nullptr, "checkpoint: expected a bank for the codes of \"{}\", got another module", name);
    own->keep(std::move(bank));
  }
}

}  // namespace gw::inline language
