#include "gatewright/text/template/chat_template.h"

#include "gatewright/base/check.h"
#include "gatewright/text/template/evaluator.h"
#include "gatewright/text/template/functions.h"
#include "gatewright/text/template/json_values.h"
#include "gatewright/text/template/lexer.h"

namespace gw::inline text {

struct jinja::ParsedTemplate {
  Body body;
};

namespace {

void fill(jinja::Scope& globals, const jinja::Value& variables) {
  GW_CHECK(variables.is(jinja::Value::Kind::dict), "chat template: expected an object of variables, got a {}",
           jinja::type_name(variables));
  for (const auto& [name, function] : jinja::functions()) {
    auto callable = std::make_shared<jinja::Callable>();
    callable->name = name;
    callable->function = function;
    globals.values[name] = jinja::Value(std::shared_ptr<const jinja::Callable>(std::move(callable)));
  }
  for (const auto& [key, value] : variables.dict().entries)
    globals.values[key.text()] =
        key.text() == "strftime_now" && value.is_text() ? jinja::clock_at(value.text()) : value;
}

template <class Source>
std::string rendered(const jinja::Body& body, const Source& source) {
  jinja::Meter meter;
  jinja::Scope globals, top;
  fill(globals, source(meter));
  top.outer = &globals;
  jinja::Evaluator evaluator(meter, top);
  std::string out;
  try {
    evaluator.render(body, out);
  } catch (const ValueError& error) {
    throw ValueError(jinja::at_line(evaluator.line()) + error.what());
  }
  return out;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string source)
    : parsed_(std::make_shared<const jinja::ParsedTemplate>(
          jinja::ParsedTemplate{jinja::parse_template(source)})) {}

std::string ChatTemplate::render(const Json& variables) const {
  return rendered(parsed_->body, [&](jinja::Meter& meter) { return jinja::value_of(meter, variables); });
}

std::string ChatTemplate::render_text(std::string_view variables) const {
  return rendered(parsed_->body, [&](jinja::Meter& meter) { return jinja::value_of_text(meter, variables); });
}

std::string render_chat(const ChatTemplate& chat_template, const ChatInput& input) {
  GW_CHECK(input.messages.is_array(), "chat template: expected a list of messages, got {}",
           input.messages.type_name());
  Json variables = input.more.is_null() ? Json::object() : input.more;
  variables["messages"] = input.messages;
  variables["add_generation_prompt"] = input.add_generation_prompt;
  variables["bos_token"] = input.bos_token;
  variables["eos_token"] = input.eos_token;
  variables["tools"] = input.tools;
  if (!variables.contains("documents")) variables["documents"] = nullptr;
  if (!input.date.empty()) variables["strftime_now"] = input.date;
  return chat_template.render(variables);
}

}  // namespace gw::inline text
