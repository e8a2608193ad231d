#include "gatewright/train/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/crc32c.h"
#include "gatewright/base/shown.h"

namespace gw::inline train {
namespace {

constexpr const char *kFormat = "gatewright-checkpoint-2", *kFormerFormat = "gatewright-checkpoint-1";
constexpr const char* kChecksum = "crc32c";
constexpr const char* kRemedy = "restore it from a copy, or train again into another directory";

std::map<std::string, at::Tensor> model_tensors(const torch::nn::Module& network) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& item : network.named_parameters()) tensors["model/" + item.key()] = item.value();
  for (const auto& item : network.named_buffers()) tensors["model/" + item.key()] = item.value();
  return tensors;
}

std::string described(const at::Tensor& t) {
  return fmt::format("{} of {}", c10::str(t.sizes()), c10::toString(t.scalar_type()));
}

std::string listed(const char* what, std::vector<std::string> names) {
  if (names.empty()) return "";
  const size_t more = names.size() > 10 ? names.size() - 10 : 0;
  if (more > 0) names.resize(10);
  return fmt::format("; {}: {}{}", what, fmt::join(names, ", "),
                     more > 0 ? fmt::format(" and {} more", more) : "");
}

std::string metadata(const SafetensorsFile& file, const std::string& key, const std::string& path) {
  const auto it = file.metadata.find(key);
  GW_CHECK(it != file.metadata.end(),
           "checkpoint {}: expected the field \"{}\" in the header, got none; not a checkpoint of gatewright",
           path, key);
  return it->second;
}

/// Over all that a resumed run reads: names, types, shapes and bytes of the tensors, and the other fields of
/// the header.
std::string checksum_of(const SafetensorsFile& file) {
  uint32_t sum = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (!tensor.defined()) continue;  // writing the file refuses it and names it
    const auto bytes = tensor.detach().cpu().contiguous();
    sum = crc32c(name + " " + described(bytes), sum);
    sum = crc32c({static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(bytes.nbytes())}, sum);
  }
  for (const auto& [key, value] : file.metadata) {
    if (key != kChecksum) sum = crc32c(key + "=" + value + "\n", sum);
  }
  return fmt::format("{:08x}", sum);
}

/// The recipe and arm that a configuration names, for "train … again".
std::string origin_of(const SafetensorsFile& file) {
  const auto it = file.metadata.find("config");
  const auto config = it == file.metadata.end() ? Json() : Json::parsed(it->second).value_or(Json());
  const auto told = [&](const char* key) {
    return config.is_object() && config.contains(key) && config[key].is_string()
               ? shown(config[key].get<std::string>(), 60)
               : std::string("?");
  };
  return fmt::format("arm \"{}\" of recipe \"{}\"", told("arm"), told("name"));
}

/// Everything that can be said of a file before it is compared with a network.
void check_intact(const SafetensorsFile& file, const std::string& path) {
  const auto format = metadata(file, "format", path);
  GW_CHECK(format != kFormerFormat,
           "checkpoint {}: expected the format {}, got {}, which an earlier version wrote, without checks "
           "against damage; train {} again",
           path, kFormat, kFormerFormat, origin_of(file));
  GW_CHECK(format == kFormat, "checkpoint {}: expected the format {}, got \"{}\"", path, kFormat,
           shown(format, 60));
  const auto stored = metadata(file, kChecksum, path), sum = checksum_of(file);
  GW_CHECK(stored == sum,
           "checkpoint {}: expected content with the checksum {}, got {}; the file is damaged: {}", path,
           shown(stored, 60), sum, kRemedy);
}

/// A moment that is NaN ruins every weight in the step after: said on loading, not then.
void check_finite(const SafetensorsFile& file, const std::string& path) {
  for (const auto& [name, tensor] : file.tensors) {
    if (name.rfind("model/", 0) == 0 || !tensor.is_floating_point()) continue;
    GW_CHECK(at::isfinite(tensor).all().item<bool>(),
             "checkpoint {}: expected finite numbers in \"{}\", got NaN or infinity; {}", path,
             shown(name, 80), kRemedy);
  }
}

}  // namespace

std::map<std::string, at::Tensor> tensors_under(const SafetensorsFile& file, const std::string& prefix) {
  std::map<std::string, at::Tensor> out;
  for (const auto& [name, tensor] : file.tensors) {
    if (name.rfind(prefix, 0) == 0) out[name.substr(prefix.size())] = tensor;
  }
  return out;
}

void seal_checkpoint(SafetensorsFile& file) { file.metadata[kChecksum] = checksum_of(file); }

