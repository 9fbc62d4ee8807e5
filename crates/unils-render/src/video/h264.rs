//! Pictures to H.264: the encoder, and its stream in the form that MP4 holds.
//!
//! OpenH264 (BSD-2-Clause, built from its source) writes byte streams after Annex B of ITU-T H.264; an MP4 sample has
//! each unit behind its length, and the parameter sets once in front of everything (ISO/IEC 14496-15, 5.3).

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, QpRange,
    RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVSlices;

use super::VideoOptions;
use super::yuv::Planes;

/// Bits for a pixel that the level is chosen for: well above what the default quality needs.
const BITS_PER_PIXEL: f64 = 0.25;
/// Kinds of units after table 7-1: what starts a stream, and what is not needed in MP4.
const SEQUENCE_SET: u8 = 7;
const PICTURE_SET: u8 = 8;
const DELIMITER: u8 = 9;
const KEY_PICTURE: u8 = 5;
const PICTURE: u8 = 1;

/// What a decoder must know before the first picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ParameterSets {
    pub sequence: Vec<u8>,
    pub picture: Vec<u8>,
}

/// One picture after the other to MP4 samples. No picture waits for a later one, so display order is file order.
pub(super) struct H264Encoder {
    encoder: Encoder,
    planes: Planes,
    sets: Option<ParameterSets>,
}

impl H264Encoder {
    /// An encoder for checked options; the error is OpenH264's own.
    pub fn new(options: &VideoOptions) -> Result<Self, String> {
        let pixels = f64::from(options.width) * f64::from(options.height);
        let bits = BITS_PER_PIXEL * pixels * f64::from(options.frames_per_second);
        let config = EncoderConfig::new()
            // A range of one value is a constant quantiser. The other modes that keep to a range write a warning to
            // standard error unless they may drop frames.
            .rate_control_mode(RateControlMode::Bufferbased)
            .qp(QpRange::new(options.quantizer, options.quantizer))
            .bitrate(BitRate::from_bps(bits.clamp(64e3, 200e6) as u32))
            .max_frame_rate(FrameRate::from_hz(options.frames_per_second as f32))
            .intra_frame_period(IntraFramePeriod::from_num_frames(options.keyframe_interval))
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::High)
            .profile(Profile::Baseline)
            .vui(VuiConfig::bt709())
            .skip_frames(false)
            .scene_change_detect(false)
            .background_detection(false)
            .adaptive_quantization(false)
            // One thread and one slice: the bytes depend on the pictures alone.
            .num_threads(1);
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config);
        Ok(Self {
            encoder: encoder.map_err(|error| error.to_string())?,
            planes: Planes::new(options.width as usize, options.height as usize),
            sets: None,
        })
    }

    /// Encodes a picture and replaces `sample` by it; whether decoding can start there.
    pub fn encode(&mut self, rgba: &[u8], sample: &mut Vec<u8>) -> Result<bool, String> {
        self.planes.set(rgba);
        let (width, height) = self.planes.size();
        let slices = YUVSlices::new(
            (&self.planes.luma, &self.planes.blue, &self.planes.red),
            (width, height),
            (width, width / 2, width / 2),
        );
        // Only rate control would look at a time.
        let stream = self.encoder.encode(&slices).map_err(|error| error.to_string())?;
        sample.clear();
        let mut found = ParameterSets::default();
        let mut pictures = [false; 2];
        for layer in (0..stream.num_layers()).filter_map(|index| stream.layer(index)) {
            for unit in (0..layer.nal_count()).filter_map(|index| layer.nal_unit(index)) {
                let unit = without_start_code(unit);
                match unit.first().map(|header| header & 31) {
                    Some(SEQUENCE_SET) => found.sequence = unit.to_vec(),
                    Some(PICTURE_SET) => found.picture = unit.to_vec(),
                    None | Some(DELIMITER) => {}
                    Some(kind) => {
                        pictures[0] |= kind == PICTURE;
                        pictures[1] |= kind == KEY_PICTURE;
                        let length = u32::try_from(unit.len()).map_err(|_| "a unit above 4 GiB")?;
                        sample.extend(length.to_be_bytes());
                        sample.extend(unit);
                    }
                }
            }
        }
        if found != ParameterSets::default() && self.sets.get_or_insert_with(|| found.clone()) != &found {
            return Err("the encoder changed its parameters".to_owned());
        }
        let [between, key] = pictures;
        if (!between && !key) || self.sets.is_none() {
            return Err("the encoder returned no picture".to_owned());
        }
        Ok(key)
    }

    /// The parameter sets; there from the first picture on.
    pub fn sets(&self) -> Option<&ParameterSets> {
        self.sets.as_ref()
    }
}

/// A unit of a byte stream without the 00 00 01 in front, which may have another zero before it.
fn without_start_code(unit: &[u8]) -> &[u8] {
    let zeros = unit.iter().take_while(|byte| **byte == 0).count();
    unit.get(zeros + 1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_itself_says_its_colours() {
        let mut encoder = H264Encoder::new(&VideoOptions::new(64, 64)).unwrap();
        let mut sample = Vec::new();
        assert!(encoder.encode(&[200; 64 * 64 * 4], &mut sample).unwrap(), "the first picture is a key");
        assert!(!encoder.encode(&[200; 64 * 64 * 4], &mut sample).unwrap());
        let bits: String =
            encoder.sets().unwrap().sequence.iter().map(|byte| format!("{byte:08b}")).collect();
        // video_signal_type_present_flag, a format of "unspecified", limited range, and BT.709 three times.
        let wanted = format!("1{}01{}", "101", "00000001".repeat(3));
        assert!(bits.contains(&wanted), "{bits}");
    }

    #[test]
    fn start_codes_of_both_lengths() {
        assert_eq!(without_start_code(&[0, 0, 1, 0x67, 0]), [0x67, 0]);
        assert_eq!(without_start_code(&[0, 0, 0, 1, 0x65]), [0x65]);
        assert!(without_start_code(&[0, 0, 1]).is_empty());
        assert!(without_start_code(&[0, 0]).is_empty());
    }
}
