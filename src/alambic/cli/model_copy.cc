#include "alambic/cli/model_copy.h"

#include <fmt/format.h>

#include <cmath>

#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"
#include "alambic/cli/output.h"
#include "alambic/data/trained_on.h"
#include "alambic/eval/report.h"
#include "alambic/formats/float16.h"

namespace alambic {
namespace {

constexpr const char* kNothing = "nothing was written";

// Letters, digits, spaces, lines, other scripts: what tokenizers cut in different ways.
constexpr const char* kProbes[] = {
    "Once upon a time there was a little kettle",
    "The price is 1234.50 euros,  isn't it?\n\nYes: it's 7% more than in 2023!",
    "def f(x):\n    return x ** 2  # squared",
    "sch\xC3\xB6n \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x99\x82 na\xC3\xAFve \xD0\x94\xD0\xB0",
};

std::vector<std::vector<TokenId>> prompts_of(const OpenModel& open) {
  constexpr size_t kLongest = 64;
  const ModelConfig& config = open.model().config();
  const auto room = std::min(kLongest, static_cast<size_t>(config.max_positions));
  std::vector<std::vector<TokenId>> prompts;
  prompts.reserve(std::size(kProbes) + 1);
  for (const char* text : kProbes) prompts.push_back(open.tokenizer.encode(text));
  Rng rng(1);
  std::vector<TokenId> anything;
  for (size_t i = 0; i < kLongest; ++i) {
    anything.push_back(static_cast<TokenId>(rng.below(static_cast<uint64_t>(config.vocab_size))));
  }
  prompts.push_back(std::move(anything));
  for (auto& prompt : prompts) prompt.resize(std::min(prompt.size(), room));
  std::erase_if(prompts, [](const auto& prompt) { return prompt.empty(); });
  return prompts;
}

Tensor logits_of(const Transformer& model, std::span<const TokenId> tokens) {
  const NoGrad no_grad;
  const Forward forward{.groups = {{static_cast<int>(tokens.size()), 0, model.config().causal}}};
  return model.logits(model.hidden(tokens, forward), Precision::kFp32);
}

void check_tokenizer(const Tokenizer& before, const Tokenizer& after, const std::string& out) {
  for (const char* text : kProbes) {
    if (before.encode(text) != after.encode(text)) {
      fail(ErrorCode::kUnsupported,
           "[{}] the form cannot hold the tokenizer: {} would become other tokens", out,
           dump_json(Json(text)));
    }
  }
}

int64_t most_probable(const float* row, int64_t count) {
  return std::max_element(row, row + count) - row;
}

// Sums over all places of all prompts.
struct Sums {
  double difference = 0, spread = 0;
  int64_t places = 0, same = 0;

