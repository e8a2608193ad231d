#pragma once
// Which tensors of a file make up which parameter of a model.
#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <map>
#include <string>
#include <vector>

#include "gatewright/language/checkpoint/source.h"

namespace gw::inline language {

/// A tensor, or a part of one, that makes a parameter or one expert of it.
struct Piece {
  std::string tensor;
  int64_t expert = -1;              ///< which slice of the parameter it is; −1: all of it
  int64_t part = 0, parts = 1;      ///< which of the equal parts of the tensor's outputs
  bool by_turns = false;            ///< outputs of the parts lie by turns instead of one after the other
  bool transposed = false;          ///< [..., in, out] in the file
  bool vector = false;              ///< outputs are the last dimension: biases
  std::vector<int64_t> shape = {};  ///< looked at in this shape first; empty: as it is
  at::Tensor of(const at::Tensor& whole) const;
};

/// A parameter's name, and the ways in which published files hold it: the first whose tensors are all there
/// is taken.
struct Binding {
  std::string parameter;
  std::vector<std::vector<Piece>> ways;
  bool exact = false;  ///< f32 whatever the model's type: routers
};

/// The way of a binding whose tensors are all there. Errors: ValueError naming what is lacking, with the near
/// miss.
const std::vector<Piece>& way_in(const TensorSource& source, const Binding& binding);
/// Matrices that stay in the codes of their files: by parameter, one for each expert
/// (gatewright/language/checkpoint/kept_codes.h).
using KeptCodes = std::map<std::string, std::vector<ops::CodedMatrix>>;

/// The type that a parameter has after loading: `wanted`, or with it undefined that of the file, f16 as f32.
at::ScalarType loaded_type(const Binding& binding, at::ScalarType in_file, at::ScalarType wanted);

struct LoadReport {
  int64_t parameters = 0;  ///< values
  int64_t bytes = 0;       ///< that they take now; those that look at the file count too
  std::vector<std::string> ignored;
};

/// Fills the parameters of `model` from a source. A parameter that is one whole tensor in the wanted type
/// looks at the file and is not copied. `type`: undefined keeps what the file has, f16 becomes f32.
/// `ignored`: prefixes or suffixes of tensors that are not read.
/// Errors: ValueError for a parameter without tensors, a tensor of another shape, and tensors that nobody
///         read; each names both sides and the near miss.
/// Cost:   the copied bytes; peak memory the model and one tensor.
class ParameterLoader {
 public:
  ParameterLoader(torch::nn::Module& model, const TensorSource& source, at::ScalarType type);
  /// Parameters in `kept` stay as they are: somebody gives their codes to the model after the last load.
  void load(const std::vector<Binding>& bindings, const KeptCodes& kept = {});
  /// After all loads.
  LoadReport finish(const std::vector<std::string>& ignored) const;

 private:
  at::Tensor value(const Binding& binding, const std::vector<Piece>& pieces, at::IntArrayRef shape);
  void leave(const Binding& binding, const std::vector<ops::CodedMatrix>& codes, at::IntArrayRef shape);

  torch::OrderedDict<std::string, at::Tensor> parameters_, buffers_;
  const TensorSource& source_;
  at::ScalarType type_;
  std::vector<std::string> read_, filled_;
  LoadReport report_;
};

}  // namespace gw::inline language
