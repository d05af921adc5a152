// alambic export: a model in the form that other programs read.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/cli/model_copy.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/decode/prompting.h"
#include "alambic/models/adapters.h"
#include "alambic/models/gguf_model.h"
#include "alambic/text/gguf_vocabulary_writer.h"

namespace alambic {
namespace {

constexpr const char* kExportExample =
    "  alambic export runs/quickstart/student --to gguf --type q8_0 student.gguf\n"
    "  alambic export MODEL-int8 --to hf --type f16 MODEL-f16";

struct ExportArguments {
  std::string model, out, to, type;
  bool json = false;
};

void bind(CLI::App& verb, ExportArguments& o) {
  verb.add_option("model", o.model, "Model directory or GGUF file")->required()->type_name("MODEL");
  verb.add_option("out", o.out, "File (gguf) or directory (hf) to write")
      ->required()
      ->type_name("OUT");
  verb.add_option(
          "--to", o.to,
          "gguf (for llama.cpp and what builds on it), hf (a Hugging Face directory) or peft "
          "(adapters without their base)")
      ->required()
      ->check(CLI::IsMember({"gguf", "hf", "peft"}));
  verb.add_option("--type", o.type,
                  "Of the weights: f32, f16, bf16, and for gguf q8_0 or q4_0; default: f16 (gguf), "
                  "bf16 (hf)")
      ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0", "q4_0"}));
  verb.add_flag("--json", o.json, "One JSON object");
}

// How far the logits of a copy may be from the original's, as a share of their spread: several
// times what was seen on trained students, and a fraction of what a misplaced tensor does. Types
// that round may go beyond it on larger models, and that is said.
struct TypeBound {
  const char* name;
  GgmlType type;
  double bound;
};
constexpr std::array<TypeBound, 5> kTypes = {{{"f32", GgmlType::kF32, 1e-5},
                                              {"f16", GgmlType::kF16, 0.01},
                                              {"bf16", GgmlType::kBf16, 0.05},
                                              {"q8_0", GgmlType::kQ8_0, 0.05},
                                              {"q4_0", GgmlType::kQ4_0, 0.5}}};

const TypeBound& type_named(const std::string& name) {
  return *std::find_if(kTypes.begin(), kTypes.end(),
                       [&](const TypeBound& type) { return type.name == name; });
}

std::string template_literal(std::string_view text) {  // as a string of a template
  return dump_json(Json(text));
}

// Programs that only know chat templates ask the model as the card's prompt template does.
std::string exported_template(const OpenModel& open) {
  if (!open.card().chat_template.empty()) return open.card().chat_template;
  const std::string& own = open.tokenizer.chat_template();
  constexpr std::string_view kSlot = "{prompt}";
  const std::string& form = open.card().prompt_template;
  const size_t at = form.find(kSlot);
  if (!own.empty() || at == std::string::npos || form == kSlot) return own;
  return fmt::format(
      "{{% for message in messages %}}{{% if message['role'] == 'assistant' %}}{{{{ "
      "message['content'] + '\\n' }}}}{{% else %}}{{{{ {} + message['content'] + {} }}}}{{% endif "
      "%}}{{% endfor %}}",
      template_literal(form.substr(0, at)), template_literal(form.substr(at + kSlot.size())));
}

CopyOrder gguf_order(const ExportArguments& o, const TypeBound& type) {
  return {"export",
          o.out,
          Made::kFile,
          type.bound,
          type.type != GgmlType::kF32,
          [&type](OpenModel& open, const std::string& path,
                  const std::function<void(double)>& progress) {
            GgufMetadata metadata;
            const ModelConfig& config = open.model().config();
            write_gguf_vocabulary(
                open.tokenizer,
                {config.vocab_size, stop_tokens(open.tokenizer, config), exported_template(open),
                 open.card().chat_template.empty() ? open.tokenizer.tool_use_template()
                                                   : open.card().tool_use_template},
                path, metadata);
            save_gguf(*open.loaded.model, open.card(), type.type, std::move(metadata), path,
                      progress);
          }};
}

CopyOrder directory_order(const ExportArguments& o, const TypeBound& type) {
  const DType dtype = float_type_from_name(type.name);
  return {"export",
          o.out,
          Made::kDirectory,
          dtype == DType::kF32 ? 0 : type.bound,
          dtype != DType::kF32,
          [&o, dtype](OpenModel& open, const std::string& path,
                      const std::function<void(double)>& progress) {
            progress(0);
            write_directory(open, o.model, dtype, path);
          }};
}

// Adapters as they are: beside their base, not merged into it.
CopyOrder adapter_order(const ExportArguments& o) {
  constexpr double kMerged = 1e-4;  // sums in another order
  return {
      "export",
      o.out,
      Made::kDirectory,
      kMerged,
      false,
      [&o](OpenModel& open, const std::string& path, const std::function<void(double)>& progress) {
        progress(0);
        const std::string base = adapter_base(o.model);
        const LoadedModel beside = load_model(base, Quantized::kMapped);
        load_adapters(*beside.model, o.model);
        make_directories(path);
        open.tokenizer.save(path);
        save_adapter_model(*beside.model, open.card(), base, path);
      }};
}

// llama.cpp gives these architectures no window, whatever the file says.
void remark_on_window(const ModelConfig& config, const std::string& out) {
  if (config.window == 0 || config.window >= config.max_positions) return;
  print_remark(
      fmt::format("note: [{}] a sliding window of {} positions is written; programs that know none "
                  "for this architecture see everything, and differ beyond {} positions",
                  out, config.window, config.window));
}

// SentencePiece's own meaning of a vocabulary lies in keys that other readers pass over.
void remark_on_tokenizer(const std::string& directory) {
  const std::string path = directory + "/tokenizer.json";
  if (!file_exists(path)) return;
  const Json tokenizer = read_json_file(path);
  const auto model = tokenizer.find("model");
  if (model == tokenizer.end() || !model->is_object()) return;
  if (model->value("precision", "") == "single") {
    print_remark(fmt::format(
        "{}: alambic reads the original's ids back; Python's tokenizers, which has neither the "
        "longest match in the character map nor sums in single precision, cuts up to 2 texts in "
        "100 differently",
        path));
  }
  if (const auto pieces = model->find("user_defined"); pieces != model->end() && !pieces->empty()) {
    print_remark(
        fmt::format("{}: alambic reads the original's ids back; Python's tokenizers may cut "
                    "differently around its {} user-defined pieces",
                    path, pieces->size()));
  }
}

void act(const ExportArguments& given, const Invocation&) {
  ExportArguments o = given;
  o.model = model_at(o.model);
  const bool gguf = o.to == "gguf", peft = o.to == "peft";
  if (peft && !is_adapter_directory(o.model)) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] holds no adapters; train some with student.lora.rank, or write --to hf or gguf",
         o.model);
  }
  const char* usual = peft ? "f32" : gguf ? "f16" : "bf16";
  const TypeBound& type = type_named(!o.type.empty() ? o.type : usual);
  const CopyOrder order = peft   ? adapter_order(o)
                          : gguf ? gguf_order(o, type)
                                 : directory_order(o, type);
  check_free(o.out, order.made);
  Heartbeat beat("export");
  OpenModel open = open_model_in_floats(o.model);
  if (gguf) remark_on_window(open.model().config(), o.out);
  const CopyReport report = copy_model(std::move(open), order);
  if (!gguf) remark_on_tokenizer(o.out);
  beat.end();
  if (o.json) {
    OrderedJson result = {{"model", o.model}, {"out", o.out}, {"to", o.to}, {"type", type.name}};
    result.update(to_json(report));
    print_json(result);
  } else {
    print_result(in_words(report, o.out, type.name));
  }
}

}  // namespace

void add_export(CLI::App& app, Invocation& invocation) {
  add_verb<ExportArguments>(app, invocation, "export", "Write a model for other programs",
                            kExportExample, bind, act);
}

}  // namespace alambic
