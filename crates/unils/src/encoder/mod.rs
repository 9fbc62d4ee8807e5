mod wav2vec2;
pub use wav2vec2::*;
