#include "gatewright/routing/families.h"

#include "gatewright/base/check.h"

namespace gw::inline routing {

const std::vector<RouterFamily>& router_families() {
  static const std::vector<RouterFamily> families = {
      {"mixtral", R"({"part":"top_k_softmax","k":2})", 8, false,
       R"({"hidden":14336,"glu":true,"activation":"silu","bias":false})", "{}",
       "Jiang et al. 2024, arXiv 2401.04088"},
      {"olmoe", R"({"part":"softmax_top_k","k":8})", 64, false,
       R"({"hidden":1024,"glu":true,"activation":"silu","bias":false})", "{}",
       "Muennighoff et al. 2024, arXiv 2409.02060"},
      {"qwen2_moe", R"({"part":"softmax_top_k","k":4})", 60, false,
       R"({"hidden":1408,"glu":true,"activation":"silu","bias":false})",
       R"({"shared_experts":1,"shared_gate":true,"shared_bank":{"part":"mlp","hidden":5632,"glu":true,"activation":"silu","bias":false}})",
       "Yang et al. 2024, arXiv 2407.10671"},
      {"qwen3_moe", R"({"part":"softmax_top_k","k":8,"renormalise":true})", 128, false,
       R"({"hidden":768,"glu":true,"activation":"silu","bias":false})", "{}",
       "Yang et al. 2025, arXiv 2505.09388"},
      {"granite", R"({"part":"top_k_softmax","k":8})", 32, false,
       R"({"hidden":512,"glu":true,"activation":"silu","bias":false})", "{}", "IBM 2024, Granite 3.0"},
      {"gpt_oss", R"({"part":"top_k_softmax","k":4})", 128, true,
       R"({"hidden":2880,"glu":true,"activation":"quick_gelu","bias":true,"limit":7.0,"up_shift":1.0})", "{}",
       "OpenAI 2025, arXiv 2508.10925"},
      {"jetmoe", R"({"part":"top_k_softmax","k":2})", 8, false,
       R"({"hidden":5632,"glu":true,"activation":"silu","bias":false})", R"({"output_bias":true})",
       "Shen et al. 2024, arXiv 2404.07413"},
      {"switch", R"({"part":"switch_top1","capacity":64})", 8, false,
       R"({"hidden":3072,"activation":"relu","bias":false})", "{}", "Fedus et al. 2021, arXiv 2101.03961"},
      {"nllb", R"({"part":"nllb_top2","second":"all","evaluation_fraction":1.0,"expert_masking":0.2})", 128,
       false, R"({"hidden":8192,"activation":"relu","bias":true})", "{}", "NLLB team 2022, arXiv 2207.04672"},
      {"deepseek_v2", R"({"part":"deepseek_v2","k":6,"groups":8,"kept_groups":3,"scale":16.0})", 160, false,
       R"({"hidden":1536,"glu":true,"activation":"silu","bias":false})", R"({"shared_experts":2})",
       "DeepSeek-AI 2024, arXiv 2405.04434"},
      {"deepseek_v3", R"({"part":"deepseek_v3","k":8,"groups":8,"kept_groups":4,"scale":2.5})", 256, false,
       R"({"hidden":2048,"glu":true,"activation":"silu","bias":false})", R"({"shared_experts":1})",
       "DeepSeek-AI 2024, arXiv 2412.19437"},
      {"phimoe", R"({"part":"sparsemixer","width":0.01})", 16, false,
       R"({"hidden":6400,"glu":true,"activation":"silu","bias":false})", "{}",
       "Abdin et al. 2024, arXiv 2404.14219; Liu et al. 2024, arXiv 2409.12136"},
  };
  return families;
}

namespace {

const RouterFamily& family_of(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& known : router_families()) {
    if (known.name == name) return known;
    names.push_back(known.name);
  }
  fail("router family: unknown name \"{}\"{}", name.substr(0, 80), near_miss(name, names));
}

/// Tables are merged into tables, so that one option can change alone; a table that names another part than
/// ours replaces it.
void merge(Json& into, const Json& changes) {
  for (const auto& item : changes.items()) {
    auto& old = into[item.key()];
    const auto& value = item.value();
    const bool tables = old.is_object() && value.is_object();
    const bool same_part = tables && (!value.contains("part") || value["part"] == old.value("part", ""));
    if (same_part)
      merge(old, value);
    else
      old = value;
  }
}

}  // namespace

Json family_policy(const std::string& family, const Json& changes) {
  auto policy = Json::parse(family_of(family).policy);
  merge(policy, changes);
  return policy;
}

Json family_mixture(const std::string& family, const Json& changes) {
  const auto& known = family_of(family);
  auto mixture = Json::parse(known.beside);
  mixture["experts"] = known.experts;
  mixture["gate"] = {{"part", "linear"}, {"bias", known.gate_bias}};
  mixture["policy"] = Json::parse(known.policy);
  mixture["bank"] = Json::parse(known.bank);
  mixture["bank"]["part"] = "mlp";
  merge(mixture, changes);
  return mixture;
}

}  // namespace gw::inline routing
