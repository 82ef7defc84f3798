// g++ -std=c++17 translate.cpp -I$ORT/include -L$ORT/lib -lonnxruntime -Wl,-rpath,$ORT/lib -o translate
// ./translate model.onnx picture.ppm translated.ppm
//
// $ORT is a release of ONNX Runtime, https://github.com/microsoft/onnxruntime/releases, unpacked. Pictures are PPM or
// PGM (P6, P5, 8 bits), which `magick picture.jpg picture.ppm` makes, or put your own decoder in the place of `read`.
#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

struct Picture {
  int64_t height, width, channels;
  std::vector<uint8_t> pixels;  // height × width × channels
};

// The next number of the header; what follows a # is a comment.
static int64_t number(std::istream& in) {
  while ((in >> std::ws).peek() == '#') in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  int64_t value = 0;
  if (!(in >> value) || value < 1 || value > 1 << 20) throw std::runtime_error("not a picture in PPM or PGM");
  return value;
}

static Picture read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  char kind[2] = {};
  in.read(kind, 2);
  if (kind[0] != 'P' || (kind[1] != '5' && kind[1] != '6')) throw std::runtime_error("expected P5 or P6");
  const int64_t width = number(in), height = number(in);
  if (number(in) != 255) throw std::runtime_error("expected 8 bits");
  in.get();  // the one white space before the pixels
  Picture picture{height, width, kind[1] == '6' ? 3 : 1, {}};
  picture.pixels.resize(height * width * picture.channels);
  in.read(reinterpret_cast<char*>(picture.pixels.data()), picture.pixels.size());
  if (!in) throw std::runtime_error("the picture is cut short");
  return picture;
}

static void write(const std::filesystem::path& path, const uint8_t* pixels, const std::vector<int64_t>& shape) {
  std::ofstream out(path, std::ios::binary);
  out << (shape[3] == 3 ? "P6 " : "P5 ") << shape[2] << ' ' << shape[1] << " 255\n";
  out.write(reinterpret_cast<const char*>(pixels), shape[1] * shape[2] * shape[3]);
  if (!out) throw std::runtime_error("the translation cannot be written");
}

int main(int count, char** words) try {
  if (count != 4) throw std::runtime_error("usage: translate model.onnx picture.ppm translated.ppm");
  Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "translate");
  Ort::Session session(environment, std::filesystem::path(words[1]).c_str(), Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions allocator;
  const auto input = session.GetInputNameAllocated(0, allocator), output = session.GetOutputNameAllocated(0, allocator);

  // uint8 [batch, height, width, channels], of any batch, height and width
  Picture picture = read(words[2]);
  const auto wanted = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape().at(3);
  if (wanted != picture.channels) throw std::runtime_error("the model takes " + std::to_string(wanted) + " channels");
  const std::array<int64_t, 4> shape{1, picture.height, picture.width, picture.channels};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto x = Ort::Value::CreateTensor<uint8_t>(memory, picture.pixels.data(), picture.pixels.size(), shape.data(), 4);

  const char *inputs[] = {input.get()}, *outputs[] = {output.get()};
  const auto y = session.Run(Ort::RunOptions(), inputs, &x, 1, outputs, 1);
  write(words[3], y[0].GetTensorData<uint8_t>(), y[0].GetTensorTypeAndShapeInfo().GetShape());
} catch (const std::exception& problem) {  // Ort::Exception is one of these
  std::cerr << problem.what() << '\n';
  return 1;
}