  void add(const Tensor& before, const Tensor& after) {
    for (int64_t r = 0; r < before.rows(); ++r) {
      const float *a = before.row(r), *b = after.row(r);
      double mean = 0;
      for (int64_t i = 0; i < before.cols(); ++i) mean += double{a[i]};
      mean /= static_cast<double>(before.cols());
      for (int64_t i = 0; i < before.cols(); ++i) {
        difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
        spread += (a[i] - mean) * (a[i] - mean);
      }
      ++places;
      if (most_probable(a, before.cols()) == most_probable(b, before.cols())) ++same;
    }
  }
};

CopyReport compare(const std::vector<std::vector<TokenId>>& prompts,
                   const std::vector<Tensor>& before, const OpenModel& after,
                   const std::string& out) {
  CopyReport report;
  report.prompts = static_cast<int>(prompts.size());
  report.bytes = after.loaded.file_bytes;
  Sums sums;
  for (size_t i = 0; i < prompts.size(); ++i) {
    report.tokens += static_cast<int>(prompts[i].size());
    const Tensor logits = logits_of(after.model(), prompts[i]);
    if (logits.shape() != before[i].shape()) {
      fail(ErrorCode::kUnsupported, "[{}] the copy has {} tokens; the original has {}", out,
           logits.cols(), before[i].cols());
    }
    sums.add(before[i], logits);
  }
  report.difference =
      sums.difference == 0 ? 0 : std::sqrt(sums.difference / std::max(sums.spread, 1e-30));
  report.same_choice = static_cast<double>(sums.same) / static_cast<double>(sums.places);
  return report;
}

}  // namespace

CopyReport copy_model(OpenModel model, const CopyOrder& order) {
  const std::vector<std::vector<TokenId>> prompts = prompts_of(model);
  CopyReport report;
  make_beside(order.out, order.made, [&](const std::string& path) {
    std::vector<Tensor> before;
    before.reserve(prompts.size());
    for (const auto& prompt : prompts) before.push_back(logits_of(model.model(), prompt));
    {
      constexpr int64_t kSteps = 1000;
      Progress progress(order.verb, kSteps);
      order.write(model, path, [&](double done) {
        throw_if_interrupted(order.verb.c_str(), kNothing);
        progress.update(static_cast<int64_t>(done * kSteps));
      });
    }
    const Tokenizer tokenizer = model.tokenizer;
    model.loaded.model.reset();  // two models need not fit
    const OpenModel after = open_model_in_floats(path);
    check_tokenizer(tokenizer, after.tokenizer, order.out);
    report = compare(prompts, before, after, order.out);
    if (order.rounds && std::isfinite(report.difference) && report.difference > order.bound) {
      print_remark(fmt::format(
          "warning: [{}] the copy's logits differ from the original's by {:.3g} of their spread, "
          "more than the usual {:.3g}, and its most probable token is another at {:.1f} % of the "
          "places: measure it (alambic eval) before you rely on it",
          order.out, report.difference, order.bound, 100 * (1 - report.same_choice)));
    } else if (!(report.difference <= order.bound)) {
      fail(ErrorCode::kUnsupported,
           "[{}] the copy's logits differ from the original's by {:.3g} of their spread; want at "
           "most {:.3g}; {}",
           order.out, report.difference, order.bound, kNothing);
    }
    throw_if_interrupted(order.verb.c_str(), kNothing);
  });
  return report;
}

DType float_type_from_name(const std::string& name) {
  if (name == "f32") return DType::kF32;
  if (name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBf16;
  fail(ErrorCode::kInvalidArgument, "[--type] got \"{}\"; want f32, f16 or bf16", name);
}

DType exact_type(LanguageModel& model) {
  bool brief = true, half = true;
  model.visit([&](const Parameter& p) {
    for (const float value : p.value.values()) {
      brief = brief && bf16_to_float(float_to_bf16(value)) == value;
      half = half && f16_to_float(float_to_f16(value)) == value;
      if (!brief && !half) return;
    }
  });
  return brief ? DType::kBf16 : half ? DType::kF16 : DType::kF32;
}

void write_directory(OpenModel& model, const std::string& from, DType type,
                     const std::string& directory) {
  write_tokenizer(model.tokenizer, from, directory);
  carry_trained_on(from, directory);
  save_model(*model.loaded.model, model.card(), directory, type);
}

OrderedJson to_json(const CopyReport& report) {
  return {{"bytes", report.bytes},
          {"checked",
           {{"prompts", report.prompts},
            {"tokens", report.tokens},
            {"logits_difference", report.difference},
            {"same_greedy_choice", report.same_choice}}}};
}

std::string in_words(const CopyReport& report, const std::string& out, const std::string& type) {
  return fmt::format(
      "{}: {} weights, {}\nopened again and compared on {} prompts of {} tokens in all: logits "
      "differ by {:.3g} of their spread, the most probable token is the same at {:.2f} % of the "
      "places\n",
      out, type, format_bytes(report.bytes), report.prompts, report.tokens, report.difference,
      100 * report.same_choice);
}

}  // namespace alambic
