#include "gatewright/language/upcycle.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/language/family.h"
#include "gatewright/language/text_encoder.h"
#include "gatewright/ops/random.h"

namespace gw::inline language {
namespace {

Json config_of(const LanguageModel& dense, const UpcycleOptions& options) {
  auto config = dense.config;
  config["model_type"] = "mixtral", config["architectures"] = Json::array({"MixtralForCausalLM"});
  config["num_local_experts"] = options.experts, config["num_experts_per_tok"] = options.k;
  for (const char* key : {"attention_bias", "mlp_bias", "pretraining_tp", "num_experts"}) config.erase(key);
  return config;
}

void check_dense(const LanguageModel& dense, const UpcycleOptions& o) {
  const auto& d = dense.decoder->options();
  GW_CHECK(o.experts >= 1 && o.k >= 1 && o.k <= o.experts,
           "upcycle: expected 1 <= k <= experts, got {} and {}", o.k, o.experts);
  const bool plain = d.experts() == 1 && !d.query_bias && !d.output_bias && !d.head_bias && !d.centred_norm &&
                     d.query_norm == "none" && d.clip == 0 && !d.sinks;
  GW_CHECK(plain,
           "upcycle: expected a dense model whose attention has no biases, norms or sinks (llama, mistral), "
           "got {}",
           dense.family);
}

}  // namespace

LanguageModel upcycled(const LanguageModel& dense, const UpcycleOptions& o) {
  check_dense(dense, o);
  const at::NoGradGuard no_grad;
  LanguageModel out = dense;
  out.family = "mixtral", out.config = config_of(dense, o), out.metadata = Json();
  auto options = make_family("mixtral")->options({out.config, dense.where});
  options.tied = dense.decoder->options().tied;
  out.decoder = std::make_shared<Decoder>(options);
  const auto from = dense.decoder->named_parameters();
  for (auto& item : out.decoder->named_parameters()) {
    const auto& name = item.key();
    if (name.find(".mixture.bank.") != std::string::npos) {
      const auto* one = from.find(dense_name(name));
      GW_CHECK(one != nullptr && one->numel() > 0,
               "upcycle: expected weights of f32 or bf16 for \"{}\", got codes", name);
      item.value().set_data(one->repeat({o.experts, 1, 1}));
    } else if (name.find(".mixture.gate.") != std::string::npos) {
      const auto rng = Rng(static_cast<uint64_t>(o.seed)).fork("upcycle/" + name);
      item.value().set_data(ops::normal(rng, item.value().sizes(), 0, o.router_scale));
    } else {
      const auto* one = from.find(name);
      GW_ENSURE(one != nullptr, "upcycle: the dense model has no \"{}\"", name);
      item.value().set_data(*one);
    }
    item.value().set_requires_grad(false);
  }
  out.report.parameters = 0, out.report.bytes = 0;
  for (const auto& p : out.decoder->parameters())
    out.report.parameters += p.numel(), out.report.bytes += static_cast<int64_t>(p.nbytes());
  out.decoder->eval();
  return out;
}

}  // namespace gw::inline language
