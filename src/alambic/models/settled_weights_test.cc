// Where the settings of a checkpoint and its tensors disagree, and what of config.json is refused.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "alambic/base/file.h"
#include "alambic/base/sha256.h"
#include "alambic/formats/safetensors_set.h"
#include "alambic/models/hf_directory.h"
#include "alambic/models/model_files.h"
#include "alambic/models/test_models.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

class SettledWeights : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    directory_ = testing::TempDir() + "alambic_settled_" + info->name();
    fs::remove_all(directory_);
    save(false);
  }
  void TearDown() override { fs::remove_all(directory_); }

  void save(bool tied) const {
    ModelConfig config = tiny_config();
    config.tied_head = tied;
    Transformer model(config);
    randomise(model, 7);
    save_model(model, {}, directory_, DType::kF32);
  }
  std::string path(const std::string& file) const { return directory_ + "/" + file; }
  void edit(const std::function<void(Json&)>& change) const {
    Json config = read_json_file(path("config.json"));
    change(config);
    write_file_atomic(path("config.json"), dump_json(config));
  }
  void edit_weights(const std::function<void(std::vector<TensorEntry>&)>& change) const {
    const std::string copy = directory_ + ".copy";
    fs::rename(path("model.safetensors"), copy);
    const SafetensorsFile file(copy);
    std::vector<TensorEntry> entries = file.entries();
    change(entries);
    write_safetensors(path("model.safetensors"), entries);
    fs::remove(copy);
  }
  std::vector<std::string> notes() const { return model_notes(directory_); }
  std::string refusal() const {
    try {
      read_model_config(directory_);
      load_model(directory_);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
  void expect_refused(const std::function<void(Json&)>& change,
                      const std::vector<std::string>& parts) const {
    const std::string before = read_file(path("config.json"));
    edit(change);
    const std::string line = refusal();
    for (const std::string& part : parts) EXPECT_NE(line.find(part), std::string::npos) << line;
    write_file_atomic(path("config.json"), before);
  }
  std::string directory_;
};

std::vector<float> logits(const Transformer& model) {
  const NoGrad no_grad;
  const std::vector<TokenId> tokens = {1, 5, 9, 3};
  const Tensor out = model.logits(model.hidden(tokens, {.groups = {{4, 0}}}), Precision::kFp32);
  return {out.values().begin(), out.values().end()};
}

TEST_F(SettledWeights, AStoredHeadThatIsNotTheTableUntiesTheModel) {
  const std::vector<float> want = logits(*load_model(directory_).model);
  EXPECT_TRUE(notes().empty());
  edit([](Json& c) { c["tie_word_embeddings"] = true; });
  const LoadedModel loaded = load_model(directory_);
  EXPECT_FALSE(loaded.model->config().tied_head);
  EXPECT_EQ(logits(*loaded.model), want);
  EXPECT_FALSE(load_for_inference(directory_, Precision::kFp32).model->config().tied_head);
  ASSERT_EQ(notes().size(), 1U);
  EXPECT_NE(notes()[0].find("lm_head.weight"), std::string::npos) << notes()[0];
  const std::string copy = path("copy");
  save_model(*loaded.model, {}, copy, DType::kF32);
  EXPECT_EQ(read_json_file(copy + "/config.json").at("tie_word_embeddings"), false);
  EXPECT_NE(SafetensorsFile(copy + "/model.safetensors").find("lm_head.weight"), nullptr);
}

TEST_F(SettledWeights, AStoredHeadThatIsTheTableStaysTied) {
  save(true);
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    // Rounded to bf16 before, so that both types hold the same numbers.
    edit_weights([&](std::vector<TensorEntry>& entries) {
      static std::vector<std::byte> table, head;
      std::erase_if(entries, [](const TensorEntry& e) { return e.name == "lm_head.weight"; });
      for (TensorEntry& e : entries) {
        if (e.name != "model.embed_tokens.weight") continue;
        std::vector<float> values(static_cast<size_t>(element_count(e.shape)));
        to_floats(e, values);
        head = pack_floats(values, DType::kBf16);
        to_floats({e.name, DType::kBf16, e.shape, head}, values);
        table = pack_floats(values, dtype);
        e.dtype = dtype;
        e.bytes = table;
        entries.push_back({"lm_head.weight", DType::kBf16, e.shape, head});
        break;
      }
    });
    EXPECT_TRUE(read_model_config(directory_).tied_head) << dtype_name(dtype);
    EXPECT_TRUE(notes().empty());
  }
}

