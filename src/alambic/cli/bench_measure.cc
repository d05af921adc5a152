#include "alambic/cli/bench_measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "alambic/base/file.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"
#include "alambic/decode/decode.h"
#include "alambic/distill/hybrid_objective.h"
#include "alambic/models/hf_directory.h"
#include "alambic/tensor/product.h"
#include "alambic/train/trainer.h"

namespace alambic {
namespace {

ModelConfig config_of(int dim, int layers, int heads, int kv_heads, int ffn, int vocabulary) {
  ModelConfig c;
  c.dim = dim;
  c.layers = layers;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.head_dim = dim / heads;
  c.ffn = ffn;
  c.vocab_size = vocabulary;
  c.mask = vocabulary - 1;
  return c;
}

std::unique_ptr<Transformer> make_model(const BenchShape& shape) {
  if (!shape.directory.empty()) return load_model(shape.directory, Quantized::kMapped).model;
  auto model = std::make_unique<Transformer>(shape.config);
  model->initialise(1);
  return model;
}

std::unique_ptr<Transformer> make_frozen_model(const BenchShape& shape, Precision precision) {
  auto model = make_model(shape);
  if (shape.weights && shape.directory.empty())
    use_quantized(*model, quantize(*model, {.format = *shape.weights}));
  freeze_for_inference(*model, precision);
  return model;
}

// Bytes of weights that a token's row meets.
double weight_bytes(Transformer& model, Precision precision) {
  double bytes = 0;
  model.visit([&](Parameter& p) {
    if (is_quantized(p)) {
      bytes += static_cast<double>(p.value.packed()->quantized()->bytes());
    } else if (p.name != "embedding" || p.value.same_as(model.head())) {
      bytes += static_cast<double>(p.value.size()) * (precision == Precision::kBf16 ? 2 : 4);
    }
  });
  return bytes;
}

std::vector<TokenId> random_tokens(const ModelConfig& config, int count, uint64_t stream) {
  Rng rng(7, stream);
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (TokenId& t : tokens)
    t = static_cast<TokenId>(rng.below(static_cast<uint64_t>(config.vocab_size)));
  return tokens;
}

// The process's own high-water mark: what getrusage() says is inherited from the process that
// started this one.
int64_t peak_rss() {
  constexpr std::string_view kKey = "VmHWM:";
  const std::string status = read_file("/proc/self/status");
  for (const std::string_view line : split_lines(status)) {
    if (!line.starts_with(kKey)) continue;
    return std::strtoll(std::string(line.substr(kKey.size())).c_str(), nullptr, 10) * 1024;
  }
  fail(ErrorCode::kUnsupported, "[/proc/self/status] has no VmHWM; want a Linux kernel with one");
}

// Weights that a token's row meets: all matrices, the embedding only where it is the head.
double multiplied_weights(const ModelConfig& c) {
  const int64_t looked_up = c.tied_head ? 0 : int64_t{c.vocab_size} * c.dim;
  return static_cast<double>(c.parameters() - looked_up);
}

// The median duration of `work` after warming up.
double median_seconds(const std::function<void()>& work, bool quick) {
  const int warm_up = quick ? 1 : 2, fewest = quick ? 3 : 5, most = quick ? 3 : 50;
  const double enough = quick ? 0 : 3;
  for (int i = 0; i < warm_up; ++i) work();
  std::vector<double> seconds;
  const Stopwatch all;
  while (static_cast<int>(seconds.size()) < fewest ||
         (all.seconds() < enough && static_cast<int>(seconds.size()) < most)) {
    throw_if_interrupted("bench", "no figures were kept");
    const Stopwatch one;
    work();
    seconds.push_back(one.seconds());
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<int64_t>(seconds.size() / 2),
                   seconds.end());
  return seconds[seconds.size() / 2];
}

const char* dtype_of(Precision precision) {
  return precision == Precision::kBf16 ? "bf16" : "fp32";
}

Measurement measure_prompt(const BenchShape& shape, Precision precision, bool quick) {
  const auto model = make_frozen_model(shape, precision);
  const NoGrad no_grad;
  const std::vector<TokenId> tokens = random_tokens(shape.config, shape.prompt_tokens, 1);
  const int64_t last = shape.prompt_tokens - 1;
  const double seconds = median_seconds(
      [&] {
        KvCache cache = make_cache(shape.config, precision);
        Forward forward{.groups = {{.rows = shape.prompt_tokens, .position = 0}},
                        .precision = precision};
        forward.groups.front().cache = &cache;
        model->logits(gather_rows(model->hidden(tokens, forward), {&last, 1}), precision);
      },
      quick);
  const double head = static_cast<double>(shape.config.vocab_size) * shape.config.dim;
  const double body = multiplied_weights(shape.config) - head;
  Measurement m;
  m.tokens = shape.prompt_tokens;
  m.tokens_per_s = static_cast<double>(m.tokens) / seconds;
  m.flops = 2 * (body * static_cast<double>(m.tokens) + head) / seconds;
  return m;
}

Measurement measure_generate(const BenchShape& shape, Precision precision, bool quick) {
  const auto model = make_frozen_model(shape, precision);
  const auto decoder = make_decoder(DecodeMode::kAutoregressive, *model);
  GenerateOptions options;
  options.max_tokens = shape.generate_tokens;
  options.precision = precision;
  options.block = 0;
  const Prompt prompt{random_tokens(shape.config, 16, 2)};
  int64_t tokens = 0;
  const double seconds = median_seconds(
      [&] { tokens = static_cast<int64_t>(decoder->generate(prompt, options).tokens.size()); },
      quick);
  Measurement m;
  m.tokens = tokens;
  m.tokens_per_s = static_cast<double>(tokens) / seconds;
  m.flops = 2 * multiplied_weights(shape.config) * m.tokens_per_s;
  m.read_bytes_per_s = weight_bytes(*model, precision) * m.tokens_per_s;
  return m;
}

Measurement measure_train(const BenchShape& shape, Precision precision, bool quick, bool hybrid) {
  const auto model = make_model(shape);
  set_trainable(*model, true);
  AdamWOptimizer optimizer(*model, {});
  HybridOptions options;
  options.draft_weight = hybrid ? 0.5 : 0;
  options.block = 8;
  const HybridObjective objective(options);
  std::vector<Sequence> sequences(static_cast<size_t>(shape.train_batch));
  Batch batch;
  for (size_t i = 0; i < sequences.size(); ++i) {
    sequences[i].tokens = random_tokens(shape.config, shape.train_length, 16 + i);
    sequences[i].prompt_tokens = 1;
    batch.push_back(&sequences[i]);
  }
  Rng rng(11);
  int64_t rows = 0;
  const double seconds = median_seconds(
      [&] {
        const Loss loss = objective.evaluate(*model, batch, {.precision = precision}, rng);
        backward(loss.sum);
        optimizer.step(1e-4, loss.count);
        rows = loss.rows;
      },
      quick);
  Measurement m;
  m.batch = shape.train_batch;
  m.tokens = int64_t{shape.train_batch} * shape.train_length;
  m.tokens_per_s = static_cast<double>(m.tokens) / seconds;
  m.flops = training_flops(shape.config, rows) / seconds;
  return m;
}

// The products of one forward, by themselves.
std::vector<Measurement> measure_products(const BenchShape& shape, Precision precision,
                                          bool quick) {
  const ModelConfig& c = shape.config;
  // Query and output, key and value, gate and up, down, head; shapes that coincide are measured
  // once.
  std::vector<std::pair<int, int>> sizes;
  for (const auto& size : {std::pair{c.dim, c.heads * c.head_dim},
                           {c.dim, c.kv_heads * c.head_dim},
                           {c.dim, c.ffn},
                           {c.ffn, c.dim},
                           {c.dim, c.vocab_size}}) {
    if (std::find(sizes.begin(), sizes.end(), size) == sizes.end()) sizes.push_back(size);
  }
  std::vector<Measurement> measurements;
  for (const auto& [k, n] : sizes) {
    const int rows = n == c.vocab_size ? 256 : quick ? 64 : 1024;
    Tensor a = Tensor::empty({rows, k}), w = Tensor::empty({n, k}), out = Tensor::empty({rows, n});
    Rng rng(3);
    for (float& v : a.values()) v = static_cast<float>(rng.uniform() - 0.5);
    for (float& v : w.values()) v = static_cast<float>(rng.uniform() - 0.5);
    const PackedMatrix packed(view_transposed(w), k, n, precision);
    // Many products per repetition: a single small one is shorter than the clock is exact.
    const double work = 2.0 * rows * k * n;
    const int repeats = quick ? 1 : static_cast<int>(std::clamp(2e10 / work, 1.0, 1000.0));
    const double seconds = median_seconds(
                               [&, n = n] {
                                 for (int i = 0; i < repeats; ++i)
                                   product(rows, view(a), packed, out.data(), n, false);
                               },
                               true) /
                           repeats;
    Measurement m;
    m.shape = fmt::format("{} {}x{}x{}", shape.name, rows, k, n);
    m.tokens = rows;
    m.tokens_per_s = rows / seconds;
    m.flops = work / seconds;
    measurements.push_back(m);
  }
  return measurements;
}

}  // namespace

BenchShape bench_shape(std::string_view name) {
  if (name == "S") return {"S", config_of(288, 6, 6, 6, 768, 32000), "", 512, 128, 8, 256};
  if (name == "M") return {"M", config_of(576, 30, 9, 3, 1536, 49152), "", 512, 128, 4, 256};
  if (name == "L") return {"L", config_of(1024, 24, 16, 8, 2816, 49152), "", 512, 128, 2, 256};
  if (name == "tiny") return {"tiny", config_of(64, 2, 4, 4, 128, 512), "", 64, 16, 2, 32};
  fail(ErrorCode::kInvalidArgument, "[--shape] got \"{}\"; want S, M, L or tiny", name);
}

BenchShape bench_shape_of_model(const std::string& directory) {
  const ModelConfig config = read_model_config(directory);
  const int room = std::max(2, config.max_positions);
  return {directory,
          config,
          directory,
          std::min(512, room),
          std::min(128, std::max(1, room - 17)),
          8,
          std::min(256, room),
          stored_format(directory)};
}

const std::vector<std::string>& bench_parts() {
  static const std::vector<std::string> parts = {"prompt", "generate", "train", "train_hybrid",
                                                 "product"};
  return parts;
}

bool can_measure(std::string_view part, const BenchShape& shape) {
  if (shape.weights && part != "prompt" && part != "generate") return false;
  return part != "train_hybrid" || shape.config.mask >= 0;
}

std::vector<Measurement> measure_part(std::string_view part, const BenchShape& shape,
                                      Precision precision, bool quick) {
  std::vector<Measurement> measurements;
  if (part == "prompt") {
    measurements = {measure_prompt(shape, precision, quick)};
  } else if (part == "generate") {
    measurements = {measure_generate(shape, precision, quick)};
  } else if (part == "train" || part == "train_hybrid") {
    measurements = {measure_train(shape, precision, quick, part == "train_hybrid")};
  } else if (part == "product") {
    measurements = measure_products(shape, precision, quick);
  } else {
    fail(ErrorCode::kInvalidArgument, "[bench] unknown part \"{}\"; want one of {}", part,
         fmt::join(bench_parts(), ", "));
  }
  for (Measurement& m : measurements) {
    m.what = part;
    m.dtype = shape.weights ? format_name(*shape.weights) : dtype_of(precision);
    if (m.shape.empty()) m.shape = shape.name;
    m.peak_rss_bytes = peak_rss();
  }
  return measurements;
}

OrderedJson to_json(const Measurement& m) {
  return {{"what", m.what},
          {"shape", m.shape},
          {"dtype", m.dtype},
          {"batch", m.batch},
          {"tokens", m.tokens},
          {"tokens_per_s", m.tokens_per_s},
          {"flops", m.flops},
          {"read_bytes_per_s", m.read_bytes_per_s},
          {"peak_rss_bytes", m.peak_rss_bytes}};
}

Measurement measurement_from_json(const Json& json, std::string_view where) {
  Measurement m;
  m.what = require<std::string>(json, "what", where);
  m.shape = require<std::string>(json, "shape", where);
  m.dtype = require<std::string>(json, "dtype", where);
  m.batch = require<int>(json, "batch", where);
  m.tokens = require<int64_t>(json, "tokens", where);
  m.tokens_per_s = require<double>(json, "tokens_per_s", where);
  m.flops = require<double>(json, "flops", where);
  m.read_bytes_per_s = require<double>(json, "read_bytes_per_s", where);
  m.peak_rss_bytes = require<int64_t>(json, "peak_rss_bytes", where);
  return m;
}

}  // namespace alambic