std::string checkpoint_checksum(const SafetensorsFile& file) {
  const auto it = file.metadata.find(kChecksum);
  return it == file.metadata.end() ? "" : it->second;
}

SafetensorsFile pack_checkpoint(const torch::nn::Module& network, const Optimizer* experts,
                                const Optimizer* router, const TrainState& progressed, const Json& config) {
  SafetensorsFile file;
  for (const auto& [name, tensor] : model_tensors(network)) file.tensors[name] = tensor.detach();
  const auto add_state = [&](const char* prefix, const Optimizer* optimizer) {
    if (optimizer == nullptr) return;
    for (const auto& [name, tensor] : optimizer->state()) file.tensors[prefix + name] = tensor;
  };
  add_state("experts/", experts);
  add_state("router/", router);
  Json progress{{"epoch", progressed.epoch},
                {"batch", progressed.batch},
                {"step", progressed.step},
                {"best", progressed.best}};
  if (progressed.seconds > 0) progress["seconds"] = progressed.seconds;
  if (progressed.stale > 0) progress["stale"] = progressed.stale;
  file.metadata = {{"format", kFormat},
                   {"config", config.dump()},
                   {"progress", progress.dump()},
                   {"kept", progressed.kept.dump()}};
  seal_checkpoint(file);
  return file;
}

SafetensorsFile load_checkpoint(const std::string& path) {
  try {
    return load_safetensors(path);
  } catch (const ValueError& error) {
    fail("{}; {}", error.what(), kRemedy);
  }
}

void load_model(torch::nn::Module& network, const SafetensorsFile& file, const std::string& path) {
  check_intact(file, path);
  auto own = model_tensors(network);
  std::vector<std::string> missing, unexpected, reshaped;
  for (const auto& [name, tensor] : own) {
    const auto it = file.tensors.find(name);
    if (it == file.tensors.end()) {
      const auto unread = file.unread.find(name);
      missing.push_back(unread == file.unread.end()
                            ? name
                            : fmt::format("{} (of type {}, which cannot be read)", name, unread->second));
    } else if (it->second.sizes() != tensor.sizes() || it->second.scalar_type() != tensor.scalar_type()) {
      reshaped.push_back(
          fmt::format("{} (expected {}, got {})", name, described(tensor), described(it->second)));
    }
  }
  for (const auto& [name, tensor] : file.tensors) {
    if (name.rfind("model/", 0) == 0 && own.find(name) == own.end()) unexpected.push_back(name);
  }
  GW_CHECK(missing.empty() && unexpected.empty() && reshaped.empty(),
           "checkpoint {}: expected the tensors of this network, got another architecture{}{}{}", path,
           listed("missing", missing), listed("unexpected", unexpected),
           listed("of another shape or type", reshaped));
  const at::NoGradGuard no_grad;
  for (auto& [name, tensor] : own) tensor.copy_(file.tensors.at(name));
}

TrainState unpack_checkpoint(torch::nn::Module& network, Optimizer* experts, Optimizer* router,
                             const SafetensorsFile& file, const std::string& path) {
  check_intact(file, path);
  const auto progress = Json::parsed(metadata(file, "progress", path)).value_or(Json());
  TrainState out;
  try {
    out = {progress.at("epoch").get<int64_t>(),       progress.at("batch").get<int64_t>(),
           progress.at("step").get<int64_t>(),        progress.at("best").get<double>(),
           Json::parse(metadata(file, "kept", path)), progress.value("seconds", 0.0),
           progress.value("stale", int64_t{0})};
  } catch (const JsonError&) {
    fail(
        "checkpoint {}: expected epoch, batch, step and best in \"progress\", got something else; the file "
        "is damaged",
        path);
  }
  GW_CHECK(out.epoch >= 0 && out.batch >= 0 && out.step >= 0,
           "checkpoint {}: expected positions of at least 0, got epoch {}, batch {}, step {}", path,
           out.epoch, out.batch, out.step);
  check_finite(file, path);
  load_model(network, file, path);
  if (experts != nullptr) experts->load_state(tensors_under(file, "experts/"));
  if (router != nullptr) router->load_state(tensors_under(file, "router/"));
  return out;
}

Json checkpoint_config(const SafetensorsFile& file, const std::string& path) {
  check_intact(file, path);
  auto config = Json::parsed(metadata(file, "config", path)).value_or(Json());
  GW_CHECK(config.is_object(),
           "checkpoint {}: expected a JSON object in \"config\", got something else; the file is damaged",
           path);
  return config;
}

}  // namespace gw::inline train
