//! What cannot become a video is refused, and leaves nothing behind.

use std::io::{self, Cursor, Seek, SeekFrom, Write};

use unils::Error;
use unils_render::video::{AudioOptions, Mp4Writer, VideoOptions};

use crate::support::*;

#[test]
fn sizes_and_options_are_checked_before_a_file_is_touched() {
    let scratch = Scratch::new("options");
    for (width, height) in [(511, 512), (4000, 2000), (0, 0)] {
        let error = Mp4Writer::create(scratch.file("a.mp4"), &VideoOptions::new(width, height), None);
        let Err(error) = error else { panic!("{width}x{height}") };
        assert!(matches!(error, Error::Argument(_)) && error.hint().is_some(), "{error}");
    }
    let audio = AudioOptions { channels: 3, ..AudioOptions::default() };
    assert!(Mp4Writer::create(scratch.file("a.mp4"), &VideoOptions::new(64, 64), Some(&audio)).is_err());
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
    let missing = Mp4Writer::create(scratch.file("no/a.mp4"), &VideoOptions::new(64, 64), None);
    assert!(matches!(missing, Err(Error::Io { action: "create", .. })));
}

#[test]
fn a_video_without_frames_is_an_error() {
    let scratch = Scratch::new("empty");
    let path = scratch.file("empty.mp4");
    std::fs::write(&path, "older").unwrap();
    let mut video =
        Mp4Writer::create(&path, &VideoOptions::new(64, 64), Some(&AudioOptions::default())).unwrap();
    video.push_audio(&[0.0; 1920]).unwrap();
    let error = video.commit().unwrap_err();
    assert_eq!(error.to_string(), format!("{}: 0 frames: a video needs at least one", path.display()));
    // A video that is dropped half way leaves the older file too.
    let mut video = Mp4Writer::create(&path, &VideoOptions::new(64, 64), None).unwrap();
    video.push_frame(&flat(64, 64, [0; 3])).unwrap();
    drop(video);
    assert_eq!(std::fs::read(&path).unwrap(), b"older");
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 1);
}

#[test]
fn wrong_pictures_and_samples_are_refused_and_do_no_harm() {
    let mut video =
        Mp4Writer::new(Cursor::new(Vec::new()), &VideoOptions::new(64, 64), Some(&AudioOptions::new(2)))
            .unwrap();
    for wrong in [0, 64 * 64 * 3, 64 * 64 * 4 + 4] {
        let error = video.push_frame(&vec![0; wrong]).unwrap_err();
        let text = format!("video: frame 0 has {wrong} bytes; expected 16384 for 64x64 RGBA");
        assert_eq!(error.to_string(), text);
    }
    assert!(matches!(video.push_audio(&[0.0; 3]), Err(Error::Argument(_))));
    let error = video.push_audio(&[0.0, 0.0, 0.0, f32::NAN]).unwrap_err();
    assert_eq!(error.to_string(), "video: sample 1 is NaN");
    assert!(video.push_audio(&[0.0, f32::INFINITY]).is_err());
    video.push_frame(&flat(64, 64, [10; 3])).unwrap();
    // Beyond full scale is clipped, not wrapped.
    video.push_audio(&[3.0; 9600]).unwrap();
    let (file, _) = video.finish().unwrap();
    let decoded = read(file.get_ref()).sound();
    // The codec lets a constant fade, but a wrapped one would have been negative.
    assert!(decoded[1000..5000].iter().all(|x| *x > 0.1), "{:?}", &decoded[1000..1010]);

    let mut silent = Mp4Writer::new(Cursor::new(Vec::new()), &VideoOptions::new(64, 64), None).unwrap();
    let error = silent.push_audio(&[0.0; 10]).unwrap_err();
    assert_eq!(error.hint(), Some("begin it with audio options"));
}

/// A disk that is full after a number of bytes.
struct FullDisk {
    inner: Cursor<Vec<u8>>,
    space: u64,
}

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.inner.position() + bytes.len() as u64 > self.space {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for FullDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[test]
fn a_full_disk_is_reported_wherever_it_strikes() {
    let options = VideoOptions { frames_per_second: 5, ..VideoOptions::new(64, 64) };
    let whole = record(&options, 20, |n| disc(64, 64, n), Some(&[0.1; 4 * 48_000])).0.len() as u64;
    let write = |space: u64| -> unils::Result<()> {
        let disk = FullDisk { inner: Cursor::new(Vec::new()), space };
        let mut video = Mp4Writer::new(disk, &options, Some(&AudioOptions::default()))?;
        for frame in 0..20 {
            let pushed = video.push_frame(&disc(64, 64, frame)).and_then(|()| video.push_audio(&[0.1; 9600]));
            if let Err(error) = pushed {
                // What follows a hole in the file would be wrong: everything is refused.
                assert!(matches!(video.push_frame(&disc(64, 64, 0)), Err(Error::Argument(_))));
                assert!(matches!(video.push_audio(&[0.0; 10]), Err(Error::Argument(_))));
                assert!(video.finish().is_err());
                return Err(error);
            }
        }
        video.finish().map(drop)
    };
    write(whole).unwrap();
    for space in [0, 20, whole / 3, whole / 2, whole - 1] {
        let error = write(space).unwrap_err();
        assert!(matches!(error, Error::Io { action: "write", .. }), "{space}: {error}");
        assert!(error.hint().unwrap().contains("disk is full"));
    }
}
