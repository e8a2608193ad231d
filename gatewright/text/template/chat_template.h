#pragma once
// Chat templates: how a language model wants a conversation written down as one text.
#include <memory>
#include <string>
#include <string_view>

#include "gatewright/base/json.h"

namespace gw::inline text {

namespace jinja {
struct ParsedTemplate;
}

/// A template in the language of Jinja, as checkpoints bring it in tokenizer_config.json, rendered as
/// transformers does: with trim_blocks, lstrip_blocks, loop controls and {% generation %}. Templates of
/// strangers may be rendered: they can read nothing but their variables, and source, nesting, steps, texts
/// and output are limited (meter.h).
///
/// Deviations from Jinja 3.1: whole numbers have 64 bits (beyond: an error); lists, dicts and namespaces hold
/// no namespaces, macros or loops; `safe` and `escape` give plain texts; macros take no varargs or kwargs,
/// calls no *list or **dict; what map, select and the like give is made at once, and cannot be printed;
/// include, import, extends, block and recursive loops are refused; a slice of a range is a list. The lists
/// of filters, tests and methods are in docs/chat-templates.md.
class ChatTemplate {
 public:
  /// Errors: ValueError "chat template, line N: expected …, got …" for what is not a template.
  explicit ChatTemplate(std::string source);

  /// The template with these variables: a pure function of both. Keys of objects come in Json's order, which
  /// is sorted. A variable strftime_now (a date as "2026-01-31" or "2026-01-31 17:05:09") becomes the
  /// function of that name, which tells this date; without it the function is undefined.
  /// Errors: ValueError naming the line: what the template itself raises (raise_exception), uses of undefined
  ///         values, wrong types, unknown filters, tests and functions (with the near miss), and limits.
  /// Cost:   at most 4 million steps, about a second, and a few hundred megabytes.
  std::string render(const Json& variables) const;
  /// The same with variables in JSON text, whose keys stay in their order: what tojson prints of tools then
  /// is as the caller wrote it, as with transformers.
  std::string render_text(std::string_view variables) const;

 private:
  std::shared_ptr<const jinja::ParsedTemplate> parsed_;
};

/// What chat templates are given by custom.
struct ChatInput {
  Json messages = Json::array();  ///< of {"role": …, "content": …, …}
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;
  Json tools;  ///< a list of JSON schemas, or null
  std::string
      date;  ///< today, for templates that say it; empty: they say their own default, or raise an error
  Json more = Json::object();  ///< other variables, as enable_thinking; they come before those above
};

/// A conversation as `chat_template` writes it. Errors: ValueError as render, and for messages that are no
/// list.
std::string render_chat(const ChatTemplate& chat_template, const ChatInput& input);

}  // namespace gw::inline text
