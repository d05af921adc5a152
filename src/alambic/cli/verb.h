// The verbs of the program, one file each. add_VERB() puts a sub-command with its options on the
// parser; when that sub-command was typed, the parser's callback stores what is to be done as the
// action, and run() then does it. Errors: actions throw Error, or OutputClosed (output.h).
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace alambic {

struct Invocation {
  std::vector<std::string> arguments;  // argv as typed
  std::function<void()> action;

  // What to write in front of a verb to call this program again.
  const std::string& program() const { return arguments.front(); }
};

void add_generate(CLI::App& app, Invocation& invocation);
void add_calibrate(CLI::App& app, Invocation& invocation);
void add_eval(CLI::App& app, Invocation& invocation);
void add_teach(CLI::App& app, Invocation& invocation);
void add_train(CLI::App& app, Invocation& invocation);
void add_distill(CLI::App& app, Invocation& invocation);
void add_serve(CLI::App& app, Invocation& invocation);
void add_quantize(CLI::App& app, Invocation& invocation);
void add_export(CLI::App& app, Invocation& invocation);
void add_import(CLI::App& app, Invocation& invocation);
void add_bench(CLI::App& app, Invocation& invocation);
void add_inspect(CLI::App& app, Invocation& invocation);

// A sub-command whose options live in an `Options` as long as the parser does; `bind` declares them
// and `act` is the action. `example` closes the help text.
template <class Options>
void add_verb(CLI::App& app, Invocation& invocation, const char* name, const char* description,
              const char* example, void (*bind)(CLI::App&, Options&),
              void (*act)(const Options&, const Invocation&)) {
  CLI::App* verb = app.add_subcommand(name, description);
  verb->fallthrough();
  verb->footer(std::string("Example:\n") + example);
  const auto options = std::make_shared<Options>();
  bind(*verb, *options);
  verb->callback([options, act, &invocation] {
    invocation.action = [options, act, &invocation] { act(*options, invocation); };
  });
}

}  // namespace alambic