TEST_F(SettledWeights, AHeadThatNobodyStoredIsNotMadeUp) {
  edit_weights([](std::vector<TensorEntry>& entries) {
    std::erase_if(entries, [](const TensorEntry& e) { return e.name == "lm_head.weight"; });
  });
  EXPECT_NE(refusal().find("tie_word_embeddings"), std::string::npos) << refusal();
}

TEST_F(SettledWeights, TensorsOfTheNetworkWithoutAPlaceAreRefused) {
  static const std::vector<float> ones(24, 1.0F);
  for (const char* name :
       {"model.layers.0.self_attn.o_proj.bias", "model.layers.2.mlp.up_proj.weight",
        "layers.1.self_attn.q_norm.weight", "model.norm.bias", "lm_head.bias"}) {
    save(false);
    edit_weights([&](std::vector<TensorEntry>& entries) {
      entries.push_back({name, DType::kF32, {24}, std::as_bytes(std::span(ones))});
    });
    EXPECT_NE(refusal().find(name), std::string::npos) << refusal();
  }
}

TEST_F(SettledWeights, OtherTensorsAreNamedAndBuffersAreNot) {
  static const std::vector<float> ones(24, 1.0F);
  edit_weights([&](std::vector<TensorEntry>& entries) {
    for (const char* name :
         {"score.weight", "vision.patch.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"})
      entries.push_back({name, DType::kF32, {24}, std::as_bytes(std::span(ones))});
  });
  const std::vector<std::string> said = notes();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find("2 tensors"), std::string::npos) << said[0];
  EXPECT_NE(said[0].find("score.weight"), std::string::npos) << said[0];
  EXPECT_EQ(refusal(), "accepted");
}

TEST_F(SettledWeights, AnIndexOfOtherFilesIsSaidAndShardsThatAreNotThereAreNamed) {
  write_file_atomic(path("model.safetensors.index.json"),
                    R"({"weight_map": {"model.norm.weight": "other-1.safetensors"}})");
  ASSERT_EQ(notes().size(), 1U);
  EXPECT_NE(notes()[0].find("other-1.safetensors"), std::string::npos) << notes()[0];
  EXPECT_EQ(weight_files(directory_), std::vector{path("model.safetensors")});
  fs::remove(path("model.safetensors"));
  EXPECT_NE(refusal().find("other-1.safetensors"), std::string::npos) << refusal();
}

TEST_F(SettledWeights, TheChecksumIsThatOfTheFilesThatAreRead) {
  EXPECT_EQ(weights_checksum(directory_), sha256_of_file(path("model.safetensors")));
  write_file_atomic(path("stray.safetensors"), "not of this model");
  EXPECT_EQ(weights_checksum(directory_), sha256_of_file(path("model.safetensors")));
}

TEST_F(SettledWeights, RotarySettingsAreReadWhereTheyStand) {
  edit([](Json& c) {
    c.erase("rope_theta");
    c["rope_parameters"] = {{"rope_theta", 700000.0}, {"rope_type", "linear"}, {"factor", 4.0}};
  });
  EXPECT_EQ(read_model_config(directory_).rope_theta, 700000.0);
  EXPECT_EQ(read_model_config(directory_).rope_scaling.factor, 4.0);
  const Json same = {{"rope_theta", 900000.0}, {"rope_type", "default"}};
  edit([&](Json& c) {
    c["rope_parameters"] = {{"full_attention", same}, {"sliding_attention", same}};
  });
  EXPECT_EQ(read_model_config(directory_).rope_theta, 900000.0);
  EXPECT_EQ(read_model_config(directory_).rope_scaling.kind, RopeScaling::Kind::kNone);
}

