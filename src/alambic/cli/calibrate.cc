// alambic calibrate: what a model's settings of decoding keep and bring, for --quality.
#include <fmt/format.h>
#include <unistd.h>

#include "alambic/base/progress.h"
#include "alambic/cli/data_options.h"
#include "alambic/cli/decode_options.h"
#include "alambic/cli/model.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/eval/quality_curve.h"
#include "alambic/models/gguf_model.h"

namespace alambic {
namespace {

constexpr const char* kCalibrateExample =
    "  alambic calibrate runs/quickstart/student --data runs/quickstart/held_out.jsonl --limit 60\n"
    "  alambic generate runs/quickstart/student --quality 0.5 --prompt ...";

struct CalibrateArguments {
  std::string model, task, precision;
  DataSource data;
  int max_tokens = 160;
  bool json = false;
};

void bind(CLI::App& verb, CalibrateArguments& o) {
  verb.add_option("model", o.model, "Model directory; its dial is stored in its config.json")
      ->required()
      ->type_name("MODEL");
  verb.add_option("--task", o.task, "What to score; default: what the model was trained for")
      ->check(CLI::IsMember({"bleu", "accuracy", "exact", "slots", "rouge"}));
  add_data_options(verb, o.data);
  verb.add_option("--max-tokens", o.max_tokens, "Longest answer")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  verb.add_option("--precision", o.precision, kPrecisionHelp)
      ->check(CLI::IsMember({"fp32", "bf16"}));
  verb.add_flag("--json", o.json, "One JSON object");
}

std::string in_words(const QualityCurve& curve, const TaskTraits& task) {
  const double factor = task.fraction ? 100 : 1;
  std::string text = fmt::format("{:40} {:>8} {:>10} {:>8} {:>14}\n", "setting", task.metric,
                                 "tokens/s", "speed", "tokens/forward");
  text += fmt::format("{:40} {:8.2f} {:10.0f} {:7.2f}x {:14.2f}\n", "ar", factor * curve.ar.value,
                      curve.ar_tokens_per_s, 1.0, 1.0);
  for (const QualityMeasurement& m : curve.measured) {
    text += fmt::format("{:40} {:8.2f} {:10.0f} {:7.2f}x {:14.2f}{}\n", setting_name(m.point),
                        factor * m.score.value, m.tokens_per_s, m.point.speed, m.tokens_per_forward,
                        m.on_dial ? "  on the dial" : "");
  }
  return text + fmt::format("area under the curve: {:.2f}\n", curve.area);
}

OrderedJson to_json(const QualityCurve& curve) {
  OrderedJson json = {{"ar", {{"score", curve.ar.value}, {"tokens_per_s", curve.ar_tokens_per_s}}},
                      {"area", curve.area},
                      {"measured", OrderedJson::array()}};
  for (const QualityMeasurement& m : curve.measured) {
    json["measured"].push_back(OrderedJson{{"lossless", m.point.lossless},
                                           {"threshold", m.point.threshold},
                                           {"remask", m.point.remask},
                                           {"score", m.score.value},
                                           {"kept", m.point.kept},
                                           {"speed", m.point.speed},
                                           {"tokens_per_s", m.tokens_per_s},
                                           {"tokens_per_forward", m.tokens_per_forward},
                                           {"on_dial", m.on_dial}});
  }
  return json;
}

void act(const CalibrateArguments& given, const Invocation&) {
  CalibrateArguments o = given;
  o.model = model_at(o.model);
  if (is_gguf(o.model)) {
    fail(
        ErrorCode::kUnsupported,
        "[{}] a GGUF file has no place for a dial; make a directory of it first: alambic import {} "
        "DIR",
        o.model, o.model);
  }
  if (::access(o.model.c_str(), W_OK) != 0) {
    fail(ErrorCode::kIo, "[{}] cannot be written to, and the dial is stored there", o.model);
  }
  const std::vector<Example> examples = read_examples(o.data);
  const Precision precision = precision_from_name(o.precision, o.model);
  Heartbeat beat("calibrate");
  const OpenModel open = open_model(o.model, precision);
  const std::string& name = o.task.empty() ? open.card().task : o.task;
  if (name.empty()) {
    fail(ErrorCode::kInvalidArgument, "[{}] does not say what it was trained for; name a --task",
         o.model);
  }
  const Task task = task_from_name(name);
  TaskOptions options;
  options.generate.max_tokens = o.max_tokens;
  options.generate.precision = precision;
  options.generate.block = open.card().block;
  ModelCard asked = open.card();
  use_chat_template("", o.model, asked);
  const QualityCurve curve =
      measure_quality(task, open.model(), open.tokenizer, asked, examples, options);
  ModelCard card = open.card();
  card.dial = curve.dial;
  save_card(card, o.model);
  beat.end();
  if (o.json) {
    print_json(to_json(curve));
  } else {
    print_result(in_words(curve, traits(task)));
  }
}

}  // namespace

void add_calibrate(CLI::App& app, Invocation& invocation) {
  add_verb<CalibrateArguments>(app, invocation, "calibrate",
                               "Measure speed against quality, for generate --quality",
                               kCalibrateExample, bind, act);
}

}  // namespace alambic
