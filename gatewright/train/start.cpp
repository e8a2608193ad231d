#include "gatewright/train/start.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/models/copies.h"
#include "gatewright/train/checkpoint.h"
#include "gatewright/train/trainer.h"

namespace gw::inline train {
namespace {

void check_checksum(const char* what, const SafetensorsFile& file, const std::string& path,
                    const std::string& wanted) {
  const auto sum = checkpoint_checksum(file);
  GW_CHECK(wanted.empty() || wanted == sum,
           "train: expected {} weights with the checksum {}, got {} in {}; put the former checkpoint back, "
           "or train "
           "again into another directory",
           what, wanted, sum, shown(path));
}

/// `file` with one pathway's tensors repeated for the experts of `model`, or cut up among them, and what it
/// lacks taken from `model`.
SafetensorsFile for_experts(const Model& model, SafetensorsFile file, bool slices) {
  const auto own = pack_checkpoint(model, nullptr, nullptr, {}, Json::object());
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : own.tensors) {
    auto found = file.tensors.find(name);
    if (found == file.tensors.end()) found = file.tensors.find(model.copied_name(name));
    const bool there = found != file.tensors.end();
    tensors[name] = !there   ? tensor
                    : slices ? slices_of(found->second, tensor.sizes())
                             : copies_of(found->second, tensor.sizes());
  }
  file.tensors = std::move(tensors);
  seal_checkpoint(file);
  return file;
}

}  // namespace

void start_from(Model& model, SafetensorsFile file, const std::string& path, const StartOptions& options) {
  check_checksum("to start from", file, path, options.crc32c);
  GW_CHECK(!options.copies || !options.slices,
           "train: expected copies or slices of another run's weights, got both");
  if (options.copies || options.slices) file = for_experts(model, std::move(file), options.slices);
  load_model(model, file, path);
}

Teacher::Teacher(const TeacherOptions& options, const TaskData& data) : options_(options) {
  const auto file = load_checkpoint(options.checkpoint);
  check_checksum("a teacher's", file, options.checkpoint, options.crc32c);
  const auto config = read_config(options.checkpoint, checkpoint_config(file, options.checkpoint));
  model_ = make_model(config, data, *make_task(config));
  load_model(*model_, file, options.checkpoint);
  model_->eval();
}

at::Tensor Teacher::loss(const Batch& batch, const at::Tensor& logits, const at::Tensor& labels) const {
  at::Tensor taught;
  {
    const at::NoGradGuard no_grad;
    taught = model_->answer(batch, Pass{}).answer;
  }
  GW_CHECK(taught.sizes() == logits.sizes(),
           "teacher: expected answers {}, got {}; take a teacher of the same classes",
           c10::str(logits.sizes()), c10::str(taught.sizes()));
  const double t = options_.temperature, w = options_.weight;
  const auto expected = at::log_softmax(taught / t, 1);
  const auto soft = (expected.exp() * (expected - at::log_softmax(logits / t, 1))).sum(1).mean() * (t * t);
  return w >= 1 ? soft : (1 - w) * at::cross_entropy_loss(logits, labels) + w * soft;
}

}  // namespace gw::inline train