TEST_F(SettledWeights, RotarySettingsThatAreNotUnderstoodAreRefusedByName) {
  const Json plain = {{"rope_theta", 900000.0}, {"rope_type", "default"}};
  const auto with = [&](const char* key, const Json& value) {
    return [=](Json& c) { c[key] = value; };
  };
  Json other = plain;
  other["rope_theta"] = 10000.0;
  expect_refused(with("rope_parameters", {{"full_attention", plain}, {"sliding_attention", other}}),
                 {"rope_parameters", "sliding_attention", "10000"});
  expect_refused(with("rope_parameters", {{"full_attention", {{"rope_type", "swirl"}}}}),
                 {"swirl", "supported"});
  expect_refused(with("rope_parameters", {{"chunked_attention", plain}}), {"chunked_attention"});
  expect_refused(with("rope_parameters", {{"full_attention", plain}, {"factor", 2.0}}), {"factor"});
  expect_refused(with("rope_scaling", {{"type", "linear"}, {"factor", 2.0}, {"twist", 3}}),
                 {"twist", "linear"});
  expect_refused(with("rope_scaling", {{"type", "linear"}}), {"linear", "factor"});
  expect_refused(with("rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}),
                 {"llama3", "low_freq_factor"});
  expect_refused(
      [&](Json& c) {
        c["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
        c["rope_parameters"] = plain;
      },
      {"contradict"});
}

TEST_F(SettledWeights, WindowsAreThoseOfTransformers) {
  const auto qwen = [](Json& c) {
    c["model_type"] = "qwen2";
    c["use_sliding_window"] = true;
    c["sliding_window"] = 16;
  };
  const auto config_of = [&](const std::function<void(Json&)>& change) {
    const std::string before = read_file(path("config.json"));
    const std::string weights = path("model.safetensors"), aside = directory_ + ".aside";
    fs::rename(weights, aside);  // settings alone
    edit(change);
    const ModelConfig config = read_model_config(directory_);
    fs::rename(aside, weights);
    write_file_atomic(path("config.json"), before);
    return config;
  };
  // Absent, max_window_layers is 28, and this model has two layers.
  EXPECT_EQ(config_of([&](Json& c) {
              qwen(c);
              c.erase("max_window_layers");
            }).window,
            0);
  EXPECT_EQ(config_of([&](Json& c) {
              qwen(c);
              c["max_window_layers"] = 1;
            }).window_from,
            1);
  EXPECT_EQ(config_of([&](Json& c) {
              qwen(c);
              c["layer_types"] = {"full_attention", "sliding_attention"};
              c.erase("sliding_window");
            }).window,
            4096);
  const auto mistral = [](Json& c) { c["model_type"] = "mistral"; };
  EXPECT_EQ(config_of([&](Json& c) {
              mistral(c);
              c.erase("sliding_window");
            }).window,
            4096);
  EXPECT_EQ(config_of([&](Json& c) {
              mistral(c);
              c["sliding_window"] = nullptr;
            }).window,
            0);
  expect_refused(
      [&](Json& c) {
        qwen(c);
        c["layer_types"] = {"full_attention", "full_attention", "sliding_attention"};
      },
      {"layer_types", "3", "2"});
  expect_refused(
      [&](Json& c) {
        qwen(c);
        c["layer_types"] = {"full_attention", "spiral_attention"};
      },
      {"spiral_attention"});
  expect_refused(
      [&](Json& c) {
        qwen(c);
        c["use_sliding_window"] = false;
        c["layer_types"] = {"full_attention", "sliding_attention"};
      },
      {"use_sliding_window"});
  expect_refused([](Json& c) { c["layer_types"] = {"full_attention"}; }, {"layer_types", "1", "2"});
  expect_refused(
      [&](Json& c) {
        mistral(c);
        c["sliding_window"] = 16;
        c["layer_types"] = {"full_attention", "sliding_attention"};
      },
      {"layer_types", "sliding_window"});
}

}  // namespace
}  // namespace alambic
