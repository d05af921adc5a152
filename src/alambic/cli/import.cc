// alambic import: a model from elsewhere as one plain directory.
#include <fmt/format.h>

#include <algorithm>

#include "alambic/base/progress.h"
#include "alambic/cli/model_copy.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"

namespace alambic {
namespace {

constexpr const char* kImportExample =
    "  alambic import llama-q4_k_m.gguf llama\n"
    "  alambic import downloads/model-in-shards model";

struct ImportArguments {
  std::string model, out, type;
  bool json = false;
};

void bind(CLI::App& verb, ImportArguments& o) {
  verb.add_option("model", o.model, "GGUF file or model directory, in shards or not")
      ->required()
      ->type_name("MODEL");
  verb.add_option("out", o.out, "Directory to write")->required()->type_name("DIR");
  verb.add_option(
          "--type", o.type,
          "Of the weights: f32, f16 or bf16; default: the narrowest that holds every weight "
          "exactly")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
  verb.add_flag("--json", o.json, "One JSON object");
}

void act(const ImportArguments& given, const Invocation&) {
  ImportArguments o = given;
  o.model = model_at(o.model);
  // Of a type that was asked for by name and rounds; see export for what is usual.
  constexpr double kRounded = 0.05;
  check_free(o.out, Made::kDirectory);
  Heartbeat beat("import");
  OpenModel open = open_model_in_floats(o.model);
  const DType exact = exact_type(*open.loaded.model);
  const DType type = o.type.empty() ? exact : float_type_from_name(o.type);
  const bool rounds = type != exact && type != DType::kF32;
  const CopyReport report = copy_model(
      std::move(open),
      {"import", o.out, Made::kDirectory, rounds ? kRounded : 0, rounds,
       [&](OpenModel& model, const std::string& path, const std::function<void(double)>& progress) {
         progress(0);
         write_directory(model, o.model, type, path);
       }});
  std::string name(dtype_name(type));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  beat.end();
  if (o.json) {
    OrderedJson result = {{"model", o.model}, {"out", o.out}, {"type", name}};
    result.update(to_json(report));
    print_json(result);
  } else {
    print_result(in_words(report, o.out, name));
  }
}

}  // namespace

void add_import(CLI::App& app, Invocation& invocation) {
  add_verb<ImportArguments>(app, invocation, "import",
                            "Make a plain model directory of a GGUF file or of shards",
                            kImportExample, bind, act);
}

}  // namespace alambic
