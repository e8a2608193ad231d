#include "routing/families.h"

#include "base/error.h"

namespace gw {

const std::vector<RouterFamily>& router_families() {
  static const std::vector<RouterFamily> families = {
      {"mixtral", R"({"part":"top_k_softmax","k":2})", 8, false, "{}", "Jiang et al. 2024, arXiv 2401.04088"},
      {"olmoe", R"({"part":"softmax_top_k","k":8})", 64, false, "{}", "Muennighoff et al. 2024, arXiv 2409.02060"},
      {"qwen2_moe", R"({"part":"softmax_top_k","k":4})", 60, false, R"({"shared_experts":1,"shared_gate":true,"shared_bank":{"part":"mlp","hidden":5632,"glu":true,"activation":"silu","bias":false}})",
       "Yang et al. 2024, arXiv 2407.10671"},
      {"qwen3_moe", R"({"part":"softmax_top_k","k":8,"renormalise":true})", 128, false, "{}", "Yang et al. 2025, arXiv 2505.09388"},
      {"granite", R"({"part":"top_k_softmax","k":8})", 32, false, "{}", "IBM 2024, Granite 3.0"},
      {"gpt_oss", R"({"part":"top_k_softmax","k":4})", 128, true, "{}", "OpenAI 2025, arXiv 2508.10925"},
      {"jetmoe", R"({"part":"top_k_softmax","k":2})", 8, false, R"({"output_bias":true})", "Shen et al. 2024, arXiv 2404.07413"},
      {"switch", R"({"part":"switch_top1","capacity":64})", 8, false, "{}", "Fedus et al. 2021, arXiv 2101.03961"},
      {"nllb", R"({"part":"nllb_top2","second":"all","evaluation_fraction":1.0,"expert_masking":0.2})", 128, false, "{}",
       "NLLB team 2022, arXiv 2207.04672"},
      {"deepseek_v2", R"({"part":"deepseek_v2","k":6,"groups":8,"kept_groups":3,"scale":16.0})", 160, false, R"({"shared_experts":2})",
       "DeepSeek-AI 2024, arXiv 2405.04434"},
      {"deepseek_v3", R"({"part":"deepseek_v3","k":8,"groups":8,"kept_groups":4,"scale":2.5})", 256, false, R"({"shared_experts":1})",
       "DeepSeek-AI 2024, arXiv 2412.19437"},
      {"phimoe", R"({"part":"sparsemixer","width":0.01})", 16, false, "{}", "Abdin et al. 2024, arXiv 2404.14219; Liu et al. 2024, arXiv 2409.12136"},
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

}  // namespace

nlohmann::json family_policy(const std::string& family, const nlohmann::json& changes) {
  auto policy = nlohmann::json::parse(family_of(family).policy);
  policy.update(changes);
  return policy;
}

nlohmann::json family_mixture(const std::string& family, const nlohmann::json& changes) {
  const auto& known = family_of(family);
  auto mixture = nlohmann::json::parse(known.beside);
  mixture["experts"] = known.experts;
  mixture["gate"] = {{"part", "linear"}, {"bias", known.gate_bias}};
  mixture["policy"] = nlohmann::json::parse(known.policy);
  mixture.update(changes);
  return mixture;
}

}  // namespace gw
