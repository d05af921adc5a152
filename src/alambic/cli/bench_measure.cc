#include "alambic/cli/bench_measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "alambic/base/file.h"
#include "alambic/cli/bench_products.h"
#include "alambic/cli/bench_repeat.h"
#include "alambic/decode/decode.h"
#include "alambic/distill/hybrid_objective.h"
#include "alambic/models/adapters.h"
#include "alambic/models/hf_directory.h"
#include "alambic/tensor/product.h"
#include "alambic/tensor/storage.h"
#include "alambic/train/trainer.h"

namespace alambic {
namespace {

constexpr int64_t kLargestInFloats = 2'000'000'000;

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
  if (!shape.directory.empty()) return load_model(shape.directory).model;
  auto model = std::make_unique<Transformer>(shape.config);
  model->initialise(1);
  return model;
}

std::unique_ptr<Transformer> make_frozen_model(const BenchShape& shape, const BenchDtype& dtype) {
  const bool as_stored = shape.stored || !dtype.weights;
  if (!shape.directory.empty() && as_stored)
    return load_for_inference(shape.directory, dtype.precision).model;
  auto model = make_model(shape);
  if (dtype.weights) use_quantized(*model, quantize(*model, {.format = *dtype.weights}));
  freeze_for_inference(*model, dtype.precision);
  return model;
}

// Bytes of weights that a token's row meets, in the width of their dtype: a table of kernels that
// holds bf16 weights in wider panels reads more, and its share of the ceiling shows that.
double weight_bytes(Transformer& model, Precision precision) {
  double bytes = 0;
  model.visit([&](Parameter& p) {
    if (is_quantized(p)) {
      bytes += static_cast<double>(p.value.packed()->quantized()->bytes());
    } else if (!p.table || p.value.same_as(model.head())) {
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

Repetitions repetitions_of_a_part(bool quick) {
  return quick ? Repetitions{1, 3, 3, 0} : Repetitions{2, 5, 50, 3};
}

// A model whose matrices exist as random quantised numbers alone, for shapes whose floats would not
// fit: one matrix at a time is ever in floating point.
std::unique_ptr<Transformer> random_quantized_model(const ModelConfig& config,
                                                    WeightFormat format) {
  auto model = std::make_unique<Transformer>(config, Transformer::Weights::kUnstored);
  uint64_t state = 1;
  const auto fill = [&](std::span<float> values, double width) {
    const auto scale = static_cast<float>(width * 0x1p-31);
    for (float& v : values) {  // a Weyl sequence: quick, and evenly spread
      state += 0x9E3779B97F4A7C15U;
      v = scale * static_cast<float>(static_cast<int32_t>(state >> 32));
    }
  };
  model->visit([&](Parameter& p) {
    const Shape shape = p.value.shape();
    Tensor floats = Tensor::empty(shape);
    if (shape.size() == 1) {
      std::fill_n(floats.data(), floats.size(), p.name.ends_with("_bias") ? 0.0F : 1.0F);
      p.value = floats;
      return;
    }
    fill(floats.values(), 1.7 / std::sqrt(static_cast<double>(shape[1])));
    if (p.table) {
      p.value = Tensor::empty(shape, DType::kBf16);
      kernels::kernels().to_bf16(floats.data(), floats.size(),
                                 reinterpret_cast<uint16_t*>(p.value.raw()));
      return;
    }
    p.value.set_packed(std::make_shared<PackedMatrix>(QuantizedMatrix::rounded(format, floats)));
  });
  release_cached_memory();
  return model;
}

// The frozen base that adapters stand beside.
std::unique_ptr<Transformer> make_base(const BenchShape& shape, const BenchDtype& dtype) {
  if (shape.directory.empty() && dtype.weights && !shape.config.tied_head)
    return random_quantized_model(shape.config, *dtype.weights);
  auto model = shape.directory.empty() ? make_model(shape)
                                       : load_model(shape.directory, Quantized::kMapped).model;
  if (dtype.weights && !shape.stored)
    use_quantized(*model, quantize(*model, {.format = *dtype.weights}));
  freeze_for_inference(*model, dtype.precision);
  return model;
}

Measurement measure_prompt(const BenchShape& shape, const BenchDtype& dtype, bool quick) {
  const auto model = make_frozen_model(shape, dtype);
  const NoGrad no_grad;
  const std::vector<TokenId> tokens = random_tokens(shape.config, shape.prompt_tokens, 1);
  const int64_t last = shape.prompt_tokens - 1;
  const double seconds = median_seconds(
      [&] {
        KvCache cache = make_cache(shape.config, dtype.precision);
        Forward forward{.groups = {{.rows = shape.prompt_tokens, .position = 0}},
                        .precision = dtype.precision};
        forward.groups.front().cache = &cache;
        model->logits(gather_rows(model->hidden(tokens, forward), {&last, 1}), dtype.precision);
      },
      repetitions_of_a_part(quick));
  const double head = static_cast<double>(shape.config.vocab_size) * shape.config.dim;
  const double body = multiplied_weights(shape.config) - head;
  Measurement m;
  m.tokens = shape.prompt_tokens;
  m.tokens_per_s = static_cast<double>(m.tokens) / seconds;
  m.flops = 2 * (body * static_cast<double>(m.tokens) + head) / seconds;
  return m;
}

GenerateOptions generate_options(const BenchShape& shape, const BenchDtype& dtype) {
  GenerateOptions options;
  options.max_tokens = shape.generate_tokens;
  options.precision = dtype.precision;
  options.block = 0;
  return options;
}

// 16 to 64 tokens as streams of unlike lengths have them, fewer where the model has few positions.
Prompt prompt_of_stream(const BenchShape& shape, int stream) {
  const int room = std::max(1, shape.config.max_positions - shape.generate_tokens);
  const int length = std::min(16 + stream * 37 % 49, room);
  return {random_tokens(shape.config, length, 64 + static_cast<uint64_t>(stream))};
}

Measurement measure_generate(const BenchShape& shape, const BenchDtype& dtype, bool quick) {
  const auto model = make_frozen_model(shape, dtype);
  const auto decoder = make_decoder(DecodeMode::kAutoregressive, *model);
  const GenerateOptions options = generate_options(shape, dtype);
  const Prompt prompt = prompt_of_stream(shape, 0);
  int64_t tokens = 0;
  const double seconds = median_seconds(
      [&] { tokens = static_cast<int64_t>(decoder->generate(prompt, options).tokens.size()); },
      repetitions_of_a_part(quick));
  Measurement m;
  m.tokens = tokens;
  m.tokens_per_s = static_cast<double>(tokens) / seconds;
  m.flops = 2 * multiplied_weights(shape.config) * m.tokens_per_s;
  m.read_bytes_per_s = weight_bytes(*model, dtype.precision) * m.tokens_per_s;
  return m;
}

// Several streams at once; reading the prompts is part of the time and of the operations.
std::vector<Measurement> measure_batches(const BenchShape& shape, const BenchDtype& dtype,
                                         bool quick) {
  const auto model = make_frozen_model(shape, dtype);
  const double head = static_cast<double>(shape.config.vocab_size) * shape.config.dim;
  const double body = multiplied_weights(shape.config) - head;
  std::vector<Measurement> measurements;
  for (const int streams : {1, 4, 16, 64}) {
    std::vector<Prompt> prompts;
    prompts.reserve(static_cast<size_t>(streams));
    for (int i = 0; i < streams; ++i) prompts.push_back(prompt_of_stream(shape, i));
    GenerateOptions options = generate_options(shape, dtype);
    int64_t tokens = 0, rows = 0;
    const auto work = [&] {
      tokens = rows = 0;
      for (const Generation& g : generate_all(DecodeMode::kAutoregressive, *model, prompts, options,
                                              {.batch = streams})) {
        tokens += static_cast<int64_t>(g.tokens.size());
        rows += g.rows;
      }
    };
    // A few tokens warm the caches up as well as all of them, and the largest models take a minute
    // for all.
    options.max_tokens = 2;
    work();
    options.max_tokens = shape.generate_tokens;
    const double seconds =
        median_seconds(work, quick ? Repetitions{0, 1, 1, 0} : Repetitions{0, 1, 20, 3});
    Measurement m;
    m.batch = streams;
    m.tokens = tokens;
    m.tokens_per_s = static_cast<double>(tokens) / seconds;
    m.flops = 2 * (body * static_cast<double>(rows) + head * static_cast<double>(tokens)) / seconds;
    if (streams == 1) m.read_bytes_per_s = weight_bytes(*model, dtype.precision) * m.tokens_per_s;
    measurements.push_back(m);
  }
  return measurements;
}

// What a forward of so many rows costs while decoding: behind a short text, each row through the
// head. Their ratios to one row are what decides about speculation.
std::vector<Measurement> measure_rows(const BenchShape& shape, const BenchDtype& dtype,
                                      bool quick) {
  constexpr int kText = 64;
  const auto model = make_frozen_model(shape, dtype);
  const NoGrad no_grad;
  KvCache cache = make_cache(shape.config, dtype.precision);
  const std::vector<TokenId> text = random_tokens(shape.config, kText, 1);
  model->hidden(text, {{{kText, 0, true, {}, &cache}}, dtype.precision});
  cache.commit(kText);
  std::vector<Measurement> measurements;
  for (const int rows : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64}) {
    const std::vector<TokenId> tokens = random_tokens(shape.config, rows, 2);
    const Forward forward{{{rows, kText, true, {}, &cache}}, dtype.precision};
    std::vector<RowSummary> summaries(static_cast<size_t>(rows));
    const double seconds = median_seconds(
        [&] {
          model->summaries(model->hidden(tokens, forward), dtype.precision,
                           {shape.config.vocab_size}, summaries);
        },
        quick ? Repetitions{1, 3, 3, 0} : Repetitions{3, 20, 400, 1.5});
    Measurement m;
    m.batch = rows;
    m.tokens = rows;
    m.tokens_per_s = rows / seconds;
    m.flops = 2 * multiplied_weights(shape.config) * m.tokens_per_s;
    if (rows == 1) m.read_bytes_per_s = weight_bytes(*model, dtype.precision) / seconds;
    measurements.push_back(m);
  }
  return measurements;
}

Measurement measure_train(const BenchShape& shape, const BenchDtype& dtype, bool quick,
                          bool hybrid) {
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
        const Loss loss = objective.evaluate(*model, batch, {.precision = dtype.precision}, rng);
        backward(loss.sum);
        optimizer.step(1e-4, loss.count);
        rows = loss.rows;
      },
      quick ? Repetitions{1, 3, 3, 0} : Repetitions{1, 3, 50, 3});
  Measurement m;
  m.batch = shape.train_batch;
  m.tokens = int64_t{shape.train_batch} * shape.train_length;
  m.tokens_per_s = static_cast<double>(m.tokens) / seconds;
  m.flops = training_flops(shape.config, rows) / seconds;
  return m;
}

// One sequence through a frozen base and its adapters, there and back.
Measurement measure_lora(const BenchShape& shape, const BenchDtype& dtype, bool quick) {
  const auto model = make_base(shape, dtype);
  add_adapters(*model, {});
  set_trainable(*model, true);
  AdamWOptimizer optimizer(*model, {});
  const HybridObjective objective(HybridOptions{});
  Sequence sequence;
  sequence.tokens = random_tokens(shape.config, shape.train_length, 16);
  sequence.prompt_tokens = 1;
  Rng rng(11);
  const double seconds = median_seconds(
      [&] {
        const Loss loss =
            objective.evaluate(*model, {&sequence}, {.precision = dtype.precision}, rng);
        backward(loss.sum);
        optimizer.step(1e-4, loss.count);
      },
      quick ? Repetitions{1, 3, 3, 0} : Repetitions{1, 3, 20, 3});
  Measurement m;
  m.tokens = shape.train_length;
  m.tokens_per_s = static_cast<double>(m.tokens) / seconds;
  // Forward, and back to the inputs of every frozen matrix.
  m.flops = 4 * multiplied_weights(shape.config) * m.tokens_per_s;
  return m;
}

// GPT-J-6B (Wang & Komatsuzaki 2021), the first Dolly's base.
ModelConfig gptj_config() {
  ModelConfig c = config_of(4096, 28, 16, 16, 16384, 50400);
  c.family = "gptj";
  c.rotated = 64;
  c.rope_interleaved = c.parallel = c.one_norm = c.layer_norm = c.mlp_bias = c.head_bias = true;
  c.gated_mlp = c.tied_head = false;
  c.activation = Activation::kGeluTanh;
  return c;
}

}  // namespace

BenchShape bench_shape(std::string_view name) {
  if (name == "S") return {"S", config_of(288, 6, 6, 6, 768, 32000), "", 512, 128, 8, 256};
  if (name == "M") return {"M", config_of(576, 30, 9, 3, 1536, 49152), "", 512, 128, 4, 256};
  if (name == "L") return {"L", config_of(896, 24, 14, 2, 4864, 151936), "", 512, 128, 2, 256};
  if (name == "tiny") return {"tiny", config_of(64, 2, 4, 4, 128, 512), "", 64, 16, 2, 32};
  if (name == "GPT-J") return {"GPT-J", gptj_config(), "", 512, 128, 1, 256};
  fail(ErrorCode::kInvalidArgument, "[--shape] got \"{}\"; want S, M, L, GPT-J or tiny", name);
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

const std::vector<std::string>& bench_dtypes() {
  static const std::vector<std::string> names = {"fp32", "bf16", "int8", "int4"};
  return names;
}

BenchDtype bench_dtype(std::string_view name) {
  if (name == "fp32") return {Precision::kFp32};
  if (name == "bf16") return {Precision::kBf16};
  if (const auto format = format_from_name(name)) return {Precision::kBf16, format};
  fail(ErrorCode::kInvalidArgument, "[--dtype] got \"{}\"; want one of {}", name,
       fmt::join(bench_dtypes(), ", "));
}

const std::vector<std::string>& bench_parts() {
  static const std::vector<std::string> parts = {"prompt", "generate",     "batch", "rows",
                                                 "train",  "train_hybrid", "lora",  "product"};
  return parts;
}

bool can_measure(std::string_view part, const BenchShape& shape, std::string_view dtype) {
  // In floats, or as whole models, some shapes would not fit.
  const bool large = shape.directory.empty() && shape.config.parameters() > kLargestInFloats;
  if (large && !(part == "lora" && bench_dtype(dtype).weights)) return false;
  const bool trains = part == "train" || part == "train_hybrid";
  if (trains && (shape.stored || bench_dtype(dtype).weights)) return false;
  return part != "train_hybrid" || shape.config.mask >= 0;
}

std::vector<Measurement> measure_part(std::string_view part, const BenchShape& shape,
                                      std::string_view dtype_name, bool quick) {
  const BenchDtype dtype = bench_dtype(dtype_name);
  std::vector<Measurement> measurements;
  if (part == "prompt") {
    measurements = {measure_prompt(shape, dtype, quick)};
  } else if (part == "generate") {
    measurements = {measure_generate(shape, dtype, quick)};
  } else if (part == "batch") {
    measurements = measure_batches(shape, dtype, quick);
  } else if (part == "rows") {
    measurements = measure_rows(shape, dtype, quick);
  } else if (part == "train" || part == "train_hybrid") {
    measurements = {measure_train(shape, dtype, quick, part == "train_hybrid")};
  } else if (part == "lora") {
    measurements = {measure_lora(shape, dtype, quick)};
  } else if (part == "product") {
    measurements = measure_products(shape, dtype, quick);
  } else {
    fail(ErrorCode::kInvalidArgument, "[bench] unknown part \"{}\"; want one of {}", part,
         fmt::join(bench_parts(), ", "));
  }
  for (Measurement& m : measurements) {
    m.what = part;
    m.dtype = dtype_name;
    if (m.shape.empty()) m.shape = shape.name;
    if (m.kernels.empty()) m.kernels = kernels::isa_name(kernels::kernels().isa);
    m.peak_rss_bytes = peak_rss();
  }
  return measurements;
}

OrderedJson to_json(const Measurement& m) {
  return {{"what", m.what},
          {"shape", m.shape},
          {"dtype", m.dtype},
          {"kernels", m.kernels},
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
  m.kernels = require<std::string>(json, "kernels", where);
  m.batch = require<int>(json, "batch", where);
  m.tokens = require<int64_t>(json, "tokens", where);
  m.tokens_per_s = require<double>(json, "tokens_per_s", where);
  m.flops = require<double>(json, "flops", where);
  m.read_bytes_per_s = require<double>(json, "read_bytes_per_s", where);
  m.peak_rss_bytes = require<int64_t>(json, "peak_rss_bytes", where);
  return m;
}

}  // namespace alambic
