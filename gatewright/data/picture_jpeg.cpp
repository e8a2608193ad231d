#include <csetjmp>
#include <cstdio>
// Its header wants <cstdio> before it.
#include <jerror.h>
#include <jpeglib.h>

#include "gatewright/base/check.h"
#include "gatewright/data/picture_codecs.h"

namespace gw::inline data {
namespace {

constexpr int kMostScans = 500;  // a progressive file has ten; thousands of empty ones cost minutes
constexpr long kJpegMemory_bytes = 1L << 29;

/// Where libjpeg's errors go. It must not return from them: each call of the reader sets a place to jump to,
/// and no frame between that place and the error has a destructor.
struct JpegFailure {
  jpeg_error_mgr base{};
  std::jmp_buf back{};
  char text[JMSG_LENGTH_MAX] = {};
};

[[noreturn]] void jpeg_jump(j_common_ptr info) {
  auto* failure = reinterpret_cast<JpegFailure*>(info->err);
  info->err->format_message(info, failure->text);
  std::longjmp(failure->back, 1);
}

/// libjpeg goes on after damage, with grey in place of what is missing: here that is an error. Three warnings
/// are about files that are read as they were meant.
void jpeg_message(j_common_ptr info, int level) {
  const int code = info->err->msg_code;
  const bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR;
  if (level < 0 && !harmless) jpeg_jump(info);
}

void jpeg_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostScans) return;
  auto* failure = reinterpret_cast<JpegFailure*>(info->err);
  std::snprintf(failure->text, sizeof failure->text, "more than %d scans", kMostScans);
  std::longjmp(failure->back, 1);
}

/// Each member returns false where libjpeg failed; `why()` says how. A call jumps back to itself only.
class JpegReader {
 public:
  JpegReader() {
    info.err = jpeg_std_error(&failure_.base);
    failure_.base.error_exit = jpeg_jump;
    failure_.base.emit_message = jpeg_message;
    failure_.base.output_message = [](j_common_ptr) {};
  }
  ~JpegReader() { jpeg_destroy_decompress(&info); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  bool header(std::string_view bytes) {
    if (setjmp(failure_.back) != 0) return false;
    jpeg_create_decompress(&info);
    info.mem->max_memory_to_use = kJpegMemory_bytes;
    monitor_.progress_monitor = jpeg_progress;
    info.progress = &monitor_;
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&info, TRUE);
    return true;
  }
  bool start(J_COLOR_SPACE colours) {
    if (setjmp(failure_.back) != 0) return false;
    info.out_color_space = colours;
    info.dct_method = JDCT_ISLOW;  // the one that is exact to the standard
    jpeg_start_decompress(&info);
    return true;
  }
  bool row(unsigned char* out) {
    if (setjmp(failure_.back) != 0) return false;
    jpeg_read_scanlines(&info, &out, 1);
    return true;
  }
  bool finish() {
    if (setjmp(failure_.back) != 0) return false;
    jpeg_finish_decompress(&info);
    return true;
  }
  const char* why() const { return failure_.text; }

  jpeg_decompress_struct info{};

 private:
  JpegFailure failure_;
  jpeg_progress_mgr monitor_{};
};

[[noreturn]] void refuse_jpeg(const std::string& name, const JpegReader& reader) {
  fail("picture \"{}\": expected a JPEG file, got \"{}\"; it is damaged or cut short", name, reader.why());
}

}  // namespace

PictureShape read_jpeg(std::string_view bytes, const std::string& name, const PictureLimits& limits,
                       std::string* pixels) {
  JpegReader reader;
  auto& info = reader.info;
  if (!reader.header(bytes)) refuse_jpeg(name, reader);
  check_picture_size(info.image_height, info.image_width, name, limits);
  GW_CHECK(info.jpeg_color_space != JCS_CMYK && info.jpeg_color_space != JCS_YCCK,
           "picture \"{}\": expected grey or three colours, got four (CMYK); convert it to RGB", name);
  const bool grey = info.jpeg_color_space == JCS_GRAYSCALE;
  const PictureShape shape{grey ? 1 : 3, info.image_height, info.image_width};
  if (pixels == nullptr) return shape;
  if (!reader.start(grey ? JCS_GRAYSCALE : JCS_RGB)) refuse_jpeg(name, reader);
  const auto line = static_cast<size_t>(shape.channels * shape.width);
  pixels->resize(static_cast<size_t>(shape.height) * line);
  auto* out = reinterpret_cast<unsigned char*>(pixels->data());
  while (info.output_scanline < info.output_height)
    if (!reader.row(out + info.output_scanline * line)) refuse_jpeg(name, reader);
  if (!reader.finish()) refuse_jpeg(name, reader);
  return shape;
}

}  // namespace gw::inline data
