#pragma once
// What parts promise or need, declared as constants, checked by the conformance suite and shown by
// `gatewright list`.
#include <cstdint>
#include <string>
#include <vector>

namespace gw::inline routing {

namespace detail {
inline void add_word(std::vector<std::string>& words, bool holds, const char* word) {
  if (holds) words.emplace_back(word);
}
}  // namespace detail

/// Of a policy with its present options. Aggregates: `{.drops_tokens = true}` would warn; parts set fields in
/// a lambda.
struct PolicyTraits {
  bool differentiable = true;  ///< the weights carry a gradient to the scores
  bool straight_through =
      false;                     ///< that gradient is a chosen one, not the derivative of the weights' values
  bool drops_tokens = false;     ///< a token may end without an expert
  bool batch_dependent = false;  ///< other tokens change a token's experts: no split invariance, not causal
  bool order_dependent = false;  ///< so does the order of the tokens: no permutation equivariance
  bool balanced_training =
      false;                 ///< chooses over the whole batch while training, token by token in evaluation
  bool random = false;       ///< draws, in evaluation too
  bool sums_to_one = false;  ///< the weights of a token that has experts sum to one
  bool greedy = false;       ///< in evaluation: the first of the largest scores, with weight 1
  bool by_lead = false;      ///< in evaluation: an expert chosen alone stays so while it leads by as much
  bool soft = false;         ///< experts receive mixtures of tokens (slots) instead of tokens
  const char* needs = "";    ///< the field of RouterInputs that it reads

  std::vector<std::string> words() const {
    std::vector<std::string> words;
    detail::add_word(words, differentiable, "differentiable");
    detail::add_word(words, straight_through, "straight-through");
    detail::add_word(words, drops_tokens, "drops tokens");
    detail::add_word(words, batch_dependent, "batch dependent");
    detail::add_word(words, order_dependent, "order dependent");
    detail::add_word(words, balanced_training, "balances the batch while training");
    detail::add_word(words, random, "random in evaluation");
    detail::add_word(words, sums_to_one, "weights sum to one");
    detail::add_word(words, greedy, "one best expert");
    detail::add_word(words, by_lead, "choice by lead");
    detail::add_word(words, soft, "soft slots");
    if (*needs != '\0') words.push_back(std::string("needs ") + needs);
    return words;
  }
};

/// Of a gate.
struct GateTraits {
  bool images = false;     ///< takes images or maps [B, C, H, W]
  bool per_pixel = false;  ///< and scores every pixel: rows B·H·W in that order
  bool ahead = false;      ///< makes scores for the next block
  bool bounded = false;    ///< bounds the differences of its scores over a ball of images
  int64_t experts = 0;     ///< the only number of experts it works for; 0: any
  const char* needs = "";  ///< the field of RouterInputs that it reads

  std::vector<std::string> words() const {
    std::vector<std::string> words;
    detail::add_word(words, images, "images");
    detail::add_word(words, per_pixel, "per pixel");
    detail::add_word(words, ahead, "scores for the next block");
    detail::add_word(words, bounded, "certified");
    if (experts > 0) words.push_back(std::to_string(experts) + " experts only");
    if (*needs != '\0') words.push_back(std::string("needs ") + needs);
    return words;
  }
};

/// Of a balancer.
struct BalancerTraits {
  bool controller = false;  ///< adjusts the policy after a step instead of adding a loss
  bool about_size =
      false;  ///< speaks of the scores' size, not of balance: both stated values are those of zero scores
  const char* needs = "";  ///< what of the plan it reads beside scores and counts

  std::vector<std::string> words() const {
    std::vector<std::string> words;
    detail::add_word(words, controller, "controller");
    detail::add_word(words, about_size, "about the size of scores");
    if (*needs != '\0') words.push_back(std::string("needs ") + needs);
    return words;
  }
};

}  // namespace gw::inline routing
