#include "gatewright/language/generate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"

namespace gw::inline language {
namespace {

at::Tensor tensor_of(const int32_t* ids, int64_t count) {
  std::vector<int64_t> wide(ids, ids + count);
  return at::tensor(wide, at::kLong);
}

using ReadTokens = std::function<Decoder::Answer(const TextTokens&)>;

/// The pass over the last part of the prompt: its logits choose the first new token.
Decoder::Answer read_prompt(const ReadTokens& read, const std::vector<int32_t>& prompt, int64_t chunk,
                            DecoderState& state, const Stop& stop) {
  const auto n = static_cast<int64_t>(prompt.size());
  for (int64_t at = 0;; at += chunk) {
    if (stop.requested()) throw Interrupted("interrupted while the prompt was read");
    const int64_t count = std::min(chunk, n - at);
    auto answer = read({tensor_of(prompt.data() + at, count), {count}, {&state}, true});
    if (at + count == n) return answer;
  }
}

GenerateReport written(const ReadTokens& read, const std::vector<int32_t>& prompt,
                       const GenerateOptions& options, const std::function<bool(const NewToken&)>& next,
                       const std::function<double()>& now, const Stop& stop, DecoderState& state,
                       double start) {
  auto text = prompt;
  GenerateReport report;
  report.prompt = static_cast<int64_t>(prompt.size());
  auto answer = read_prompt(read, prompt, options.chunk, state, stop);
  report.ended = "most";
  while (report.added < options.most) {
    const auto id = static_cast<int32_t>(choose_token(answer.logits[0], text, options.sampling));
    if (report.added == 0) report.prompt_s = report.first_s = now() - start;
    if (std::find(options.ends.begin(), options.ends.end(), id) != options.ends.end()) {
      report.ended = "end";
      break;
    }
    ++report.added;
    text.push_back(id);
    if (!next({id, std::move(answer.plans)}) || stop.requested()) {
      report.ended = "stop";
      break;
    }
    if (report.added == options.most) break;
    answer = read({tensor_of(&id, 1), {1}, {&state}, true});
  }
  report.rest_s = now() - start - report.first_s;
  return report;
}

}  // namespace

GenerateReport generate(Decoder& decoder, const std::vector<int32_t>& prompt, const GenerateOptions& options,
                        const std::function<bool(const NewToken&)>& next, const std::function<double()>& now,
                        const Stop& stop, DecoderState* given) {
  GW_CHECK(!prompt.empty(), "generate: expected at least one token in the prompt, got none");
  const at::NoGradGuard no_grad;
  DecoderState own;
  return written([&](const TextTokens& tokens) { return decoder.forward(tokens); }, prompt, options, next,
                 now, stop, given != nullptr ? *given : own, now());
}

GenerateReport generate(EncoderDecoder& network, const std::vector<int32_t>& source,
                        const GenerateOptions& options, const std::function<bool(const NewToken&)>& next,
                        const std::function<double()>& now, const Stop& stop) {
  GW_CHECK(!source.empty(), "generate: expected at least one token to read, got none");
  const at::NoGradGuard no_grad;
  const double start = now();
  const auto count = static_cast<int64_t>(source.size());
  const auto read = network.encode(tensor_of(source.data(), count), {count});
  DecoderState state;
  std::vector<int32_t> begin{static_cast<int32_t>(network.options().start)};
  begin.insert(begin.end(), options.begin.begin(), options.begin.end());
  auto report = written([&](const TextTokens& tokens) { return network.forward(tokens, read); }, begin,
                        options, next, now, stop, state, start);
  report.prompt = count;
  return report;
}

namespace {

/// Sums of the losses of tokens.
class Scores {
 public:
  /// logits [n, vocabulary] of what stands before each of targets [n].
  void add(const at::Tensor& logits, const at::Tensor& targets) {
    const auto chance = at::log_softmax(logits.to(at::kDouble), 1);
    const auto loss = -chance.gather(1, targets.unsqueeze(1));
    sum_ += loss.sum().item<double>(), squares_ += loss.square().sum().item<double>();
    out_.scored += targets.size(0), ++out_.chunks;
  }
  Perplexity finish() {
    const auto n = static_cast<double>(out_.scored);
    const double mean = sum_ / n, variance = std::max(0.0, squares_ / n - mean * mean);
    out_.value = std::exp(mean), out_.deviation = out_.value * std::sqrt(variance / std::max(n - 1, 1.0));
    return out_;
  }

 private:
  Perplexity out_;
  double sum_ = 0, squares_ = 0;
};

}  // namespace

Perplexity perplexity(Decoder& decoder, const std::vector<int32_t>& ids, int64_t context, int32_t bos,
                      const Tick& tick) {
  const auto chunks = static_cast<int64_t>(ids.size()) / context;
  GW_CHECK(
      context >= 4 && chunks >= 2,
      "perplexity: expected at least two chunks of {} tokens, got {} tokens; take a longer text or a shorter "
      "context",
      context, ids.size());
  const at::NoGradGuard no_grad;
  Scores scores;
  for (int64_t c = 0; c < chunks; ++c) {
    std::vector<int32_t> chunk(ids.begin() + c * context, ids.begin() + (c + 1) * context);
    const auto targets = tensor_of(chunk.data(), context);
    if (bos >= 0) chunk.front() = bos;
    const auto logits = decoder.forward({tensor_of(chunk.data(), context), {context}}).logits;
    const int64_t first = context / 2, count = context - 1 - first;
    scores.add(logits.narrow(0, first, count), targets.narrow(0, first + 1, count));
    if (tick) tick(c + 1, chunks);
  }
  return scores.finish();
}

Perplexity perplexity(EncoderDecoder& network, const std::vector<TextPair>& pairs,
                      const std::vector<int32_t>& begin, const Tick& tick) {
  GW_CHECK(!pairs.empty(), "perplexity: expected at least one text and its source, got none");
  const at::NoGradGuard no_grad;
  Scores scores;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto& [source, text] = pairs[i];
    GW_CHECK(!source.empty() && !text.empty(),
             "perplexity: expected tokens in source and text of pair {}, got {} and {}", i + 1, source.size(),
             text.size());
    const auto reads = static_cast<int64_t>(source.size()), writes = static_cast<int64_t>(text.size());
    std::vector<int32_t> before{static_cast<int32_t>(network.options().start)};
    before.insert(before.end(), begin.begin(), begin.end());
    before.insert(before.end(), text.begin(), text.end() - 1);
    const auto given = static_cast<int64_t>(before.size());
    const auto read = network.encode(tensor_of(source.data(), reads), {reads});
    const auto logits = network.forward({tensor_of(before.data(), given), {given}}, read).logits;
    scores.add(logits.narrow(0, given - writes, writes), tensor_of(text.data(), writes));
    if (tick) tick(static_cast<int64_t>(i) + 1, static_cast<int64_t>(pairs.size()));
  }
  return scores.finish();
}

}  // namespace gw::inline language
