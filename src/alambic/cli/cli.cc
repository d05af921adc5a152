#include "alambic/cli/cli.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <csignal>
#include <new>
#include <sstream>

#include "alambic/base/error.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/nearest.h"
#include "alambic/base/say.h"
#include "alambic/base/thread_pool.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/kernels/table.h"

namespace alambic {
namespace {

constexpr int kUsage = 2;

std::string version() {
  std::string supported;
  for (const auto& table : kernels::supported_kernels()) {
    supported += (supported.empty() ? "" : ", ") + std::string(kernels::isa_name(table.isa));
  }
  return fmt::format("alambic {}\ninstruction set: {} (this CPU runs {})\ncompiler: {} {}",
                     ALAMBIC_VERSION, kernels::isa_name(kernels::kernels().isa), supported,
#ifdef __clang__
                     "clang", __clang_version__
#else
                     "gcc", __VERSION__
#endif
  );
}

std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(verb->get_name());
  return names;
}

// Of the program and of the verb that was chosen, with their dashes.
std::vector<std::string> options_of(const CLI::App& app, const std::vector<CLI::App*>& chosen) {
  std::vector<std::string> names;
  const auto add = [&](const CLI::App& of) {
    for (const CLI::Option* option : of.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  };
  add(app);
  for (const CLI::App* verb : chosen) {
    add(*verb);
    for (const CLI::App* group : verb->get_subcommands([](const CLI::App*) { return true; }))
      add(*group);
  }
  return names;
}

// Names a word that nobody knows before whatever else is missing because of it.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  const std::vector<std::string> extras = app.remaining(true);
  if (extras.empty()) {
    return chosen.empty() ? error.what()
                          : fmt::format("[{}] {}", chosen.front()->get_name(), error.what());
  }
  const std::string& first = extras.front();
  const char* kind = first.starts_with("-") ? "option" : chosen.empty() ? "command" : "argument";
  const std::string nearest =
      nearest_name(first.substr(0, first.find('=')),
                   chosen.empty() && kind[0] == 'c' ? verbs_of(app) : options_of(app, chosen));
  const std::string meant = nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest);
  if (chosen.empty()) {
    return fmt::format("unknown {} \"{}\"; {}want one of {}", kind, first, meant,
                       fmt::join(verbs_of(app), ", "));
  }
  const std::string& verb = chosen.front()->get_name();
  return fmt::format("[{}] unknown {} \"{}\"; {}see alambic {} --help", verb, kind, first, meant,
                     verb);
}

void parse_and_act(int argc, char** argv, int& status) {
  CLI::App app(
      "alambic distils a large language model into a small one that is yours:\n"
      "trained, measured and kept on an ordinary machine, offline.",
      "alambic");
  Invocation invocation{std::vector<std::string>(argv, argv + argc), {}};
  int threads = 0;
  app.add_option("--threads", threads,
                 "Threads to compute with; default: the cores this process may use")
      ->check(CLI::Range(1, 256));
  app.set_version_flag("--version", version,
                       "Print version, instruction sets and compiler, and exit");
  app.footer(
      "Example:\n  alambic distill examples/quickstart.toml\n\nalambic VERB --help tells more "
      "about one verb.");
  add_distill(app, invocation);
  add_generate(app, invocation);
  add_eval(app, invocation);
  add_calibrate(app, invocation);
  add_teach(app, invocation);
  add_train(app, invocation);
  add_serve(app, invocation);
  add_quantize(app, invocation);
  add_export(app, invocation);
  add_import(app, invocation);
  add_bench(app, invocation);
  add_inspect(app, invocation);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& request) {  // --help, --version
    if (!app.remaining(true).empty()) {    // beside a word that nobody knows
      print_error(usage_message(app, CLI::ParseError("", kUsage)));
      status = kUsage;
      return;
    }
    std::ostringstream text;
    app.exit(request, text, text);
    print_result(text.str());
    return;
  } catch (const CLI::ParseError& error) {
    print_error(usage_message(app, error));
    status = kUsage;
    return;
  }
  if (!invocation.action) {
    say_text(app.help());
    status = kUsage;
    return;
  }
  if (threads > 0) set_thread_count(threads);
  invocation.action();
}

// A file that is opened later must not become the one that errors are written to.
void hold_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // What is read there is at its end, and a result that nobody can have is an error still.
    const int held = ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    if (held >= 0 && held != fd) ::close(held);
  }
}

}  // namespace

int run(int argc, char** argv) {
  hold_standard_descriptors();
  // A closed pipe and a file-size limit are errors of write(), which its callers report.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  install_interrupt_handler();
  int status = 0;
  try {
    if (argc < 1) fail(ErrorCode::kInvalidArgument, "got no program name");
    parse_and_act(argc, argv, status);
  } catch (const OutputClosed&) {
    return 0;
  } catch (const Error& error) {
    print_error(error.what());
    return exit_status(error.code());
  } catch (const std::bad_alloc&) {
    print_error("[memory] there is not enough for this job; try a smaller model, batch or length");
    return exit_status(ErrorCode::kResourceExhausted);
  } catch (const std::exception& error) {
    print_error(error.what());
    return 1;
  }
  return status;
}

}  // namespace alambic
