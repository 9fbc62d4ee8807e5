//! Fuzz target: any bytes through the audio reader and the conversation behind it.

use unils::audio::{AudioReader, Conversation, ConversationOptions};

/// Blocks read at most: more than any file of fuzzing size holds, so that hitting it means an endless stream.
const MAX_BLOCKS: usize = 1 << 16;

/// Opens `data` as an audio file, reads it to the end, then once more as a conversation in windows.
pub fn audio(data: &[u8]) {
    let Ok(mut reader) = AudioReader::from_bytes(data, "fuzz") else { return };
    let mut next = 0;
    for blocks in 0.. {
        assert!(blocks < MAX_BLOCKS, "more blocks than {} bytes can hold", data.len());
        let Ok(Some(block)) = reader.next_block() else { break };
        assert_eq!(block.start_frame(), next);
        assert!(block.frames() > 0);
        for channel in 0..block.channels() {
            assert_eq!(block.channel(channel).len(), block.frames());
            assert!(block.channel(channel).iter().all(|sample| sample.is_finite()));
        }
        next += block.frames() as u64;
    }

    let options = ConversationOptions { mixdown: true, ..Default::default() };
    let Ok(reader) = AudioReader::from_bytes(data, "fuzz") else { return };
    let Ok(mut conversation) = Conversation::from_readers(vec![reader], &options) else { return };
    let mut position = 0;
    for _ in 0..MAX_BLOCKS {
        let Ok(Some(window)) = conversation.read(4000) else { break };
        assert_eq!(window.start_sample, position);
        assert!(window.tracks.iter().all(|track| track.len() == 4000));
        position += window.valid as u64;
    }
}
